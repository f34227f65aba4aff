-- Written to find out whether the store takes a callback. Empty when nobody asks.
CREATE TABLE probe (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    written BLOB NOT NULL
);
INSERT INTO probe VALUES (1, x'');

-- How long the task was told to wait when `due` was written, in milliseconds; 0 for one that
-- waits for no time. A due time further ahead than that was written by a clock that was ahead.
-- Retries that were stored without it are due at the next start.
ALTER TABLE tasks ADD COLUMN wait INTEGER NOT NULL DEFAULT 0;
