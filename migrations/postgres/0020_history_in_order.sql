-- The history of one account is read in the order of the log, page by page: what is in the log is ordered by (txid, position),
-- and so is this index. The index that it replaces had the account's events in the order of their positions alone, so that
-- each page had to look at all of them.
--
-- Rolling upgrade: old nodes look for events by user_id alone, which either index serves. To build the index while nodes
-- write, create it before the upgrade, under this name:
--     CREATE INDEX CONCURRENTLY events_of_user_in_order ON events (user_id, txid, position);
-- It is then found here. Otherwise nothing is appended while it is built: seconds for a million events.

-- A concurrent build that failed leaves an index that is not valid.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('events_of_user_in_order') AND NOT indisvalid) THEN
        DROP INDEX events_of_user_in_order;
    END IF;
END
$$;
CREATE INDEX IF NOT EXISTS events_of_user_in_order ON events (user_id, txid, position);

-- Up to `looks_at` events of an account after (after_txid, after_position), in that order, but for those up to
-- min_position. The index gives them in their order, so that no more are read. The planner takes every account for one of few
-- events and would rather read all of them and sort; these settings leave it no choice.
CREATE FUNCTION events_of_user_after(
    of_user uuid, after_txid xid8, after_position bigint, min_position bigint, looks_at bigint
) RETURNS SETOF events LANGUAGE plpgsql STABLE
SET enable_bitmapscan TO off SET enable_seqscan TO off SET enable_sort TO off AS $$
BEGIN
    RETURN QUERY
    SELECT * FROM events e
     WHERE e.user_id = of_user AND (e.txid, e.position) > (after_txid, after_position) AND e.position > min_position
     ORDER BY e.txid, e.position LIMIT looks_at;
END
$$;

-- What the other index was for. To remove it takes a lock that waits for everything that reads events; if that takes long, it
-- stays, and costs appends a little until it is dropped by hand.
DO $$
BEGIN
    PERFORM set_config('lock_timeout', '2s', true);
    DROP INDEX events_by_user;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    RAISE WARNING 'events are being read: DROP INDEX events_by_user was left out and can be done later';
END
$$;
