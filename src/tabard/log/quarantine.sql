-- name: create
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
BEGIN;
CREATE TABLE quarantined (
    number    INTEGER PRIMARY KEY,
    log_id    TEXT    NOT NULL,
    partition INTEGER NOT NULL,
    "offset"  INTEGER NOT NULL,
    at_ms     INTEGER NOT NULL,
    component TEXT    NOT NULL,
    version   TEXT    NOT NULL,
    reason    TEXT    NOT NULL,
    value     BLOB    NOT NULL,
    UNIQUE (log_id, partition, "offset")
);
CREATE TABLE book (dropped INTEGER NOT NULL);
INSERT INTO book VALUES (0);
PRAGMA user_version = 1;
COMMIT;

-- name: open
PRAGMA synchronous = FULL;

-- name: add
INSERT INTO quarantined (log_id, partition, "offset", at_ms, component, version, reason, value)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (log_id, partition, "offset") DO UPDATE SET
    at_ms = excluded.at_ms, component = excluded.component, version = excluded.version, reason = excluded.reason;

-- name: excess
DELETE FROM quarantined WHERE number <= (SELECT number FROM quarantined ORDER BY number DESC LIMIT 1 OFFSET ?);

-- name: dropped
UPDATE book SET dropped = dropped + ?;

-- name: books
SELECT (SELECT count(*) FROM quarantined), dropped FROM book;

-- name: page
SELECT number, log_id, partition, "offset", at_ms, component, version, reason, value FROM quarantined
WHERE number < ? ORDER BY number DESC LIMIT ?;

-- name: one
SELECT log_id, partition, "offset", at_ms, component, version, reason, value FROM quarantined
WHERE log_id = ? AND partition = ? AND "offset" = ?;
