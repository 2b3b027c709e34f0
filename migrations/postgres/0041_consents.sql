-- What people let applications do. SQLite has this column since 0040.
--
-- Rolling upgrade: the MAC of an account without consents is the same as before, so old and new nodes accept each other's rows. An old
-- node treats an account with a consent as missing, as it would lose the consents if it wrote the row: let people use applications
-- once every node is new.
--
-- The lock is tried again and again, for two seconds at a time, as in 0040.
DO $$
BEGIN
    PERFORM set_config('lock_timeout', '2s', true);
    FOR attempt IN 1..200 LOOP
        BEGIN
            -- JSON. NULL is an account without consents.
            ALTER TABLE accounts ADD COLUMN IF NOT EXISTS consents text;
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
