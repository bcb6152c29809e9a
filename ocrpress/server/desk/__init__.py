"""The engine of the service: one reading process for all, and whose pages are next. Knows nothing of HTTP."""
