"""Documents in shards of many, JSONL or Parquet, in the fields of Dolma; `shards` is the door."""
