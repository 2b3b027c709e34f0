-- The keys that sign ID tokens: a second set in addition to that of access tokens (0006), in tables of its own. So nodes of the
-- previous version neither sign with these keys, nor change them, nor report them as faults.

CREATE TABLE id_token_keys (
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

-- At every moment at most one key signs.
CREATE UNIQUE INDEX id_token_keys_newest ON id_token_keys ((signs_until IS NULL)) WHERE signs_until IS NULL;

-- The number of the last change of the set, which the next change names.
CREATE TABLE id_token_key_changes (
    id     int PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    number bigint NOT NULL
);
INSERT INTO id_token_key_changes (number) VALUES (0);
