-- A table that the service writes to when it has to find out whether writes work. Rows are deleted by the transaction that
-- inserts them.
CREATE TABLE write_probe (
    filler BLOB NOT NULL
) STRICT;
