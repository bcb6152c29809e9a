"""What became of every document and page, on the disk: SQLite, one writer; `book` is the door."""
