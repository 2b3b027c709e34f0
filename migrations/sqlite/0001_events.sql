-- The store on SQLite, in a pair with migrations/postgres: tables and columns of one name mean the same in both.
-- Ids are text as events spell them. Instants are integers: milliseconds since 1970-01-01T00:00:00Z, as the domain
-- counts them; `recorded_at` alone is in microseconds, as the log's proof counts.

-- The log. One writer appends and nothing is ever deleted, so a rowid that SQLite picks (the greatest plus one) is dense
-- from 1, whatever was rolled back in between, and its order is the order of the commits. AUTOINCREMENT would only
-- remember numbers of deleted rows, of which there are none.
CREATE TABLE events (
    position       INTEGER PRIMARY KEY,
    aggregate_type TEXT    NOT NULL,
    aggregate_id   TEXT    NOT NULL,
    sequence       INTEGER NOT NULL CHECK (sequence > 0),
    event_type     TEXT    NOT NULL,
    event_version  TEXT    NOT NULL,
    -- The texts as they were sealed: the leaf in event_log is a hash of these bytes.
    payload        TEXT    NOT NULL,
    metadata       TEXT    NOT NULL,
    -- SQLite's clock ticks in milliseconds and answers in a float; rounding comes before multiplying, so that no
    -- instant loses a microsecond.
    recorded_at    INTEGER NOT NULL DEFAULT (CAST(round(unixepoch('subsec') * 1000) AS INTEGER) * 1000),
    user_id        TEXT    GENERATED ALWAYS AS (metadata ->> 'user_id') STORED,
    UNIQUE (aggregate_type, aggregate_id, sequence)
) STRICT;

-- One account's history is one range of this index.
CREATE INDEX events_by_user ON events (user_id, position);

-- What nodes that verify tokens from memory must hear of; the program knows the same list of types.
CREATE INDEX events_revoking_by_position ON events (position)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'PasswordReset');
CREATE INDEX events_revoking_by_time ON events (recorded_at)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'PasswordReset');

CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'an event is never changed');
END;

CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'an event is never deleted');
END;

-- Who has which name. The digest is keyed: whoever reads this table cannot test names against it.
CREATE TABLE identifier_claims (
    kind   TEXT NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    owner  TEXT NOT NULL,
    PRIMARY KEY (kind, digest)
) STRICT, WITHOUT ROWID;

-- The keys of accounts, wrapped under the master key. Whoever deletes one has erased the person from the log.
CREATE TABLE subject_keys (
    user_id TEXT NOT NULL PRIMARY KEY,
    wrapped BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The password hash of each account, by the name that its events give it.
CREATE TABLE credentials (
    user_id       TEXT NOT NULL PRIMARY KEY,
    credential_id TEXT NOT NULL,
    password_hash TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Access tokens that say nothing by themselves, by their digests.
CREATE TABLE opaque_tokens (
    digest     BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    session_id TEXT    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The last number given to an account. It only grows, so that no number is given twice.
CREATE TABLE account_numbers (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    last INTEGER NOT NULL
) STRICT;
INSERT INTO account_numbers (only, last) VALUES (1, 0);

-- Secrets that every node of this store uses, sealed under the master key.
CREATE TABLE shared_secrets (
    name   TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
