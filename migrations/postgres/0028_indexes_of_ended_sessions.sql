-- The indexes of events that end sessions. The nine types are those of the versions that did not store it with the event; no
-- type is added to them any more.
--
-- Rolling upgrade: nodes of the version before ask for the nine types alone, and these indexes serve that question as well.
-- Nothing is appended while they are built: to build them while nodes write, execute the statement of 0027 and then these two
-- with CONCURRENTLY before the upgrade.

-- A concurrent build that failed leaves an index that is not valid.
DO $$
DECLARE
    index_name text;
BEGIN
    FOREACH index_name IN ARRAY ARRAY['events_ending_sessions_by_transaction', 'events_ending_sessions_by_time'] LOOP
        IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(index_name) AND NOT indisvalid) THEN
            EXECUTE format('DROP INDEX %I', index_name);
        END IF;
    END LOOP;
END
$$;
CREATE INDEX IF NOT EXISTS events_ending_sessions_by_transaction ON events (txid)
    WHERE ends_sessions OR event_type IN ('LoggedOut', 'RefreshTokenReused', 'SessionRevoked', 'PasswordReset', 'PasswordChanged', 'SessionsRevoked', 'RoleChanged', 'UserLocked', 'UserErased');
CREATE INDEX IF NOT EXISTS events_ending_sessions_by_time ON events (recorded_at)
    WHERE ends_sessions OR event_type IN ('LoggedOut', 'RefreshTokenReused', 'SessionRevoked', 'PasswordReset', 'PasswordChanged', 'SessionsRevoked', 'RoleChanged', 'UserLocked', 'UserErased');

-- What the other indexes were for. To remove them takes a lock that waits for everything that reads events; if that takes long,
-- they stay, and cost appends a little until they are dropped by hand.
DO $$
BEGIN
    PERFORM set_config('lock_timeout', '2s', true);
    DROP INDEX events_revoking_by_transaction, events_revoking_by_time;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    RAISE WARNING 'events are being read: DROP INDEX events_revoking_by_transaction, events_revoking_by_time was left out and can be done later';
END
$$;
