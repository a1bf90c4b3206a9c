"""The drivers of the log; only `compose.py` picks one."""
