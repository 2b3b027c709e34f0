-- Sessions of applications whose refresh tokens are bound to a key (RFC 9449).
--
-- Rolling upgrade: the MAC of an unbound session is the same as before, so old and new nodes accept each other's rows. The row of a
-- bound session has another MAC: an old node refuses it, and so refreshes no token without the proof that it does not know.
-- An old node that appends several events of sessions in one statement finds the type of a row changed. It then sends each event by
-- itself, and logs a warning.
--
-- The column is added in an instant, but the lock for it waits for every transaction that uses sessions, such as a backup, and others
-- wait behind it. So it is tried again and again, for two seconds at a time.
DO $$
BEGIN
    PERFORM set_config('lock_timeout', '2s', true);
    FOR attempt IN 1..200 LOOP
        BEGIN
            ALTER TABLE sessions
                -- The thumbprint of the key. NULL is a session that is bound to none.
                ADD COLUMN IF NOT EXISTS dpop_jkt text;
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
