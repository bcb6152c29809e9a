"""Documents as they go: whole, page by page, with what their compression was."""
