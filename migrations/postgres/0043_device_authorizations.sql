-- The requests of devices that wait for a person (RFC 8628). A row is kept for ten minutes, and is no part of the log.
--
-- Rolling upgrade: nodes of the version before do not know the table, and answer no request of a device.

CREATE TABLE device_authorizations (
    -- The keyed digest of the code that the person types.
    user_code bytea PRIMARY KEY,
    -- What the device asks for, sealed.
    request text NOT NULL,
    -- What the person decided, sealed. NULL until then.
    decision text,
    expires_at timestamptz NOT NULL
);
CREATE INDEX device_authorizations_expires_at ON device_authorizations (expires_at);
