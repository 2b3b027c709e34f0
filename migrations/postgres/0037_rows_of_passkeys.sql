-- A removal of second factors checks that the rows of passkeys are gone as well, and a passkey signs again after a clock was ahead.
--
-- Rolling upgrade: nodes of the version before call both functions without the new member.

-- As before (0032), with another member. 'latest' is a serial number that no clock has reached: a higher one in the row was written
-- by a clock that was ahead, and counts for nothing.
CREATE OR REPLACE FUNCTION change_factors(change jsonb) RETURNS void LANGUAGE plpgsql STRICT AS $$
DECLARE
    owner uuid := (change->>'user')::uuid;
BEGIN
    IF change ? 'enrol' THEN
        INSERT INTO second_factors (factor_id, user_id, sealed, last_step)
        VALUES ((change->>'enrol')::uuid, owner, (change->>'sealed')::bytea, (change->>'step')::bigint);
    ELSIF change ? 'passkey' THEN
        INSERT INTO passkeys (factor_id, user_id, credential_digest, sealed, last_challenge, sign_count, backed_up)
        VALUES ((change->>'passkey')::uuid, owner, (change->>'digest')::bytea, (change->>'sealed')::bytea,
                0, (change->>'count')::bigint, (change->>'backed_up')::boolean)
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
               AND (last_challenge < (change->>'challenge')::bigint OR last_challenge > (change->>'latest')::bigint);
        ELSE
            DELETE FROM recovery_codes WHERE user_id = owner AND digest = (change->>'recover')::bytea;
        END IF;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the code was used before' USING ERRCODE = 'AE007';
        END IF;
    END IF;
END
$$;

-- As before (0036), with passkeys. Nodes of every version call it with the same argument.
CREATE OR REPLACE FUNCTION apply_factor_changes(changes jsonb) RETURNS void LANGUAGE plpgsql STRICT AS $$
DECLARE
    change jsonb;
    owner uuid;
    are_kept boolean;
BEGIN
    FOR change IN SELECT value FROM jsonb_array_elements(changes) AS value LOOP
        PERFORM change_factors(change);
        owner := (change->>'user')::uuid;
        are_kept := true;
        IF change ? 'enrol' THEN
            are_kept := EXISTS (
                SELECT FROM second_factors
                 WHERE factor_id = (change->>'enrol')::uuid AND user_id = owner AND sealed = (change->>'sealed')::bytea);
        ELSIF change ? 'passkey' THEN
            are_kept := EXISTS (
                SELECT FROM passkeys
                 WHERE factor_id = (change->>'passkey')::uuid AND user_id = owner AND sealed = (change->>'sealed')::bytea);
        ELSIF change ? 'issue' THEN
            are_kept := (SELECT count(*) FROM recovery_codes WHERE user_id = owner) = jsonb_array_length(change->'issue');
        ELSIF change ? 'remove' THEN
            are_kept := NOT EXISTS (
                SELECT FROM second_factors
                 WHERE user_id = owner AND factor_id = coalesce((change->>'factor')::uuid, factor_id)
                UNION ALL
                SELECT FROM passkeys
                 WHERE user_id = owner AND factor_id = coalesce((change->>'factor')::uuid, factor_id));
        END IF;
        IF NOT are_kept THEN
            RAISE EXCEPTION 'the rows of second factors were not kept: a trigger or a rule interferes. Run authlog doctor'
                USING ERRCODE = 'AE006';
        END IF;
    END LOOP;
END
$$;
