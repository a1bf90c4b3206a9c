-- name: table
CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, file TEXT NOT NULL, sha256 TEXT NOT NULL) STRICT

-- name: record
INSERT INTO migration VALUES (?, ?, ?)

-- name: is_recorded
SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'migration'

-- name: recorded
SELECT number, sha256 FROM migration
