-- The keys that sign tokens, as a set: one signs, one may be about to, and former ones verify until the last token that
-- they signed has expired.

CREATE TABLE signing_keys (
    -- The thumbprint of the public key (RFC 7638).
    kid         text PRIMARY KEY,
    algorithm   text NOT NULL,
    signs_from  timestamptz NOT NULL,
    -- Null for the newest.
    signs_until timestamptz CHECK (signs_until >= signs_from),
    -- When it was given up before its time.
    retired_at  timestamptz,
    -- PKCS#8 sealed under the master key; null once nothing is verified with it any more.
    sealed      bytea,
    CHECK (retired_at IS NULL OR (signs_until IS NOT NULL AND sealed IS NULL))
);

-- At every moment one key signs at the most.
CREATE UNIQUE INDEX signing_keys_newest ON signing_keys ((signs_until IS NULL)) WHERE signs_until IS NULL;

-- How often the set was changed. Whoever changes it says which change theirs follows, so that none is made in ignorance
-- of another.
CREATE TABLE signing_key_changes (
    id     int PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    number bigint NOT NULL
);
INSERT INTO signing_key_changes (number) VALUES (0);

-- A change of role ends sessions as well. The program's queries repeat the list of types word for word.
DROP INDEX events_revoking_by_transaction;
DROP INDEX events_revoking_by_time;
CREATE INDEX events_revoking_by_transaction ON events (txid)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'PasswordReset', 'UserErased', 'RoleChanged');
CREATE INDEX events_revoking_by_time ON events (recorded_at)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'PasswordReset', 'UserErased', 'RoleChanged');
