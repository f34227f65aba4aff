-- The rules that tasks were planned under: `rules`, `rooms` and `retry`, ${…} unexpanded.
CREATE TABLE revisions (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL
);

-- Rows are never updated. `seq` is the order of acceptance. Ids begin with a time, so the unique
-- index grows at its end. `recorder` is the number of a `Recorder`, which can decode the body.
CREATE TABLE events (
    seq        INTEGER PRIMARY KEY,
    id         BLOB NOT NULL UNIQUE,
    received   INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    room       TEXT,
    revision   INTEGER NOT NULL,
    recorder   INTEGER NOT NULL
);

-- Callback bodies: the first thing that retention removes. A separate table, so that lists of
-- events read little. Why a rule did not match can be computed from body and revision.
CREATE TABLE bodies (
    event INTEGER PRIMARY KEY,
    body  BLOB NOT NULL
);

-- All tasks, including settled ones; partial indexes keep the queue fast. `seq` is the event's
-- `seq` shifted left by 16 plus a number: the tasks of an event are a range, in order of
-- acceptance. A task's id begins like its event's and is found through it. `state` is an index of
-- `TaskState::ALL`.
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
    -- For the notice of a dead task: that death, as JSON. NULL for a task of a rule.
    death        TEXT,
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
    -- The wait that was decided when `due` was written, in milliseconds; 0 if it waits for no time.
    -- A due time further ahead than that was written by a clock that was ahead.
    wait         INTEGER NOT NULL DEFAULT 0,
    -- What it waits for outside the task: keys of another task, a rule that cannot be read, a name
    -- that is gone from the rules file. Then `due` is when the wait began.
    waits_for    TEXT,
    -- The failure, as JSON, that it dies of once its copies are removed.
    given_up     TEXT,
    -- What it has left behind in buckets, and where.
    leaves       TEXT
);
-- Each index ends with the row's key, so rows with equal columns are in order of acceptance.
CREATE INDEX tasks_due ON tasks (lane, due) WHERE state = 0 AND blocked_by IS NULL AND waits_for IS NULL;
CREATE INDEX tasks_blocked ON tasks (blocked_by) WHERE blocked_by IS NOT NULL;
CREATE INDEX tasks_waiting ON tasks (waits_for, due) WHERE state = 0 AND waits_for IS NOT NULL;
CREATE INDEX tasks_waiting_since ON tasks (due) WHERE state = 0 AND waits_for IS NOT NULL;
-- For probes: the task of a lane with the most tries. Excludes untried tasks, which are most of a
-- backlog.
CREATE INDEX tasks_tried ON tasks (lane, tries, due) WHERE state = 0 AND blocked_by IS NULL AND waits_for IS NULL AND tries > 0;
-- For lists of one state, and for tasks that ran when the last process ended. Excludes done tasks,
-- which are most.
CREATE INDEX tasks_state ON tasks (state) WHERE state <> 2;
-- Tasks that will touch a recording, or would after a retry.
CREATE INDEX tasks_recording ON tasks (recording) WHERE (state < 2 OR state = 3) AND needs_turn = 1;
-- Few at any time, and never pruned.
CREATE INDEX tasks_leaving ON tasks (seq) WHERE leaves IS NOT NULL;

-- Number of tasks by state, updated in the same transactions: a scrape must not count a million
-- rows.
CREATE TABLE counts (
    state INTEGER PRIMARY KEY,
    tasks INTEGER NOT NULL
);
INSERT INTO counts VALUES (0, 0), (1, 0), (2, 0), (3, 0), (4, 0);

-- One row for each attempt but the first, as JSON.
CREATE TABLE attempts (
    task    INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    record  TEXT NOT NULL,
    PRIMARY KEY (task, attempt)
) WITHOUT ROWID;

-- What people did to a task, as JSON.
CREATE TABLE interventions (
    task   INTEGER NOT NULL,
    number INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (task, number)
) WITHOUT ROWID;

-- The head of each order in which a task waits.
CREATE TABLE orders (
    id   BLOB PRIMARY KEY,
    head INTEGER NOT NULL
) WITHOUT ROWID;

-- The lanes of the rules file in force. Tasks of other lanes wait.
CREATE TABLE lanes (
    name TEXT PRIMARY KEY
) WITHOUT ROWID;

-- States of lanes, as JSON: `paused`, which only a person ends, and `open`, the breaker. A lane
-- without a row, or with neither, lets everything through. `heard`: the running service knows the
-- pause; the pausing command waits for that.
CREATE TABLE lane_states (
    lane   TEXT PRIMARY KEY,
    paused TEXT,
    open   TEXT,
    heard  INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- Which directory each folder bucket is: the id in its `.aftertake/bucket-id`.
CREATE TABLE bucket_ids (
    bucket TEXT PRIMARY KEY,
    id     TEXT NOT NULL
) WITHOUT ROWID;

-- Where moved recordings are. Only a recording that a task touches has a row: a random key for
-- every event would halve the insert rate. `bucket` and `key` are set by a move; `place` is their
-- digest. `moved_event` is the newest event that the move is valid for. The `mover_` columns name
-- the last mover; `mover_known` is the newest event that was stored when it inspected the place of
-- the recording, or 0 if it moved it from elsewhere. `replaced_by` is the task whose recording has
-- overwritten this one; then `place` is NULL, unless only a part was overwritten.
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

-- Where the recordings of each job are: a key that is reused has more than one. `job`, here and in
-- `mover_job` and `moves`, is the recorder's job and, after a line break, when the recording began:
-- one job may use a key again, too.
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

-- What a copy has replaced at the key where it was recorded, and from where no task had moved it: the
-- recordings of all events up to `known`. `recording` is the digest of the key, so no index from
-- keys to events is needed. `mover` is the task whose copy it is, `by` its id. `in_part`: only some
-- objects were replaced.
CREATE TABLE replaced (
    recording BLOB NOT NULL,
    known     INTEGER NOT NULL,
    mover     INTEGER NOT NULL,
    by        BLOB NOT NULL,
    in_part   INTEGER NOT NULL,
    PRIMARY KEY (recording, known)
) WITHOUT ROWID;
CREATE INDEX replaced_mover ON replaced (mover);

-- The newest event of each recording under a key that was used before: by an event whose task needed
-- the recording's turn, or by a move from there. `job` is as in `places`. So an event for a new key
-- adds no row.
CREATE TABLE announced (
    recording BLOB NOT NULL,
    job       TEXT NOT NULL,
    event     INTEGER NOT NULL,
    PRIMARY KEY (recording, job)
) WITHOUT ROWID;
CREATE INDEX announced_event ON announced (event);

-- The manifests of renames. `attempt` is the claim that stored it, and part of its copies' mark.
-- `under_way`: a run has begun and its requests may not have ended; a clean end resets it. `known`
-- is the newest event that was stored when the claim began, so before it inspected anything.
CREATE TABLE manifests (
    task      INTEGER NOT NULL,
    step      INTEGER NOT NULL,
    attempt   INTEGER NOT NULL,
    committed INTEGER NOT NULL DEFAULT 0,
    under_way INTEGER NOT NULL DEFAULT 0,
    known     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (task, step)
) WITHOUT ROWID;

-- The moves of manifests. `part` is the object's role in its recording. `source`: 1 if the object
-- stays because it belongs to another recording, 2 if it stays until no other playlist names it.
-- `job` is that of the task's event. `moves_from` finds where an object went, across
-- all recordings.
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
-- Copies left by given-up moves: few at any time.
CREATE INDEX moves_kept ON moves (to_bucket, to_key) WHERE phase = 5;

-- The ledger of keys. `used`: 0 reads and keeps it, 1 takes it away, 2 writes it, NULL once the
-- move has ended. `lasts`: for how many milliseconds a request that changes it may still arrive, 0
-- if there is none. `until`: the end of that time on the serving process's monotonic clock, in
-- milliseconds; NULL after a restart, when the time begins again. `key` is the digest of bucket and
-- key.
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

-- The latest time that has certainly come, even if the clock is wrong; retention measures ages by
-- it. No row before the first sweep.
CREATE TABLE certain (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    time INTEGER NOT NULL
);

-- How far the sweep has come: history or event of everything up to `seq` was removed, except of
-- events in `passed`. `newest` is when the newest of them was received.
CREATE TABLE sweeps (
    what   TEXT PRIMARY KEY,
    seq    INTEGER NOT NULL,
    newest INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO sweeps VALUES ('history', 0, 0), ('event', 0, 0);

-- Events that the sweep had to keep. `since` is when their last task was settled, NULL while one is
-- not.
CREATE TABLE passed (
    event INTEGER PRIMARY KEY,
    since INTEGER
);
CREATE INDEX passed_since ON passed (since) WHERE since IS NOT NULL;

-- The name of the file's current state, and of the state before it. Every commit changes the one
-- row, which has a fixed length: so a log that belongs to another file is recognised.
CREATE TABLE lineage (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    mark     BLOB NOT NULL,
    latest   BLOB NOT NULL,
    previous BLOB NOT NULL
);
INSERT INTO lineage VALUES (1, x'ff616674657274616b652d7374617465', randomblob(16), zeroblob(16));

-- Written to check that the store can take a callback; otherwise empty.
CREATE TABLE probe (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    written BLOB NOT NULL
);
INSERT INTO probe VALUES (1, x'');
