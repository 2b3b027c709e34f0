-- Read models: each row is a function of its aggregate's events up to `version`, and can be written anew from them, in
-- any order: so there are no foreign keys.

CREATE TABLE accounts (
    user_id          TEXT    NOT NULL PRIMARY KEY,
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

CREATE TABLE sessions (
    session_id   TEXT    NOT NULL PRIMARY KEY,
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

CREATE INDEX sessions_by_user ON sessions (user_id);

-- The queue of requests to reset a password. Not a read model: nothing else remembers a request until it is carried out.
-- An entry that was taken is due again when its lease ends.
CREATE TABLE reset_requests (
    reset_id     TEXT    NOT NULL PRIMARY KEY,
    identifier   TEXT    NOT NULL,
    requested_at INTEGER NOT NULL,
    context      TEXT    NOT NULL,
    attempts     INTEGER NOT NULL,
    due_at       INTEGER NOT NULL
) STRICT;

CREATE INDEX reset_requests_due ON reset_requests (due_at);
