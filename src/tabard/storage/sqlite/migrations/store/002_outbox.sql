-- Consumers look at each identifier's newest move only. The outbox keeps that, and the one before it where the newest
-- comes from no profile: its size is bounded by the identifiers.
CREATE INDEX outbox_node ON outbox (node);
DELETE FROM outbox WHERE seq < (SELECT max(newer.seq) FROM outbox AS newer WHERE newer.node = outbox.node);
