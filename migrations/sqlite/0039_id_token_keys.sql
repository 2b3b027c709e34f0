-- The keys that sign ID tokens: a second set in addition to that of access tokens (0006), in tables of its own.

-- Instants are in Unix milliseconds.
CREATE TABLE id_token_keys (
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

-- At every moment at most one key signs.
CREATE UNIQUE INDEX id_token_keys_newest ON id_token_keys ((signs_until IS NULL)) WHERE signs_until IS NULL;

-- The number of the last change of the set, which the next change names.
CREATE TABLE id_token_key_changes (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL
) STRICT;
INSERT INTO id_token_key_changes (id, number) VALUES (1, 0);
