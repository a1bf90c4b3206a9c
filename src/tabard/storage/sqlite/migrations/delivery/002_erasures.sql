-- Destinations are told whom we deleted: how far each has been followed, and what each was asked to erase.

CREATE TABLE erasure_cursor (
    destination TEXT PRIMARY KEY,
    offsets     TEXT NOT NULL -- JSON: partition -> next offset
) STRICT, WITHOUT ROWID;

CREATE TABLE erasure (
    destination TEXT NOT NULL,
    position    INTEGER NOT NULL, -- of the message that deleted
    state       TEXT NOT NULL CHECK (state IN ('asked', 'done', 'by_action', 'failed')),
    message_id  TEXT NOT NULL,
    people      TEXT NOT NULL, -- JSON: their identifiers; [] once they are erased
    asked_at    INTEGER NOT NULL,
    since       INTEGER NOT NULL, -- when it first failed
    due         INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    code        TEXT NOT NULL,
    reason      TEXT NOT NULL,
    PRIMARY KEY (destination, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX erasure_state ON erasure (state, destination, due);
