-- name: version
SELECT version FROM workspace

-- name: bump
UPDATE workspace SET version = version + 1

-- name: sources
SELECT source.body, write_key.write_key, write_key.state
FROM source LEFT JOIN write_key ON write_key.source_id = source.id
ORDER BY source.created_at, source.name, write_key.created_at DESC

-- name: source_by_key
SELECT source.body, all_keys.write_key, all_keys.state
FROM write_key AS given
JOIN source ON source.id = given.source_id
JOIN write_key AS all_keys ON all_keys.source_id = source.id
WHERE given.write_key = ?
ORDER BY all_keys.created_at DESC

-- name: put_source
INSERT INTO source (id, name, created_at, body) VALUES (?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, body = excluded.body

-- name: put_key
INSERT INTO write_key (write_key, source_id, state, created_at) VALUES (?, ?, ?, ?)
ON CONFLICT (write_key) DO UPDATE SET state = excluded.state

-- name: remove_source
DELETE FROM source WHERE id = ?

-- name: destinations
SELECT destination_version.body, destination.paused_at
FROM destination
JOIN destination_version
  ON destination_version.destination_id = destination.id AND destination_version.version = destination.version
WHERE destination.removed_at IS NULL
ORDER BY destination.created_at, destination.name

-- name: destination_version
SELECT body FROM destination_version WHERE destination_id = ? AND version = ?

-- name: put_destination
INSERT INTO destination (id, name, created_at, version) VALUES (?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = excluded.version

-- name: put_destination_version
INSERT INTO destination_version (destination_id, version, changed_at, body) VALUES (?, ?, ?, ?)

-- name: pause_destination
UPDATE destination SET paused_at = iif(?1 = 0 OR paused_at = 0, ?1, paused_at) WHERE id = ?2

-- name: remove_destination
UPDATE destination SET removed_at = ? WHERE id = ?
