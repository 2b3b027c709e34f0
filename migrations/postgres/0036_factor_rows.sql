-- Changes of second factors count what they leave, and an imported account can have several authenticator apps.
--
-- Rolling upgrade: nodes of the version before go on calling change_factors (0030), which is not changed.

-- Makes changes of second factors in their order, and fails unless their rows are as they should be afterwards: a trigger or a rule
-- may keep a row back. A code that is used is counted by change_factors itself.
CREATE FUNCTION apply_factor_changes(changes jsonb) RETURNS void LANGUAGE plpgsql STRICT AS $$
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
        ELSIF change ? 'issue' THEN
            are_kept := (SELECT count(*) FROM recovery_codes WHERE user_id = owner) = jsonb_array_length(change->'issue');
        ELSIF change ? 'remove' THEN
            are_kept := NOT EXISTS (
                SELECT FROM second_factors
                 WHERE user_id = owner AND factor_id = coalesce((change->>'factor')::uuid, factor_id));
        END IF;
        IF NOT are_kept THEN
            RAISE EXCEPTION 'the rows of second factors were not kept: a trigger or a rule interferes. Run authlog doctor'
                USING ERRCODE = 'AE006';
        END IF;
    END LOOP;
END
$$;
