-- What the deliverer keeps. Cursor, books and rows of a consumer change in one transaction.

CREATE TABLE consumer (
    id          TEXT PRIMARY KEY,
    destination TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('live', 'replay')),
    log_id      TEXT NOT NULL,
    offsets     TEXT NOT NULL, -- JSON: partition -> next offset
    start       TEXT NOT NULL, -- JSON: the first cursor
    until       TEXT NOT NULL, -- JSON: a replay's last cursor, {} for live traffic
    replay      TEXT,          -- JSON: storage.deliveries.Replay
    state       TEXT NOT NULL CHECK (state IN ('running', 'paused', 'done', 'cancelled')),
    why         TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX consumer_destination ON consumer (destination);

CREATE TABLE book (
    consumer TEXT NOT NULL REFERENCES consumer (id),
    source   TEXT NOT NULL,
    term     TEXT NOT NULL,
    number   INTEGER NOT NULL,
    pruned   INTEGER NOT NULL DEFAULT 0, -- the part whose ranges are no longer kept
    PRIMARY KEY (consumer, source, term)
) STRICT, WITHOUT ROWID;

CREATE TABLE reason (
    consumer TEXT NOT NULL REFERENCES consumer (id),
    reason   TEXT NOT NULL, -- term:code
    number   INTEGER NOT NULL,
    PRIMARY KEY (consumer, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery (
    seq         INTEGER PRIMARY KEY, -- rows are made in log order, and restored in it
    consumer    TEXT NOT NULL REFERENCES consumer (id),
    position    INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('parked', 'waiting', 'dead')),
    source      TEXT NOT NULL,
    type        TEXT NOT NULL,
    message_id  TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    lanes       BLOB NOT NULL,
    since       INTEGER NOT NULL,
    due         INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    late        INTEGER NOT NULL,
    done        TEXT NOT NULL, -- JSON: ids of the subscriptions that have delivered
    code        TEXT NOT NULL,
    reason      TEXT NOT NULL,
    UNIQUE (consumer, position)
) STRICT;
CREATE INDEX delivery_state ON delivery (consumer, state, seq);

CREATE TABLE passed (
    seq         INTEGER PRIMARY KEY,
    consumer    TEXT NOT NULL REFERENCES consumer (id),
    part        INTEGER NOT NULL, -- partition, -1 for changes to rows alone
    start       INTEGER NOT NULL,
    until       INTEGER NOT NULL,
    version     INTEGER NOT NULL, -- the destination's configuration
    at          INTEGER NOT NULL,
    first_send  INTEGER NOT NULL,
    last_answer INTEGER NOT NULL,
    counts      TEXT NOT NULL -- JSON: source -> term -> change
) STRICT;
CREATE INDEX passed_place ON passed (consumer, part, start);
CREATE INDEX passed_at ON passed (at);

CREATE TABLE attempt (
    consumer     TEXT NOT NULL REFERENCES consumer (id),
    position     INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    took_ms      INTEGER NOT NULL,
    subscription TEXT NOT NULL,
    verdict      TEXT NOT NULL,
    code         TEXT NOT NULL,
    reason       TEXT NOT NULL,
    request      TEXT NOT NULL,
    answer       TEXT NOT NULL
) STRICT;
CREATE INDEX attempt_delivery ON attempt (consumer, position, at);
CREATE INDEX attempt_at ON attempt (at);

CREATE TABLE delivered_hash (
    consumer TEXT NOT NULL REFERENCES consumer (id),
    subject  BLOB NOT NULL,
    hash     BLOB NOT NULL,
    PRIMARY KEY (consumer, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE applied (
    order_id   TEXT PRIMARY KEY,
    answer     TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
