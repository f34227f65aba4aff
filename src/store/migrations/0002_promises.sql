-- Written to find out whether the store takes a callback. Empty when nobody asks.
CREATE TABLE probe (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    written BLOB NOT NULL
);
INSERT INTO probe VALUES (1, x'');
