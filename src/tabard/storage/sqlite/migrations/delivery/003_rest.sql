-- How a destination rests is kept with its live cursor, so that a restart goes on resting.

ALTER TABLE consumer ADD COLUMN rest TEXT NOT NULL DEFAULT '{}'; -- JSON: storage.deliveries.Rest
