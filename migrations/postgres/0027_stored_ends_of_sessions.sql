-- Whether an event ends sessions is stored with it.
--
-- Rolling upgrade: nodes of the version before append without the new column, which is then false. The indexes of the next
-- migration find these events by their types.
--
-- The column is added in an instant, but the lock for it waits for every transaction that reads events, such as a backup, and
-- others wait behind it. So it is tried again and again, for two seconds at a time.
DO $$
BEGIN
    PERFORM set_config('lock_timeout', '2s', true);
    FOR attempt IN 1..200 LOOP
        BEGIN
            ALTER TABLE events ADD COLUMN IF NOT EXISTS ends_sessions boolean NOT NULL DEFAULT false;
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
