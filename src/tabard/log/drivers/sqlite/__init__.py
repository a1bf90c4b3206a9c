"""The embedded log: a folder a partition, in it SQLite segment files, one writing process, any number of readers."""

from tabard.log.drivers.sqlite.reader import SqliteLogReader
from tabard.log.drivers.sqlite.upkeep import IntegrityReport, SqliteRetention, check_integrity, copy_log
from tabard.log.drivers.sqlite.writer import LogOptions, SqliteLogWriter

__all__ = [
    "IntegrityReport",
    "LogOptions",
    "SqliteLogReader",
    "SqliteLogWriter",
    "SqliteRetention",
    "check_integrity",
    "copy_log",
]
