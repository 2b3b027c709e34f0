-- Where the log ended at about every hour of service, so that the revocations of the last day are found by their place in
-- the log as well as by their time: the clock that dated them may have been wrong.
CREATE TABLE log_marks (
    number   INTEGER NOT NULL PRIMARY KEY,
    -- Everything that was committed later than the mark has a greater position.
    position INTEGER NOT NULL
) STRICT;
INSERT INTO log_marks (number, position) SELECT 1, ifnull(max(position), 0) FROM events;
