-- Sessions of applications.
--
-- Rolling upgrade: the MAC of a session of a person is the same as before, so old and new nodes accept each other's rows. The row of an
-- application's session has another MAC: an old node refuses it, and so refuses its tokens, whose form it does not know either.
-- An old node that appends several events of sessions in one statement finds the type of a row changed. It then sends each event by
-- itself, and logs a warning.
--
-- The columns are added in an instant, but the lock for them waits for every transaction that uses sessions, such as a backup, and
-- others wait behind it. So it is tried again and again, for two seconds at a time. The column of accounts has a migration of its
-- own: an append locks accounts before sessions, so a transaction that locks both in the other order would deadlock with it.
DO $$
BEGIN
    PERFORM set_config('lock_timeout', '2s', true);
    FOR attempt IN 1..200 LOOP
        BEGIN
            ALTER TABLE sessions
                -- NULL is a session of a person.
                ADD COLUMN IF NOT EXISTS client_id text,
                -- Scopes, separated by spaces.
                ADD COLUMN IF NOT EXISTS scopes text,
                -- The resources for which access tokens are, as a JSON list.
                ADD COLUMN IF NOT EXISTS audience text,
                -- The session that this one ends with.
                ADD COLUMN IF NOT EXISTS parent uuid;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = 200 THEN
                RAISE;
            END IF;
            PERFORM pg_sleep(1);
        END;
    END LOOP;
END
$$;
