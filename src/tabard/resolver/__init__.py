"""From the log to the store: decode, deduplicate, resolve, keep."""
