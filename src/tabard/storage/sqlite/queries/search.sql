-- name: profiles_after
SELECT root FROM profile WHERE root > ? ORDER BY root LIMIT ?
-- name: message_head
SELECT position, source, type, flags, seq, received_at, timestamp, message_id, links FROM message WHERE position = ?
