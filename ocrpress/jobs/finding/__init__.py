"""Which documents a batch has, and where their results go. Knows nothing of ledgers."""
