"""The same reading on a Ray cluster; `reader` is the door."""
