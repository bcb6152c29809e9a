"""Documents and results behind URLs, through fsspec; `place` is the door."""
