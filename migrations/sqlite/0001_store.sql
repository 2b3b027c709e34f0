-- The store on SQLite, in a pair with migrations/postgres: tables and columns of one name mean the same in both.
-- Ids are text as events spell them. Instants are integers: milliseconds since 1970-01-01T00:00:00Z, as the domain
-- counts them; `recorded_at` alone is in microseconds, as the log's proof counts.
-- There are no foreign keys: rows of read models are derived and may be written anew in any order.

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
CREATE INDEX events_of_user ON events (user_id, position);

-- What nodes that verify tokens from memory must hear of; the program knows the same list of types.
CREATE INDEX events_revoking ON events (position)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'PasswordReset');
CREATE INDEX events_revoking_recently ON events (recorded_at)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'PasswordReset');

CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'an event is never changed');
END;

CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'an event is never deleted');
END;

-- The log's order as everything derived from it reads it. Here it is written together with the event.
CREATE TABLE event_log (
    log_index      INTEGER PRIMARY KEY,
    aggregate_type TEXT    NOT NULL,
    aggregate_id   TEXT    NOT NULL,
    sequence       INTEGER NOT NULL,
    leaf_hash      BLOB    NOT NULL CHECK (length(leaf_hash) = 32),
    UNIQUE (aggregate_type, aggregate_id, sequence)
) STRICT;

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
    hash          TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Access tokens that say nothing by themselves, by their digests.
CREATE TABLE opaque_tokens (
    digest     BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    session_id TEXT    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Read model: one row an account. `version` is the sequence of the last event that the row contains.
CREATE TABLE accounts (
    id               TEXT    NOT NULL PRIMARY KEY,
    version          INTEGER NOT NULL,
    number           INTEGER NOT NULL,
    username         TEXT,
    email            TEXT,
    name             TEXT,
    phone            TEXT,
    role             TEXT    NOT NULL,
    credential_id    TEXT    NOT NULL,
    session_epoch    INTEGER NOT NULL,
    reset_id         TEXT,
    reset_expires_at INTEGER,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Not unique: a damaged row must not keep a sound one from being written.
CREATE INDEX accounts_by_number ON accounts (number);

-- Read model: one row a session.
CREATE TABLE sessions (
    id           TEXT    NOT NULL PRIMARY KEY,
    version      INTEGER NOT NULL,
    user_id      TEXT    NOT NULL,
    contract     TEXT,
    epoch        INTEGER NOT NULL,
    rotation     TEXT,
    generation   INTEGER NOT NULL,
    started_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    ended_at     INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_of_user ON sessions (user_id);

-- The last number given to an account. It only grows, so that no number is given twice.
CREATE TABLE account_numbers (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    last INTEGER NOT NULL
) STRICT;
INSERT INTO account_numbers (only, last) VALUES (1, 0);

-- The queue of requests to reset a password. An entry that was taken is due again when its lease ends.
CREATE TABLE reset_requests (
    reset_id     TEXT    NOT NULL PRIMARY KEY,
    identifier   TEXT    NOT NULL,
    requested_at INTEGER NOT NULL,
    context      TEXT    NOT NULL,
    attempts     INTEGER NOT NULL,
    due_at       INTEGER NOT NULL
) STRICT;

CREATE INDEX reset_requests_due ON reset_requests (due_at);

-- Secrets that every node of this store uses, sealed under the master key.
CREATE TABLE shared_secrets (
    name   TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
