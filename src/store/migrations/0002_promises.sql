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

-- Whether the service that runs has heard of the pause: whoever pauses waits for it.
ALTER TABLE lane_states ADD COLUMN heard INTEGER NOT NULL DEFAULT 0;

-- Which state of the store a file is in, and which state that follows. One row, of one length,
-- which every commit changes: a log that belongs to another file is known by it.
CREATE TABLE lineage (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    mark     BLOB NOT NULL,
    latest   BLOB NOT NULL,
    previous BLOB NOT NULL
);
INSERT INTO lineage VALUES (1, x'ff616674657274616b652d7374617465', randomblob(16), zeroblob(16));

-- What each object is to its recording; 0 where a version before this one wrote the row.
ALTER TABLE moves ADD COLUMN part INTEGER NOT NULL DEFAULT 0;

-- What a task waits for that has to come from outside it, as text: keys of another task, a rule
-- that cannot be read, a name that is gone from the rules file. Such a task is not in line for
-- its lane, and `due` keeps since when it waits.
ALTER TABLE tasks ADD COLUMN waits_for TEXT;
DROP INDEX tasks_due;
CREATE INDEX tasks_due ON tasks (lane, due) WHERE state = 0 AND blocked_by IS NULL AND waits_for IS NULL;
CREATE INDEX tasks_waiting ON tasks (waits_for, due) WHERE state = 0 AND waits_for IS NOT NULL;
CREATE INDEX tasks_waiting_since ON tasks (due) WHERE state = 0 AND waits_for IS NOT NULL;

-- The task of a lane that has had the most tries, for probes. Tasks that were never tried, which
-- most backlogs are made of, are not in it.
CREATE INDEX tasks_tried ON tasks (lane, tries, due) WHERE state = 0 AND blocked_by IS NULL AND waits_for IS NULL AND tries > 0;

-- The latest time that has come for certain, whatever the clock says: ages are told by it. No
-- row in a store that was never swept.
CREATE TABLE certain (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    time INTEGER NOT NULL
);

-- How far the sweep has come: each event up to `seq` has lost its history, or was forgotten,
-- unless it is in `passed`. `newest` is when the newest of them came.
CREATE TABLE sweeps (
    what   TEXT PRIMARY KEY,
    seq    INTEGER NOT NULL,
    newest INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO sweeps VALUES ('history', 0, 0), ('event', 0, 0);

-- Events that the sweep has passed over, as something of them was needed: since when all of
-- their tasks may be settled, or NULL for as long as one is not.
CREATE TABLE passed (
    event INTEGER PRIMARY KEY,
    since INTEGER
);
CREATE INDEX passed_since ON passed (since) WHERE since IS NOT NULL;

-- Whose callback the body is: the number of a `Recorder`.
ALTER TABLE events ADD COLUMN recorder INTEGER NOT NULL DEFAULT 0;
