-- OAuth clients: one row for each client that was ever registered.

CREATE TABLE clients (
    client_id TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    -- The settings, the ids of the secrets and the lock, as JSON. NULL is a client that was removed: its id stays taken.
    state TEXT,
    mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;
