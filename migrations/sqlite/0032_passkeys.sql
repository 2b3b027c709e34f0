-- Passkeys: their public keys, and what changes with each use.

CREATE TABLE passkeys (
    factor_id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    -- A keyed digest of the credential id, which is unique for all accounts (WebAuthn §7.1, step 26).
    credential_digest BLOB NOT NULL UNIQUE,
    -- The credential id and the public key, sealed under the key of the account.
    sealed BLOB NOT NULL,
    -- The serial number of the last challenge that was signed.
    last_challenge INTEGER NOT NULL,
    -- The signature counter of the last use, and whether the passkey was copied to other devices then.
    sign_count INTEGER NOT NULL,
    backed_up INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX passkeys_by_user ON passkeys (user_id);
