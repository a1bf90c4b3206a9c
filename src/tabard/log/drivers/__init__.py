"""The drivers of the log; only `compose/` picks one."""
