"""A Document -> text."""
