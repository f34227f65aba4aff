-- The rules that tasks were planned under: `rules`, `rooms` and `retry`, ${…} unexpanded.
CREATE TABLE revisions (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL
);

-- Never updated. `seq` is the order of arrival. Ids begin with a time, so the unique
-- index grows at its end.
CREATE TABLE events (
    seq        INTEGER PRIMARY KEY,
    id         BLOB NOT NULL UNIQUE,
    received   INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    room       TEXT,
    revision   INTEGER NOT NULL
);

-- What retention removes first: the callback's body and why rules did not match.
CREATE TABLE bodies (
    event   INTEGER PRIMARY KEY,
    body    BLOB NOT NULL,
    skipped TEXT
);

-- Only recordings that a task touches have a row: a random key for every event would
-- halve the rate of inserts. `bucket` and `key` are set once it was moved; `moved_event` is
-- the latest event that a mover knew of, the `mover_` columns say who moved it last.
CREATE TABLE recordings (
    id               BLOB PRIMARY KEY,
    bucket           TEXT,
    key              TEXT,
    moved_event      INTEGER,
    mover_event      INTEGER,
    mover_generation INTEGER,
    mover_rule       TEXT,
    turn             INTEGER
) WITHOUT ROWID;

-- Every task, also those that are settled: what the queue asks for is found by indexes
-- that a settled task is not in. `seq` is the event's shifted left by 16 plus a number, so
-- tasks of an event are a range and the order of acceptance is the order of the key.
-- `state` counts as `TaskState::NAMES` does; `blocked_by` is the order that the task stands
-- in line for, or the recording whose turn it waits for; `at` is when it was settled.
CREATE TABLE tasks (
    seq          INTEGER PRIMARY KEY,
    id           BLOB NOT NULL UNIQUE,
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
    blocked_by   BLOB,
    cancel       INTEGER NOT NULL DEFAULT 0,
    at           INTEGER,
    failure      TEXT,
    note         TEXT
);
-- An index ends with its row's key, so both are in order of acceptance last.
CREATE INDEX tasks_due ON tasks (lane, due) WHERE state = 0 AND blocked_by IS NULL;
CREATE INDEX tasks_blocked ON tasks (blocked_by) WHERE blocked_by IS NOT NULL;
-- For lists of one state, and for what ran when the last process ended.
CREATE INDEX tasks_state ON tasks (state);

-- Whose go it is in each order that a task stands in line for.
CREATE TABLE orders (
    id   BLOB PRIMARY KEY,
    head INTEGER NOT NULL
) WITHOUT ROWID;

-- The lanes of the rules file in force: a task of any other waits until it is back.
CREATE TABLE lanes (
    name TEXT PRIMARY KEY
) WITHOUT ROWID;

-- How lanes stand that do not let everything through, as JSON: `paused`, which only a person
-- ends, and `open`, the breaker. A lane without a row, or with neither, lets everything through.
CREATE TABLE lane_states (
    lane   TEXT PRIMARY KEY,
    paused TEXT,
    open   TEXT
) WITHOUT ROWID;

-- One row for each try, as JSON.
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

-- The journal of renames.
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
    PRIMARY KEY (task, step, number)
) WITHOUT ROWID;
CREATE INDEX moves_from ON moves (recording, from_bucket, from_key);

-- Tasks by state, kept in the transactions that change them: counting a million rows for
-- each scrape would not do.
CREATE TABLE counts (
    state INTEGER PRIMARY KEY,
    tasks INTEGER NOT NULL
);
INSERT INTO counts VALUES (0, 0), (1, 0), (2, 0), (3, 0), (4, 0);
