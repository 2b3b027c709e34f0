-- Logout tokens that clients are to get (OpenID Connect Back-Channel Logout 1.0, docs/adr/0041).

-- The sessions that end with another one.
CREATE INDEX sessions_by_parent ON sessions (parent) WHERE parent IS NOT NULL;

-- The clients that get logout tokens.
CREATE INDEX clients_with_backchannel_logout ON clients (client_id) WHERE instr(state, '"backchannel_logout_uri":"') > 0;

-- How far the ends of sessions were read. It is written together with what it leads to.
CREATE TABLE logout_position (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    position      INTEGER NOT NULL,
    -- Of the next event, the sessions up to this one are queued already.
    after_session TEXT    NOT NULL DEFAULT ''
) STRICT;
INSERT INTO logout_position (id, position) SELECT 1, ifnull(max(position), 0) FROM events;

-- The queue: sessions of clients that have ended. Not a read model: a rebuild does not send old logout tokens again.
CREATE TABLE due_logouts (
    place      INTEGER PRIMARY KEY,
    client_id  TEXT    NOT NULL,
    session_id TEXT    NOT NULL UNIQUE,
    user_id    TEXT    NOT NULL,
    ended_at   INTEGER NOT NULL,
    -- How often the client refused the token, and when it is sent again.
    refusals   INTEGER NOT NULL DEFAULT 0,
    due_at     INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX due_logouts_by_client ON due_logouts (client_id, due_at, place);

-- The clients that had something in the queue, each with its lease and its pause.
CREATE TABLE logout_receivers (
    client_id     TEXT    NOT NULL PRIMARY KEY,
    leases        INTEGER NOT NULL DEFAULT 0,
    failures      INTEGER NOT NULL DEFAULT 0,
    failing_since INTEGER,
    due_at        INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
