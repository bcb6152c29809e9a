"""What every request meets: who may come in, what errors look like, what is counted and logged."""
