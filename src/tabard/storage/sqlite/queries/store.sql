-- name: progress
SELECT partition, offset FROM progress
-- name: claim_epoch
INSERT INTO meta VALUES ('epoch', 1) ON CONFLICT (key) DO UPDATE SET value = value + 1 RETURNING value
-- name: epoch
SELECT value FROM meta WHERE key = 'epoch'
-- name: advance
UPDATE progress SET offset = ?2, epoch = ?4, received_at = max(received_at, ?5), polled_at = ?6
WHERE partition = ?1 AND offset = ?3 AND epoch <= ?4
-- name: begin_partition
INSERT OR IGNORE INTO progress (partition, offset, epoch) VALUES (?, 0, 0)
-- name: meta
SELECT value FROM meta WHERE key = ?
-- name: set_meta
INSERT OR REPLACE INTO meta VALUES (?, ?)
-- name: sources
SELECT id, name FROM source
-- name: add_source
INSERT INTO source VALUES (?, ?)
-- name: next_node
SELECT coalesce(max(id), 0) + 1 FROM node
-- name: add_message
INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
-- name: add_body
INSERT INTO body VALUES (?, ?)
-- name: set_body
INSERT OR REPLACE INTO body VALUES (?, ?)
-- name: body
SELECT body FROM body WHERE position = ?
-- name: drop_body
DELETE FROM body WHERE position = ?
-- name: message
SELECT m.position, source, type, flags, seq, received_at, timestamp, message_id, links, coalesce(body, x'')
FROM message m LEFT JOIN body b ON b.position = m.position WHERE m.position = ?
-- name: message_head
SELECT position, source, type, flags, seq, received_at, timestamp, message_id, links FROM message WHERE position = ?
-- name: replace_message
UPDATE message SET type = ?2, flags = ?3, timestamp = ?4, links = ?5 WHERE position = ?1
-- name: flag_message
UPDATE message SET flags = flags | ?2 WHERE position = ?1
-- name: nodes_by_id
SELECT 0, id, kind, text, flags, mentions, newest, owned, own_newest, own_anchor, events, first_at, last_at, devices,
    emails, months, profile FROM carray(?) c CROSS JOIN node ON id = c.value
-- name: add_node
INSERT INTO node VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
-- name: set_node
UPDATE node SET flags = ?2, mentions = ?3, newest = ?4, owned = ?5, own_newest = ?6, own_anchor = ?7, events = ?8,
    first_at = ?9, last_at = ?10, devices = ?11, emails = ?12, months = ?13, profile = ?14 WHERE id = ?1
-- name: set_node_text
UPDATE node SET text = ?2 WHERE id = ?1
-- name: late_mentions
SELECT position FROM late_mention WHERE node = ? ORDER BY position
-- name: add_late_mention
INSERT OR IGNORE INTO late_mention VALUES (?, ?)
-- name: registers
SELECT node, writes FROM carray(?) c CROSS JOIN register ON node = c.value
-- name: set_register
INSERT OR REPLACE INTO register VALUES (?, ?)
-- name: drop_register
DELETE FROM register WHERE node = ?
-- name: claim
SELECT t, m FROM claim WHERE low = ? AND high = ?
-- name: set_claim
INSERT OR REPLACE INTO claim VALUES (?, ?, ?, ?, ?, ?)
-- name: drop_claims_low
DELETE FROM claim WHERE low = ? RETURNING high, kind
-- name: drop_claims_high
DELETE FROM claim WHERE high = ? RETURNING low, kind
-- name: lows_of_kind
SELECT low FROM claim WHERE high = ? AND kind = ?
-- name: lows
SELECT low, kind, t, m, position FROM claim WHERE high = ? LIMIT ?
-- name: claims_on
SELECT high, t, m, position FROM claim WHERE low = ? LIMIT ?
-- name: claimants
SELECT c.high, c.t, c.m, n.kind FROM claim c JOIN node n ON n.id = c.high
WHERE c.low = ?1 AND (CASE c.kind WHEN 0 THEN n.devices ELSE n.emails END) <= ?2 LIMIT ?3
-- name: edge
SELECT t, m, position FROM edge WHERE x = ? AND y = ?
-- name: set_edge
INSERT OR REPLACE INTO edge VALUES (?, ?, ?, ?, ?)
-- name: drop_edges_x
DELETE FROM edge WHERE x = ? RETURNING y
-- name: drop_edges_y
DELETE FROM edge WHERE y = ? RETURNING x
-- name: neighbours
SELECT y FROM edge WHERE x = ?1 UNION ALL SELECT x FROM edge WHERE y = ?1 LIMIT ?2
-- name: edges_from
SELECT x, y, t, m, position FROM edge WHERE x = ?
-- name: add_control
INSERT INTO control VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    other = excluded.other, m = excluded.m, until = excluded.until,
    t = CASE kind WHEN 'delete' THEN max(t, excluded.t) ELSE excluded.t END
-- name: add_deletion
INSERT OR IGNORE INTO deletion VALUES (?, ?, ?, ?)
-- name: purge_deletions
DELETE FROM deletion WHERE message IN (SELECT value FROM carray(?))
-- name: drop_control
DELETE FROM control WHERE node = ? AND position = ? AND kind <> 'delete'
-- name: controls_of
SELECT c.t, c.m, c.kind, c.other, c.until FROM control c WHERE c.node = ? ORDER BY c.t, c.m
-- name: any_control
SELECT 1 FROM control LIMIT 1
-- name: mark
INSERT INTO dirty VALUES (?, ?) ON CONFLICT (node) DO NOTHING
-- name: marks
SELECT node, cause FROM dirty LIMIT ?
-- name: unmark
DELETE FROM dirty WHERE node = ?
-- name: profile_row
SELECT members FROM profile WHERE root = ?
-- name: set_profile
INSERT OR REPLACE INTO profile VALUES (?, ?)
-- name: drop_profile
DELETE FROM profile WHERE root = ?
-- name: add_change
INSERT INTO outbox (node, old, new, cause) VALUES (?, ?, ?, ?)
-- name: drop_older_changes
DELETE FROM outbox WHERE node = ?1 AND seq < (SELECT max(seq) FROM outbox WHERE node = ?1)
-- name: count
INSERT INTO tally VALUES (?, ?, ?, ?, ?)
ON CONFLICT (name, source, key) DO UPDATE SET n = n + excluded.n, sample = coalesce(sample, excluded.sample)
-- name: edges_touching
SELECT x, y, t, m, position FROM edge WHERE x = ?1
UNION ALL SELECT x, y, t, m, position FROM edge WHERE y = ?1 LIMIT ?2
-- name: profile_rows
SELECT root, members FROM carray(?) c CROSS JOIN profile ON root = c.value
-- name: all_profiles
SELECT root, members FROM profile
-- name: group_registers
SELECT n.text, r.writes FROM node n JOIN register r ON r.node = n.id WHERE n.kind = 3
-- name: all_nodes
SELECT 0, id, kind, text, flags, mentions, newest, owned, own_newest, own_anchor, events, first_at, last_at, devices,
    emails, months, profile FROM node
-- name: all_claims
SELECT low, high, t, m FROM claim
-- name: all_edges
SELECT x, y, t, m FROM edge
-- name: all_controls
SELECT node, kind, other, t, m, until FROM control
-- name: all_messages
SELECT position, source, type, flags, seq, received_at, timestamp, message_id, links FROM message
-- name: erased_content
SELECT content FROM erased_content WHERE position = ?
-- name: keep_content
INSERT OR REPLACE INTO erased_content VALUES (?, ?)
-- name: drop_content
DELETE FROM erased_content WHERE position = ?
-- name: mark_erasure
INSERT OR IGNORE INTO erasure VALUES (?)
-- name: erasures
SELECT node FROM erasure LIMIT ?
-- name: erased
DELETE FROM erasure WHERE node = ?
-- name: watermarks
SELECT received_at, polled_at FROM progress
-- name: read
SELECT m.position, source, type, flags, seq, received_at, timestamp, message_id, links, coalesce(body, x'')
FROM message m LEFT JOIN body b ON b.position = m.position
WHERE m.position >= ? AND m.position < ? AND type != ? ORDER BY m.position LIMIT ?
-- name: deletions
SELECT d.at, coalesce(d.received_at, m.received_at), d.identifiers,
    m.position, source, type, flags, seq, m.received_at, timestamp, message_id, links, coalesce(body, x'')
FROM (
    SELECT DISTINCT position AS at, position AS message, NULL AS received_at, NULL AS identifiers
    FROM control INDEXED BY control_delete WHERE kind = 'delete' AND position >= ?1 AND position < ?2
    UNION ALL
    SELECT position, message, received_at, json_group_array(identifier)
    FROM deletion WHERE position >= ?1 AND position < ?2 GROUP BY position
    ORDER BY at LIMIT ?3
) d CROSS JOIN message m ON m.position = d.message LEFT JOIN body b ON b.position = m.position
ORDER BY d.at
-- name: newest
SELECT m.position, source, type, flags, seq, received_at, timestamp, message_id, links, coalesce(body, x'')
FROM message m LEFT JOIN body b ON b.position = m.position
WHERE m.position >= ? AND m.position < ? AND type != ? ORDER BY m.position DESC LIMIT ?
-- name: changes
SELECT o.seq, n.text, n.flags, o.old, o.new, o.cause FROM outbox o JOIN node n ON n.id = o.node
WHERE o.seq > ? AND NOT EXISTS (SELECT 1 FROM outbox newer WHERE newer.node = o.node AND newer.seq > o.seq)
ORDER BY o.seq LIMIT ?
-- name: addresses
SELECT id FROM node INDEXED BY node_email WHERE kind = 1 AND text >= ? AND text < ? ORDER BY text LIMIT 300
-- name: node_flags
SELECT flags FROM node WHERE id = ?
-- name: node_text
SELECT text FROM node WHERE id = ?
-- name: is_made
SELECT 1 FROM sqlite_schema WHERE name = 'erasure'
-- name: marks_left
SELECT count(*) FROM (SELECT 1 FROM dirty LIMIT 100000)
-- name: tallies
SELECT name, source, key, n, sample FROM tally WHERE name = ? ORDER BY source, key
-- name: people_of_month
SELECT count(DISTINCT CASE profile WHEN 0 THEN -id ELSE profile END) FROM node WHERE months & ? AND events > 0
-- name: purge_range
SELECT position, received_at FROM message WHERE position >= ? AND position < ? AND type != ? ORDER BY position LIMIT ?
-- name: all_registers
SELECT node, writes FROM register
-- name: clear_derived
DELETE FROM claim; DELETE FROM edge; DELETE FROM dirty;
UPDATE node SET flags = (flags & 398) | CASE WHEN id IN (SELECT node FROM register) THEN 512 ELSE 0 END,
    events = 0, first_at = 0, last_at = 0, devices = 0, emails = 0
-- name: rows_after
SELECT m.position, source, type, flags, seq, received_at, timestamp, message_id, links, coalesce(body, x'')
FROM message m LEFT JOIN body b ON b.position = m.position
WHERE m.position > ? ORDER BY m.position LIMIT ?
-- name: mark_all
INSERT OR IGNORE INTO dirty SELECT id, ? FROM node
-- name: drop_meta
DELETE FROM meta WHERE key = ?
-- name: clear_registers
DELETE FROM register
-- name: any_purged
SELECT 1 FROM meta WHERE key GLOB 'purged_at/*'
-- name: message_keys
SELECT k.key, k.value FROM carray(?) c CROSS JOIN message_key k ON k.key = c.value
-- name: add_message_key
INSERT INTO message_key VALUES (?, ?)
-- name: message_key_runs
SELECT id, keys FROM message_key_run WHERE id BETWEEN ? AND ?
-- name: add_message_key_run
INSERT INTO message_key_run VALUES (?, ?)
-- name: drop_message_key_runs
DELETE FROM message_key_run WHERE id BETWEEN ? AND ?
-- name: node_keys
SELECT k.key, k.value FROM carray(?) c CROSS JOIN node_key k ON k.key = c.value
-- name: add_node_key
INSERT INTO node_key VALUES (?, ?)
-- name: node_key_runs
SELECT id, keys FROM node_key_run WHERE id BETWEEN ? AND ?
-- name: add_node_key_run
INSERT INTO node_key_run VALUES (?, ?)
-- name: drop_node_key_runs
DELETE FROM node_key_run WHERE id BETWEEN ? AND ?
-- name: claim_of
SELECT position FROM claim WHERE low = ? AND high = ?
