-- Logout tokens that clients are to get (OpenID Connect Back-Channel Logout 1.0, docs/adr/0041).
--
-- Rolling upgrade: nodes of the version before neither read nor write the new tables. They erase accounts with `erase_account`, which
-- queues the logouts of the sessions that it deletes. They themselves delete the sessions of an account that has more than a thousand,
-- whose logouts are then queued from the event of the erasure, if a new node reads it before the sessions are gone.
--
-- Sessions are not written while their index is built: to build it while nodes write, execute the first statement with CONCURRENTLY
-- before the upgrade.

-- The sessions that end with another one.
CREATE INDEX IF NOT EXISTS sessions_by_parent ON sessions (parent) WHERE parent IS NOT NULL;

-- The clients that get logout tokens.
CREATE INDEX IF NOT EXISTS clients_with_backchannel_logout ON clients (client_id)
    WHERE strpos(state, '"backchannel_logout_uri":"') > 0;

-- How far the ends of sessions were read, in the order of the log. It is written together with what it leads to.
CREATE TABLE logout_position (
    id            int PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    last_txid     xid8 NOT NULL,
    last_position bigint NOT NULL,
    -- Of the next event, the sessions up to this one are queued already.
    after_session uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
);
INSERT INTO logout_position (last_txid, last_position) SELECT last_txid, last_position FROM sequencer;

-- The queue: sessions of clients that have ended. Not a read model: a rebuild does not send old logout tokens again.
CREATE TABLE due_logouts (
    place      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id  text COLLATE "C" NOT NULL,
    session_id uuid NOT NULL UNIQUE,
    user_id    uuid NOT NULL,
    ended_at   timestamptz NOT NULL,
    -- How often the client refused the token, and when it is sent again.
    refusals   bigint NOT NULL DEFAULT 0,
    due_at     timestamptz NOT NULL DEFAULT 'epoch'
);
CREATE INDEX due_logouts_by_client ON due_logouts (client_id, due_at, place);

-- The clients that had something in the queue, each with its lease and its pause.
CREATE TABLE logout_receivers (
    client_id     text COLLATE "C" PRIMARY KEY,
    leases        bigint NOT NULL DEFAULT 0,
    failures      bigint NOT NULL DEFAULT 0,
    failing_since timestamptz,
    due_at        timestamptz NOT NULL DEFAULT 'epoch'
);

-- Queues the logouts of those of these sessions that belong to clients which get logout tokens. The order keeps two calls from
-- waiting for each other. Two transactions with several calls may: one of them is then aborted, and repeated.
CREATE FUNCTION queue_logouts_of(ended uuid[], over_at timestamptz) RETURNS void LANGUAGE plpgsql STRICT AS $$
BEGIN
    INSERT INTO due_logouts (client_id, session_id, user_id, ended_at)
    SELECT s.client_id, s.session_id, s.user_id, over_at
      FROM sessions s
     WHERE s.session_id = ANY(ended)
       AND EXISTS (SELECT FROM clients c
                    WHERE c.client_id = s.client_id AND strpos(c.state, '"backchannel_logout_uri":"') > 0)
     ORDER BY s.session_id
    ON CONFLICT (session_id) DO NOTHING;
    INSERT INTO logout_receivers (client_id)
    SELECT DISTINCT s.client_id FROM sessions s JOIN due_logouts d USING (session_id)
     WHERE s.session_id = ANY(ended)
     ORDER BY s.client_id
    ON CONFLICT (client_id) DO NOTHING;
END
$$;

-- Reads the next ends of sessions, up to where the log is in order, and queues the logouts that they lead to: up to `at_most` sessions.
-- Several nodes may call it; one works at a time.
--
-- While a table is new and small, the planner would choose to read all of it, and keep that plan when the table has grown.
--
-- `state` is "idle" (nothing to read), "nothing" (what there is to read ends no session), "busy" (another node reads), "unused" (no
-- client gets logout tokens), "done", or "more".
CREATE FUNCTION queue_logouts(at_most int, OUT state text, OUT queued int) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    log_end sequencer;
    reached logout_position;
    ended   record;
    batch   uuid[];
    is_used boolean;
BEGIN
    queued := 0;
    SELECT * INTO STRICT log_end FROM sequencer;
    -- A node that finds nothing takes no lock.
    IF EXISTS (SELECT FROM logout_position
                WHERE (last_txid, last_position) = (log_end.last_txid, log_end.last_position)) THEN
        state := 'idle';
        RETURN;
    END IF;
    -- Most events end no session. The place stays behind, because to move it would be a write for each of them.
    is_used := EXISTS (SELECT FROM clients WHERE strpos(clients.state, '"backchannel_logout_uri":"') > 0);
    SELECT * INTO STRICT reached FROM logout_position;
    IF is_used AND log_end.last_txid >= reached.last_txid AND log_end.last_position < reached.last_position + 1000
       AND NOT EXISTS (
        SELECT FROM events e
         WHERE (ends_sessions OR event_type IN ('LoggedOut', 'RefreshTokenReused', 'SessionRevoked', 'PasswordReset', 'PasswordChanged', 'SessionsRevoked', 'RoleChanged', 'UserLocked', 'UserErased'))
           AND e.txid >= reached.last_txid AND e.txid <= log_end.last_txid
           AND (e.txid, e.position) > (reached.last_txid, reached.last_position)
           AND (e.txid, e.position) <= (log_end.last_txid, log_end.last_position)
           AND e.position > log_end.min_position) THEN
        state := 'nothing';
        RETURN;
    END IF;
    SELECT * INTO reached FROM logout_position FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        state := 'busy';
        RETURN;
    END IF;
    -- Another node may have gone further than the end that was read before the lock. The place never moves back.
    SELECT * INTO STRICT log_end FROM sequencer;
    -- A crash of the server that loses this commit also loses what it queued, and the same is queued again.
    PERFORM set_config('synchronous_commit', 'off', true);

    -- Nothing is queued for clients without an address. In another cluster, into which a dump was restored, transactions have other
    -- numbers (see take_over_sequencer): what had not been read when the dump was made is passed over.
    IF log_end.last_txid < reached.last_txid OR NOT is_used THEN
        UPDATE logout_position
           SET last_txid = log_end.last_txid, last_position = log_end.last_position, after_session = DEFAULT;
        state := 'unused';
        RETURN;
    END IF;

    state := 'done';
    FOR ended IN
        SELECT e.txid, e.position, e.recorded_at, e.aggregate_type, e.aggregate_id, e.user_id,
               CASE WHEN e.aggregate_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN e.aggregate_id::uuid END AS id,
               e.payload -> e.event_type ->> 'session_epoch' AS epoch,
               e.payload -> e.event_type ->> 'kept_session' AS kept
          FROM events e
         WHERE (ends_sessions OR event_type IN ('LoggedOut', 'RefreshTokenReused', 'SessionRevoked', 'PasswordReset', 'PasswordChanged', 'SessionsRevoked', 'RoleChanged', 'UserLocked', 'UserErased'))
           AND e.txid >= reached.last_txid AND e.txid <= log_end.last_txid
           AND (e.txid, e.position) > (reached.last_txid, reached.last_position)
           AND (e.txid, e.position) <= (log_end.last_txid, log_end.last_position)
           AND e.position > log_end.min_position
         ORDER BY e.txid, e.position
         LIMIT at_most
    LOOP
        -- What cannot be read ends nothing here; the deny list reports it.
        IF ended.aggregate_type = 'session' THEN
            -- The session itself, as it started: its row may be gone.
            INSERT INTO due_logouts (client_id, session_id, user_id, ended_at)
            SELECT c.client_id, ended.id, ended.user_id, ended.recorded_at
              FROM events start JOIN clients c ON c.client_id = start.payload -> 'LoggedIn' ->> 'client'
             WHERE start.aggregate_type = 'session' AND start.aggregate_id = ended.aggregate_id AND start.sequence = 1
               AND strpos(c.state, '"backchannel_logout_uri":"') > 0
               AND ended.id IS NOT NULL AND ended.user_id IS NOT NULL
            ON CONFLICT (session_id) DO NOTHING;
            INSERT INTO logout_receivers (client_id)
            SELECT client_id FROM due_logouts WHERE session_id = ended.id
            ON CONFLICT (client_id) DO NOTHING;
            batch := ARRAY(
                SELECT s.session_id FROM sessions s
                 WHERE s.parent = ended.id AND s.session_id > reached.after_session
                   AND s.ended_at IS NULL AND s.expires_at > ended.recorded_at
                 ORDER BY s.session_id LIMIT at_most);
        ELSIF ended.aggregate_type = 'user' AND ended.epoch ~ '^\d{1,10}$' THEN
            -- Those of the epoch that this event ended: older ones were queued with theirs, although their rows do not say so. What
            -- ended with its parent is queued with the end of the parent.
            batch := ARRAY(
                SELECT s.session_id FROM sessions s
                 WHERE s.user_id = ended.id AND s.session_id > reached.after_session
                   AND s.epoch = ended.epoch::bigint - 1 AND s.client_id IS NOT NULL
                   AND (s.parent IS NULL
                        OR EXISTS (SELECT FROM sessions p WHERE p.session_id = s.parent AND p.ended_at IS NULL))
                   AND s.session_id::text IS DISTINCT FROM ended.kept
                   AND s.ended_at IS NULL AND s.expires_at > ended.recorded_at
                 ORDER BY s.session_id LIMIT at_most);
        ELSE
            batch := '{}';
        END IF;
        PERFORM queue_logouts_of(batch, ended.recorded_at);
        queued := queued + cardinality(batch) + 1;
        IF cardinality(batch) = at_most THEN
            reached.after_session := batch[at_most];
            state := 'more';
            EXIT;
        END IF;
        reached.last_txid := ended.txid;
        reached.last_position := ended.position;
        reached.after_session := '00000000-0000-0000-0000-000000000000';
        IF queued >= at_most THEN
            state := 'more';
            EXIT;
        END IF;
    END LOOP;
    IF state = 'done' THEN
        reached.last_txid := log_end.last_txid;
        reached.last_position := log_end.last_position;
    END IF;
    UPDATE logout_position
       SET last_txid = reached.last_txid, last_position = reached.last_position, after_session = reached.after_session;
END
$$;

-- Those of these sessions of an account that may be live, or whose end was perhaps not read yet. Their rows do not say whether they
-- ended with their parent or with an epoch. What ended with an earlier epoch than the last, or more than an hour ago with its parent,
-- was queued then.
CREATE FUNCTION sessions_to_queue(of_user uuid, among uuid[]) RETURNS uuid[] LANGUAGE sql STABLE AS $$
    SELECT ARRAY(
        SELECT s.session_id FROM sessions s
         WHERE s.session_id = ANY(among) AND s.ended_at IS NULL AND s.expires_at > now()
           AND s.epoch >= coalesce((SELECT a.session_epoch FROM accounts a WHERE a.user_id = of_user), 0) - 1
           AND NOT EXISTS (SELECT FROM sessions p
                            WHERE p.session_id = s.parent AND p.ended_at < now() - interval '1 hour'));
$$;

-- Removes up to `at_most` sessions of an erased account whose erasure is not finished. Returns whether there was such an account. The
-- erasure is finished once a snapshot shows no session of it, which is in the call after the last one was removed.
CREATE FUNCTION continue_erasure(at_most int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    erased uuid;
    batch  uuid[];
BEGIN
    SELECT user_id INTO erased FROM unfinished_erasures ORDER BY user_id LIMIT 1;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM unfinished_erasures u
     WHERE u.user_id = erased AND NOT EXISTS (SELECT FROM sessions s WHERE s.user_id = u.user_id);
    batch := ARRAY(SELECT s.session_id FROM sessions s WHERE s.user_id = erased LIMIT at_most FOR UPDATE SKIP LOCKED);
    PERFORM queue_logouts_of(sessions_to_queue(erased, batch), now());
    DELETE FROM opaque_tokens WHERE session_id = ANY(batch);
    DELETE FROM sessions WHERE session_id = ANY(batch);
    RETURN true;
END
$$;

-- As before (0032), and it queues the logouts of the sessions that it deletes.
CREATE OR REPLACE FUNCTION erase_account(erased uuid, resets uuid[]) RETURNS void LANGUAGE plpgsql STRICT AS $$
DECLARE
    batch uuid[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(erased::text, 0));
    batch := array(SELECT session_id FROM sessions WHERE user_id = erased LIMIT 1000);
    PERFORM queue_logouts_of(sessions_to_queue(erased, batch), now());
    DELETE FROM subject_keys WHERE user_id = erased;
    DELETE FROM identifier_claims WHERE owner = erased;
    DELETE FROM credentials WHERE user_id = erased;
    DELETE FROM second_factors WHERE user_id = erased;
    DELETE FROM passkeys WHERE user_id = erased;
    DELETE FROM recovery_codes WHERE user_id = erased;
    DELETE FROM opaque_tokens WHERE session_id = ANY(batch);
    DELETE FROM sessions WHERE session_id = ANY(batch);
    INSERT INTO unfinished_erasures (user_id)
    SELECT erased WHERE EXISTS (SELECT FROM sessions WHERE user_id = erased)
    ON CONFLICT (user_id) DO NOTHING;
    DELETE FROM accounts WHERE user_id = erased;
    DELETE FROM mail_queue WHERE user_id = erased;
    DELETE FROM due_mail WHERE user_id = erased;
    DELETE FROM reset_requests WHERE reset_id = ANY(resets);
END
$$;
