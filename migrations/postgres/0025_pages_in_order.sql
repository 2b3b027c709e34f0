-- Pages of accounts that miss none, and pages of an account's sessions that read a bounded number of rows.
--
-- Rolling upgrade: nodes of the version before write accounts as ever, the triggers below give them their places, and the new
-- index of sessions serves their statements, too. Until the places are filled in, accounts are read but not written: a few
-- seconds for a million accounts. To build the index of sessions while nodes write, create it before the upgrade, under this
-- name:
--     CREATE INDEX CONCURRENTLY sessions_in_order ON sessions (user_id, epoch, session_id);
-- It is then found here. Otherwise no session is written while it is built: seconds for a million sessions.

-- The place of each account in the list of accounts, of erased ones, too: a reader may have come as far as one of them. An
-- account's number is drawn before its registration is committed, so that reading by it alone skips accounts. Places are in the
-- order of (txid, number), which is final below the snapshot's xmin: see sequence_batch.
CREATE TABLE account_places (
    number bigint PRIMARY KEY,
    -- Of the transaction that wrote the account; 0 for accounts from before this table.
    txid   xid8 NOT NULL,
    -- Whether the account is there.
    listed boolean NOT NULL
);

CREATE FUNCTION place_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        UPDATE account_places SET listed = false WHERE number = OLD.number;
        RETURN OLD;
    END IF;
    INSERT INTO account_places (number, txid, listed) VALUES (NEW.number, pg_current_xact_id(), true)
    ON CONFLICT (number) DO UPDATE SET listed = true;
    RETURN NEW;
END
$$;

CREATE TRIGGER accounts_have_places
    AFTER INSERT OR DELETE ON accounts
    FOR EACH ROW EXECUTE FUNCTION place_account();

INSERT INTO account_places (number, txid, listed) SELECT number, '0', true FROM accounts ORDER BY number;
CREATE INDEX account_places_in_order ON account_places (txid, number) WHERE listed;

-- Up to `at_most` accounts after the place of the account `after_number`, or of the one before it if no account ever had that
-- number. An account that was registered while an earlier transaction is open waits for that, which may add one before it. Places
-- out of a backup may have numbers of transactions that this cluster has yet to reach: see take_over_sequencer. The index gives
-- the places in their order; for a prepared statement the planner would rather read all of them and sort, and then all accounts.
CREATE FUNCTION accounts_after(after_number bigint, at_most bigint)
RETURNS SETOF accounts LANGUAGE plpgsql STABLE
SET enable_bitmapscan TO off SET enable_seqscan TO off SET enable_sort TO off AS $$
DECLARE
    reached account_places;
BEGIN
    SELECT * INTO reached FROM account_places p WHERE p.number <= after_number ORDER BY p.number DESC LIMIT 1;
    RETURN QUERY
    SELECT a.*
      FROM (SELECT p.txid, p.number FROM account_places p
             WHERE p.listed
               AND (p.txid, p.number) > (coalesce(reached.txid, '0'), coalesce(reached.number, -9223372036854775807))
               AND (p.txid < pg_snapshot_xmin(pg_current_snapshot()) OR p.txid >= pg_snapshot_xmax(pg_current_snapshot()))
             ORDER BY p.txid, p.number LIMIT at_most) AS p
     CROSS JOIN LATERAL (SELECT * FROM accounts WHERE accounts.number = p.number OFFSET 0) AS a
     ORDER BY p.txid, p.number;
END
$$;

-- As before; in addition, places that came out of a backup with numbers of another cluster's transactions begin the list.
CREATE OR REPLACE FUNCTION take_over_sequencer() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    mark     sequencer;
    restored bigint;
BEGIN
    UPDATE sequencer SET epoch = epoch + 1 RETURNING * INTO STRICT mark;
    PERFORM FROM events
      WHERE txid >= pg_snapshot_xmax(pg_current_snapshot()) AND position > mark.min_position
      LIMIT 1;
    IF NOT FOUND THEN
        RETURN mark.epoch;
    END IF;

    UPDATE account_places SET txid = '0' WHERE txid >= pg_snapshot_xmax(pg_current_snapshot());
    SELECT max(position) INTO restored
      FROM events e
     WHERE txid >= pg_snapshot_xmax(pg_current_snapshot())
        OR EXISTS (SELECT FROM event_log l
                    WHERE (l.aggregate_type, l.aggregate_id, l.sequence)
                        = (e.aggregate_type, e.aggregate_id, e.sequence));
    INSERT INTO event_log (log_index, aggregate_type, aggregate_id, sequence, leaf_hash)
    SELECT mark.last_index + row_number() OVER (ORDER BY txid, position),
           aggregate_type, aggregate_id, sequence,
           leaf_hash(aggregate_type, aggregate_id, sequence, event_type, event_version,
                     recorded_at, payload, metadata)
      FROM events e
     WHERE position <= restored
       AND NOT EXISTS (SELECT FROM event_log l
                        WHERE (l.aggregate_type, l.aggregate_id, l.sequence)
                            = (e.aggregate_type, e.aggregate_id, e.sequence));
    UPDATE sequencer
       SET last_txid = '0', last_position = 0, min_position = restored,
           last_index = coalesce((SELECT max(log_index) FROM event_log), 0);
    RETURN mark.epoch;
END
$$;

-- A concurrent build that failed leaves an index that is not valid.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('sessions_in_order') AND NOT indisvalid) THEN
        DROP INDEX sessions_in_order;
    END IF;
END
$$;
CREATE INDEX IF NOT EXISTS sessions_in_order ON sessions (user_id, epoch, session_id);

-- Up to `looks_at` sessions of the account's current epoch after `after_session`, in order of their ids, and then the one that
-- was kept from an earlier epoch, if its id comes after that, too. The planner takes every account for one of few sessions and
-- would rather read all of them and sort; these settings leave it no choice.
CREATE FUNCTION sessions_of_user_after(of_user uuid, after_session uuid, looks_at bigint)
RETURNS SETOF sessions LANGUAGE plpgsql STABLE
SET enable_bitmapscan TO off SET enable_seqscan TO off SET enable_sort TO off AS $$
BEGIN
    RETURN QUERY
    SELECT * FROM sessions s
     WHERE s.user_id = of_user AND s.epoch = (SELECT a.session_epoch FROM accounts a WHERE a.user_id = of_user)
       AND s.session_id > after_session
     ORDER BY s.session_id LIMIT looks_at;
    RETURN QUERY
    SELECT s.* FROM accounts a JOIN sessions s ON s.session_id = a.kept_session
     WHERE a.user_id = of_user AND s.user_id = of_user AND s.epoch <> a.session_epoch AND s.session_id > after_session;
END
$$;

-- What the other index was for. To remove it takes a lock that waits for everything that reads sessions; if that takes long, it
-- stays, and costs logins a little until it is dropped by hand.
DO $$
BEGIN
    PERFORM set_config('lock_timeout', '2s', true);
    DROP INDEX sessions_by_user;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    RAISE WARNING 'sessions are being read: DROP INDEX sessions_by_user was left out and can be done later';
END
$$;
