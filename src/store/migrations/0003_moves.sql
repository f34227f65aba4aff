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
INSERT INTO manifests (task, step, attempt, committed, under_way)
    SELECT m.task, m.step, 0,
           max(m.phase = 2 OR EXISTS (SELECT 1 FROM recordings r WHERE r.id = m.recording
               AND r.bucket = m.to_bucket AND r.key = m.to_key)), 1
    FROM moves m WHERE m.phase < 4 GROUP BY m.task, m.step;

-- The ledger of keys: what moves use each key for (0 reads and leaves it, 1 takes it away,
-- 2 writes, NULL once the move has ended), and for how many milliseconds a request that changes it
-- may still arrive (0: there is none). `until` is when that time ends, in milliseconds that the
-- process which serves the store has been running: nobody sets that clock. NULL at its start: the
-- time begins anew. `key` is the
-- digest of bucket and key.
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

-- `source`: 1 for an object that is left at its source, as it is another recording's, 2 for one
-- that is left until no other playlist names it. Where an object went is asked of every
-- recording's moves.
ALTER TABLE moves ADD COLUMN source INTEGER NOT NULL DEFAULT 0;
DROP INDEX moves_from;
CREATE INDEX moves_from ON moves (from_bucket, from_key);
ALTER TABLE moves ADD COLUMN marked INTEGER NOT NULL DEFAULT 0;
-- The recorder's job that the event of the task names.
ALTER TABLE moves ADD COLUMN job TEXT;

-- `given_up` is the failure, as JSON, that a
-- task dies of once nothing is left of its copies, `leaves` what it has left behind and where.
ALTER TABLE tasks ADD COLUMN given_up TEXT;
ALTER TABLE tasks ADD COLUMN leaves TEXT;
-- Who is about to touch a recording, or would if it were retried.
CREATE INDEX tasks_recording ON tasks (recording) WHERE (state < 2 OR state = 3) AND needs_turn = 1;

-- `place` is the digest of where a moved recording is; `mover_known` the newest event that had
-- been stored when its mover looked at where it was recorded, 0 when it moved it from elsewhere.
ALTER TABLE recordings ADD COLUMN place BLOB;
ALTER TABLE recordings ADD COLUMN mover_known INTEGER NOT NULL DEFAULT 0;
CREATE INDEX recordings_place ON recordings (place) WHERE place IS NOT NULL;
-- The job whose recording was moved there, and where the recordings of all jobs are: a key that is
-- used again has more than one.
ALTER TABLE recordings ADD COLUMN mover_job TEXT;
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
    place            BLOB NOT NULL,
    PRIMARY KEY (recording, job)
) WITHOUT ROWID;
CREATE INDEX places_place ON places (place);
-- What an operator is told of: few at any time, and never pruned.
CREATE INDEX tasks_leaving ON tasks (seq) WHERE leaves IS NOT NULL;
