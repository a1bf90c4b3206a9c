-- Statements of a segment file. One row is one append, whatever the number of its values.

-- name: create
PRAGMA page_size = 4096;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
BEGIN;
CREATE TABLE segment (
    log_id       TEXT    NOT NULL,
    partition    INTEGER NOT NULL,
    first_offset INTEGER NOT NULL,
    created_ms   INTEGER NOT NULL,
    probes       INTEGER NOT NULL
);
CREATE TABLE chunk (
    first_offset INTEGER PRIMARY KEY,
    count        INTEGER NOT NULL,
    crc          INTEGER NOT NULL,
    body         BLOB    NOT NULL
);

-- name: describe
INSERT INTO segment (log_id, partition, first_offset, created_ms, probes) VALUES (?, ?, ?, ?, 0);

-- name: open_writer
PRAGMA synchronous = FULL;
PRAGMA wal_autocheckpoint = 256;

-- name: description
SELECT log_id, partition, first_offset, created_ms FROM segment;

-- name: append
INSERT INTO chunk (first_offset, count, crc, body) VALUES (?, ?, ?, ?);

-- name: probe
UPDATE segment SET probes = probes + 1;

-- name: last
SELECT first_offset, count FROM chunk ORDER BY first_offset DESC LIMIT 1;

-- name: holding
SELECT first_offset, count, crc, body FROM chunk
WHERE first_offset >= ifnull((SELECT max(first_offset) FROM chunk WHERE first_offset <= ?1), ?1)
ORDER BY first_offset;

-- name: next
SELECT first_offset, count, crc, body FROM chunk WHERE first_offset >= ? ORDER BY first_offset;

-- name: all
SELECT first_offset, count, crc, body FROM chunk ORDER BY first_offset;
