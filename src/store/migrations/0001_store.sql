-- The rules that tasks were planned under: `rules`, `rooms` and `retry`, ${…} unexpanded.
CREATE TABLE revisions (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL
);

-- Never updated. `seq` is the order of acceptance. Ids begin with a time, so the unique index
-- grows at its end. `recorder` is the number of a `Recorder`: whose callback the body is.
CREATE TABLE events (
    seq        INTEGER PRIMARY KEY,
    id         BLOB NOT NULL UNIQUE,
    received   INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    room       TEXT,
    revision   INTEGER NOT NULL,
    recorder   INTEGER NOT NULL
);

-- What retention removes first: the callback's body. Why a rule did not match follows from it and
-- the revision, and is not stored. A table of its own, so that lists of events read little.
CREATE TABLE bodies (
    event INTEGER PRIMARY KEY,
    body  BLOB NOT NULL
);

-- Every task, also those that are settled: the queue finds its tasks by indexes that a settled task
-- is not in. `seq` is the event's shifted left by 16 plus a number, so tasks of an event are a range
-- and the order of acceptance is the order of the key. An id begins as its event's does, and is found
-- through it. `state` counts as `TaskState::NAMES` does.
CREATE TABLE tasks (
    seq          INTEGER PRIMARY KEY,
    id           BLOB NOT NULL,
    rule         TEXT NOT NULL,
    generation   INTEGER NOT NULL,
    revision     INTEGER NOT NULL,
    step         INTEGER NOT NULL,
    tries        INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    since        INTEGER NOT NULL,
    outputs      TEXT,
    lane         TEXT NOT NULL,
    order_key    BLOB,
    order_blocks INTEGER NOT NULL DEFAULT 0,
    recording    BLOB,
    needs_turn   INTEGER NOT NULL,
    state        INTEGER NOT NULL,
    due          INTEGER NOT NULL,
    -- The order that it waits in, or the recording whose turn it waits for.
    blocked_by   BLOB,
    cancel       INTEGER NOT NULL DEFAULT 0,
    -- When it was settled.
    at           INTEGER,
    failure      TEXT,
    note         TEXT,
    -- The record of its first attempt, as JSON: most tasks have one.
    tried        TEXT,
    -- For how long it had to wait when `due` was written, in milliseconds; 0 for one that waits for
    -- no time. A due time further ahead than that was written by a clock that was ahead.
    wait         INTEGER NOT NULL DEFAULT 0,
    -- What it waits for that has to come from outside it, as text: keys of another task, a rule that
    -- cannot be read, a name that is gone from the rules file. It is not in line for its lane then,
    -- and `due` keeps since when it waits.
    waits_for    TEXT,
    -- The failure, as JSON, that it dies of once nothing is left of its copies.
    given_up     TEXT,
    -- What it has left behind, and where.
    leaves       TEXT
);
-- An index ends with its row's key, so all are in order of acceptance last.
CREATE INDEX tasks_due ON tasks (lane, due) WHERE state = 0 AND blocked_by IS NULL AND waits_for IS NULL;
CREATE INDEX tasks_blocked ON tasks (blocked_by) WHERE blocked_by IS NOT NULL;
CREATE INDEX tasks_waiting ON tasks (waits_for, due) WHERE state = 0 AND waits_for IS NOT NULL;
CREATE INDEX tasks_waiting_since ON tasks (due) WHERE state = 0 AND waits_for IS NOT NULL;
-- The task of a lane that has had the most tries, for probes. Tasks that were never tried, which
-- most backlogs are made of, are not in it.
CREATE INDEX tasks_tried ON tasks (lane, tries, due) WHERE state = 0 AND blocked_by IS NULL AND waits_for IS NULL AND tries > 0;
-- For lists of one state, and for what ran when the last process ended. Most tasks are done:
-- those are not in it.
CREATE INDEX tasks_state ON tasks (state) WHERE state <> 2;
-- Who is about to touch a recording, or would if it were retried.
CREATE INDEX tasks_recording ON tasks (recording) WHERE (state < 2 OR state = 3) AND needs_turn = 1;
-- Few at any time, and never pruned.
CREATE INDEX tasks_leaving ON tasks (seq) WHERE leaves IS NOT NULL;

-- Tasks by state, kept in the transactions that change them: counting a million rows for
-- each scrape would not do.
CREATE TABLE counts (
    state INTEGER PRIMARY KEY,
    tasks INTEGER NOT NULL
);
INSERT INTO counts VALUES (0, 0), (1, 0), (2, 0), (3, 0), (4, 0);

-- One row for each try but the first, as JSON.
CREATE TABLE attempts (
    task    INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    record  TEXT NOT NULL,
    PRIMARY KEY (task, attempt)
) WITHOUT ROWID;

-- What a person did to a task by hand, as JSON.
CREATE TABLE interventions (
    task   INTEGER NOT NULL,
    number INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (task, number)
) WITHOUT ROWID;

-- The head of each order that a task waits in.
CREATE TABLE orders (
    id   BLOB PRIMARY KEY,
    head INTEGER NOT NULL
) WITHOUT ROWID;

-- The lanes of the rules file in force: a task of any other waits until it is back.
CREATE TABLE lanes (
    name TEXT PRIMARY KEY
) WITHOUT ROWID;

-- Lanes that do not let everything through, as JSON: `paused`, which only a person ends, and
-- `open`, the breaker. A lane without a row, or with neither, lets everything through. `heard`:
-- the service that runs has heard of the pause; the command that pauses waits for it.
CREATE TABLE lane_states (
    lane   TEXT PRIMARY KEY,
    paused TEXT,
    open   TEXT,
    heard  INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- Only recordings that a task touches have a row: a random key for every event would halve the
-- rate of inserts. `bucket` and `key` are set once it was moved, and `place` is their digest.
-- `moved_event` is the latest event that its mover knew of; the `mover_` columns say who moved it
-- last. `mover_known` is the newest event that had been stored when its mover looked at where it was
-- recorded, 0 when it moved it from elsewhere. `replaced_by` is the task whose recording replaced it
-- there: it has no `place` any more.
CREATE TABLE recordings (
    id               BLOB PRIMARY KEY,
    bucket           TEXT,
    key              TEXT,
    moved_event      INTEGER,
    mover_event      INTEGER,
    mover_generation INTEGER,
    mover_rule       TEXT,
    turn             INTEGER,
    place            BLOB,
    mover_known      INTEGER NOT NULL DEFAULT 0,
    mover_job        TEXT,
    replaced_by      BLOB
) WITHOUT ROWID;
CREATE INDEX recordings_place ON recordings (place) WHERE place IS NOT NULL;

-- Where the recordings of all jobs are: a key that is used again has more than one.
CREATE TABLE places (
    recording        BLOB NOT NULL,
    job              TEXT NOT NULL,
    bucket           TEXT NOT NULL,
    key              TEXT NOT NULL,
    moved_event      INTEGER NOT NULL,
    mover_event      INTEGER NOT NULL,
    mover_generation INTEGER NOT NULL,
    mover_rule       TEXT NOT NULL,
    mover_known      INTEGER NOT NULL,
    place            BLOB,
    replaced_by      BLOB,
    PRIMARY KEY (recording, job)
) WITHOUT ROWID;
CREATE INDEX places_place ON places (place) WHERE place IS NOT NULL;

-- The manifests of renames: on which side of the commit point each is. `attempt` is the claim
-- that stored it, and tells its copies' marks from those of another manifest. `under_way`: a
-- run has begun whose requests may not have ended; an orderly end takes it back. `known` is the
-- newest event that had been stored when the claim began, and thus before it looked.
CREATE TABLE manifests (
    task      INTEGER NOT NULL,
    step      INTEGER NOT NULL,
    attempt   INTEGER NOT NULL,
    committed INTEGER NOT NULL DEFAULT 0,
    under_way INTEGER NOT NULL DEFAULT 0,
    known     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (task, step)
) WITHOUT ROWID;

-- The moves of manifests. `part` is what the object is to its recording. `source`: 1 for an object
-- that is left at its source, as it is another recording's, 2 for one that is left until no other
-- playlist names it. `job` is the recorder's job that the event of the task names. Where an object
-- went is asked of every recording's moves.
CREATE TABLE moves (
    task        INTEGER NOT NULL,
    step        INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    recording   BLOB NOT NULL,
    from_bucket TEXT NOT NULL,
    from_key    TEXT NOT NULL,
    to_bucket   TEXT NOT NULL,
    to_key      TEXT NOT NULL,
    size        INTEGER NOT NULL,
    etag        TEXT NOT NULL,
    target      INTEGER NOT NULL,
    target_etag TEXT,
    upload      TEXT,
    phase       INTEGER NOT NULL,
    part        INTEGER NOT NULL,
    source      INTEGER NOT NULL DEFAULT 0,
    marked      INTEGER NOT NULL DEFAULT 0,
    job         TEXT,
    PRIMARY KEY (task, step, number)
) WITHOUT ROWID;
CREATE INDEX moves_from ON moves (from_bucket, from_key);

-- The ledger of keys: what moves use each key for (0 reads and leaves it, 1 takes it away,
-- 2 writes, NULL once the move has ended), and for how many milliseconds a request that changes it
-- may still arrive (0: there is none). `until` is when that time ends, in milliseconds that the
-- process which serves the store has been running: nobody sets that clock. NULL at its start: the
-- time begins anew. `key` is the digest of bucket and key.
CREATE TABLE keys (
    key   BLOB NOT NULL,
    task  INTEGER NOT NULL,
    used  INTEGER,
    until INTEGER,
    lasts INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (key, task)
) WITHOUT ROWID;
CREATE INDEX keys_task ON keys (task);
CREATE INDEX keys_late ON keys (until) WHERE lasts > 0;

-- The latest time that has come for certain, whatever the clock says: ages are measured by it. No
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

-- Which state of the store a file is in, and which state that follows. One row, of one length,
-- which every commit changes: a log that belongs to another file is known by it.
CREATE TABLE lineage (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    mark     BLOB NOT NULL,
    latest   BLOB NOT NULL,
    previous BLOB NOT NULL
);
INSERT INTO lineage VALUES (1, x'ff616674657274616b652d7374617465', randomblob(16), zeroblob(16));

-- Written to find out whether the store takes a callback. Empty when nobody asks.
CREATE TABLE probe (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    written BLOB NOT NULL
);
INSERT INTO probe VALUES (1, x'');
