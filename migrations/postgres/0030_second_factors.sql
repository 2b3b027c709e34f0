-- Second factors: the secrets of authenticator apps and the digests of recovery codes.
--
-- Rolling upgrade: the MAC of an account without second factors is the same as before. An account with one has another MAC, so
-- an old node treats its row as missing: it refuses the password, and never lets the account in without the second factor.
-- The function that is replaced takes the same arguments.

-- NULL is an account without second factors.
ALTER TABLE accounts ADD COLUMN second_factors text;

CREATE TABLE second_factors (
    factor_id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    -- Sealed under the key of the account.
    sealed bytea NOT NULL,
    -- The last time step whose code was used.
    last_step bigint NOT NULL
);

CREATE INDEX second_factors_by_user ON second_factors (user_id);

CREATE TABLE recovery_codes (
    user_id uuid NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (user_id, digest)
);

-- Makes one change of an account's second factors. Fails if a code is not valid any more. A transaction that uses the same code
-- waits here until this one ends, and then finds the code used.
CREATE FUNCTION change_factors(change jsonb) RETURNS void LANGUAGE plpgsql STRICT AS $$
DECLARE
    owner uuid := (change->>'user')::uuid;
BEGIN
    IF change ? 'enrol' THEN
        INSERT INTO second_factors (factor_id, user_id, sealed, last_step)
        VALUES ((change->>'enrol')::uuid, owner, (change->>'sealed')::bytea, (change->>'step')::bigint);
    ELSIF change ? 'remove' THEN
        DELETE FROM second_factors
         WHERE user_id = owner AND factor_id = coalesce((change->>'factor')::uuid, factor_id);
        DELETE FROM recovery_codes
         WHERE user_id = owner AND NOT EXISTS (SELECT FROM second_factors WHERE user_id = owner);
    ELSIF change ? 'issue' THEN
        DELETE FROM recovery_codes WHERE user_id = owner;
        INSERT INTO recovery_codes (user_id, digest)
        SELECT owner, digest::bytea FROM jsonb_array_elements_text(change->'issue') AS digest;
    ELSE
        IF change ? 'use' THEN
            UPDATE second_factors SET last_step = (change->>'step')::bigint
             WHERE factor_id = (change->>'use')::uuid AND user_id = owner AND last_step < (change->>'step')::bigint;
        ELSE
            DELETE FROM recovery_codes WHERE user_id = owner AND digest = (change->>'recover')::bytea;
        END IF;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the code was used before' USING ERRCODE = 'AE007';
        END IF;
    END IF;
END
$$;

-- As before (0012), with the second factors.
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
