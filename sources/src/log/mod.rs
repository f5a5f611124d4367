//! The event log: `DIR/{interactions,uploads,users,follows,deletes,served}/part-*.{jsonl[.gz|.zst],parquet}`.
