-- New keys wait in runs instead of a small tree each: a run is what one commit brought of one range of the keys, as
-- MessagePack [key, value, key, value, ...], and stands beside the others of its range (id = range, then the commit).
-- So a commit writes some 64 pages of them instead of all of a tree that random keys are written into.
CREATE TABLE message_key_run (id INTEGER PRIMARY KEY, keys BLOB NOT NULL);
CREATE TABLE node_key_run (id INTEGER PRIMARY KEY, keys BLOB NOT NULL);
INSERT INTO message_key SELECT key, value FROM message_key_new ORDER BY key;
INSERT INTO node_key SELECT key, value FROM node_key_new ORDER BY key;
DROP TABLE message_key_new;
DROP TABLE node_key_new;
