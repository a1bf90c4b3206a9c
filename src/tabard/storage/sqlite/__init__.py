"""The embedded stores: one SQLite file, one writing process each."""
