-- The requests of devices that wait for a person (RFC 8628). A row is kept for ten minutes, and is no part of the log.

CREATE TABLE device_authorizations (
    -- The keyed digest of the code that the person types.
    user_code BLOB NOT NULL PRIMARY KEY,
    -- What the device asks for, sealed.
    request TEXT NOT NULL,
    -- What the person decided, sealed. NULL until then.
    decision TEXT,
    -- Milliseconds since 1970.
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX device_authorizations_expires_at ON device_authorizations (expires_at);
