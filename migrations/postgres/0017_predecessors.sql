-- No event without the one before it, and none after its time.
--
-- A server that took over from another one may lack the last transactions of that one. A command that was decided by a
-- row of the old server must not be written on the new one, so every append says what it builds on, and the functions
-- below refuse it if that is not there. SQLite checks the same in its one writer and needs no migration.
--
-- Rolling upgrade: programs before this one call hold_accounts and refuse_erased, which stay as they are. What they append
-- is not checked for its predecessor until they have been replaced.

-- Keeps these accounts from being erased until the transaction ends, and says which of them do not exist: they were
-- erased, or their registration was lost with the server that it was committed on.
CREATE FUNCTION hold_existing_accounts(users uuid[]) RETURNS uuid[] LANGUAGE plpgsql AS $$
BEGIN
    -- What follows the locks is a statement of its own in a volatile function, and sees every erasure that they waited for.
    RETURN hold_accounts(users) || array(
        SELECT held FROM unnest(users) AS held
         WHERE (SELECT true FROM accounts WHERE user_id = held) IS NOT TRUE);
END
$$;

-- Fails unless an append may be written, and otherwise says what time it is on the server.
--
-- users: the accounts to which events are added; they are kept from being erased until the transaction ends.
-- kinds, ids, versions: the streams that exist already, each with the sequence of its last event as the command found it.
-- not_after: when the command is to be given up, by the clock of the server; null for one that may take its time.
CREATE FUNCTION begin_append(
    users uuid[], kinds text[], ids text[], versions bigint[], not_after timestamptz
) RETURNS timestamptz LANGUAGE plpgsql AS $$
BEGIN
    -- By these codes the program tells.
    IF cardinality(hold_existing_accounts(users)) > 0 THEN
        RAISE EXCEPTION 'the account does not exist' USING ERRCODE = 'AE001';
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

