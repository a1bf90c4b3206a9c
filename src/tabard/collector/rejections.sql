-- name: schema
CREATE TABLE IF NOT EXISTS rejection (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    field TEXT NOT NULL,
    message TEXT NOT NULL,
    item INTEGER,
    path TEXT NOT NULL,
    raw BLOB NOT NULL,
    raw_bytes INTEGER NOT NULL
) STRICT;
PRAGMA user_version = 1;

-- name: keep
INSERT INTO rejection (at, source, reason, field, message, item, path, raw, raw_bytes)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9);

-- name: prune
DELETE FROM rejection WHERE id <= (SELECT max(id) FROM rejection) - ?1 OR at < ?2;

-- name: newest
SELECT at, source, reason, message, field, item, path, raw, raw_bytes, id FROM rejection
WHERE (?1 IS NULL OR source = ?1) AND (?2 IS NULL OR id < ?2)
ORDER BY id DESC LIMIT ?3;
