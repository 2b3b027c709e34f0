-- A table that a node writes to when it has to find out whether writes work.
--
-- Rows fill a page each, uncompressed, and are deleted by the transaction that inserts them.
--
-- The migration adds an empty table and nothing else: it waits for nobody, and a node of the version before, which does not
-- know the table, may run at the same time.
CREATE TABLE write_probe (
    filler text NOT NULL
);
ALTER TABLE write_probe ALTER COLUMN filler SET STORAGE PLAIN;
