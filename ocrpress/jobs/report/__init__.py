"""What a ledger has to tell: `summary` in figures, `report` as a page of HTML."""
