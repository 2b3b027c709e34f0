-- The one order of all events: dense, final, from which everything outside is derived. Here, where position order is
-- commit order, an entry is written together with its event and `log_index` is its position.
CREATE TABLE event_log (
    log_index      INTEGER PRIMARY KEY,
    aggregate_type TEXT    NOT NULL,
    aggregate_id   TEXT    NOT NULL,
    sequence       INTEGER NOT NULL,
    leaf_hash      BLOB    NOT NULL CHECK (length(leaf_hash) = 32),
    UNIQUE (aggregate_type, aggregate_id, sequence)
) STRICT;

CREATE TRIGGER log_entries_are_never_changed BEFORE UPDATE ON event_log
BEGIN
    SELECT RAISE(ABORT, 'an entry of the log is never changed');
END;

CREATE TRIGGER log_entries_are_never_deleted BEFORE DELETE ON event_log
BEGIN
    SELECT RAISE(ABORT, 'an entry of the log is never deleted');
END;
