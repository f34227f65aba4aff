-- How lanes stand that do not let everything through, as JSON: `paused`, which only a person
-- ends, and `open`, the breaker. A lane without a row, or with neither, lets everything through.
CREATE TABLE lane_states (
    lane   TEXT PRIMARY KEY,
    paused TEXT,
    open   TEXT
) WITHOUT ROWID;
