-- The resolver's database. Facts are kept under the identifier that asserted them; whatever else is here is derived
-- from `message` and can be rebuilt (identity.md §6.1). Identifiers are integers given in the order of appearance, so
-- that the rows of recent visitors lie together.

CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

-- How far each partition of the log is consumed; `received_at` and `polled_at` make the watermark.
CREATE TABLE progress (
    partition INTEGER PRIMARY KEY,
    offset INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    received_at INTEGER NOT NULL DEFAULT 0,
    polled_at INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE source (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

-- The archive, appended to per partition. `seq` counts in the order of resolution, over all partitions. `links` (MessagePack) chains the messages of each identifier without an index:
-- the previous message of the same subject and an earlier anchor of that chain to skip by, then for each identifier
-- mentioned its roles, its integer and the position of its previous mention.
CREATE TABLE message (
    position INTEGER PRIMARY KEY,
    source INTEGER NOT NULL,
    type INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    links BLOB NOT NULL
);

-- Bodies apart from the rows that point at them: past the archive's horizon, or erased, they go and their pages with them.
CREATE TABLE body (position INTEGER PRIMARY KEY, body BLOB NOT NULL);

-- Of a message that a delete erased, the keyed hash of its content: by it a late copy is told from another message of the
-- same id.
CREATE TABLE erased_content (position INTEGER PRIMARY KEY, content BLOB NOT NULL);

-- Hash → integer: of messages (messageId, source) to their position, of identifiers (keyed hash) to their node. Different
-- texts with one hash take the next free key. New keys go to the `_new` table, which is small and so cheap to write at
-- random; each commit moves one range of it, in order, to the large one.
CREATE TABLE message_key (key INTEGER PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE message_key_new (key INTEGER PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE node_key (key INTEGER PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE node_key_new (key INTEGER PRIMARY KEY, value INTEGER NOT NULL);

CREATE TABLE node (
    id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    text TEXT NOT NULL,
    flags INTEGER NOT NULL,
    mentions INTEGER NOT NULL,
    newest INTEGER NOT NULL,
    owned INTEGER NOT NULL,
    own_newest INTEGER NOT NULL,
    own_anchor INTEGER NOT NULL,
    events INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    devices INTEGER NOT NULL,
    emails INTEGER NOT NULL,
    months INTEGER NOT NULL,
    profile INTEGER NOT NULL
);
CREATE INDEX node_email ON node (text) WHERE kind = 1;

-- Mentions that came with a better copy of an older message and so fit no chain.
CREATE TABLE late_mention (node INTEGER, position INTEGER, PRIMARY KEY (node, position)) WITHOUT ROWID;

CREATE TABLE register (node INTEGER PRIMARY KEY, writes BLOB NOT NULL);

CREATE TABLE claim (
    low INTEGER, high INTEGER, kind INTEGER NOT NULL, t INTEGER NOT NULL, m TEXT NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (low, high)
) WITHOUT ROWID;
CREATE INDEX claim_high ON claim (high, kind, low);

CREATE TABLE edge (
    x INTEGER, y INTEGER, t INTEGER NOT NULL, m TEXT NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (x, y)
) WITHOUT ROWID;
CREATE INDEX edge_y ON edge (y, x);

-- One row an identifier a control bears on; `other` is the far end of a cut (an identifier, 0 = any).
CREATE TABLE control (
    node INTEGER, position INTEGER, kind TEXT, other INTEGER NOT NULL, t INTEGER NOT NULL, m TEXT NOT NULL,
    until INTEGER, PRIMARY KEY (node, position, kind)
) WITHOUT ROWID;

-- The projection: profiles and where each identifier was last published, with the marks it converges from.
CREATE TABLE dirty (node INTEGER PRIMARY KEY, cause TEXT NOT NULL);
CREATE TABLE profile (root INTEGER PRIMARY KEY, members BLOB NOT NULL);
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY, node INTEGER NOT NULL, old BLOB, new BLOB, cause TEXT NOT NULL
);

-- Books and advice: what was counted, with a sample's position.
CREATE TABLE tally (
    name TEXT, source TEXT, key TEXT, n INTEGER NOT NULL, sample INTEGER, PRIMARY KEY (name, source, key)
) WITHOUT ROWID;

-- Identifiers with messages that a delete made dead and whose bodies must go.
CREATE TABLE erasure (node INTEGER PRIMARY KEY);
