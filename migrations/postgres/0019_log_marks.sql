-- Where the log ended at about every hour of service, so that the revocations of the last day are found by their place in
-- the log as well as by their time: the clock that dated them may have been wrong.
--
-- The migration adds a table of one row: it waits for no lock, and a node of the version before, which does not know the
-- table, may run at the same time.
CREATE TABLE log_marks (
    number bigint PRIMARY KEY,
    -- Everything that was committed later than the mark has a transaction id from this on.
    txid   xid8 NOT NULL
);
INSERT INTO log_marks (number, txid) SELECT 1, pg_snapshot_xmin(pg_current_snapshot());
