-- name: consumers
SELECT id, destination, kind, log_id, offsets, start, until, replay, state, why, created_at, updated_at, rest
FROM consumer ORDER BY created_at, id

-- name: consumer
SELECT id, destination, kind, log_id, offsets, start, until, replay, state, why, created_at, updated_at, rest
FROM consumer WHERE id = ?

-- name: add_consumer
INSERT INTO consumer (id, destination, kind, log_id, offsets, start, until, replay, state, why, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: set_state
UPDATE consumer SET state = ?, why = ?, updated_at = ? WHERE id = ?

-- name: move_cursor
UPDATE consumer SET log_id = ?, offsets = ?, rest = coalesce(?, rest), updated_at = ? WHERE id = ?

-- name: books
SELECT source, term, number, pruned FROM book WHERE consumer = ? ORDER BY source, term

-- name: count
INSERT INTO book (consumer, source, term, number) VALUES (?, ?, ?, ?)
ON CONFLICT (consumer, source, term) DO UPDATE SET number = number + excluded.number

-- name: count_pruned
UPDATE book SET pruned = pruned + ? WHERE consumer = ? AND source = ? AND term = ?

-- name: reasons
SELECT reason, number FROM reason WHERE consumer = ? ORDER BY number DESC, reason

-- name: count_reason
INSERT INTO reason (consumer, reason, number) VALUES (?, ?, ?)
ON CONFLICT (consumer, reason) DO UPDATE SET number = number + excluded.number

-- name: rows
SELECT seq, consumer, position, state, source, type, message_id, received_at, lanes, since, due, attempts, late, done,
       code, reason
FROM delivery
WHERE consumer = ? AND state = ? AND seq > ?
ORDER BY seq LIMIT ?

-- name: row
SELECT seq, consumer, position, state, source, type, message_id, received_at, lanes, since, due, attempts, late, done,
       code, reason
FROM delivery WHERE consumer = ? AND position = ?

-- name: balance
SELECT source, term, 'book', number FROM book WHERE consumer = ?1
UNION ALL
SELECT source, term, 'kept', number - pruned FROM book WHERE consumer = ?1
UNION ALL
SELECT by_source.key, by_term.key, 'ranges', sum(by_term.value)
FROM passed, json_each(passed.counts) AS by_source, json_each(by_source.value) AS by_term
WHERE consumer = ?1 GROUP BY by_source.key, by_term.key
UNION ALL
SELECT source, iif(state = 'dead', 'dead', 'parked'), 'rows', count(*)
FROM delivery WHERE consumer = ?1 GROUP BY source, state = 'dead'

-- name: gaps
SELECT part, start FROM (
    SELECT part, start, lag(until) OVER (PARTITION BY part ORDER BY seq) AS before
    FROM passed WHERE consumer = ? AND part >= 0
) WHERE before IS NOT NULL AND before <> start

-- name: dead_letters
SELECT seq, consumer, position, state, source, type, message_id, received_at, lanes, since, due, attempts, late, done,
       code, reason
FROM delivery
WHERE state = 'dead' AND (?1 IS NULL OR consumer = ?1) AND (?3 = 0 OR seq < ?3)
  AND (?4 = '' OR instr(message_id, ?4) OR instr(code, ?4) OR instr(reason, ?4))
  AND (?5 = '' OR code = ?5) AND since >= ?6 AND (length(?7) = 0 OR instr(lanes, ?7))
ORDER BY seq DESC LIMIT ?2

-- name: put_row
INSERT INTO delivery (consumer, position, state, source, type, message_id, received_at, lanes, since, due, attempts,
                      late, done, code, reason)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (consumer, position) DO UPDATE SET
    state = excluded.state, since = excluded.since, due = excluded.due, attempts = excluded.attempts,
    late = excluded.late, done = excluded.done, code = excluded.code, reason = excluded.reason

-- name: drop_row
DELETE FROM delivery WHERE consumer = ? AND position = ?

-- name: attempts
SELECT position, at, took_ms, subscription, verdict, code, reason, request, answer
FROM attempt WHERE consumer = ? AND position = ? ORDER BY at, rowid

-- name: recorded
SELECT position FROM attempt WHERE consumer = ?1 AND position > ?2
UNION
SELECT position FROM delivery WHERE consumer = ?1 AND state = 'dead' AND position > ?2
ORDER BY position LIMIT ?3

-- name: drop_attempts
DELETE FROM attempt WHERE consumer = ? AND position = ?

-- name: add_attempt
INSERT INTO attempt (consumer, position, at, took_ms, subscription, verdict, code, reason, request, answer)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: cut_attempts
DELETE FROM attempt WHERE rowid IN (
    SELECT rowid FROM attempt WHERE consumer = ?1 AND position = ?2 ORDER BY at DESC, rowid DESC LIMIT -1 OFFSET ?3
)

-- name: ranges
SELECT seq, part, start, until, version, at, first_send, last_answer, counts
FROM passed WHERE +consumer = ? AND seq > ? ORDER BY seq LIMIT ? -- +: by seq, a few rows, not by consumer, all of them

-- name: range_of
SELECT seq, part, start, until, version, at, first_send, last_answer, counts
FROM passed WHERE consumer = ? AND part = ? AND start <= ? ORDER BY start DESC LIMIT 1

-- name: last_range
SELECT seq, part, start, until, version, at, first_send, last_answer, counts
FROM passed WHERE consumer = ? AND part = ? ORDER BY start DESC, seq DESC LIMIT 1

-- name: add_range
INSERT INTO passed (consumer, part, start, until, version, at, first_send, last_answer, counts)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: grow_range
UPDATE passed SET until = ?, first_send = ?, last_answer = ?, counts = ? WHERE seq = ?

-- name: old_ranges
SELECT seq, consumer, counts FROM passed WHERE at < ? ORDER BY at LIMIT ?

-- name: drop_range
DELETE FROM passed WHERE seq = ?

-- name: drop_old_attempts
DELETE FROM attempt WHERE at < ?1 AND NOT EXISTS (
    SELECT 1 FROM delivery WHERE delivery.consumer = attempt.consumer AND delivery.position = attempt.position
)

-- name: hash
SELECT hash FROM delivered_hash WHERE consumer = ? AND subject = ?

-- name: put_hash
INSERT INTO delivered_hash (consumer, subject, hash) VALUES (?, ?, ?)
ON CONFLICT (consumer, subject) DO UPDATE SET hash = excluded.hash

-- name: drop_hash
DELETE FROM delivered_hash WHERE consumer = ? AND subject = ?

-- name: order_answer
SELECT answer FROM applied WHERE order_id = ?

-- name: order_applied
INSERT INTO applied (order_id, answer, applied_at) VALUES (?, ?, ?) ON CONFLICT (order_id) DO NOTHING

-- name: erasure_cursor
SELECT offsets FROM erasure_cursor WHERE destination = ?

-- name: move_erasure_cursor
INSERT INTO erasure_cursor (destination, offsets) VALUES (?, ?)
ON CONFLICT (destination) DO UPDATE SET offsets = excluded.offsets

-- name: put_erasure
INSERT OR REPLACE INTO erasure
    (destination, position, state, message_id, people, asked_at, since, due, attempts, code, reason)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: erasures
SELECT destination, position, state, message_id, people, asked_at, since, due, attempts, code, reason
FROM erasure WHERE state = ?1 AND (?2 IS NULL OR destination = ?2) AND due <= ?3 ORDER BY due, position LIMIT ?4

-- name: erasure
SELECT destination, position, state, message_id, people, asked_at, since, due, attempts, code, reason
FROM erasure WHERE destination = ? AND position = ?

-- name: erasure_books
SELECT state, count(*) FROM erasure WHERE destination = ? GROUP BY state
