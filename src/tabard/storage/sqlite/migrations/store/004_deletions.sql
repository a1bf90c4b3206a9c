-- Whom a message deletes that its body does not name: another copy of it did (identity.md, Copies and Controls). A row
-- stands at the position of the last of the copies that came together, where those who follow deletions find it; `message`
-- is the position of the message.
CREATE TABLE deletion (
    position INTEGER, identifier TEXT, message INTEGER NOT NULL, received_at INTEGER NOT NULL,
    PRIMARY KEY (position, identifier)
) WITHOUT ROWID;
CREATE INDEX deletion_message ON deletion (message);
-- Deletions are followed in the order of positions.
CREATE INDEX control_delete ON control (position) WHERE kind = 'delete';
