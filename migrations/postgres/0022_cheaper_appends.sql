-- Appends ask the server for less.
--
-- Rolling upgrade: the function does what it did under the name that it had, so that nodes of the version before call it as
-- well.

-- As before (0017), but whether the accounts exist is asked only where no event before is named, as when a session starts. An
-- event of an account cannot be there without its registration: a server that took over from another one lacks the last
-- transactions of that one, and none before them. Where no account is named, as in a registration, nothing is asked.
CREATE OR REPLACE FUNCTION begin_append(
    users uuid[], kinds text[], ids text[], versions bigint[], not_after timestamptz
) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    missing uuid[];
BEGIN
    IF cardinality(users) > 0 THEN
        IF cardinality(ids) > 0 THEN
            missing := hold_accounts(users);
        ELSE
            missing := hold_existing_accounts(users);
        END IF;
        -- By these codes the program tells.
        IF cardinality(missing) > 0 THEN
            RAISE EXCEPTION 'the account does not exist' USING ERRCODE = 'AE001';
        END IF;
    END IF;
    FOR stream IN 1 .. cardinality(ids) LOOP
        PERFORM FROM events
          WHERE aggregate_type = kinds[stream] AND aggregate_id = ids[stream] AND sequence = versions[stream];
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the event before is not there' USING ERRCODE = 'AE004';
        END IF;
    END LOOP;
    -- Last: the locks may have been waited for.
    IF clock_timestamp() > not_after THEN
        RAISE EXCEPTION 'the time for this command is up' USING ERRCODE = 'AE005';
    END IF;
    RETURN clock_timestamp();
END
$$;
