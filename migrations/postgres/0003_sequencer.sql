-- The one order of all events: dense, final, the same on every node.

CREATE TABLE event_log (
    log_index      bigint PRIMARY KEY CHECK (log_index > 0),
    aggregate_type text COLLATE "C" NOT NULL,
    aggregate_id   text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    leaf_hash      bytea NOT NULL,
    UNIQUE (aggregate_type, aggregate_id, sequence)
);

CREATE TRIGGER event_log_is_never_changed
    BEFORE UPDATE OR DELETE OR TRUNCATE ON event_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE event_log ENABLE ALWAYS TRIGGER event_log_is_never_changed;

-- How far the sequencer has come.
CREATE TABLE sequencer (
    id            int PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    last_txid     xid8 NOT NULL DEFAULT '0',
    last_position bigint NOT NULL DEFAULT 0,
    last_index    bigint NOT NULL DEFAULT 0,
    -- Events up to this position came out of a backup and are all in event_log; see take_over_sequencer.
    min_position  bigint NOT NULL DEFAULT 0,
    -- Each new leader adds one, and a batch of an earlier leader is refused.
    epoch         bigint NOT NULL DEFAULT 0
);
INSERT INTO sequencer DEFAULT VALUES;

-- The hash of an event as a leaf of the log's Merkle tree: SHA-256 over the prefix of a leaf (RFC 6962, 2.1) and these
-- fields, a line feed between each two. No field contains a line feed: payload and metadata are compact JSON, in which
-- one is written \n, and the others are ours; so the join is unambiguous. infrastructure/src/leaf.rs computes the same.
CREATE FUNCTION leaf_hash(
    aggregate_type text, aggregate_id text, sequence bigint, event_type text, event_version text,
    recorded_at timestamptz, payload json, metadata json
) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT sha256('\x00'::bytea || convert_to(
        aggregate_type || chr(10) ||
        aggregate_id || chr(10) ||
        sequence::text || chr(10) ||
        event_type || chr(10) ||
        event_version || chr(10) ||
        -- Microseconds since 1970; extract is exact.
        (extract(epoch FROM recorded_at) * 1000000)::bigint::text || chr(10) ||
        payload::text || chr(10) ||
        metadata::text,
        'UTF8'))
$$;

-- Appends up to batch_size committed events to event_log and says how many.
--
-- A transaction's number is drawn when it first writes, its events become visible when it commits, and commits come in
-- any order. But once a number is below the snapshot's xmin, its transaction and all before it have ended: no event can
-- appear there any more. So events below xmin, in order of (txid, position), are a prefix of the final order, whoever
-- computes it and how often. A writing transaction that stays open anywhere in the cluster delays this; it loses nothing.
CREATE FUNCTION sequence_batch(batch_size int, my_epoch bigint) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    mark   sequencer;
    copied int;
BEGIN
    -- Polling an idle log shall neither lock nor write.
    SELECT * INTO STRICT mark FROM sequencer;
    IF mark.epoch = my_epoch AND NOT EXISTS (
        SELECT FROM events
         WHERE (txid, position) > (mark.last_txid, mark.last_position)
           AND txid < pg_snapshot_xmin(pg_current_snapshot())
           AND position > mark.min_position
    ) THEN
        RETURN 0;
    END IF;

    -- The lock and the epoch keep two leaders apart, should one believe so too long.
    SELECT * INTO mark FROM sequencer WHERE epoch = my_epoch FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'another node leads the sequencer' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;

    WITH batch AS (
        SELECT e.*, row_number() OVER (ORDER BY txid, position) AS nth
          FROM events e
         WHERE (txid, position) > (mark.last_txid, mark.last_position)
           AND txid < pg_snapshot_xmin(pg_current_snapshot())
           AND position > mark.min_position
         ORDER BY txid, position
         LIMIT batch_size
    ), logged AS (
        INSERT INTO event_log (log_index, aggregate_type, aggregate_id, sequence, leaf_hash)
        SELECT mark.last_index + nth, aggregate_type, aggregate_id, sequence,
               leaf_hash(aggregate_type, aggregate_id, sequence, event_type, event_version,
                         recorded_at, payload, metadata)
          FROM batch
         ORDER BY nth
    ), last AS (
        SELECT txid, position, nth FROM batch ORDER BY nth DESC LIMIT 1
    )
    UPDATE sequencer
       SET last_txid = last.txid, last_position = last.position, last_index = mark.last_index + last.nth
      FROM last
    RETURNING last.nth INTO copied;
    RETURN coalesce(copied, 0);
END
$$;

-- Makes the caller the leader and returns its epoch.
--
-- Transactions' numbers belong to a cluster. Events that were restored from a dump into another cluster may carry numbers
-- that this one has yet to reach: they would never come below xmin, and new events would sort before them. Such events
-- are recognised because nothing visible has a number that the snapshot does not know. They are appended in their old
-- order, and from then on only events of later positions are looked at.
CREATE FUNCTION take_over_sequencer() RETURNS bigint LANGUAGE plpgsql AS $$
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
