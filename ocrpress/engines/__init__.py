"""The engines, and how one is chosen by name."""
