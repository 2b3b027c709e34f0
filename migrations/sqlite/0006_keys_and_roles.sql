-- The keys that sign tokens, as a set: one signs, one may be about to, and former ones verify until the last token that
-- they signed has expired.

-- Instants are in Unix milliseconds.
CREATE TABLE signing_keys (
    -- The thumbprint of the public key (RFC 7638).
    kid         TEXT    NOT NULL PRIMARY KEY,
    algorithm   TEXT    NOT NULL,
    signs_from  INTEGER NOT NULL,
    -- Null for the newest.
    signs_until INTEGER CHECK (signs_until >= signs_from),
    -- When it was given up before its time.
    retired_at  INTEGER,
    -- PKCS#8 sealed under the master key; null once nothing is verified with it any more.
    sealed      BLOB,
    CHECK (retired_at IS NULL OR (signs_until IS NOT NULL AND sealed IS NULL))
) STRICT;

-- At every moment one key signs at the most.
CREATE UNIQUE INDEX signing_keys_newest ON signing_keys ((signs_until IS NULL)) WHERE signs_until IS NULL;

-- How often the set was changed. Whoever changes it says which change theirs follows, so that none is made in ignorance
-- of another.
CREATE TABLE signing_key_changes (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL
) STRICT;
INSERT INTO signing_key_changes (id, number) VALUES (1, 0);

-- A change of role ends sessions as well. The program knows the same list of types.
DROP INDEX events_revoking_by_position;
DROP INDEX events_revoking_by_time;
CREATE INDEX events_revoking_by_position ON events (position)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'PasswordReset', 'UserErased', 'RoleChanged');
CREATE INDEX events_revoking_by_time ON events (recorded_at)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'PasswordReset', 'UserErased', 'RoleChanged');
