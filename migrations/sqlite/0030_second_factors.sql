-- Second factors: the secrets of authenticator apps and the digests of recovery codes.

-- NULL is an account without second factors.
ALTER TABLE accounts ADD COLUMN second_factors TEXT;

CREATE TABLE second_factors (
    factor_id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    -- Sealed under the key of the account.
    sealed BLOB NOT NULL,
    -- The last time step whose code was used.
    last_step INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX second_factors_by_user ON second_factors (user_id);

CREATE TABLE recovery_codes (
    user_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (user_id, digest)
) STRICT, WITHOUT ROWID;
