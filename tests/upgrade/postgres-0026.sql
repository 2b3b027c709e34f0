--
-- PostgreSQL database dump
--


-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: accounts; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.accounts (
    user_id uuid NOT NULL,
    version bigint NOT NULL,
    number bigint NOT NULL,
    username text,
    email text,
    name text,
    phone text,
    role text NOT NULL,
    credential_id uuid NOT NULL,
    session_epoch bigint NOT NULL,
    reset_id uuid,
    reset_expires_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    email_verified boolean DEFAULT false NOT NULL,
    locked boolean DEFAULT false NOT NULL,
    kept_session uuid,
    verification_id uuid,
    verification_email text,
    verification_expires_at timestamp with time zone,
    recent_requests text,
    mac bytea,
    CONSTRAINT accounts_check CHECK (((reset_id IS NULL) = (reset_expires_at IS NULL))),
    CONSTRAINT accounts_check1 CHECK (((verification_id IS NULL) = (verification_expires_at IS NULL)))
)
WITH (fillfactor='85');


--
-- Name: accounts_after(bigint, bigint); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.accounts_after(after_number bigint, at_most bigint) RETURNS SETOF public.accounts
    LANGUAGE plpgsql STABLE
    SET enable_bitmapscan TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
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


--
-- Name: admit_mail(bytea, text, timestamp with time zone, timestamp with time zone, interval, timestamp with time zone, interval); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.admit_mail(recipient bytea, mail_kind text, moment timestamp with time zone, kind_limit timestamp with time zone, kind_step interval, all_limit timestamp with time zone, all_step interval) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    AS $$
DECLARE
    kind_used timestamptz;
    all_used  timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(encode(recipient, 'hex'), 1));
    -- It is stored: otherwise the budget would never be less used than that.
    UPDATE mail_budgets SET used_until = kind_limit + kind_step
     WHERE mailbox = recipient AND kind = mail_kind AND used_until > kind_limit + kind_step;
    UPDATE mail_budgets SET used_until = moment + 30 * all_step
     WHERE mailbox = recipient AND kind = 'all' AND used_until > moment + 30 * all_step;
    SELECT greatest(moment, max(used_until)) INTO kind_used
      FROM mail_budgets WHERE mailbox = recipient AND kind = mail_kind;
    SELECT greatest(moment, max(used_until)) INTO all_used
      FROM mail_budgets WHERE mailbox = recipient AND kind = 'all';
    IF kind_used > kind_limit OR all_used > all_limit THEN
        RETURN moment + greatest(kind_used - kind_limit, all_used - all_limit);
    END IF;
    INSERT INTO mail_budgets (mailbox, kind, used_until)
    VALUES (recipient, mail_kind, kind_used + kind_step), (recipient, 'all', all_used + all_step)
    ON CONFLICT (mailbox, kind) DO UPDATE SET used_until = excluded.used_until;
    RETURN NULL;
END
$$;


--
-- Name: begin_append(uuid[], text[], text[], bigint[], timestamp with time zone); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.begin_append(users uuid[], kinds text[], ids text[], versions bigint[], not_after timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    AS $$
DECLARE
    missing uuid[];
BEGIN
    IF cardinality(users) > 0 THEN
        IF cardinality(ids) > 0 THEN
            missing := hold_accounts(users);
        ELSE
            missing := hold_existing_accounts(users);
        END IF;
        -- By these codes the program tells.
        IF cardinality(missing) > 0 THEN
            RAISE EXCEPTION 'the account does not exist' USING ERRCODE = 'AE001';
        END IF;
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


--
-- Name: change_sealing_key(bytea); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.change_sealing_key(to_be bytea) RETURNS void
    LANGUAGE plpgsql STRICT
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7022647185798817569);
    INSERT INTO sealing_key (fingerprint) VALUES (to_be)
    ON CONFLICT (id) DO UPDATE SET fingerprint = excluded.fingerprint;
END
$$;


--
-- Name: complete_mail(uuid, bigint, bigint); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.complete_mail(done uuid, attempt bigint, told bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM FROM mail_queue WHERE mail_id = done AND attempts = attempt FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    DELETE FROM mail_queue WHERE mail_id = done AND happened <= told;
    -- One attempt more: a second completion of this attempt changes nothing.
    UPDATE mail_queue
       SET happened = happened - told, admitted = false, attempts = attempts + 1, unacknowledged = 0, due_at = happened_at
     WHERE mail_id = done;
END
$$;


--
-- Name: erase_account(uuid, uuid[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.erase_account(erased uuid, resets uuid[]) RETURNS void
    LANGUAGE plpgsql STRICT
    AS $$
DECLARE
    batch uuid[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(erased::text, 0));
    batch := array(SELECT session_id FROM sessions WHERE user_id = erased LIMIT 1000);
    DELETE FROM subject_keys WHERE user_id = erased;
    DELETE FROM identifier_claims WHERE owner = erased;
    DELETE FROM credentials WHERE user_id = erased;
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


--
-- Name: events; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.events (
    aggregate_type text NOT NULL COLLATE pg_catalog."C",
    aggregate_id text NOT NULL COLLATE pg_catalog."C",
    sequence bigint NOT NULL,
    event_type text NOT NULL,
    event_version text NOT NULL,
    payload json NOT NULL,
    metadata json NOT NULL,
    "position" bigint NOT NULL,
    txid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    user_id uuid GENERATED ALWAYS AS (((metadata ->> 'user_id'::text))::uuid) STORED,
    CONSTRAINT events_sequence_check CHECK ((sequence > 0))
);


--
-- Name: events_of_user_after(uuid, xid8, bigint, bigint, bigint); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.events_of_user_after(of_user uuid, after_txid xid8, after_position bigint, min_position bigint, looks_at bigint) RETURNS SETOF public.events
    LANGUAGE plpgsql STABLE
    SET enable_bitmapscan TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
BEGIN
    RETURN QUERY
    SELECT * FROM events e
     WHERE e.user_id = of_user AND (e.txid, e.position) > (after_txid, after_position) AND e.position > min_position
     ORDER BY e.txid, e.position LIMIT looks_at;
END
$$;


--
-- Name: hold_accounts(uuid[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.hold_accounts(users uuid[]) RETURNS uuid[]
    LANGUAGE plpgsql STRICT
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(held::text, 0))
       FROM (SELECT DISTINCT held FROM unnest(users) AS held ORDER BY held) AS in_order;
    RETURN array(SELECT user_id FROM events WHERE event_type = 'UserErased' AND user_id = ANY(users));
END
$$;


--
-- Name: hold_existing_accounts(uuid[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.hold_existing_accounts(users uuid[]) RETURNS uuid[]
    LANGUAGE plpgsql
    AS $$
BEGIN
    -- What follows the locks is a statement of its own in a volatile function, and sees every erasure that they waited for.
    RETURN hold_accounts(users) || array(
        SELECT held FROM unnest(users) AS held
         WHERE (SELECT true FROM accounts WHERE user_id = held) IS NOT TRUE);
END
$$;


--
-- Name: leaf_hash(text, text, bigint, text, text, timestamp with time zone, json, json); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.leaf_hash(aggregate_type text, aggregate_id text, sequence bigint, event_type text, event_version text, recorded_at timestamp with time zone, payload json, metadata json) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    SELECT sha256('\x00'::bytea || convert_to(
        aggregate_type || chr(10) ||
        aggregate_id || chr(10) ||
        sequence::text || chr(10) ||
        event_type || chr(10) ||
        event_version || chr(10) ||
        -- Microseconds since 1970; extract is exact.
        least(greatest(extract(epoch FROM recorded_at) * 1000000, -9223372036854775808), 9223372036854775807)::bigint::text
            || chr(10) ||
        payload::text || chr(10) ||
        metadata::text,
        'UTF8'))
$$;


--
-- Name: mail_kind_of(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.mail_kind_of(event_type text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT CASE event_type
               WHEN 'PasswordReset' THEN 'password-changed'
               WHEN 'PasswordChanged' THEN 'password-changed'
               WHEN 'UserLocked' THEN 'account-locked'
               WHEN 'RefreshTokenReused' THEN 'refresh-token-reused'
               WHEN 'EmailVerificationRequested' THEN 'verification-link'
           END
$$;


--
-- Name: move_due_mail(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.move_due_mail() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    WITH gone AS (
        DELETE FROM due_mail
         WHERE aggregate_type = NEW.aggregate_type AND aggregate_id = NEW.aggregate_id AND sequence = NEW.sequence
        RETURNING *
    )
    INSERT INTO mail_queue AS waiting (mail_id, user_id, kind, happened, happened_at, due_at)
    SELECT gen_random_uuid(), gone.user_id, mail_kind_of(event.event_type), 1, event.recorded_at, gone.due_at
      FROM gone JOIN events AS event USING (aggregate_type, aggregate_id, sequence)
     WHERE mail_kind_of(event.event_type) IS NOT NULL
    ON CONFLICT (user_id, kind, mailbox) DO UPDATE
    SET happened = waiting.happened + 1, happened_at = greatest(waiting.happened_at, excluded.happened_at);
    RETURN NULL;
END
$$;


--
-- Name: place_account(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.place_account() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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


--
-- Name: refuse_change(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: what was recorded stays as it is', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;


--
-- Name: refuse_erased(uuid[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.refuse_erased(users uuid[]) RETURNS void
    LANGUAGE plpgsql STRICT
    AS $$
BEGIN
    IF cardinality(hold_accounts(users)) > 0 THEN
        -- By this code the program tells.
        RAISE EXCEPTION 'the account was erased' USING ERRCODE = 'AE001';
    END IF;
END
$$;


--
-- Name: require_administrator_beside(uuid); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.require_administrator_beside(account uuid) RETURNS void
    LANGUAGE plpgsql STRICT
    AS $$
BEGIN
    -- "authadmn" in ASCII, as a number: one lock beside those of the accounts.
    PERFORM pg_advisory_xact_lock(7022647185613548910);
    IF NOT EXISTS (SELECT FROM accounts WHERE role = 'admin' AND NOT locked AND user_id <> account) THEN
        -- By this code the program tells.
        RAISE EXCEPTION 'no other account is an administrator''s' USING ERRCODE = 'AE003';
    END IF;
END
$$;


--
-- Name: require_rows(bigint[], bigint[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.require_rows(written bigint[], planned bigint[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF written IS DISTINCT FROM planned THEN
        RAISE EXCEPTION 'of % rows % were written: a trigger or a rule interferes. Run authlog doctor', planned, written
            USING ERRCODE = 'AE006';
    END IF;
END
$$;


--
-- Name: require_sealing_key(bytea); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.require_sealing_key(mine bytea) RETURNS void
    LANGUAGE plpgsql STRICT
    AS $$
BEGIN
    -- "authlog!" in ASCII, as a number: one lock beside those of the accounts.
    PERFORM pg_advisory_xact_lock_shared(7022647185798817569);
    IF NOT EXISTS (SELECT FROM sealing_key WHERE fingerprint = mine) THEN
        RAISE EXCEPTION 'another master key seals what is new' USING ERRCODE = 'AE002';
    END IF;
END
$$;


--
-- Name: sequence_batch(integer, bigint); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.sequence_batch(batch_size integer, my_epoch bigint) RETURNS integer
    LANGUAGE plpgsql
    AS $$
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


--
-- Name: sessions; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.sessions (
    session_id uuid NOT NULL,
    version bigint NOT NULL,
    user_id uuid NOT NULL,
    contract text,
    epoch bigint NOT NULL,
    rotation text,
    generation bigint NOT NULL,
    started_at timestamp with time zone NOT NULL,
    last_used_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    rotated_at timestamp with time zone NOT NULL,
    mac bytea
)
WITH (fillfactor='85');


--
-- Name: sessions_of_user_after(uuid, uuid, bigint); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.sessions_of_user_after(of_user uuid, after_session uuid, looks_at bigint) RETURNS SETOF public.sessions
    LANGUAGE plpgsql STABLE
    SET enable_bitmapscan TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
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


--
-- Name: take_over_sequencer(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.take_over_sequencer() RETURNS bigint
    LANGUAGE plpgsql
    AS $$
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


--
-- Name: _sqlx_migrations; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public._sqlx_migrations (
    version bigint NOT NULL,
    description text NOT NULL,
    installed_on timestamp with time zone DEFAULT now() NOT NULL,
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);


--
-- Name: account_numbers; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.account_numbers
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: account_places; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.account_places (
    number bigint NOT NULL,
    txid xid8 NOT NULL,
    listed boolean NOT NULL
);


--
-- Name: checkpoints; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.checkpoints (
    tree_size bigint NOT NULL,
    note text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT checkpoints_tree_size_check CHECK ((tree_size > 0))
);


--
-- Name: credentials; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.credentials (
    user_id uuid NOT NULL,
    credential_id uuid NOT NULL,
    password_hash text NOT NULL,
    sealed bytea
);


--
-- Name: due_mail; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.due_mail (
    aggregate_type text NOT NULL COLLATE pg_catalog."C",
    aggregate_id text NOT NULL COLLATE pg_catalog."C",
    sequence bigint NOT NULL,
    user_id uuid NOT NULL,
    attempts bigint DEFAULT 0 NOT NULL,
    due_at timestamp with time zone NOT NULL
);


--
-- Name: event_log; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.event_log (
    log_index bigint NOT NULL,
    aggregate_type text NOT NULL COLLATE pg_catalog."C",
    aggregate_id text NOT NULL COLLATE pg_catalog."C",
    sequence bigint NOT NULL,
    leaf_hash bytea NOT NULL,
    CONSTRAINT event_log_log_index_check CHECK ((log_index > 0))
);


--
-- Name: events_position_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.events ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.events_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: finished_upgrades; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.finished_upgrades (
    name text NOT NULL
);


--
-- Name: identifier_claims; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.identifier_claims (
    kind text NOT NULL,
    digest bytea NOT NULL,
    owner uuid NOT NULL
);


--
-- Name: log_marks; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.log_marks (
    number bigint NOT NULL,
    txid xid8 NOT NULL
);


--
-- Name: log_nodes; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.log_nodes (
    level smallint NOT NULL,
    node_index bigint NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT log_nodes_hash_check CHECK ((length(hash) = 32)),
    CONSTRAINT log_nodes_level_check CHECK (((level > 0) AND (((level)::integer % 8) = 0))),
    CONSTRAINT log_nodes_node_index_check CHECK ((node_index >= 0))
);


--
-- Name: mail_budgets; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.mail_budgets (
    mailbox bytea NOT NULL,
    kind text NOT NULL COLLATE pg_catalog."C",
    used_until timestamp with time zone NOT NULL
);


--
-- Name: mail_queue; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.mail_queue (
    mail_id uuid NOT NULL,
    user_id uuid NOT NULL,
    kind text NOT NULL COLLATE pg_catalog."C",
    mailbox bytea DEFAULT '\x'::bytea NOT NULL,
    address bytea,
    happened bigint NOT NULL,
    happened_at timestamp with time zone NOT NULL,
    admitted boolean DEFAULT false NOT NULL,
    attempts bigint DEFAULT 0 NOT NULL,
    due_at timestamp with time zone NOT NULL,
    unacknowledged bigint DEFAULT 0 NOT NULL
);


--
-- Name: opaque_tokens; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.opaque_tokens (
    digest bytea NOT NULL,
    session_id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    mac bytea
);


--
-- Name: reset_requests; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.reset_requests (
    reset_id uuid NOT NULL,
    identifier bytea NOT NULL,
    requested_at timestamp with time zone NOT NULL,
    context json NOT NULL,
    attempts bigint NOT NULL,
    due_at timestamp with time zone NOT NULL,
    admitted boolean DEFAULT false NOT NULL,
    unacknowledged bigint DEFAULT 0 NOT NULL
);


--
-- Name: sealing_key; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.sealing_key (
    id integer DEFAULT 1 NOT NULL,
    fingerprint bytea NOT NULL,
    CONSTRAINT sealing_key_id_check CHECK ((id = 1))
);


--
-- Name: sequencer; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.sequencer (
    id integer DEFAULT 1 NOT NULL,
    last_txid xid8 DEFAULT '0'::xid8 NOT NULL,
    last_position bigint DEFAULT 0 NOT NULL,
    last_index bigint DEFAULT 0 NOT NULL,
    min_position bigint DEFAULT 0 NOT NULL,
    epoch bigint DEFAULT 0 NOT NULL,
    CONSTRAINT sequencer_id_check CHECK ((id = 1))
);


--
-- Name: shared_secrets; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.shared_secrets (
    name text NOT NULL,
    sealed bytea NOT NULL
);


--
-- Name: signing_key_changes; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.signing_key_changes (
    id integer DEFAULT 1 NOT NULL,
    number bigint NOT NULL,
    CONSTRAINT signing_key_changes_id_check CHECK ((id = 1))
);


--
-- Name: signing_keys; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.signing_keys (
    kid text NOT NULL,
    algorithm text NOT NULL,
    signs_from timestamp with time zone NOT NULL,
    signs_until timestamp with time zone,
    retired_at timestamp with time zone,
    sealed bytea,
    CONSTRAINT signing_keys_check CHECK ((signs_until >= signs_from)),
    CONSTRAINT signing_keys_check1 CHECK (((retired_at IS NULL) OR ((signs_until IS NOT NULL) AND (sealed IS NULL))))
);


--
-- Name: subject_keys; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.subject_keys (
    user_id uuid NOT NULL,
    wrapped bytea NOT NULL
);


--
-- Name: unfinished_erasures; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.unfinished_erasures (
    user_id uuid NOT NULL
);


--
-- Name: write_probe; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.write_probe (
    filler text NOT NULL
);
ALTER TABLE ONLY public.write_probe ALTER COLUMN filler SET STORAGE PLAIN;


--
-- Data for Name: _sqlx_migrations; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public._sqlx_migrations VALUES (1, 'events', '2026-11-28 22:47:10.076702+00', true, '\xd91ceeb0979878daf959225f274dc789393558f2d922267cc80c8b417bc5f0d0fa0fdf5f9e77b67a8a78799b3ddd8ba7', 147586486);
INSERT INTO public._sqlx_migrations VALUES (2, 'read models', '2026-11-28 22:47:10.227754+00', true, '\x3eed22d9db8b4836993ab698f733ed4e2da740cb834580179c3a183666735cdf171e466aa0010998129ee2abf0537c50', 82641470);
INSERT INTO public._sqlx_migrations VALUES (3, 'sequencer', '2026-11-28 22:47:10.31163+00', true, '\xbfb9ee3900585faca8bfd1666093cbfdb3d41dbcd7608bdf983ac3320a714e37225be658ead4012356c59f01cde13a10', 118608412);
INSERT INTO public._sqlx_migrations VALUES (4, 'log tree', '2026-11-28 22:47:10.431136+00', true, '\xb8b9eb539ffa9aa458541a75b6857a4cc2cb710f853a37c30f3148b77c2c5cc7f9d8b20f90eed3545e86516c69c1d48c', 93098680);
INSERT INTO public._sqlx_migrations VALUES (5, 'erasure', '2026-11-28 22:47:10.526109+00', true, '\xa3b58db44cd74a03e399fff834840b4d2d7309a1eecd73af1e531dbc2b8b6626acae0a7f4b251546570b35ea5be51666', 262317844);
INSERT INTO public._sqlx_migrations VALUES (6, 'keys and roles', '2026-11-28 22:47:10.827196+00', true, '\x458f15c18980bc826dbaa1f18a541e04ef6655762b4beba58fd319609aea5c58f8e1ff9a5c7f3fe368ac1bfd812c8e32', 219893508);
INSERT INTO public._sqlx_migrations VALUES (7, 'accounts', '2026-11-28 22:47:11.060684+00', true, '\x335061bf2e581f40a482dd8fb858e585c4ac6f1a0f8280b45755a6c3af5009a86553c12db95a5a4ad6ca4ae4d40da3a4', 118135260);
INSERT INTO public._sqlx_migrations VALUES (8, 'session rows', '2026-11-28 22:47:11.224643+00', true, '\x0093a4f095b0c497dde4cdda879cf05ce2a69141e0bbb1fe39ba4a957b0475f3d2e25678abefa672703349531fd03c42', 19557143);
INSERT INTO public._sqlx_migrations VALUES (9, 'account rows', '2026-11-28 22:47:11.244574+00', true, '\x08609944fbbab0b2638d682cb7efd9bf915854c281d5d24e25bf3756cd1cd53b6c1d1c8752c9876362ca0e56a7b8ec4c', 4562396);
INSERT INTO public._sqlx_migrations VALUES (10, 'mail gate', '2026-11-28 22:47:11.257758+00', true, '\xa757f1e16f398b69afca506f6e83ac9dabbfaa1c0934f54bf3a0182ac8379ddba56bf8c085b49a3194bb7891f93eddd7', 41408094);
INSERT INTO public._sqlx_migrations VALUES (12, 'proofs and sessions', '2026-11-28 22:47:11.300611+00', true, '\x6208f3d325a41d2b20851657558bcb6443c95cb8599e5cccc6632076e37f5bc9196081a5069c2e9e8147389bab1c6c90', 4728552);
INSERT INTO public._sqlx_migrations VALUES (13, 'access seals', '2026-11-28 22:47:11.306228+00', true, '\xbc00060c2e1fe22f61c384e1dc532d371c3425e2ae1c16c006d81c47fb7f21d80b27e5d08953d1e2e17aaf0d806606ff', 2889234);
INSERT INTO public._sqlx_migrations VALUES (15, 'write probe', '2026-11-28 22:47:11.310675+00', true, '\x850837d30729c525699cfba0e0d030f046966aa5fb844c818cd876fb89f0f808c3ac4f06de8c0f451c8b1911e35fb436', 83644772);
INSERT INTO public._sqlx_migrations VALUES (17, 'predecessors', '2026-11-28 22:47:11.420545+00', true, '\x951e8902fb9f8f202500f16bdafe7c4f81ae60bd13955250e8d7d00d050005b62d6810490ec2edbbe721d23f71294bca', 24164636);
INSERT INTO public._sqlx_migrations VALUES (18, 'mail of old nodes', '2026-11-28 22:47:11.490557+00', true, '\xd0f7c2c38a831c7affbfcd5bf7fc964fc6f36fa62a10b6751a95c15882284b50544511054f6b17334abbbe7b2083e7ea', 83621680);
INSERT INTO public._sqlx_migrations VALUES (19, 'log marks', '2026-11-28 22:47:11.62138+00', true, '\xb81aac24c9c9a3ed98b0c17482ea450c5db9bc3b191418d6a505129944fe6b6e4b88213d1c82e03f0ac0bdabeed92b69', 56107796);
INSERT INTO public._sqlx_migrations VALUES (20, 'history in order', '2026-11-28 22:47:11.6805+00', true, '\x06b142ba9add0c5dcd29a2ba5795982264bfba6a3b35df4b3960aac221195a5cf335c0f3fe2cf539863f56c840f2c6a7', 28732036);
INSERT INTO public._sqlx_migrations VALUES (22, 'cheaper appends', '2026-11-28 22:47:11.711875+00', true, '\x49bd89e13c8d20078da7b20a10e790aa115237c93ee47221134038c3cd46b5edcc2af5f19a9c034b670ba8a46e1d9464', 12040287);
INSERT INTO public._sqlx_migrations VALUES (23, 'mailbox claims', '2026-11-28 22:47:11.727493+00', true, '\x66e3a131de41aa4f91188f427530d073c5f5a51f860013217e52e74600da31a9b9a9645497427def672f5e5e4d471c62', 34385129);
INSERT INTO public._sqlx_migrations VALUES (25, 'pages in order', '2026-11-28 22:47:11.76348+00', true, '\x7a4a04f4aef60e9437a89645ecc254b2752b4ef05e8bcb2f1d87003d1db5e2b7e985f0c6832ad1f0c1967070a68c9b60', 83124528);
INSERT INTO public._sqlx_migrations VALUES (26, 'alarms', '2026-11-28 22:47:11.85953+00', true, '\x6fc3b308a3536c708d26afe361c5f7e08dad8f4b3326194410148c03e181a7c44883b527ab6627b43073f76011d0e103', 11759367);


--
-- Data for Name: account_places; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.account_places VALUES (1, '2085', true);
INSERT INTO public.account_places VALUES (2, '2154', false);
INSERT INTO public.account_places VALUES (3, '2214', true);
INSERT INTO public.account_places VALUES (4, '2241', true);
INSERT INTO public.account_places VALUES (5, '2250', true);
INSERT INTO public.account_places VALUES (6, '2264', true);


--
-- Data for Name: accounts; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.accounts VALUES ('01a22457-51dc-7aea-aaa2-6976b765c949', 7, 1, 'ada', 'ada@example.com', NULL, NULL, 'auditor', 'e522fb05-9251-43b7-a043-8aabd858b14c', 3, NULL, NULL, '2026-11-28 22:47:12.092+00', '2026-11-28 22:47:12.859+00', true, false, NULL, NULL, NULL, NULL, '{"version":7,"verifications":["2026-11-28T22:47:12.385Z"],"resets":[["7ec75a6f-2e78-436e-b4ee-1f91a002f3a5","2026-11-28T22:47:12.572Z"]]}', '\x7ca392e0950e0420724ed7e2e694e47e');
INSERT INTO public.accounts VALUES ('01a22457-58c0-70b8-89ac-62b504e0cf99', 2, 3, 'ada-from-elsewhere', 'ada-from-elsewhere@example.com', NULL, NULL, 'user', 'fd503ee9-e4bb-460b-b044-7b8d7b3e2cc1', 0, NULL, NULL, '2026-11-28 22:47:13.856+00', '2026-11-28 22:47:13.856+00', false, false, NULL, NULL, NULL, NULL, '{"version":2}', '\xce467f0f0f3921b8ac177d804986be4c');
INSERT INTO public.accounts VALUES ('01a22457-5b7e-7aef-8a33-67cbb1f66753', 1, 4, 'ann', 'ann@example.com', NULL, NULL, 'user', 'a5abf8e7-3b2a-4490-aa2b-2f73938fdb97', 0, NULL, NULL, '2026-11-28 22:47:14.558+00', '2026-11-28 22:47:14.558+00', false, false, NULL, NULL, NULL, NULL, '{"version":1}', '\x56c9c3869793fd305f1fbf22af85181d');
INSERT INTO public.accounts VALUES ('01a22457-5d93-7b64-bb8d-fabe18c74786', 1, 6, 'root', 'root@example.com', NULL, NULL, 'admin', '78a64ab2-2f16-4f1c-84e9-88556f7437f4', 0, NULL, NULL, '2026-11-28 22:47:15.091+00', '2026-11-28 22:47:15.091+00', false, false, NULL, NULL, NULL, NULL, '{"version":1}', '\x0f87b0e32b54e4f637a4175924bcbd14');
INSERT INTO public.accounts VALUES ('01a22457-5c1f-7c87-ac1b-95496af3d812', 2, 5, 'bob', 'bob@example.com', NULL, NULL, 'user', '910e1985-8315-408c-ad32-34a3ce32f228', 1, NULL, NULL, '2026-11-28 22:47:14.719+00', '2026-11-28 22:47:15.699+00', false, true, NULL, NULL, NULL, NULL, '{"version":2}', '\x35fd35b104576ac6c12ec135c96246e8');


--
-- Data for Name: checkpoints; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.checkpoints VALUES (25, 'authlog.invalid/08899590-1a35-4a67-9aa7-6aeb5ee0fa89
25
2IK4bGYVMB74fSKFumO9ywrx+FFEZw8yFkXnj+i6o8c=

— authlog.invalid/08899590-1a35-4a67-9aa7-6aeb5ee0fa89 svMZAuQ9TvOuYKEIvq4891gDY4N1Elk27G1mDGsIXUAW0/1Qyho4z2ohiQN31rxH428vayZHyHBdAtGASeMZyvwKhAc=
', '2026-11-28 22:47:13.097301+00');
INSERT INTO public.checkpoints VALUES (39, 'authlog.invalid/08899590-1a35-4a67-9aa7-6aeb5ee0fa89
39
oGG8GMuEVtQ+o+moGE3I8GMUiCo05eMd/zSneI+b3L0=

— authlog.invalid/08899590-1a35-4a67-9aa7-6aeb5ee0fa89 svMZAmsP3KIvgq9Girnru/qxtZK9jTdQzs9aDbb44ivbahB0eLjAGZYmGNpkwkjnxa0Xdgp+cpG6XHemaEuBhGhh1Q0=
', '2026-11-28 22:47:14.113788+00');
INSERT INTO public.checkpoints VALUES (52, 'authlog.invalid/08899590-1a35-4a67-9aa7-6aeb5ee0fa89
52
IMdrkMX4SyEW0XITPYlxmHT7ZSEdCf7okoMyc7SRe1M=

— authlog.invalid/08899590-1a35-4a67-9aa7-6aeb5ee0fa89 svMZAmCUyPnJFUfr7oIfOY7EEp6UbfoezFiQ4E1Dyvqj+mlui8yTiVEKgr6AFK7xFk7VexRLBBfoJX4Pe5SkK7epbAY=
', '2026-11-28 22:47:15.579437+00');
INSERT INTO public.checkpoints VALUES (53, 'authlog.invalid/08899590-1a35-4a67-9aa7-6aeb5ee0fa89
53
SpUa5O9+rUTvM2xO8B1qaWBABtGMkyfYk8u7fAG4br0=

— authlog.invalid/08899590-1a35-4a67-9aa7-6aeb5ee0fa89 svMZAuvrYUBEfY3OY7ocmSXquJF2yVUsMWldkxSwoikHOAP9rV7vt3lJF6oq8bh3AEm99KmcHEVGxRQGHY77cO0EAQ0=
', '2026-11-28 22:47:17.132531+00');


--
-- Data for Name: credentials; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.credentials VALUES ('01a22457-51dc-7aea-aaa2-6976b765c949', 'e522fb05-9251-43b7-a043-8aabd858b14c', '', '\x63c95e0590caa42b97d4f656eb401129c4af0e9211a409c1ead3dd8c785491fb8008fefd9d2dd9367c05928aa8a1ee9d9ab70c508fbccad7bb00e9199e292afc517f7a2cdb2222e9cd0dd65c7b52751bcc31e73822d40f7af5c9a7e899c9f77cea03b9b42877eb287394688ec83c4058c2ed28059362076d4ee2d5ab');
INSERT INTO public.credentials VALUES ('01a22457-58c0-70b8-89ac-62b504e0cf99', 'fd503ee9-e4bb-460b-b044-7b8d7b3e2cc1', '', '\xc54c24f2f81c4b85382f0f66ab431fc734407d2334921803ebdf204c1db163f16e3a37da5962a8151a6ad195f81fbf9e4b32fd57018e967b04727881c466c0f8cd5b83171d62f4634f9cf9852a5fab8283cef54cc711fabe75adb582804e559657b8e26d0d0acbbe75441f50c7e25858bfaa07c6b23c28378f69c0ea');
INSERT INTO public.credentials VALUES ('01a22457-5b7e-7aef-8a33-67cbb1f66753', 'a5abf8e7-3b2a-4490-aa2b-2f73938fdb97', '', '\x6a2f8e224f23cb540432a060e183ab26309c145e62a9f4781d085dd68e324393f87a118495d8e9bde0d03832d336cbccd4e6d8c563ab0a440cdc912c4907c8adcc28e0cb7a41a466147cb3800e8020fdf1ab447fe02f0d31b134811a4aea0e92976e6141a1c40eb04bd19f313a125501f00fca4e97c264a9d032d511');
INSERT INTO public.credentials VALUES ('01a22457-5c1f-7c87-ac1b-95496af3d812', '910e1985-8315-408c-ad32-34a3ce32f228', '', '\x3b1770466cf135eed87fe5b059abfd56ff0f799ef46a487cc9767240a756e19a5b58c3cf23bac0d2b3c791c97ddc188a37ae357d4c617717a80fc34b641cf29967723012d607208315452aa2ee3da18ac43031c60d44cb96dd4d25192e2f1c4fe6141961cb9463415692fe36eba6e97fdd926a5a3fd75674be0a9179');
INSERT INTO public.credentials VALUES ('01a22457-5d93-7b64-bb8d-fabe18c74786', '78a64ab2-2f16-4f1c-84e9-88556f7437f4', '', '\x101ed59125184bee88891b1cb1feff36a580e513f9a1dc7d62160914e7689afe058adbd01541fa23003c9acb3cd31aea660b51fd53151ab01d3874005374612b6b8fc967fb988cadc81aeaba654c7dfaa67a57ba506248e000a8a607f83e04f41444a935354f167e556eda56b4f39cceb695ca1388424e8ad8aa0b57');


--
-- Data for Name: due_mail; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: event_log; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.event_log VALUES (1, 'user', '01a22457-51dc-7aea-aaa2-6976b765c949', 1, '\xaf6a83cc3891d30f80e141274630ea81a16babcb75212b670e26d449a49cfe3d');
INSERT INTO public.event_log VALUES (2, 'session', '01a22457-51dc-7a0e-9131-5be0e4408d91', 1, '\xd1cdc9bd932ce40a81428f469af4c9cc7639d8f2c3c1543257c1eeb09dbb8f33');
INSERT INTO public.event_log VALUES (3, 'session', '01a22457-5221-765e-8729-193ebadfedd6', 1, '\x3671d923e942db117c797dea475e8096932ad0612367fecbd4d09a5032011095');
INSERT INTO public.event_log VALUES (4, 'session', '01a22457-5221-765e-8729-193ebadfedd6', 2, '\x2ae19f02253d5447090cc0cd78f8f97ffad4a20cc140bb0cc2fdee90584a6509');
INSERT INTO public.event_log VALUES (5, 'session', '01a22457-5259-7403-a6e7-27b5bc899fc2', 1, '\x31fff518552a8fea166a2779c1d0eaac420cdceffc68dd233ccb9ce5883bd74f');
INSERT INTO public.event_log VALUES (6, 'session', '01a22457-5259-7403-a6e7-27b5bc899fc2', 2, '\x669fad6e61446da306d98169fc09508789e14535dd9d0c041e3f93f58d9d964d');
INSERT INTO public.event_log VALUES (7, 'session', '01a22457-528b-733b-bf63-42bf6538fa46', 1, '\x4772bde506965ca2e651488ab146d3477dd33dc23d10c795c9c0b0b3bf492900');
INSERT INTO public.event_log VALUES (8, 'session', '01a22457-528b-733b-bf63-42bf6538fa46', 2, '\x017063b32302ce6d267eec534a3f52ab8cf68236d25491d43a1dcb364665d6a9');
INSERT INTO public.event_log VALUES (9, 'session', '01a22457-52bc-7aed-9214-272c1ceea99d', 1, '\xfcc871c048213e973139fe06d968a36a189b18442a6b5ca20d44135593ebc238');
INSERT INTO public.event_log VALUES (10, 'session', '01a22457-52bc-7aed-9214-272c1ceea99d', 2, '\xb338cb813903fae5efb7aacef36f43de7b83e2a47f610601cb03b65d94f02980');
INSERT INTO public.event_log VALUES (11, 'session', '01a22457-52f2-748a-b2b5-f0f686ad18e0', 1, '\xfe2ba2044bd971824a55af9c9231954a8c05b302adcdd08d69c08156a9322eb9');
INSERT INTO public.event_log VALUES (12, 'user', '01a22457-51dc-7aea-aaa2-6976b765c949', 2, '\x05d7b9b678eb5f1708bb91dd98486dd4c69ec0b51b171b8efdfebd885d4fe921');
INSERT INTO public.event_log VALUES (13, 'refused-logins', '01a22457-51dc-7aea-aaa2-6976b765c949.2026-11-28', 1, '\x68a32e0501d2a21ff1f53d847676584b53caa7f95aca0b2699125c826eabb658');
INSERT INTO public.event_log VALUES (14, 'user', '01a22457-51dc-7aea-aaa2-6976b765c949', 3, '\xb01b2700d3d3903c3ed36980b90b68c18e483b4dd94de373643b1b2f7d322ae5');
INSERT INTO public.event_log VALUES (15, 'user', '01a22457-51dc-7aea-aaa2-6976b765c949', 4, '\x0842ce25efd4c5cf6cf486f895f84da5787b431641c286e69adfa68f3fa51cea');
INSERT INTO public.event_log VALUES (16, 'session', '01a22457-52f2-748a-b2b5-f0f686ad18e0', 2, '\x384c9c8baeb787b76715b85d7ba893e965a3ea4271bca0a4d9ad161c08f14d9c');
INSERT INTO public.event_log VALUES (17, 'session', '01a22457-52f2-748a-b2b5-f0f686ad18e0', 3, '\x569223c664d8102ac9cd9e626cc23c8165677ceb1b8941475485eae0e0b69e65');
INSERT INTO public.event_log VALUES (18, 'session', '01a22457-52f2-748a-b2b5-f0f686ad18e0', 4, '\x83cc113c4c06cfccdfac02b1fc8ae919b5af23d7e0c1ca2ecb7142056e97fc5a');
INSERT INTO public.event_log VALUES (19, 'user', '01a22457-51dc-7aea-aaa2-6976b765c949', 5, '\x77bbe6ca36ddb58048aad6da3918affbd3b1ce9a407ffda673b886dd74544003');
INSERT INTO public.event_log VALUES (20, 'user', '01a22457-51dc-7aea-aaa2-6976b765c949', 6, '\x62ce457dad4a561e16243d055d1ee1be1b4d20cf6c51493f00c5e2e0e0c28df1');
INSERT INTO public.event_log VALUES (21, 'user', '01a22457-51dc-7aea-aaa2-6976b765c949', 7, '\x14128e4590a63915b20423dc7a163b4497f4638273055473c2bc8d78f7095624');
INSERT INTO public.event_log VALUES (22, 'session', '01a22457-553e-7918-9e47-890de26f8413', 1, '\x1cb96f562418e1f30f09ba5bd004e7a837afbe09a1eb1f21ab0f1f1622d1ad7a');
INSERT INTO public.event_log VALUES (23, 'user', '01a22457-5546-7b68-8f42-199a08afd3d3', 1, '\xa59928d652503883b0273579c268bcdc6bfe43c94f99a183944d513d5ca98d73');
INSERT INTO public.event_log VALUES (24, 'session', '01a22457-5552-7b63-8db2-8ac12c7ad267', 1, '\xfe7cd1a01e777255de16b07310b49ecd8e742789e2d4f8745005110a856610f6');
INSERT INTO public.event_log VALUES (25, 'user', '01a22457-5546-7b68-8f42-199a08afd3d3', 2, '\xd42bdbd93fe80859479c6da32003d4e40942db7c62ca3537503345de604512d5');
INSERT INTO public.event_log VALUES (26, 'user', '01a22457-5546-7b68-8f42-199a08afd3d3', 3, '\x7a9ef64ceb6d84b6dfb3eed4096cbbe5664ce08d421821cf1e71b3158d80987e');
INSERT INTO public.event_log VALUES (27, 'user', '01a22457-5546-7b68-8f42-199a08afd3d3', 4, '\x3b134a998e442d325f176b6cec09387241ba6465c32519ec9940efe33406d658');
INSERT INTO public.event_log VALUES (28, 'user', '01a22457-5546-7b68-8f42-199a08afd3d3', 5, '\x7429b151e37995cd4c9a52310b2d32532542a61416d998d344d85ca925dea8a9');
INSERT INTO public.event_log VALUES (29, 'session', '01a22457-55e7-799c-a031-3c08d23def40', 1, '\x159026cb8f56a3797869c4ebcabb668b24dbd2804f8e66423edefe31d16b04d3');
INSERT INTO public.event_log VALUES (30, 'session', '01a22457-55e7-799c-a031-3c08d23def40', 2, '\x06548eb79de1aa3aac54833fc84191573a6218da9b4fb059fe79db29344506b7');
INSERT INTO public.event_log VALUES (31, 'session', '01a22457-5601-7099-8216-ae50edaa7671', 1, '\xe01cab7ef40bc15aaa5e411db4d2b3c5581c6e65b41c6630bfd2d9a4b2c53226');
INSERT INTO public.event_log VALUES (32, 'user', '01a22457-5546-7b68-8f42-199a08afd3d3', 6, '\x89b73234e7e27a57c3877251790bfe8301e9455e1f08b1c45855cb4c5c74dadb');
INSERT INTO public.event_log VALUES (33, 'user', '01a22457-5546-7b68-8f42-199a08afd3d3', 7, '\x0c25ba3858cdea78419b39b979a4279a82caf1b62aa12e35e00a4e831c0c28ee');
INSERT INTO public.event_log VALUES (34, 'user', '01a22457-5546-7b68-8f42-199a08afd3d3', 8, '\x4f3df02b035d48885da8cb15fc56a7ec5834b2736e5f7d2f0eb9837bc083fdde');
INSERT INTO public.event_log VALUES (35, 'session', '01a22457-57aa-7e17-96e9-559190ce8afb', 1, '\xc60fc46fbbf5dcd4616ceb8a8ee619c14fb6c1033c97212c67c495acbfb15585');
INSERT INTO public.event_log VALUES (36, 'user', '01a22457-5546-7b68-8f42-199a08afd3d3', 9, '\xb6d4b4835f5d0c9b2d41b697b5515211e7869cb6ccd5266a23d66828556802b2');
INSERT INTO public.event_log VALUES (37, 'user', '01a22457-58c0-70b8-89ac-62b504e0cf99', 1, '\x5dbd173840fa2f74d67d48c91cc0f339bfc0cf41b6223f413c375c63245d4c90');
INSERT INTO public.event_log VALUES (38, 'session', '01a22457-5939-7270-817f-89a3eb1ed649', 1, '\x04145a24da5dffa9296e3355041cfa3230bbd36d69c3a23a73885412bd71e710');
INSERT INTO public.event_log VALUES (39, 'user', '01a22457-58c0-70b8-89ac-62b504e0cf99', 2, '\xef6c5d2f95c7a3b64b30f662765dda6825091544e1a77b7dcf9d8d24ddfdd9cc');
INSERT INTO public.event_log VALUES (40, 'user', '01a22457-5b7e-7aef-8a33-67cbb1f66753', 1, '\xe16be56ce9a4d57bcc341a11467c9eaa082de74bfae28f84d0b5314d13e7bd9d');
INSERT INTO public.event_log VALUES (41, 'session', '01a22457-5b7e-7c02-8660-214578a071a9', 1, '\xca4fdfde1b3bf979008114fc3a0a8c5dd71a096d2847863c4fd25b5c8096c079');
INSERT INTO public.event_log VALUES (42, 'session', '01a22457-5ba0-7787-b788-634eb9329095', 1, '\xe94e90e8fe9063222a8919e6239c3567c04e81b61011adaaf2e545e0257a49c0');
INSERT INTO public.event_log VALUES (43, 'session', '01a22457-5bbf-7ceb-9096-0e2977c371f0', 1, '\xa78c958bbcc6c5e1f00f447e242ad21821024aa6fe5d1efc3132836d3f92c9f5');
INSERT INTO public.event_log VALUES (44, 'session', '01a22457-5be3-7545-b047-ca555d8fa237', 1, '\xf3b2e335f86a37b6b88c8def59b702f50889e604c0258577f43c0b262ad19508');
INSERT INTO public.event_log VALUES (45, 'session', '01a22457-5c00-742d-b645-64b8787de237', 1, '\x9efba6e6d49fa0a39d337594e2fce55f26558c58877900cc691c55c8d65d5557');
INSERT INTO public.event_log VALUES (46, 'user', '01a22457-5c1f-7c87-ac1b-95496af3d812', 1, '\x530758e5cbbfd2f243d5eb541c4385f679c35b001285e97851b1095ea5f291a1');
INSERT INTO public.event_log VALUES (47, 'session', '01a22457-5c1f-7538-b5a2-9dfc4c170a5a', 1, '\x16cc6c8fba2a5d92759c2556fe8d5ad3ab47ef001126da49d24cd1f245a8d26b');
INSERT INTO public.event_log VALUES (48, 'session', '01a22457-5c45-71a8-bc72-1732120953e7', 1, '\xdbda0c64425c9d66aaaf88a9ddf0cd51fa0ed9db7166efb6f682658286c98467');
INSERT INTO public.event_log VALUES (49, 'session', '01a22457-5c5c-7691-816f-5d7f0c7cf45a', 1, '\xd39c79bdb03a9e96433d1eae56ee88ab68907af3055aef3b939555eee1e43168');
INSERT INTO public.event_log VALUES (50, 'session', '01a22457-5c65-7542-baa5-7441b699d820', 1, '\x3737ae0c9618647eb5cdd299b16ee8c1187b8270265933099fb395cac11ab6b0');
INSERT INTO public.event_log VALUES (51, 'session', '01a22457-5c80-77dc-8b3f-4ca8b13b7818', 1, '\x3b078200c46f818d246090127db025bc98440b18a4751c801c8be8e3c0f525da');
INSERT INTO public.event_log VALUES (52, 'user', '01a22457-5d93-7b64-bb8d-fabe18c74786', 1, '\x34bcfc6125ae921e1e3b346ad42c9f92771ef5f6294db9f80ac9cf2d9a3eff22');
INSERT INTO public.event_log VALUES (53, 'user', '01a22457-5c1f-7c87-ac1b-95496af3d812', 2, '\x513736a4e08980b2014d8cb04db030ff00051cfa42d212bc7017119f490ba9f7');


--
-- Data for Name: events; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-51dc-7aea-aaa2-6976b765c949', 1, 'UserRegistered', '1', '{"UserRegistered":{"at":"2026-11-28T22:47:12.092Z","credential":"4d429ddf-fe08-431e-b27a-c45a792022ac","email":{"sealed":"kT34uLAVAZ9kQjOzwOrhSIBHW7cQXqLnB34AlSYCPDse8M9EDlx+Kx6qM4pf"},"name":null,"number":1,"phone":null,"role":"user","username":{"sealed":"syByx4qmdZO0h+qTQcWcX3V5xYOfZl0mjtVIxSAr8Njy"}}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"api-auth","ip":"sealed:Kq0IAwBLubMEc04KZrUnsAfCnHJeaa+jf9AN9MDCj0EAaCVPzg","request_id":"4b329297-d68e-43f7-a288-44ede00dd711","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 1, '2085', '2026-11-28 22:47:12.133631+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-51dc-7a0e-9131-5be0e4408d91', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:12.092Z","epoch":0,"expires_at":"2026-12-01T22:47:12.092Z","rotation":"rotating","user":"01a22457-51dc-7aea-aaa2-6976b765c949"}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"api-auth","ip":"sealed:Pl5BVt0yhSSjy37iGH4B2+Pjb3Ch/F+HMlaBXpxDXUUigxnkng","request_id":"4b329297-d68e-43f7-a288-44ede00dd711","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 2, '2085', '2026-11-28 22:47:12.133958+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-5221-765e-8729-193ebadfedd6', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:12.161Z","epoch":0,"expires_at":"2026-12-01T22:47:12.161Z","rotation":"rotating","user":"01a22457-51dc-7aea-aaa2-6976b765c949"}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"api-auth","ip":"sealed:TWpDeeZpxLfhVrzXoEhxqOmNnb8uIDugzw15/mcjXeGhbYR05w","request_id":"a97b1807-6931-4745-8420-4d6594dfa0d5","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 3, '2090', '2026-11-28 22:47:12.182158+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-5221-765e-8729-193ebadfedd6', 2, 'LoggedOut', '1', '{"LoggedOut":{"at":"2026-11-28T22:47:12.190Z"}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"api-auth","ip":"sealed:qM8qSLj9n02ny/WvNNwSDUhGSQpISsSeAnDLx37tk8SOVyloFA","request_id":"a02ad14f-5c05-4e91-b46f-a0b6a96ce6f4","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 4, '2092', '2026-11-28 22:47:12.200937+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-5259-7403-a6e7-27b5bc899fc2', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:12.217Z","epoch":0,"expires_at":"2026-12-05T22:47:12.217Z","rotation":"reusable","user":"01a22457-51dc-7aea-aaa2-6976b765c949"}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"users","ip":"sealed:CT61mCc90FnB5/M0X6dtv2QrzGqEhDUAPhiYi1e9YC6cNoBd5w","request_id":"4ffac658-dcec-4703-9ba8-b767f4e5e8eb","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 5, '2094', '2026-11-28 22:47:12.219666+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-5259-7403-a6e7-27b5bc899fc2', 2, 'LoggedOut', '1', '{"LoggedOut":{"at":"2026-11-28T22:47:12.228Z"}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"api-auth","ip":"sealed:CCVZZ/FJwjC5SjTmC8w84Xi3sEBiHGxMUPIBv10ChGg0kb8Sqg","request_id":"44a6a6b5-4a24-4549-8496-ca23c86ac0d2","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 6, '2097', '2026-11-28 22:47:12.245021+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-528b-733b-bf63-42bf6538fa46', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:12.267Z","epoch":0,"expires_at":"2026-11-29T22:47:12.267Z","rotation":null,"user":"01a22457-51dc-7aea-aaa2-6976b765c949"}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"api","ip":"sealed:0pB5LH0weO+jG+8OB/MdXeYh4TCRk0DYWeX/rirFE2dpxBfc9A","request_id":"b38cb787-a470-45e5-805d-a7821e8488f6","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 7, '2099', '2026-11-28 22:47:12.285994+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-528b-733b-bf63-42bf6538fa46', 2, 'LoggedOut', '1', '{"LoggedOut":{"at":"2026-11-28T22:47:12.302Z"}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"api-auth","ip":"sealed:fU2ftLuD9k919v5RGdk7oF4wl67l/M1CsY+B3pdWCtA03lhsBw","request_id":"75cab0f5-d1fb-4e9f-b754-d8fc00561f0d","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 8, '2101', '2026-11-28 22:47:12.304909+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-52bc-7aed-9214-272c1ceea99d', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:12.316Z","epoch":0,"expires_at":"2026-11-29T22:47:12.316Z","rotation":null,"user":"01a22457-51dc-7aea-aaa2-6976b765c949"}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"v1-auth","ip":"sealed:zR56AP7XzAFdnjotP+bCu75WDi24rL7bfd4xuYelKv5s9YxYAQ","request_id":"8b62640b-1bc8-4312-a889-c683f79585b6","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 9, '2105', '2026-11-28 22:47:12.335901+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-52bc-7aed-9214-272c1ceea99d', 2, 'LoggedOut', '1', '{"LoggedOut":{"at":"2026-11-28T22:47:12.341Z"}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"api-auth","ip":"sealed:LKiNJhjyq0++YqrOkDj6Moggus4HQOYdZo/dEKMAaA17bMBVFw","request_id":"0a4e6a06-ba5e-491d-9ea2-36e3fba0bdae","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 10, '2107', '2026-11-28 22:47:12.349959+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-52f2-748a-b2b5-f0f686ad18e0', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:12.370Z","epoch":0,"expires_at":"2026-12-01T22:47:12.370Z","rotation":"rotating","user":"01a22457-51dc-7aea-aaa2-6976b765c949"}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"api-auth","ip":"sealed:P1d17623Xb5/tEGYVH+vkkV92tbgRpYIGapgoMxe33JUKFF1qA","request_id":"a149cb7b-ada6-41aa-af85-1f1ed57af5da","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 11, '2108', '2026-11-28 22:47:12.371941+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-51dc-7aea-aaa2-6976b765c949', 2, 'EmailVerificationRequested', '1', '{"EmailVerificationRequested":{"at":"2026-11-28T22:47:12.385Z","email":null,"expires_at":"2026-11-29T22:47:12.385Z","verification":"2be12514-4926-4ca5-9a3f-a69a8a84ce41"}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"authlog","ip":"sealed:rQzHl2ZfKWHUVYRzGP43KN55pkB04S/dS6XmKTQ3h/XIZVRdhg","request_id":"d88872c9-0a1d-4744-8a67-4e3b2bdc59b1","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 12, '2110', '2026-11-28 22:47:12.396813+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('refused-logins', '01a22457-51dc-7aea-aaa2-6976b765c949.2026-11-28', 1, 'LoginRefused', '1', '{"LoginRefused":{"at":"2026-11-28T22:47:12.365Z","reason":"wrong-password"}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"api-auth","ip":"sealed:h16zUfOIcmj1iZBi2t+Ef92ftM7JGX6r2pXbWI/LEGZHMCej9w","request_id":"1b3296d1-889e-4c69-86a5-69d8f10d8dcc","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 13, '2111', '2026-11-28 22:47:12.400582+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-51dc-7aea-aaa2-6976b765c949', 3, 'EmailVerified', '1', '{"EmailVerified":{"at":"2026-11-28T22:47:12.484Z","verification":"2be12514-4926-4ca5-9a3f-a69a8a84ce41"}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"authlog","ip":"sealed:ctZA92FtOLl4gjjW7xdXUGB6iimn+fJYa6ELWsK/ie0GG2rhlQ","request_id":"b548975f-14d7-4529-8711-98fd3183bd2c","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 14, '2117', '2026-11-28 22:47:12.500891+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-51dc-7aea-aaa2-6976b765c949', 4, 'SessionsRevoked', '1', '{"SessionsRevoked":{"at":"2026-11-28T22:47:12.484Z","kept_session":"01a22457-52f2-748a-b2b5-f0f686ad18e0","reason":"owner","session_epoch":1}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"authlog","ip":"sealed:T4ZTbsWdu6NOpIaRdkpo9Slvyn9ZVOfCDiK2ck34rZ999zZbVQ","request_id":"b548975f-14d7-4529-8711-98fd3183bd2c","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 15, '2117', '2026-11-28 22:47:12.500948+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-52f2-748a-b2b5-f0f686ad18e0', 2, 'TokenRefreshed', '1', '{"TokenRefreshed":{"at":"2026-11-28T22:47:12.512Z","expires_at":"2026-12-01T22:47:12.512Z","generation":1}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"api-auth","ip":"sealed:unSXPcGFF+fQLrqiIQKCuti4r/GACVtT+z4F0FxQWd4M5q3Dbg","request_id":"3026c99c-8b1b-49e5-8284-a5a326e530c4","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 16, '2120', '2026-11-28 22:47:12.532852+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-52f2-748a-b2b5-f0f686ad18e0', 3, 'TokenRefreshed', '1', '{"TokenRefreshed":{"at":"2026-11-28T22:47:12.549Z","expires_at":"2026-12-01T22:47:12.549Z","generation":2}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"api-auth","ip":"sealed:DkV8198tjCaxWVsdkno8P8hij2J7gzgFbJPpKTKJ+mGuxBo7ug","request_id":"2c6cfc44-51c5-4cdc-8d30-508ebd2b2ef7","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 17, '2124', '2026-11-28 22:47:12.559158+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-5546-7b68-8f42-199a08afd3d3', 9, 'UserErased', '1', '{"UserErased":{"at":"2026-11-28T22:47:13.593Z","session_epoch":5}}', '{"actor":"user:01a22457-5546-7b68-8f42-199a08afd3d3","contract":"authlog","ip":"erased","request_id":"5d89458e-60e7-4fc2-81af-e89c0ac17807","user_id":"01a22457-5546-7b68-8f42-199a08afd3d3"}', 36, '2200', '2026-11-28 22:47:13.602179+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-5c45-71a8-bc72-1732120953e7', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:14.757Z","epoch":0,"expires_at":"2026-12-01T22:47:14.757Z","rotation":"rotating","user":"01a22457-5c1f-7c87-ac1b-95496af3d812"}}', '{"actor":"user:01a22457-5c1f-7c87-ac1b-95496af3d812","contract":"api-auth","ip":"sealed:6zd8LZTkDHllYCENHyqAsdB4Y+zs08c0Rf/gvpmkYGC4Ap71FA","request_id":"e24ee0cb-aef6-43ab-9074-27e1089a3152","user_id":"01a22457-5c1f-7c87-ac1b-95496af3d812"}', 48, '2251', '2026-11-28 22:47:14.763251+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-52f2-748a-b2b5-f0f686ad18e0', 4, 'RefreshTokenReused', '1', '{"RefreshTokenReused":{"at":"2026-11-28T22:47:12.564Z","generation":0}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"api-auth","ip":"sealed:6kr4bI0Xs1KjwCqGx0/ynkB755dnq9w/dBIAi/IAlkYr9l8EAA","request_id":"41f8f443-add0-4753-8588-7fe8066fada0","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 18, '2125', '2026-11-28 22:47:12.566716+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-51dc-7aea-aaa2-6976b765c949', 5, 'PasswordResetRequested', '1', '{"PasswordResetRequested":{"at":"2026-11-28T22:47:12.572Z","expires_at":"2026-11-28T23:17:12.572Z","reset":"7ec75a6f-2e78-436e-b4ee-1f91a002f3a5"}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"users","ip":"sealed:z2DqeqYllwd0BQZniq7L6/AGLxxnW8v53yWVAhCBoox9rLJt6g","request_id":"e7c9ca2f-c847-4499-bbae-c4a474cf708f","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 19, '2132', '2026-11-28 22:47:12.603162+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-553e-7918-9e47-890de26f8413', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:12.958Z","epoch":3,"expires_at":"2026-12-01T22:47:12.958Z","rotation":"rotating","user":"01a22457-51dc-7aea-aaa2-6976b765c949"}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"api-auth","ip":"sealed:z0YiJtljhqOsUnMJxuzXkgIzLWvsc/DImwUOfDRiHlylyq5dxA","request_id":"f5e91366-621e-4744-871b-9403b7558cea","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 22, '2152', '2026-11-28 22:47:12.95947+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-5546-7b68-8f42-199a08afd3d3', 1, 'UserRegistered', '1', '{"UserRegistered":{"at":"2026-11-28T22:47:12.966Z","credential":"960c4158-c213-42bb-95e6-4aa1e70ffbf0","email":{"sealed":"tZjKWPjNqsuv98p+NefO/h1Z2uPK8G/gqO3vOf5LLnVnWVORWSD1ByLy660Gt2eMop7oqcJP3A"},"name":null,"number":2,"phone":null,"role":"user","username":null}}', '{"actor":"user:01a22457-5546-7b68-8f42-199a08afd3d3","contract":"users","ip":"sealed:9kXL6DxL5/r3tnw8ORkX5xfOeinMxYEFAbWCtDqkfO3TUVEaiw","request_id":"58bee747-9ccd-473b-9d0b-b6e6f6f301c3","user_id":"01a22457-5546-7b68-8f42-199a08afd3d3"}', 23, '2154', '2026-11-28 22:47:12.968882+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-55e7-799c-a031-3c08d23def40', 2, 'SessionRevoked', '1', '{"SessionRevoked":{"at":"2026-11-28T22:47:13.148Z","reason":"owner"}}', '{"actor":"user:01a22457-5546-7b68-8f42-199a08afd3d3","contract":"authlog","ip":"sealed:Lptwl20UCeTUSjVQIGK1xbmF344+6yPq07bxhFgve4CU2Lppkg","request_id":"6ae9cf90-6285-45c5-917d-0ec1329987c9","user_id":"01a22457-5546-7b68-8f42-199a08afd3d3"}', 30, '2179', '2026-11-28 22:47:13.148991+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-5ba0-7787-b788-634eb9329095', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:14.592Z","epoch":0,"expires_at":"2026-12-01T22:47:14.592Z","rotation":"rotating","user":"01a22457-5b7e-7aef-8a33-67cbb1f66753"}}', '{"actor":"user:01a22457-5b7e-7aef-8a33-67cbb1f66753","contract":"api-auth","ip":"sealed:VpDpGzljlgWYlnPKn1gmbXPW2gzPFn5YbRi/+C6yU4cTX6cdaw","request_id":"d2fd3430-2dde-4dce-9bbf-3f31c32c427e","user_id":"01a22457-5b7e-7aef-8a33-67cbb1f66753"}', 42, '2243', '2026-11-28 22:47:14.600243+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-5bbf-7ceb-9096-0e2977c371f0', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:14.623Z","epoch":0,"expires_at":"2026-12-05T22:47:14.623Z","rotation":"reusable","user":"01a22457-5b7e-7aef-8a33-67cbb1f66753"}}', '{"actor":"user:01a22457-5b7e-7aef-8a33-67cbb1f66753","contract":"users","ip":"sealed:Wc71tzpE7+ThK9SxUEm1Zj5EHxOpeSts3IjVmUo8t5m2KsEgIw","request_id":"5004ef7f-e572-4961-99f0-d6814716f5a8","user_id":"01a22457-5b7e-7aef-8a33-67cbb1f66753"}', 43, '2246', '2026-11-28 22:47:14.633942+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-5c1f-7c87-ac1b-95496af3d812', 1, 'UserRegistered', '1', '{"UserRegistered":{"at":"2026-11-28T22:47:14.719Z","credential":"910e1985-8315-408c-ad32-34a3ce32f228","email":{"sealed":"bkkXfrGU6llZucY38zmb6XsL025bPNxFknNszMM3Zwvu9IP5WEbbLVjFs9Oz"},"name":null,"number":5,"phone":null,"role":"user","username":{"sealed":"Je8UxeSJWguQfx+P4eHn37oclAmM2jjPJyVUtKSy2GkU"}}}', '{"actor":"user:01a22457-5c1f-7c87-ac1b-95496af3d812","contract":"api-auth","ip":"sealed:whnPQyDuI5lG1oiDdRcjHvW3YsC8YEv2HmozcqUUjME1Mrw0PQ","request_id":"509ceef0-2d71-4fa8-b169-7e9be717bea9","user_id":"01a22457-5c1f-7c87-ac1b-95496af3d812"}', 46, '2250', '2026-11-28 22:47:14.732011+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-5c1f-7538-b5a2-9dfc4c170a5a', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:14.719Z","epoch":0,"expires_at":"2026-12-01T22:47:14.719Z","rotation":"rotating","user":"01a22457-5c1f-7c87-ac1b-95496af3d812"}}', '{"actor":"user:01a22457-5c1f-7c87-ac1b-95496af3d812","contract":"api-auth","ip":"sealed:P1RjbpRrcw6DxfL2tZAI2lFYOltXdqVXk0qKWTvjQanSUJ4+EQ","request_id":"509ceef0-2d71-4fa8-b169-7e9be717bea9","user_id":"01a22457-5c1f-7c87-ac1b-95496af3d812"}', 47, '2250', '2026-11-28 22:47:14.732066+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-5c65-7542-baa5-7441b699d820', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:14.789Z","epoch":0,"expires_at":"2026-11-29T22:47:14.789Z","rotation":null,"user":"01a22457-5c1f-7c87-ac1b-95496af3d812"}}', '{"actor":"user:01a22457-5c1f-7c87-ac1b-95496af3d812","contract":"api","ip":"sealed:7y1J1ZTKR613b8ACzAZ+Mr160vXfeeG47no1zd8PvAnGUssf4A","request_id":"bdfcf782-ccf0-4019-93d0-98632837534f","user_id":"01a22457-5c1f-7c87-ac1b-95496af3d812"}', 50, '2253', '2026-11-28 22:47:14.793867+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-5c80-77dc-8b3f-4ca8b13b7818', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:14.816Z","epoch":0,"expires_at":"2026-11-29T22:47:14.816Z","rotation":null,"user":"01a22457-5c1f-7c87-ac1b-95496af3d812"}}', '{"actor":"user:01a22457-5c1f-7c87-ac1b-95496af3d812","contract":"v1-auth","ip":"sealed:ssImcLu4dd3nVRlqrHY0rISF0XT7sXBtQ9GWhWSQO/IWDtBJVw","request_id":"8a3d3a98-8204-4d58-9d7d-c6e95b56ad99","user_id":"01a22457-5c1f-7c87-ac1b-95496af3d812"}', 51, '2255', '2026-11-28 22:47:14.819626+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-51dc-7aea-aaa2-6976b765c949', 6, 'PasswordReset', '1', '{"PasswordReset":{"at":"2026-11-28T22:47:12.628Z","credential":"e522fb05-9251-43b7-a043-8aabd858b14c","reset":"7ec75a6f-2e78-436e-b4ee-1f91a002f3a5","session_epoch":2}}', '{"actor":"user:01a22457-51dc-7aea-aaa2-6976b765c949","contract":"users","ip":"sealed:ZLUg9wjtLkqTz5qUUNZ2zmdGj0k6tenqwpvD4eMcFE8M5GB1tA","request_id":"91fefb76-012f-4016-81b7-ad14b19e7136","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 20, '2136', '2026-11-28 22:47:12.63019+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-51dc-7aea-aaa2-6976b765c949', 7, 'RoleChanged', '2', '{"RoleChanged":{"at":"2026-11-28T22:47:12.859Z","role":"auditor","session_epoch":3}}', '{"actor":"operator","contract":"cli","request_id":"65a81648-a1bd-42c4-89c1-2464dfb1c1a0","user_id":"01a22457-51dc-7aea-aaa2-6976b765c949"}', 21, '2149', '2026-11-28 22:47:12.906565+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-5546-7b68-8f42-199a08afd3d3', 2, 'EmailVerificationRequested', '1', '{"EmailVerificationRequested":{"at":"2026-11-28T22:47:13.006Z","email":{"sealed":"oCxYLMIN+zoMMosOedNZeU1unPatMXpGkI09GmyX6U6zZrvqREekgqGLKxKJ5oiLILuKTprtEGfARs4"},"expires_at":"2026-11-29T22:47:13.006Z","verification":"cb9a6cb9-677f-4855-adc9-31fce9de050e"}}', '{"actor":"user:01a22457-5546-7b68-8f42-199a08afd3d3","contract":"authlog","ip":"sealed:tYMLrscyzv5B2+9Xif12pL2kFVJE9Z4BYqwteATtbFFyuMTOLA","request_id":"b7cea4ba-c9e3-4a78-b597-dbc353baf23d","user_id":"01a22457-5546-7b68-8f42-199a08afd3d3"}', 25, '2160', '2026-11-28 22:47:13.009537+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-5552-7b63-8db2-8ac12c7ad267', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:12.978Z","epoch":0,"expires_at":"2026-12-05T22:47:12.978Z","rotation":"reusable","user":"01a22457-5546-7b68-8f42-199a08afd3d3"}}', '{"actor":"user:01a22457-5546-7b68-8f42-199a08afd3d3","contract":"users","ip":"sealed:2mWXAYsKiXRGTq0fRr18Q2hYzMcFJpt1Sy1eoOsNfRVzGeH2Ig","request_id":"05fe7a16-a233-40c3-a0e4-c1e6d172eb4f","user_id":"01a22457-5546-7b68-8f42-199a08afd3d3"}', 24, '2155', '2026-11-28 22:47:12.984108+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-5546-7b68-8f42-199a08afd3d3', 3, 'EmailChanged', '1', '{"EmailChanged":{"at":"2026-11-28T22:47:13.091Z","email":{"sealed":"X0yhOwPnThpjuzJe9RMuV+zQ68xWnz1DaqZAgaTxjhZbg0fgI0QczuVC0wpUVp4SW8yc6bXCahoevFk"},"verification":"cb9a6cb9-677f-4855-adc9-31fce9de050e"}}', '{"actor":"user:01a22457-5546-7b68-8f42-199a08afd3d3","contract":"authlog","ip":"sealed:M1ZZacI1tHvg9uStPf6VGu7cRAPeCIIMbZVspBGDTg+IY1DwPQ","request_id":"1ce8d78c-8299-489a-b1f0-3fc703296bc0","user_id":"01a22457-5546-7b68-8f42-199a08afd3d3"}', 26, '2170', '2026-11-28 22:47:13.09607+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-5546-7b68-8f42-199a08afd3d3', 4, 'SessionsRevoked', '1', '{"SessionsRevoked":{"at":"2026-11-28T22:47:13.091Z","kept_session":"01a22457-5552-7b63-8db2-8ac12c7ad267","reason":"owner","session_epoch":1}}', '{"actor":"user:01a22457-5546-7b68-8f42-199a08afd3d3","contract":"authlog","ip":"sealed:DuNKjTud7rrlFTNx7K3yQc4S4i77QpSQ5VvwaF2bdpvEDVBdCg","request_id":"1ce8d78c-8299-489a-b1f0-3fc703296bc0","user_id":"01a22457-5546-7b68-8f42-199a08afd3d3"}', 27, '2170', '2026-11-28 22:47:13.096173+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-5601-7099-8216-ae50edaa7671', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:13.153Z","epoch":2,"expires_at":"2026-11-29T22:47:13.153Z","rotation":null,"user":"01a22457-5546-7b68-8f42-199a08afd3d3"}}', '{"actor":"user:01a22457-5546-7b68-8f42-199a08afd3d3","contract":"api","ip":"sealed:DnOO6GiiWaZvMoBfsAc0YxZqpImC32JeQ/jfsXzgJ3GNX8lf+g","request_id":"507bdca0-59e8-49f8-92e4-915050dfe2b6","user_id":"01a22457-5546-7b68-8f42-199a08afd3d3"}', 31, '2180', '2026-11-28 22:47:13.155446+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-5939-7270-817f-89a3eb1ed649', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:13.977Z","epoch":0,"expires_at":"2026-12-01T22:47:13.977Z","rotation":"rotating","user":"01a22457-58c0-70b8-89ac-62b504e0cf99"}}', '{"actor":"user:01a22457-58c0-70b8-89ac-62b504e0cf99","contract":"api-auth","ip":"sealed:xa8Jhcxu4zzyTrzX677jSOBnUtA6dhaeXGf4uBZvaqDy/JTPtA","request_id":"8fb4a419-f9f1-41fa-94ec-c756358046ac","user_id":"01a22457-58c0-70b8-89ac-62b504e0cf99"}', 38, '2219', '2026-11-28 22:47:13.981485+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-5546-7b68-8f42-199a08afd3d3', 5, 'PasswordChanged', '1', '{"PasswordChanged":{"at":"2026-11-28T22:47:13.108Z","credential":"c9b505fb-7c32-4454-9410-80398a26ee27","kept_session":"01a22457-5552-7b63-8db2-8ac12c7ad267","session_epoch":2}}', '{"actor":"user:01a22457-5546-7b68-8f42-199a08afd3d3","contract":"authlog","ip":"sealed:x1D+TX1AtMzrsiu8sppfoXqqG71Wgl+mAfUfA2Lit57n6A+Z5A","request_id":"0e4d3a13-6265-4142-8e7f-c0d39e9be9be","user_id":"01a22457-5546-7b68-8f42-199a08afd3d3"}', 28, '2173', '2026-11-28 22:47:13.11096+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-5b7e-7aef-8a33-67cbb1f66753', 1, 'UserRegistered', '1', '{"UserRegistered":{"at":"2026-11-28T22:47:14.558Z","credential":"a5abf8e7-3b2a-4490-aa2b-2f73938fdb97","email":{"sealed":"2hI8Dkq8OHbl2uAs180TlaidMW4g2aA/IkJOLbZpSqaOSB5bIzyxhKH8MmlY"},"name":null,"number":4,"phone":null,"role":"user","username":{"sealed":"zquMvGgba/4ExLGLW4DPdw1UOc6OVBfoIPhEzIq2d9Di"}}}', '{"actor":"user:01a22457-5b7e-7aef-8a33-67cbb1f66753","contract":"api-auth","ip":"sealed:WWF+4UnJoVlg84xjKn6+JJw1zH9trQW03rdZmsXKdRGSKEgmQQ","request_id":"f5c600f7-37e3-46be-9bae-185b7c3ca576","user_id":"01a22457-5b7e-7aef-8a33-67cbb1f66753"}', 40, '2241', '2026-11-28 22:47:14.57023+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-5b7e-7c02-8660-214578a071a9', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:14.558Z","epoch":0,"expires_at":"2026-12-01T22:47:14.558Z","rotation":"rotating","user":"01a22457-5b7e-7aef-8a33-67cbb1f66753"}}', '{"actor":"user:01a22457-5b7e-7aef-8a33-67cbb1f66753","contract":"api-auth","ip":"sealed:SBnLnbl5xEi0cQJA714IQMDUNQVSGJm5FTAYe00hzM47RkmclQ","request_id":"f5c600f7-37e3-46be-9bae-185b7c3ca576","user_id":"01a22457-5b7e-7aef-8a33-67cbb1f66753"}', 41, '2241', '2026-11-28 22:47:14.570292+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-55e7-799c-a031-3c08d23def40', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:13.127Z","epoch":2,"expires_at":"2026-11-29T22:47:13.127Z","rotation":null,"user":"01a22457-5546-7b68-8f42-199a08afd3d3"}}', '{"actor":"user:01a22457-5546-7b68-8f42-199a08afd3d3","contract":"api","ip":"sealed:f8kZdatk+I7dT1+MV9goKHk7/5J190q/FcnZ0Omqpc8/yoNSWA","request_id":"7beb73c1-2765-4de3-b921-859a26579bfa","user_id":"01a22457-5546-7b68-8f42-199a08afd3d3"}', 29, '2177', '2026-11-28 22:47:13.141077+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-57aa-7e17-96e9-559190ce8afb', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:13.578Z","epoch":4,"expires_at":"2026-12-05T22:47:13.578Z","rotation":"reusable","user":"01a22457-5546-7b68-8f42-199a08afd3d3"}}', '{"actor":"user:01a22457-5546-7b68-8f42-199a08afd3d3","contract":"users","ip":"sealed:3K6H3tTl7o4EHCtZWeBx5xYYvWWnc+cykEewjS0GzJ8OWtt1QA","request_id":"2d1bac98-d25a-4bf2-b549-89ff257739bb","user_id":"01a22457-5546-7b68-8f42-199a08afd3d3"}', 35, '2199', '2026-11-28 22:47:13.579724+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-5546-7b68-8f42-199a08afd3d3', 6, 'SessionsRevoked', '1', '{"SessionsRevoked":{"at":"2026-11-28T22:47:13.163Z","kept_session":"01a22457-5552-7b63-8db2-8ac12c7ad267","reason":"owner","session_epoch":3}}', '{"actor":"user:01a22457-5546-7b68-8f42-199a08afd3d3","contract":"authlog","ip":"sealed:uu9u4Rvf6bs3wJkh53Qsw4+el+KhOkLQEKVMJRq2ArZl8koa8w","request_id":"64e2ce67-ee25-42f9-9d8e-780c71069547","user_id":"01a22457-5546-7b68-8f42-199a08afd3d3"}', 32, '2183', '2026-11-28 22:47:13.169367+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-5546-7b68-8f42-199a08afd3d3', 7, 'UserLocked', '1', '{"UserLocked":{"at":"2026-11-28T22:47:13.388Z","session_epoch":4}}', '{"actor":"operator","contract":"cli","request_id":"2395698b-7b05-4cf1-8d5b-09d61de893fc","user_id":"01a22457-5546-7b68-8f42-199a08afd3d3"}', 33, '2195', '2026-11-28 22:47:13.409583+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-5546-7b68-8f42-199a08afd3d3', 8, 'UserUnlocked', '1', '{"UserUnlocked":{"at":"2026-11-28T22:47:13.542Z"}}', '{"actor":"operator","contract":"cli","request_id":"6d6fa565-b342-4c75-948b-6761a0027f6e","user_id":"01a22457-5546-7b68-8f42-199a08afd3d3"}', 34, '2197', '2026-11-28 22:47:13.557925+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-58c0-70b8-89ac-62b504e0cf99', 1, 'UserRegistered', '1', '{"UserRegistered":{"at":"2026-11-28T22:47:13.856Z","credential":"3be9a64d-b937-4706-8fae-3cb0a455a532","email":{"sealed":"4NUNGZ6DyDJA+GKRvWNREa2pgnJOVfqDZHSuRZpZdzkMsYViKAawNQvkB+mV93fYHeBAVFDsIGCw+ep2"},"name":null,"number":3,"phone":null,"role":"user","username":{"sealed":"SeNszLmYzcKNSH99kPAI8uaOAdP855y2kXGX4XLdn9k36YFxmlmdzf8tQiTnOipv"}}}', '{"actor":"operator","contract":"cli","request_id":"4bb7c086-4e82-47c5-8f07-ef96399724d5","user_id":"01a22457-58c0-70b8-89ac-62b504e0cf99"}', 37, '2214', '2026-11-28 22:47:13.924326+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-58c0-70b8-89ac-62b504e0cf99', 2, 'PasswordRehashed', '1', '{"PasswordRehashed":{"at":"2026-11-28T22:47:13.989Z","credential":"fd503ee9-e4bb-460b-b044-7b8d7b3e2cc1"}}', '{"actor":"user:01a22457-58c0-70b8-89ac-62b504e0cf99","contract":"api-auth","ip":"sealed:+IVn61Mtt1Ux6yzMH9ZuK88LLNBJGjgYIpiXke9Cx3f5v56ZcA","request_id":"8fb4a419-f9f1-41fa-94ec-c756358046ac","user_id":"01a22457-58c0-70b8-89ac-62b504e0cf99"}', 39, '2222', '2026-11-28 22:47:14.008313+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-5c00-742d-b645-64b8787de237', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:14.688Z","epoch":0,"expires_at":"2026-11-29T22:47:14.688Z","rotation":null,"user":"01a22457-5b7e-7aef-8a33-67cbb1f66753"}}', '{"actor":"user:01a22457-5b7e-7aef-8a33-67cbb1f66753","contract":"v1-auth","ip":"sealed:JNLxte/4gih30KR7EunPvPWCDXmBNOM4X/TLVip9ick0lsr4cQ","request_id":"41c8ba44-4e62-499b-91d8-de5aba2d670c","user_id":"01a22457-5b7e-7aef-8a33-67cbb1f66753"}', 45, '2248', '2026-11-28 22:47:14.699828+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-5c5c-7691-816f-5d7f0c7cf45a', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:14.780Z","epoch":0,"expires_at":"2026-12-05T22:47:14.780Z","rotation":"reusable","user":"01a22457-5c1f-7c87-ac1b-95496af3d812"}}', '{"actor":"user:01a22457-5c1f-7c87-ac1b-95496af3d812","contract":"users","ip":"sealed:e/9v/kig0YCpdILBD50tpvLBaa8Ln4vOMoQmlsHhhhjNV9/BVw","request_id":"1d31642f-7601-4482-a8c2-d49a830c2bd2","user_id":"01a22457-5c1f-7c87-ac1b-95496af3d812"}', 49, '2252', '2026-11-28 22:47:14.78225+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22457-5be3-7545-b047-ca555d8fa237', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T22:47:14.659Z","epoch":0,"expires_at":"2026-11-29T22:47:14.659Z","rotation":null,"user":"01a22457-5b7e-7aef-8a33-67cbb1f66753"}}', '{"actor":"user:01a22457-5b7e-7aef-8a33-67cbb1f66753","contract":"api","ip":"sealed:nxSNYBqXYB1PviwZvs7axeBppWYa1cVcWUfUz/X7iB/ybVxAOQ","request_id":"272dd95e-548d-48d2-9e6d-0a43ee615e0f","user_id":"01a22457-5b7e-7aef-8a33-67cbb1f66753"}', 44, '2247', '2026-11-28 22:47:14.668176+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-5d93-7b64-bb8d-fabe18c74786', 1, 'UserRegistered', '1', '{"UserRegistered":{"at":"2026-11-28T22:47:15.091Z","credential":"78a64ab2-2f16-4f1c-84e9-88556f7437f4","email":{"sealed":"4ajtcA3DY/GyVzy5uN/gNesqR+zY20YpC16S8tAvhtSpbeoIQQfY/eDfu7dQIQ"},"name":null,"number":6,"phone":null,"role":"admin","username":{"sealed":"zvkxhlJKQ73K1tPhu9Bcg6+/6bpMpnmrV11hGTEGGmhi/g"}}}', '{"actor":"operator","contract":"cli","request_id":"aa27ca3d-5609-4ea0-8a42-41779c3aeb8d","user_id":"01a22457-5d93-7b64-bb8d-fabe18c74786"}', 52, '2264', '2026-11-28 22:47:15.148319+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22457-5c1f-7c87-ac1b-95496af3d812', 2, 'UserLocked', '1', '{"UserLocked":{"at":"2026-11-28T22:47:15.699Z","session_epoch":1}}', '{"actor":"operator","contract":"cli","request_id":"037b2549-2125-49d3-953a-b5798239011e","user_id":"01a22457-5c1f-7c87-ac1b-95496af3d812"}', 53, '2291', '2026-11-28 22:47:15.772478+00', DEFAULT);


--
-- Data for Name: finished_upgrades; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: identifier_claims; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.identifier_claims VALUES ('username', '\x6bc0bbb17c281a492144d19d9403aa6c532e6e246d163a8f2a1895deddee719f', '01a22457-51dc-7aea-aaa2-6976b765c949');
INSERT INTO public.identifier_claims VALUES ('email', '\x88c9d7a555e573b54fa08a723f0084a174788b6dc520f36e125a1162a52fbc4c', '01a22457-51dc-7aea-aaa2-6976b765c949');
INSERT INTO public.identifier_claims VALUES ('username', '\x29a18babd0e8e3391653316559e182b70f1441b2e4da8632b6fde576190b1590', '01a22457-58c0-70b8-89ac-62b504e0cf99');
INSERT INTO public.identifier_claims VALUES ('email', '\x31d5509a93270b100ce62c07da86c7c1b243368d326314ce71333b96c9b170a3', '01a22457-58c0-70b8-89ac-62b504e0cf99');
INSERT INTO public.identifier_claims VALUES ('username', '\x0f3a381de9a1b927a4bd86b4f144fff1a8130f6c6d26f6421c214dc99693d158', '01a22457-5b7e-7aef-8a33-67cbb1f66753');
INSERT INTO public.identifier_claims VALUES ('email', '\x4ff0cc8a673e8add2deaa45a2789e2ff7f850bd072e5441783a93b480c3d0dab', '01a22457-5b7e-7aef-8a33-67cbb1f66753');
INSERT INTO public.identifier_claims VALUES ('username', '\xd5ced472b9b5460a9065a161185a108607909d32d189098e96e77cb61b9be68d', '01a22457-5c1f-7c87-ac1b-95496af3d812');
INSERT INTO public.identifier_claims VALUES ('email', '\x4580cce345ba362237f37994ee7a5fc83f53e574b3889fe26fb25a8c09d80aa4', '01a22457-5c1f-7c87-ac1b-95496af3d812');
INSERT INTO public.identifier_claims VALUES ('username', '\xc5b1df66ad16689b1b63c32b197f4504517854dcba5580268127bd73ac70a931', '01a22457-5d93-7b64-bb8d-fabe18c74786');
INSERT INTO public.identifier_claims VALUES ('email', '\x508c344339a32cdd96cbe21fdcc4d6764052d02f0b7a5fae4bf0b29b2535e73b', '01a22457-5d93-7b64-bb8d-fabe18c74786');


--
-- Data for Name: log_marks; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.log_marks VALUES (1, '2053');


--
-- Data for Name: log_nodes; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: mail_budgets; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.mail_budgets VALUES ('\x101ff43183e825ec8f7f6e17acce97969519f8b40953caa4b610e20c3a066511', 'verification-link', '2026-11-28 22:53:12.438+00');
INSERT INTO public.mail_budgets VALUES ('\x101ff43183e825ec8f7f6e17acce97969519f8b40953caa4b610e20c3a066511', 'reset-link', '2026-11-28 22:53:12.583+00');
INSERT INTO public.mail_budgets VALUES ('\x101ff43183e825ec8f7f6e17acce97969519f8b40953caa4b610e20c3a066511', 'refresh-token-reused', '2026-11-28 23:47:12.582+00');
INSERT INTO public.mail_budgets VALUES ('\x101ff43183e825ec8f7f6e17acce97969519f8b40953caa4b610e20c3a066511', 'password-changed', '2026-11-28 23:47:12.642+00');
INSERT INTO public.mail_budgets VALUES ('\x101ff43183e825ec8f7f6e17acce97969519f8b40953caa4b610e20c3a066511', 'all', '2026-11-29 00:47:12.438+00');
INSERT INTO public.mail_budgets VALUES ('\xa1b86910f8cef77d311eaab445850515efd2af191a0a2082ac0d027aa5219ebf', 'verification-link', '2026-11-28 22:53:13.02+00');
INSERT INTO public.mail_budgets VALUES ('\xa1b86910f8cef77d311eaab445850515efd2af191a0a2082ac0d027aa5219ebf', 'password-changed', '2026-11-28 23:47:13.13+00');
INSERT INTO public.mail_budgets VALUES ('\xa1b86910f8cef77d311eaab445850515efd2af191a0a2082ac0d027aa5219ebf', 'all', '2026-11-28 23:47:13.02+00');


--
-- Data for Name: mail_queue; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: opaque_tokens; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.opaque_tokens VALUES ('\xf9c6996218b735725ae89c3bc6fa7ea65a404f836898f8c27a8ea4d42017e3a4', '01a22457-528b-733b-bf63-42bf6538fa46', '2026-11-29 22:47:12.267+00', '\x12b1c80bc1abcbed92081a94e08bee90');
INSERT INTO public.opaque_tokens VALUES ('\x1a3e9bd27b36383b8ef29227efdc7dd00e7069098d1a3e3589bfa3d7b92922d2', '01a22457-5be3-7545-b047-ca555d8fa237', '2026-11-29 22:47:14.659+00', '\x04ce6c5d0e11464199630c57e36c460b');
INSERT INTO public.opaque_tokens VALUES ('\x1380344e43e813dced813cdd47dafa4369303d723f30d82c44095498c04b0c7b', '01a22457-5c65-7542-baa5-7441b699d820', '2026-11-29 22:47:14.789+00', '\xab700b2450a79daa9863bc3465a5abda');


--
-- Data for Name: reset_requests; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: sealing_key; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.sealing_key VALUES (1, '\xf98ebff14a551af0d129a2b755cacee1');


--
-- Data for Name: sequencer; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.sequencer VALUES (1, '2291', 53, 53, 0, 1);


--
-- Data for Name: sessions; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.sessions VALUES ('01a22457-51dc-7a0e-9131-5be0e4408d91', 1, '01a22457-51dc-7aea-aaa2-6976b765c949', 'api-auth', 0, 'rotating', 0, '2026-11-28 22:47:12.092+00', '2026-11-28 22:47:12.092+00', '2026-12-01 22:47:12.092+00', NULL, '2026-11-28 22:47:12.092+00', '\xf3510374d7d50203c4ccfef4d8aed7da');
INSERT INTO public.sessions VALUES ('01a22457-5221-765e-8729-193ebadfedd6', 2, '01a22457-51dc-7aea-aaa2-6976b765c949', 'api-auth', 0, 'rotating', 0, '2026-11-28 22:47:12.161+00', '2026-11-28 22:47:12.161+00', '2026-12-01 22:47:12.161+00', '2026-11-28 22:47:12.19+00', '2026-11-28 22:47:12.161+00', '\x467137946ec85b930bd83dfc0e9b2e83');
INSERT INTO public.sessions VALUES ('01a22457-5259-7403-a6e7-27b5bc899fc2', 2, '01a22457-51dc-7aea-aaa2-6976b765c949', 'users', 0, 'reusable', 0, '2026-11-28 22:47:12.217+00', '2026-11-28 22:47:12.217+00', '2026-12-05 22:47:12.217+00', '2026-11-28 22:47:12.228+00', '2026-11-28 22:47:12.217+00', '\xb241b4547dfdb812e855ce32882cc4cf');
INSERT INTO public.sessions VALUES ('01a22457-528b-733b-bf63-42bf6538fa46', 2, '01a22457-51dc-7aea-aaa2-6976b765c949', 'api', 0, NULL, 0, '2026-11-28 22:47:12.267+00', '2026-11-28 22:47:12.267+00', '2026-11-29 22:47:12.267+00', '2026-11-28 22:47:12.302+00', '2026-11-28 22:47:12.267+00', '\x62febdc1042ae7aacc88914e931624ac');
INSERT INTO public.sessions VALUES ('01a22457-52bc-7aed-9214-272c1ceea99d', 2, '01a22457-51dc-7aea-aaa2-6976b765c949', 'v1-auth', 0, NULL, 0, '2026-11-28 22:47:12.316+00', '2026-11-28 22:47:12.316+00', '2026-11-29 22:47:12.316+00', '2026-11-28 22:47:12.341+00', '2026-11-28 22:47:12.316+00', '\x4d6c44d20a675228ed321a0039c28bc8');
INSERT INTO public.sessions VALUES ('01a22457-52f2-748a-b2b5-f0f686ad18e0', 4, '01a22457-51dc-7aea-aaa2-6976b765c949', 'api-auth', 0, 'rotating', 2, '2026-11-28 22:47:12.37+00', '2026-11-28 22:47:12.549+00', '2026-12-01 22:47:12.549+00', '2026-11-28 22:47:12.564+00', '2026-11-28 22:47:12.549+00', '\xc84b690dc910f3871b77889b5949dbad');
INSERT INTO public.sessions VALUES ('01a22457-553e-7918-9e47-890de26f8413', 1, '01a22457-51dc-7aea-aaa2-6976b765c949', 'api-auth', 3, 'rotating', 0, '2026-11-28 22:47:12.958+00', '2026-11-28 22:47:12.958+00', '2026-12-01 22:47:12.958+00', NULL, '2026-11-28 22:47:12.958+00', '\xe42edb2ccdf5f638f92552e24f6c387b');
INSERT INTO public.sessions VALUES ('01a22457-5939-7270-817f-89a3eb1ed649', 1, '01a22457-58c0-70b8-89ac-62b504e0cf99', 'api-auth', 0, 'rotating', 0, '2026-11-28 22:47:13.977+00', '2026-11-28 22:47:13.977+00', '2026-12-01 22:47:13.977+00', NULL, '2026-11-28 22:47:13.977+00', '\x32d94f930ed872cbdc084c240e3cf240');
INSERT INTO public.sessions VALUES ('01a22457-5b7e-7c02-8660-214578a071a9', 1, '01a22457-5b7e-7aef-8a33-67cbb1f66753', 'api-auth', 0, 'rotating', 0, '2026-11-28 22:47:14.558+00', '2026-11-28 22:47:14.558+00', '2026-12-01 22:47:14.558+00', NULL, '2026-11-28 22:47:14.558+00', '\xcbd4c4dd02a353c8c1f6a4a1cbfc5c3c');
INSERT INTO public.sessions VALUES ('01a22457-5ba0-7787-b788-634eb9329095', 1, '01a22457-5b7e-7aef-8a33-67cbb1f66753', 'api-auth', 0, 'rotating', 0, '2026-11-28 22:47:14.592+00', '2026-11-28 22:47:14.592+00', '2026-12-01 22:47:14.592+00', NULL, '2026-11-28 22:47:14.592+00', '\x5c7b45f32465565a8584257bcdc70afc');
INSERT INTO public.sessions VALUES ('01a22457-5bbf-7ceb-9096-0e2977c371f0', 1, '01a22457-5b7e-7aef-8a33-67cbb1f66753', 'users', 0, 'reusable', 0, '2026-11-28 22:47:14.623+00', '2026-11-28 22:47:14.623+00', '2026-12-05 22:47:14.623+00', NULL, '2026-11-28 22:47:14.623+00', '\x8eae498e519dca4ed5b00d472c135fd1');
INSERT INTO public.sessions VALUES ('01a22457-5be3-7545-b047-ca555d8fa237', 1, '01a22457-5b7e-7aef-8a33-67cbb1f66753', 'api', 0, NULL, 0, '2026-11-28 22:47:14.659+00', '2026-11-28 22:47:14.659+00', '2026-11-29 22:47:14.659+00', NULL, '2026-11-28 22:47:14.659+00', '\x72731cba50eaf1c6fc6b512e43f5a290');
INSERT INTO public.sessions VALUES ('01a22457-5c00-742d-b645-64b8787de237', 1, '01a22457-5b7e-7aef-8a33-67cbb1f66753', 'v1-auth', 0, NULL, 0, '2026-11-28 22:47:14.688+00', '2026-11-28 22:47:14.688+00', '2026-11-29 22:47:14.688+00', NULL, '2026-11-28 22:47:14.688+00', '\x891481a85ae40b6ef298cda29a2e7274');
INSERT INTO public.sessions VALUES ('01a22457-5c1f-7538-b5a2-9dfc4c170a5a', 1, '01a22457-5c1f-7c87-ac1b-95496af3d812', 'api-auth', 0, 'rotating', 0, '2026-11-28 22:47:14.719+00', '2026-11-28 22:47:14.719+00', '2026-12-01 22:47:14.719+00', NULL, '2026-11-28 22:47:14.719+00', '\x50b5344246c08b36c7994e9be7899caa');
INSERT INTO public.sessions VALUES ('01a22457-5c45-71a8-bc72-1732120953e7', 1, '01a22457-5c1f-7c87-ac1b-95496af3d812', 'api-auth', 0, 'rotating', 0, '2026-11-28 22:47:14.757+00', '2026-11-28 22:47:14.757+00', '2026-12-01 22:47:14.757+00', NULL, '2026-11-28 22:47:14.757+00', '\xe70e40d049add3f99a74695d1b941da8');
INSERT INTO public.sessions VALUES ('01a22457-5c5c-7691-816f-5d7f0c7cf45a', 1, '01a22457-5c1f-7c87-ac1b-95496af3d812', 'users', 0, 'reusable', 0, '2026-11-28 22:47:14.78+00', '2026-11-28 22:47:14.78+00', '2026-12-05 22:47:14.78+00', NULL, '2026-11-28 22:47:14.78+00', '\x8244ff1ea3478c423e67f94a8d5c13c7');
INSERT INTO public.sessions VALUES ('01a22457-5c65-7542-baa5-7441b699d820', 1, '01a22457-5c1f-7c87-ac1b-95496af3d812', 'api', 0, NULL, 0, '2026-11-28 22:47:14.789+00', '2026-11-28 22:47:14.789+00', '2026-11-29 22:47:14.789+00', NULL, '2026-11-28 22:47:14.789+00', '\xd388f4cccb423e54aa0c614dfad6cfd6');
INSERT INTO public.sessions VALUES ('01a22457-5c80-77dc-8b3f-4ca8b13b7818', 1, '01a22457-5c1f-7c87-ac1b-95496af3d812', 'v1-auth', 0, NULL, 0, '2026-11-28 22:47:14.816+00', '2026-11-28 22:47:14.816+00', '2026-11-29 22:47:14.816+00', NULL, '2026-11-28 22:47:14.816+00', '\x3c58e3ad9f79801617ca747fa5192b70');


--
-- Data for Name: shared_secrets; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.shared_secrets VALUES ('identifier-pepper', '\x62463319cf372461fc8a04fb8edb9d83d3d1a61ec41af0f70b6e7fa985c3a3173a81dcfb452e06ab4538d312a0b2eb68bba52499cb4341ac3d62d05b7b');
INSERT INTO public.shared_secrets VALUES ('checkpoint-key', '\xf535f87b0458771f4e28e9b26510c5a483ad77561ae9ac863dfb7d45f15b44b65f8fb53dda2f54586be8b3dce61463b0b9b24a6b28717ad56fee7cbd4b90ab7842f6c251752ca0c0097f729a25aab6d72459e66b09809ca682852cf80d6a9e833106adb0ae7f9b36891e72b43656900c');
INSERT INTO public.shared_secrets VALUES ('signing-key-set', '\x84e01ec0c7824e61c3c21ccb882d529d0d7de024efa348cee2248c12da670ff4f8630b6a13786d8f24fbcc6884832e9be8f170ed1dc676cce0be540af2806aa0d524ac8cf64def772c5751a49b9e5c18bfb6ab1f22c47188f80a3556e1035f01ddad4e6ebcab8360b63be8c90c010682ce4e909e11be068b4124c1143e1b940b458083e0fb9877389540c6d32d9df6a671d1ac174a077bc44e407d1e6f0bc0138e8bc88637c04591c41baace655ecf286efd53504d44d0fe6039386bc0b45af0f10f3e601a2a21d944cf04a393c06462f3599268b6feeaa25017a86edf6e0ad8840fe6a897');
INSERT INTO public.shared_secrets VALUES ('reset-token-key', '\x1405ccfb69e156462f042b5666bebfd27806dd9ec3a0922dd41defaee92d66eb29e0417750195d306f1efdb75599b96d83bd08b444194ab8c3630bf2');


--
-- Data for Name: signing_key_changes; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.signing_key_changes VALUES (1, 1);


--
-- Data for Name: signing_keys; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.signing_keys VALUES ('RX2_Ao-yrrAMDtz4-5VnESVqLYXdHXnJB3oF4IG5xYw', 'ES256', '2026-11-28 22:47:11.926+00', NULL, NULL, '\xef3424723556d55cebae1ee3ecd2eb5ab6629e8302c0c6a2de1ed22672428d8648498b7d6c5e45f19f8548b66a5400cb21db121127abfd0f1a24117beadbad6fa7833732534c647a08e398395e4809f77af777f9a9014548640f42687e7417f3c53183552156f771a629ffcd2f41bbaaa8a0508ca245c9ed66c8d10b579b02aae22e9f34199307dc2bd10f9e656f8cdec3352460527f1ab29648b7ad3553c54667ef76d33431');


--
-- Data for Name: subject_keys; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.subject_keys VALUES ('01a22457-51dc-7aea-aaa2-6976b765c949', '\xb04811936037ed5458d44aec894ac4314ed76252432657919e60782e26f2226d6e26663e4cc5ea291c4d2decbee64c51cc8af2c40852279858142ed9');
INSERT INTO public.subject_keys VALUES ('01a22457-58c0-70b8-89ac-62b504e0cf99', '\xd815f3ec2e1327f9acb5455c122da17ef07a60f8370d2e96625c0cc68f77915cb975117be17d9723f8f610e38e750efeee4fa6d6e464240adb747e95');
INSERT INTO public.subject_keys VALUES ('01a22457-5b7e-7aef-8a33-67cbb1f66753', '\x08386bb32d8bec64be953eb0ee96ba33e99503d82e81fd514ce3fc29d5c65ece9fdfaba41f60fe2ad475f9a6b8fa9fada743d7a7b37389a60320a81a');
INSERT INTO public.subject_keys VALUES ('01a22457-5c1f-7c87-ac1b-95496af3d812', '\x7f5f38dfb583e0507d0a9f0d4a14a36235e8b85f3296fc82c254f7562bb32c369e968859775d03cde046125c1014fe39325aec5b6d496c3969dfee9c');
INSERT INTO public.subject_keys VALUES ('01a22457-5d93-7b64-bb8d-fabe18c74786', '\x6ffbabd175d8b0cb11571366bcc55dfdce1a905e753f19a3bac59c3ebdced3936ed012cc690caad99d318da734cd63bc6e94ade7313bae175b295fbd');


--
-- Data for Name: unfinished_erasures; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: write_probe; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Name: account_numbers; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.account_numbers', 6, true);


--
-- Name: events_position_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.events_position_seq', 53, true);


--
-- Name: _sqlx_migrations _sqlx_migrations_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public._sqlx_migrations
    ADD CONSTRAINT _sqlx_migrations_pkey PRIMARY KEY (version);


--
-- Name: account_places account_places_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.account_places
    ADD CONSTRAINT account_places_pkey PRIMARY KEY (number);


--
-- Name: accounts accounts_number_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_number_key UNIQUE (number);


--
-- Name: accounts accounts_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (user_id);


--
-- Name: checkpoints checkpoints_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.checkpoints
    ADD CONSTRAINT checkpoints_pkey PRIMARY KEY (tree_size);


--
-- Name: credentials credentials_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.credentials
    ADD CONSTRAINT credentials_pkey PRIMARY KEY (user_id);


--
-- Name: due_mail due_mail_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.due_mail
    ADD CONSTRAINT due_mail_pkey PRIMARY KEY (aggregate_type, aggregate_id, sequence);


--
-- Name: event_log event_log_aggregate_type_aggregate_id_sequence_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.event_log
    ADD CONSTRAINT event_log_aggregate_type_aggregate_id_sequence_key UNIQUE (aggregate_type, aggregate_id, sequence);


--
-- Name: event_log event_log_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.event_log
    ADD CONSTRAINT event_log_pkey PRIMARY KEY (log_index);


--
-- Name: events events_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (aggregate_type, aggregate_id, sequence);


--
-- Name: finished_upgrades finished_upgrades_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.finished_upgrades
    ADD CONSTRAINT finished_upgrades_pkey PRIMARY KEY (name);


--
-- Name: identifier_claims identifier_claims_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.identifier_claims
    ADD CONSTRAINT identifier_claims_pkey PRIMARY KEY (kind, digest);


--
-- Name: log_marks log_marks_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.log_marks
    ADD CONSTRAINT log_marks_pkey PRIMARY KEY (number);


--
-- Name: log_nodes log_nodes_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.log_nodes
    ADD CONSTRAINT log_nodes_pkey PRIMARY KEY (level, node_index);


--
-- Name: mail_budgets mail_budgets_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.mail_budgets
    ADD CONSTRAINT mail_budgets_pkey PRIMARY KEY (mailbox, kind);


--
-- Name: mail_queue mail_queue_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.mail_queue
    ADD CONSTRAINT mail_queue_pkey PRIMARY KEY (mail_id);


--
-- Name: mail_queue mail_queue_user_id_kind_mailbox_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.mail_queue
    ADD CONSTRAINT mail_queue_user_id_kind_mailbox_key UNIQUE (user_id, kind, mailbox);


--
-- Name: opaque_tokens opaque_tokens_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.opaque_tokens
    ADD CONSTRAINT opaque_tokens_pkey PRIMARY KEY (digest);


--
-- Name: reset_requests reset_requests_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.reset_requests
    ADD CONSTRAINT reset_requests_pkey PRIMARY KEY (reset_id);


--
-- Name: sealing_key sealing_key_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sealing_key
    ADD CONSTRAINT sealing_key_pkey PRIMARY KEY (id);


--
-- Name: sequencer sequencer_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sequencer
    ADD CONSTRAINT sequencer_pkey PRIMARY KEY (id);


--
-- Name: sessions sessions_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (session_id);


--
-- Name: shared_secrets shared_secrets_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.shared_secrets
    ADD CONSTRAINT shared_secrets_pkey PRIMARY KEY (name);


--
-- Name: signing_key_changes signing_key_changes_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.signing_key_changes
    ADD CONSTRAINT signing_key_changes_pkey PRIMARY KEY (id);


--
-- Name: signing_keys signing_keys_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.signing_keys
    ADD CONSTRAINT signing_keys_pkey PRIMARY KEY (kid);


--
-- Name: subject_keys subject_keys_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.subject_keys
    ADD CONSTRAINT subject_keys_pkey PRIMARY KEY (user_id);


--
-- Name: unfinished_erasures unfinished_erasures_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.unfinished_erasures
    ADD CONSTRAINT unfinished_erasures_pkey PRIMARY KEY (user_id);


--
-- Name: account_places_in_order; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX account_places_in_order ON public.account_places USING btree (txid, number) WHERE listed;


--
-- Name: accounts_administering; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX accounts_administering ON public.accounts USING btree (user_id) WHERE ((role = 'admin'::text) AND (NOT locked));


--
-- Name: due_mail_by_user; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX due_mail_by_user ON public.due_mail USING btree (user_id);


--
-- Name: due_mail_due; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX due_mail_due ON public.due_mail USING btree (due_at);


--
-- Name: events_by_transaction; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX events_by_transaction ON public.events USING btree (txid, "position");


--
-- Name: events_erasing; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX events_erasing ON public.events USING btree (user_id) WHERE (event_type = 'UserErased'::text);


--
-- Name: events_of_user_in_order; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX events_of_user_in_order ON public.events USING btree (user_id, txid, "position");


--
-- Name: events_revoking_by_time; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX events_revoking_by_time ON public.events USING btree (recorded_at) WHERE (event_type = ANY (ARRAY['LoggedOut'::text, 'RefreshTokenReused'::text, 'SessionRevoked'::text, 'PasswordReset'::text, 'PasswordChanged'::text, 'SessionsRevoked'::text, 'RoleChanged'::text, 'UserLocked'::text, 'UserErased'::text]));


--
-- Name: events_revoking_by_transaction; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX events_revoking_by_transaction ON public.events USING btree (txid) WHERE (event_type = ANY (ARRAY['LoggedOut'::text, 'RefreshTokenReused'::text, 'SessionRevoked'::text, 'PasswordReset'::text, 'PasswordChanged'::text, 'SessionsRevoked'::text, 'RoleChanged'::text, 'UserLocked'::text, 'UserErased'::text]));


--
-- Name: identifier_claims_by_owner; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX identifier_claims_by_owner ON public.identifier_claims USING btree (owner);


--
-- Name: mail_budgets_used_until; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX mail_budgets_used_until ON public.mail_budgets USING btree (used_until);


--
-- Name: mail_queue_due; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX mail_queue_due ON public.mail_queue USING btree (due_at);


--
-- Name: opaque_tokens_by_session; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX opaque_tokens_by_session ON public.opaque_tokens USING btree (session_id);


--
-- Name: reset_requests_due; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX reset_requests_due ON public.reset_requests USING btree (due_at);


--
-- Name: sessions_in_order; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX sessions_in_order ON public.sessions USING btree (user_id, epoch, session_id);


--
-- Name: signing_keys_newest; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX signing_keys_newest ON public.signing_keys USING btree (((signs_until IS NULL))) WHERE (signs_until IS NULL);


--
-- Name: accounts accounts_have_places; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER accounts_have_places AFTER INSERT OR DELETE ON public.accounts FOR EACH ROW EXECUTE FUNCTION public.place_account();


--
-- Name: checkpoints checkpoints_are_never_changed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER checkpoints_are_never_changed BEFORE DELETE OR UPDATE OR TRUNCATE ON public.checkpoints FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

ALTER TABLE public.checkpoints ENABLE ALWAYS TRIGGER checkpoints_are_never_changed;


--
-- Name: due_mail due_mail_is_moved; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER due_mail_is_moved AFTER INSERT ON public.due_mail FOR EACH ROW EXECUTE FUNCTION public.move_due_mail();


--
-- Name: event_log event_log_is_never_changed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER event_log_is_never_changed BEFORE DELETE OR UPDATE OR TRUNCATE ON public.event_log FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

ALTER TABLE public.event_log ENABLE ALWAYS TRIGGER event_log_is_never_changed;


--
-- Name: events events_are_never_changed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER events_are_never_changed BEFORE DELETE OR UPDATE OR TRUNCATE ON public.events FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

ALTER TABLE public.events ENABLE ALWAYS TRIGGER events_are_never_changed;


--
-- PostgreSQL database dump complete
--


