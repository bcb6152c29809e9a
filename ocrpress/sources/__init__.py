"""Anything that holds pages -> a lazy stream of page images."""
