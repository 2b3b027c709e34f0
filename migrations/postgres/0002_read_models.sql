-- Read models: each row is a function of its aggregate's events up to `version`, and can be written anew from them.

-- Rows are updated in place where a page has room left for it, without touching an index (fillfactor).
CREATE TABLE accounts (
    user_id          uuid PRIMARY KEY,
    version          bigint NOT NULL,
    number           bigint NOT NULL CONSTRAINT accounts_number_key UNIQUE,
    username         text,
    email            text,
    name             text,
    phone            text,
    role             text NOT NULL,
    credential_id    uuid NOT NULL,
    session_epoch    bigint NOT NULL,
    reset_id         uuid,
    reset_expires_at timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    CHECK ((reset_id IS NULL) = (reset_expires_at IS NULL))
) WITH (fillfactor = 85);

CREATE TABLE sessions (
    session_id   uuid PRIMARY KEY,
    version      bigint NOT NULL,
    user_id      uuid NOT NULL,
    contract     text,
    epoch        bigint NOT NULL,
    rotation     text,
    generation   bigint NOT NULL,
    started_at   timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    ended_at     timestamptz
) WITH (fillfactor = 85);
CREATE INDEX sessions_by_user ON sessions (user_id);

-- The queue of requests to reset a password. Not a read model: nothing else remembers a request until it is carried out.
CREATE TABLE reset_requests (
    reset_id     uuid PRIMARY KEY,
    -- UTF-8 as it was typed, which may contain what text cannot: U+0000.
    identifier   bytea NOT NULL,
    requested_at timestamptz NOT NULL,
    context      json NOT NULL,
    attempts     bigint NOT NULL,
    -- When it is due: at once, or when its lease ends, or when it was postponed to.
    due_at       timestamptz NOT NULL
);
CREATE INDEX reset_requests_due ON reset_requests (due_at);
