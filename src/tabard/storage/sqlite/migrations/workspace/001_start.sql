-- What an operator configured: sources with their write keys, destination instances with every version of them.

CREATE TABLE workspace (
    version INTEGER NOT NULL -- grows with each change, so that readers know cheaply when to read again
) STRICT;
INSERT INTO workspace (version) VALUES (1);

CREATE TABLE source (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    body       BLOB NOT NULL -- workspace.types.Source as JSON, without its write keys
) STRICT;

CREATE TABLE write_key (
    write_key  TEXT PRIMARY KEY,
    source_id  TEXT NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    state      TEXT NOT NULL CHECK (state IN ('active', 'rotated')),
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX write_key_source ON write_key (source_id);

CREATE TABLE destination (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    removed_at INTEGER -- set, never deleted: past deliveries name their destination
) STRICT;
CREATE UNIQUE INDEX destination_name ON destination (name) WHERE removed_at IS NULL;

CREATE TABLE destination_version (
    destination_id TEXT NOT NULL REFERENCES destination (id),
    version        INTEGER NOT NULL,
    changed_at     INTEGER NOT NULL,
    body           BLOB NOT NULL, -- workspace.types.DestinationInstance as JSON, secrets sealed
    PRIMARY KEY (destination_id, version)
) STRICT, WITHOUT ROWID;
