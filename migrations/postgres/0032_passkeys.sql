-- Passkeys: their public keys, and what changes with each use.
--
-- Rolling upgrade: an account with a passkey has a MAC that an old node does not know, so an old node treats its row as missing, and
-- never lets it in by the password alone. The functions that are replaced take the same arguments.

CREATE TABLE passkeys (
    factor_id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    -- A keyed digest of the credential id, which is unique for all accounts (WebAuthn §7.1, step 26).
    credential_digest bytea NOT NULL UNIQUE,
    -- The credential id and the public key, sealed under the key of the account.
    sealed bytea NOT NULL,
    -- The serial number of the last challenge that was signed.
    last_challenge bigint NOT NULL,
    -- The signature counter of the last use, and whether the passkey was copied to other devices then.
    sign_count bigint NOT NULL,
    backed_up boolean NOT NULL
);

CREATE INDEX passkeys_by_user ON passkeys (user_id);

-- As before (0030), with passkeys. A transaction with the same challenge waits here as well, and then finds it used.
CREATE OR REPLACE FUNCTION change_factors(change jsonb) RETURNS void LANGUAGE plpgsql STRICT AS $$
DECLARE
    owner uuid := (change->>'user')::uuid;
BEGIN
    IF change ? 'enrol' THEN
        INSERT INTO second_factors (factor_id, user_id, sealed, last_step)
        VALUES ((change->>'enrol')::uuid, owner, (change->>'sealed')::bytea, (change->>'step')::bigint);
    ELSIF change ? 'passkey' THEN
        INSERT INTO passkeys (factor_id, user_id, credential_digest, sealed, last_challenge, sign_count, backed_up)
        VALUES ((change->>'passkey')::uuid, owner, (change->>'digest')::bytea, (change->>'sealed')::bytea, 0,
                (change->>'count')::bigint, (change->>'backed_up')::boolean)
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the passkey is enrolled already' USING ERRCODE = 'AE008';
        END IF;
    ELSIF change ? 'remove' THEN
        DELETE FROM second_factors
         WHERE user_id = owner AND factor_id = coalesce((change->>'factor')::uuid, factor_id);
        DELETE FROM passkeys
         WHERE user_id = owner AND factor_id = coalesce((change->>'factor')::uuid, factor_id);
        DELETE FROM recovery_codes
         WHERE user_id = owner AND NOT EXISTS (SELECT FROM second_factors WHERE user_id = owner)
           AND NOT EXISTS (SELECT FROM passkeys WHERE user_id = owner);
    ELSIF change ? 'issue' THEN
        DELETE FROM recovery_codes WHERE user_id = owner;
        INSERT INTO recovery_codes (user_id, digest)
        SELECT owner, digest::bytea FROM jsonb_array_elements_text(change->'issue') AS digest;
    ELSE
        IF change ? 'use' THEN
            UPDATE second_factors SET last_step = (change->>'step')::bigint
             WHERE factor_id = (change->>'use')::uuid AND user_id = owner AND last_step < (change->>'step')::bigint;
        ELSIF change ? 'signed' THEN
            UPDATE passkeys
               SET last_challenge = (change->>'challenge')::bigint, sign_count = (change->>'count')::bigint,
                   backed_up = (change->>'backed_up')::boolean
             WHERE factor_id = (change->>'signed')::uuid AND user_id = owner
               AND last_challenge < (change->>'challenge')::bigint;
        ELSE
            DELETE FROM recovery_codes WHERE user_id = owner AND digest = (change->>'recover')::bytea;
        END IF;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the code was used before' USING ERRCODE = 'AE007';
        END IF;
    END IF;
END
$$;

-- As before (0030), with passkeys.
CREATE OR REPLACE FUNCTION erase_account(erased uuid, resets uuid[]) RETURNS void LANGUAGE plpgsql STRICT AS $$
DECLARE
    batch uuid[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(erased::text, 0));
    batch := array(SELECT session_id FROM sessions WHERE user_id = erased LIMIT 1000);
    DELETE FROM subject_keys WHERE user_id = erased;
    DELETE FROM identifier_claims WHERE owner = erased;
    DELETE FROM credentials WHERE user_id = erased;
    DELETE FROM second_factors WHERE user_id = erased;
    DELETE FROM passkeys WHERE user_id = erased;
    DELETE FROM recovery_codes WHERE user_id = erased;
    DELETE FROM opaque_tokens WHERE session_id = ANY(batch);
    DELETE FROM sessions WHERE session_id = ANY(batch);
    INSERT INTO unfinished_erasures (user_id)
    SELECT erased WHERE EXISTS (SELECT FROM sessions WHERE user_id = erased)
    ON CONFLICT (user_id) DO NOTHING;
    DELETE FROM accounts WHERE user_id = erased;
    DELETE FROM mail_queue WHERE user_id = erased;
    DELETE FROM due_mail WHERE user_id = erased;
    DELETE FROM reset_requests WHERE reset_id = ANY(resets);
END
$$;
