-- A pause by an operator. It is no part of a destination's configuration: it makes no version of it.

ALTER TABLE destination ADD COLUMN paused_at INTEGER NOT NULL DEFAULT 0; -- milliseconds; 0: it is not paused
