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
    UPDATE mail_queue SET happened = happened - told, admitted = false, attempts = 0, due_at = happened_at
     WHERE mail_id = done;
END
$$;


--
-- Name: erase_account(uuid, uuid[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.erase_account(erased uuid, resets uuid[]) RETURNS void
    LANGUAGE plpgsql STRICT
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(erased::text, 0));
    DELETE FROM subject_keys WHERE user_id = erased;
    DELETE FROM identifier_claims WHERE owner = erased;
    DELETE FROM credentials WHERE user_id = erased;
    DELETE FROM opaque_tokens WHERE session_id IN (SELECT session_id FROM sessions WHERE user_id = erased);
    DELETE FROM sessions WHERE user_id = erased;
    DELETE FROM accounts WHERE user_id = erased;
    DELETE FROM mail_queue WHERE user_id = erased;
    DELETE FROM due_mail WHERE user_id = erased;
    DELETE FROM reset_requests WHERE reset_id = ANY(resets);
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
        (extract(epoch FROM recorded_at) * 1000000)::bigint::text || chr(10) ||
        payload::text || chr(10) ||
        metadata::text,
        'UTF8'))
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


SET default_tablespace = '';

SET default_table_access_method = heap;

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
    CONSTRAINT accounts_check CHECK (((reset_id IS NULL) = (reset_expires_at IS NULL))),
    CONSTRAINT accounts_check1 CHECK (((verification_id IS NULL) = (verification_expires_at IS NULL)))
)
WITH (fillfactor='85');


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
    password_hash text NOT NULL
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
-- Name: identifier_claims; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.identifier_claims (
    kind text NOT NULL,
    digest bytea NOT NULL,
    owner uuid NOT NULL
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
    due_at timestamp with time zone NOT NULL
);


--
-- Name: opaque_tokens; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.opaque_tokens (
    digest bytea NOT NULL,
    session_id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL
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
    admitted boolean DEFAULT false NOT NULL
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
    rotated_at timestamp with time zone NOT NULL
)
WITH (fillfactor='85');


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
-- Data for Name: _sqlx_migrations; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public._sqlx_migrations VALUES (1, 'events', '2026-11-28 07:23:03.09678+00', true, '\xd91ceeb0979878daf959225f274dc789393558f2d922267cc80c8b417bc5f0d0fa0fdf5f9e77b67a8a78799b3ddd8ba7', 99512950);
INSERT INTO public._sqlx_migrations VALUES (2, 'read models', '2026-11-28 07:23:03.218273+00', true, '\x3eed22d9db8b4836993ab698f733ed4e2da740cb834580179c3a183666735cdf171e466aa0010998129ee2abf0537c50', 49001318);
INSERT INTO public._sqlx_migrations VALUES (3, 'sequencer', '2026-11-28 07:23:03.268151+00', true, '\xbfb9ee3900585faca8bfd1666093cbfdb3d41dbcd7608bdf983ac3320a714e37225be658ead4012356c59f01cde13a10', 23557103);
INSERT INTO public._sqlx_migrations VALUES (4, 'log tree', '2026-11-28 07:23:03.295186+00', true, '\xb8b9eb539ffa9aa458541a75b6857a4cc2cb710f853a37c30f3148b77c2c5cc7f9d8b20f90eed3545e86516c69c1d48c', 22678042);
INSERT INTO public._sqlx_migrations VALUES (5, 'erasure', '2026-11-28 07:23:03.323659+00', true, '\xa3b58db44cd74a03e399fff834840b4d2d7309a1eecd73af1e531dbc2b8b6626acae0a7f4b251546570b35ea5be51666', 34257943);
INSERT INTO public._sqlx_migrations VALUES (6, 'keys and roles', '2026-11-28 07:23:03.363223+00', true, '\x458f15c18980bc826dbaa1f18a541e04ef6655762b4beba58fd319609aea5c58f8e1ff9a5c7f3fe368ac1bfd812c8e32', 35032976);
INSERT INTO public._sqlx_migrations VALUES (7, 'accounts', '2026-11-28 07:23:03.398925+00', true, '\x335061bf2e581f40a482dd8fb858e585c4ac6f1a0f8280b45755a6c3af5009a86553c12db95a5a4ad6ca4ae4d40da3a4', 42168202);
INSERT INTO public._sqlx_migrations VALUES (8, 'session rows', '2026-11-28 07:23:03.441624+00', true, '\x0093a4f095b0c497dde4cdda879cf05ce2a69141e0bbb1fe39ba4a957b0475f3d2e25678abefa672703349531fd03c42', 8485352);
INSERT INTO public._sqlx_migrations VALUES (9, 'account rows', '2026-11-28 07:23:03.454109+00', true, '\x08609944fbbab0b2638d682cb7efd9bf915854c281d5d24e25bf3756cd1cd53b6c1d1c8752c9876362ca0e56a7b8ec4c', 29079592);
INSERT INTO public._sqlx_migrations VALUES (10, 'mail gate', '2026-11-28 07:23:03.485136+00', true, '\xa757f1e16f398b69afca506f6e83ac9dabbfaa1c0934f54bf3a0182ac8379ddba56bf8c085b49a3194bb7891f93eddd7', 38007866);


--
-- Data for Name: accounts; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.accounts VALUES ('01a22109-3ea5-79bd-9bc6-97a01939f815', 1, 1, 'ann', 'ann@example.com', NULL, NULL, 'user', '1889ba87-460e-4bf5-8d87-357c54f7e63b', 0, NULL, NULL, '2026-11-28 07:23:03.717+00', '2026-11-28 07:23:03.717+00', false, false, NULL, NULL, NULL, NULL, '{"version":1}');
INSERT INTO public.accounts VALUES ('01a22109-3f41-7467-918b-16d723960757', 1, 3, 'root', NULL, NULL, NULL, 'admin', '1f469669-c9b1-43f8-b51e-6f3679855c78', 0, NULL, NULL, '2026-11-28 07:23:03.873+00', '2026-11-28 07:23:03.873+00', false, false, NULL, NULL, NULL, NULL, '{"version":1}');
INSERT INTO public.accounts VALUES ('01a22109-3ec4-7433-b695-a079af27f408', 2, 2, 'bob', 'bob@example.com', NULL, NULL, 'user', 'e01d1fb7-1c80-4084-ae9c-bdb2ca00def3', 1, NULL, NULL, '2026-11-28 07:23:03.748+00', '2026-11-28 07:23:03.943+00', false, true, NULL, NULL, NULL, NULL, '{"version":2}');
INSERT INTO public.accounts VALUES ('01a22109-3ff1-76f7-9def-72c82814faf0', 1, 5, 'scrypt', 'scrypt@example.com', NULL, NULL, 'user', '5c247898-49c4-4512-9b7e-2b07e6274291', 0, NULL, NULL, '2026-11-28 07:23:04.049+00', '2026-11-28 07:23:04.049+00', false, false, NULL, NULL, NULL, NULL, '{"version":1}');
INSERT INTO public.accounts VALUES ('01a22109-3ff0-7dc6-bcdc-5847615d1cf8', 1, 4, 'bcrypt-b', 'bcrypt-b@example.com', NULL, NULL, 'auditor', 'a4fc4ef0-8f3a-4e9f-b8a4-13450bac95f3', 0, NULL, NULL, '2026-11-28 07:23:04.048+00', '2026-11-28 07:23:04.048+00', false, false, NULL, NULL, NULL, NULL, '{"version":1}');


--
-- Data for Name: checkpoints; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.checkpoints VALUES (11, 'authlog.invalid/1ae7184d-eb43-46af-8194-c0cfffeb54fd
11
GWgml1ybcsRbgIJzzbA/E70NE8CatAKL/BQBWo5bR9k=

— authlog.invalid/1ae7184d-eb43-46af-8194-c0cfffeb54fd +cXiCR1B26mHvg/RH97pbT6z147/kaMlteCeLQMVfkSvNCguTWXV/snKpKjwp437EcXsEwXvws5/l0Oe6xopF9vMHgU=
', '2026-11-28 07:23:04.647186+00');


--
-- Data for Name: credentials; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.credentials VALUES ('01a22109-3ea5-79bd-9bc6-97a01939f815', '1889ba87-460e-4bf5-8d87-357c54f7e63b', '$argon2id$v=19$m=1024,t=1,p=1$PiPZcRbvw4PUW4z6beb2MA$4zcoXIgnL1t559pKLRAlEyPJJ5rf0R0/T+B41WH56+w');
INSERT INTO public.credentials VALUES ('01a22109-3ec4-7433-b695-a079af27f408', 'e01d1fb7-1c80-4084-ae9c-bdb2ca00def3', '$argon2id$v=19$m=1024,t=1,p=1$VuxtTCSie+H1PxyOSCVfpQ$NJuEwrULXJNBeuOdq55AkRXkFxxMs/3FJazjHSFcibk');
INSERT INTO public.credentials VALUES ('01a22109-3f41-7467-918b-16d723960757', '1f469669-c9b1-43f8-b51e-6f3679855c78', '$argon2id$v=19$m=1024,t=1,p=1$+WUD0/lA9Oly1TCk3RA2PA$NT43woVdbAjWVmLO24gU+Kp3IDkRtLtdl1Kh2SnRoNg');
INSERT INTO public.credentials VALUES ('01a22109-3ff1-76f7-9def-72c82814faf0', '5c247898-49c4-4512-9b7e-2b07e6274291', '$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI');
INSERT INTO public.credentials VALUES ('01a22109-3ff0-7dc6-bcdc-5847615d1cf8', 'a4fc4ef0-8f3a-4e9f-b8a4-13450bac95f3', '$2b$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK');


--
-- Data for Name: due_mail; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: event_log; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.event_log VALUES (1, 'user', '01a22109-3ea5-79bd-9bc6-97a01939f815', 1, '\xb648fda35f744548b5f5a6cccf55974430122deaddf1d9c8bd21787105728dde');
INSERT INTO public.event_log VALUES (2, 'session', '01a22109-3ea5-70d2-8a0a-a3c1731054ec', 1, '\x749c07d35ee0e260adb505ad9f9e7302c3c23597684109b7de54d35ff63dfa85');
INSERT INTO public.event_log VALUES (3, 'user', '01a22109-3ec4-7433-b695-a079af27f408', 1, '\x6e56b03b8da0373b5f66eae6a510f6180f82d86e2bbe1c645159f029ce441524');
INSERT INTO public.event_log VALUES (4, 'session', '01a22109-3ec4-7e6c-9904-c5af4d33bd2f', 1, '\x9dc02f84b5cbf5e323691c58750ac0d7f762dd03cbd5a78ac55ebf9e590d8dba');
INSERT INTO public.event_log VALUES (5, 'session', '01a22109-3ed7-7e6f-8456-52728a02b855', 1, '\x36b674751018ee5903c10f18dfc5b15f749e534ce4dc34125886b02a3b025f98');
INSERT INTO public.event_log VALUES (6, 'refused-logins', '01a22109-3ea5-79bd-9bc6-97a01939f815.2026-11-28', 1, '\xe340334c43c3766fa9f0c090c9afa59d555c8aba3d858a4a67303f828d56ca9b');
INSERT INTO public.event_log VALUES (7, 'session', '01a22109-3ef5-7594-bbf1-e38dd27e9c4f', 1, '\xa4190829c6fcaf9610df504dea594ea16dddc373f32092f5a9d3542c47aa3e91');
INSERT INTO public.event_log VALUES (8, 'user', '01a22109-3f41-7467-918b-16d723960757', 1, '\x89d7b94b19283c1410821b8cff8930aef70f6074b0c5e632fd2d40718eb35d8f');
INSERT INTO public.event_log VALUES (9, 'user', '01a22109-3ec4-7433-b695-a079af27f408', 2, '\xadaff580e6c1fc94f48a131c1e7b4b3bd62a3bb69dab30e9c03058f55823473f');
INSERT INTO public.event_log VALUES (10, 'user', '01a22109-3ff1-76f7-9def-72c82814faf0', 1, '\x19b0517bddbab318ed58cde9847d7554504ccbadca9f48ae43a6e6d1f2a091fb');
INSERT INTO public.event_log VALUES (11, 'user', '01a22109-3ff0-7dc6-bcdc-5847615d1cf8', 1, '\x8dbd97155301fbbb00ce54bcc3a7dcc23b058d5ea8f22c5ceea9a12a2f4b9553');


--
-- Data for Name: events; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22109-3ea5-79bd-9bc6-97a01939f815', 1, 'UserRegistered', '1', '{"UserRegistered":{"at":"2026-11-28T07:23:03.717Z","credential":"1889ba87-460e-4bf5-8d87-357c54f7e63b","email":{"sealed":"j6WYgHkWk+PqxxHkt6Qxd/xtAOfrMDFnQzMO7QAXMZm9uegxA8i981NeoaGi"},"name":null,"number":1,"phone":null,"role":"user","username":{"sealed":"wJOUzCCObjOb/TCWUM+hva+LgwFFTyXcKpl7XyHrXLix"}}}', '{"actor":"user:01a22109-3ea5-79bd-9bc6-97a01939f815","contract":"api-auth","ip":"sealed:F4BpW5F+e3qZblAzYHq/bT2QBhd10S2isOAd/bisZ2zfcjwgRQ","request_id":"85efd631-6c59-44e4-8f02-447ccbd6ff8d","user_agent":"sealed:iBtuwVL85kadlc0Bx2bcNqT2/GjmxNrpGC3BWfyc16NGq97Vpx7V","user_id":"01a22109-3ea5-79bd-9bc6-97a01939f815"}', 1, '753', '2026-11-28 07:23:03.725604+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22109-3ea5-70d2-8a0a-a3c1731054ec', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T07:23:03.717Z","epoch":0,"expires_at":"2026-12-01T07:23:03.717Z","rotation":"rotating","user":"01a22109-3ea5-79bd-9bc6-97a01939f815"}}', '{"actor":"user:01a22109-3ea5-79bd-9bc6-97a01939f815","contract":"api-auth","ip":"sealed:JJSrbDQVVMQI4x4KAQWy4E2uZJ4xkNgIuECOg/b3NV0UciT64g","request_id":"85efd631-6c59-44e4-8f02-447ccbd6ff8d","user_agent":"sealed:VGgeoT8lx3NbQLmE58KK6JHzrp6/JZHM6Ky0UZirwZZgpbt1eGF0","user_id":"01a22109-3ea5-79bd-9bc6-97a01939f815"}', 2, '753', '2026-11-28 07:23:03.725758+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22109-3ec4-7433-b695-a079af27f408', 1, 'UserRegistered', '1', '{"UserRegistered":{"at":"2026-11-28T07:23:03.748Z","credential":"e01d1fb7-1c80-4084-ae9c-bdb2ca00def3","email":{"sealed":"vo2dPDvgghvusFXb4lruELn77BD1VV9rI+NcqadHcFj9v1ADexTYXuOYiHC4"},"name":null,"number":2,"phone":null,"role":"user","username":{"sealed":"fU4sAr3zs55aVKCDvjMoLdpWa+oGgBpqAR/u7iQvOoxn"}}}', '{"actor":"user:01a22109-3ec4-7433-b695-a079af27f408","contract":"api-auth","ip":"sealed:suzKHjAZDogwj0kPiISuU9mksGBqk8zAJXfY4t+8DrTxmYARJg","request_id":"3b6569d8-702e-4b56-af6f-efceacbfb9c0","user_agent":"sealed:9WTRYkp+0OTdwj6gczKwoXw2RCI6rrd2jroRF6AufQybap1zhpeD","user_id":"01a22109-3ec4-7433-b695-a079af27f408"}', 3, '755', '2026-11-28 07:23:03.750594+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22109-3ec4-7e6c-9904-c5af4d33bd2f', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T07:23:03.748Z","epoch":0,"expires_at":"2026-12-01T07:23:03.748Z","rotation":"rotating","user":"01a22109-3ec4-7433-b695-a079af27f408"}}', '{"actor":"user:01a22109-3ec4-7433-b695-a079af27f408","contract":"api-auth","ip":"sealed:yR3iOtFDevaffgUuB0oBX1f4Nili/t/EdPKgTkWrINHmburSJQ","request_id":"3b6569d8-702e-4b56-af6f-efceacbfb9c0","user_agent":"sealed:TUxeFEgdSksdagxWJO02aWKg441CafrKpZtO59lMtv1QDOEQR6Mm","user_id":"01a22109-3ec4-7433-b695-a079af27f408"}', 4, '755', '2026-11-28 07:23:03.750628+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22109-3ed7-7e6f-8456-52728a02b855', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T07:23:03.767Z","epoch":0,"expires_at":"2026-11-29T07:23:03.767Z","rotation":null,"user":"01a22109-3ea5-79bd-9bc6-97a01939f815"}}', '{"actor":"user:01a22109-3ea5-79bd-9bc6-97a01939f815","contract":"api","ip":"sealed:3jUV+AC9Ba62RgaGb5Y2OyrysNjxnDW1ULsLIVrc7LugsNHVVw","request_id":"ee0047c9-6698-442f-8376-692154622976","user_agent":"sealed:Aub7CuWPPskAgzVW0QCqee3sWl6I6rKLcsAuSlogE5x/ygjyJ/x9","user_id":"01a22109-3ea5-79bd-9bc6-97a01939f815"}', 5, '757', '2026-11-28 07:23:03.769134+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('refused-logins', '01a22109-3ea5-79bd-9bc6-97a01939f815.2026-11-28', 1, 'LoginRefused', '1', '{"LoginRefused":{"at":"2026-11-28T07:23:03.782Z","reason":"wrong-password"}}', '{"actor":"user:01a22109-3ea5-79bd-9bc6-97a01939f815","contract":"users","ip":"sealed:CbWFSd8EwX1EhbX+RcmThdBtlVqaEDlXiWzDc6/kTFl7185YGQ","request_id":"be2a27eb-3738-4405-972a-9f83fe2e5921","user_agent":"sealed:APX0i6cpN6+1agyvK8cvaOCXKajCZOpRbPr4AKgMsjYflL5SO1AI","user_id":"01a22109-3ea5-79bd-9bc6-97a01939f815"}', 6, '758', '2026-11-28 07:23:03.792567+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('session', '01a22109-3ef5-7594-bbf1-e38dd27e9c4f', 1, 'LoggedIn', '1', '{"LoggedIn":{"at":"2026-11-28T07:23:03.797Z","epoch":0,"expires_at":"2026-12-05T07:23:03.797Z","rotation":"reusable","user":"01a22109-3ec4-7433-b695-a079af27f408"}}', '{"actor":"user:01a22109-3ec4-7433-b695-a079af27f408","contract":"users","ip":"sealed:PgxBKz9jetqTVgSHHwEAV7DRTdN40dXgMqqYLBFdhiUi1KJGew","request_id":"4fe23cbd-5517-408b-ad73-1cc8951c5659","user_agent":"sealed:3yCsErdUbq99VHTpn7MkX+wy3WHLe4n7B3EaWQYlNhRW6pMmL5Fc","user_id":"01a22109-3ec4-7433-b695-a079af27f408"}', 7, '760', '2026-11-28 07:23:03.800831+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22109-3f41-7467-918b-16d723960757', 1, 'UserRegistered', '1', '{"UserRegistered":{"at":"2026-11-28T07:23:03.873Z","credential":"1f469669-c9b1-43f8-b51e-6f3679855c78","email":null,"name":null,"number":3,"phone":null,"role":"admin","username":{"sealed":"1nXC9QDQ1Zq+tNi8JlARaul8n/O1cZe7zSL+INfSOUN8ng"}}}', '{"actor":"operator","contract":"cli","request_id":"919cee8d-4349-49fb-a7af-d1cbe6c86102","user_id":"01a22109-3f41-7467-918b-16d723960757"}', 8, '762', '2026-11-28 07:23:03.878957+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22109-3ec4-7433-b695-a079af27f408', 2, 'UserLocked', '1', '{"UserLocked":{"at":"2026-11-28T07:23:03.943Z","session_epoch":1}}', '{"actor":"operator","contract":"cli","request_id":"71714d41-b1bd-4001-b0c6-abe6c1f112ff","user_id":"01a22109-3ec4-7433-b695-a079af27f408"}', 9, '764', '2026-11-28 07:23:03.960166+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22109-3ff1-76f7-9def-72c82814faf0', 1, 'UserRegistered', '1', '{"UserRegistered":{"at":"2026-11-28T07:23:04.049Z","credential":"5c247898-49c4-4512-9b7e-2b07e6274291","email":{"sealed":"zktrzZZRTY0bCzikCEIBU032C7C8gT/RjupUoPk1dtCOEnAVs3I79VC4NKeW3Yay"},"name":null,"number":5,"phone":null,"role":"user","username":{"sealed":"2bivcLcpiBZnrHfMpE78BVNmSqqf9qTKu4/GS21rAIw6isd8"}}}', '{"actor":"operator","contract":"cli","request_id":"8d69bf3e-8319-415f-899a-25a44507ef9d","user_id":"01a22109-3ff1-76f7-9def-72c82814faf0"}', 10, '766', '2026-11-28 07:23:04.057687+00', DEFAULT);
INSERT INTO public.events OVERRIDING SYSTEM VALUE VALUES ('user', '01a22109-3ff0-7dc6-bcdc-5847615d1cf8', 1, 'UserRegistered', '1', '{"UserRegistered":{"at":"2026-11-28T07:23:04.048Z","credential":"a4fc4ef0-8f3a-4e9f-b8a4-13450bac95f3","email":{"sealed":"awhgjzjJxfpGndJ4LYSo/d8GM7XSNtQzFMuFYa6FlKYnDMRHpU7oZhotEsneqoDQvKo"},"name":null,"number":4,"phone":null,"role":"auditor","username":{"sealed":"rpDXiX8qymjovDC4lxrxuLx+JvJZexMgnZSr4uFcqiLaoQkCh/o"}}}', '{"actor":"operator","contract":"cli","request_id":"f50c031b-b9ff-4124-9b40-f968f2054042","user_id":"01a22109-3ff0-7dc6-bcdc-5847615d1cf8"}', 11, '767', '2026-11-28 07:23:04.059533+00', DEFAULT);


--
-- Data for Name: identifier_claims; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.identifier_claims VALUES ('username', '\x92c640a787dc9b6ded17684519d54df2a69c821016eff110f3bc86d63d7ba5a8', '01a22109-3ea5-79bd-9bc6-97a01939f815');
INSERT INTO public.identifier_claims VALUES ('email', '\x48b46b045a7bf5386676e2d9a08e66747f54a51e406eff00c84fbb8024d39800', '01a22109-3ea5-79bd-9bc6-97a01939f815');
INSERT INTO public.identifier_claims VALUES ('username', '\x59d43401a52cf23124ce0acf7b4d737cc07e58b7f2680de56ee37f33cba644c9', '01a22109-3ec4-7433-b695-a079af27f408');
INSERT INTO public.identifier_claims VALUES ('email', '\x1fdf8c141a1a3dc101357eef205e8d0e5459880ebf52083d18358974f538bf03', '01a22109-3ec4-7433-b695-a079af27f408');
INSERT INTO public.identifier_claims VALUES ('username', '\x5cc9c28fb0ad648a8966c12b6d531752b02bd1b20faba9162093eabfb43d33a0', '01a22109-3f41-7467-918b-16d723960757');
INSERT INTO public.identifier_claims VALUES ('username', '\xf338c260476dc62916cf53386a2483c94a6441b59a70024f06183ee7cbd3250b', '01a22109-3ff1-76f7-9def-72c82814faf0');
INSERT INTO public.identifier_claims VALUES ('email', '\x0cc4d60af685f362120d16f9c73550a3db07df994e652e1085427f931aedf2d4', '01a22109-3ff1-76f7-9def-72c82814faf0');
INSERT INTO public.identifier_claims VALUES ('username', '\xa11a4f46329321e1d02246204dbeab07d8ab0a19253c39e0c277013a26d0d6e0', '01a22109-3ff0-7dc6-bcdc-5847615d1cf8');
INSERT INTO public.identifier_claims VALUES ('email', '\xee70477ff313021e39d4be07f926c2d6198aa02aa22f56c34e722ff6120b550d', '01a22109-3ff0-7dc6-bcdc-5847615d1cf8');


--
-- Data for Name: log_nodes; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: mail_budgets; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: mail_queue; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: opaque_tokens; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.opaque_tokens VALUES ('\x025b63a756a448875aacb69930da69c77f15c4203ee2080dedec86ab87f13f07', '01a22109-3ed7-7e6f-8456-52728a02b855', '2026-11-29 07:23:03.767+00');


--
-- Data for Name: reset_requests; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: sealing_key; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.sealing_key VALUES (1, '\x07366715538d3bfaf1e90eac53f09dc1');


--
-- Data for Name: sequencer; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.sequencer VALUES (1, '767', 11, 11, 0, 1);


--
-- Data for Name: sessions; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.sessions VALUES ('01a22109-3ea5-70d2-8a0a-a3c1731054ec', 1, '01a22109-3ea5-79bd-9bc6-97a01939f815', 'api-auth', 0, 'rotating', 0, '2026-11-28 07:23:03.717+00', '2026-11-28 07:23:03.717+00', '2026-12-01 07:23:03.717+00', NULL, '2026-11-28 07:23:03.717+00');
INSERT INTO public.sessions VALUES ('01a22109-3ec4-7e6c-9904-c5af4d33bd2f', 1, '01a22109-3ec4-7433-b695-a079af27f408', 'api-auth', 0, 'rotating', 0, '2026-11-28 07:23:03.748+00', '2026-11-28 07:23:03.748+00', '2026-12-01 07:23:03.748+00', NULL, '2026-11-28 07:23:03.748+00');
INSERT INTO public.sessions VALUES ('01a22109-3ed7-7e6f-8456-52728a02b855', 1, '01a22109-3ea5-79bd-9bc6-97a01939f815', 'api', 0, NULL, 0, '2026-11-28 07:23:03.767+00', '2026-11-28 07:23:03.767+00', '2026-11-29 07:23:03.767+00', NULL, '2026-11-28 07:23:03.767+00');
INSERT INTO public.sessions VALUES ('01a22109-3ef5-7594-bbf1-e38dd27e9c4f', 1, '01a22109-3ec4-7433-b695-a079af27f408', 'users', 0, 'reusable', 0, '2026-11-28 07:23:03.797+00', '2026-11-28 07:23:03.797+00', '2026-12-05 07:23:03.797+00', NULL, '2026-11-28 07:23:03.797+00');


--
-- Data for Name: shared_secrets; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.shared_secrets VALUES ('identifier-pepper', '\xd9a89e5f0654708d94dd11ca12e68cbed1e867bc97ecf910d4f60d760597df85a9122d3cdd76fe969c2be026f36260a8d95b31479eb39fe2d1865745');
INSERT INTO public.shared_secrets VALUES ('checkpoint-key', '\x61e8cbf051751ba2f2f514f17a7d280ccf8b9a12f04854194a9ee329036cebf327f43244d693cc94142b78c8802af71fe3173ce6e04c99f5c901d15990c7be3b01218357a772d138a14aed1bb111ead7c628808978d1146bedca38284098a8c67b237eca2bf2d5dd7b26f9ecc9d139b5');
INSERT INTO public.shared_secrets VALUES ('reset-token-key', '\xa732e19b128f507cce2615decae33ff6792c19c8991ffce013447e33fba3b2ce8fb3d97c2d4ca7a078ff37a134e9081d548ec8dbba50cc584edb8ebe');


--
-- Data for Name: signing_key_changes; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.signing_key_changes VALUES (1, 1);


--
-- Data for Name: signing_keys; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: subject_keys; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.subject_keys VALUES ('01a22109-3ea5-79bd-9bc6-97a01939f815', '\x4e9c99a0a8b4f37335252784b1b257c37cedf4e9f17e7f828cdc844e5895af93542e4e9c9f05dd0518404a3bfdd53bc04462b4794c84ef52deef3dd9');
INSERT INTO public.subject_keys VALUES ('01a22109-3ec4-7433-b695-a079af27f408', '\x1ad5214ae86a86eab3e90b3b8506b10bf217297d76e2f3ff89945e11620fa008988aeeeaf342d31e0df9be72c1eb21728c40cdd0c8670f9907215e07');
INSERT INTO public.subject_keys VALUES ('01a22109-3f41-7467-918b-16d723960757', '\x9a351ba7960e95118030d8d20cfbb7ec5c5e3b91c14113ae61a6a92fa649f2da8cb0d08d3492dcf454e15215592a47f9c18c3806c79b6a45738accd9');
INSERT INTO public.subject_keys VALUES ('01a22109-3ff1-76f7-9def-72c82814faf0', '\x91d3e676867f7ff8558cdb9b8527a7c741232bbd8a053894362b6c844685db1b940be21148c604b479490dea882f8f741b12f39c33683c28c248e31a');
INSERT INTO public.subject_keys VALUES ('01a22109-3ff0-7dc6-bcdc-5847615d1cf8', '\xa483188994cdc66803e3a41ecb1c73e10671fcc258c52be34dedde9658a890899a806af9fdf1f7e340e8b58cf3a4386a464f9634fb7fe8e2103d5dad');


--
-- Name: account_numbers; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.account_numbers', 5, true);


--
-- Name: events_position_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.events_position_seq', 11, true);


--
-- Name: _sqlx_migrations _sqlx_migrations_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public._sqlx_migrations
    ADD CONSTRAINT _sqlx_migrations_pkey PRIMARY KEY (version);


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
-- Name: identifier_claims identifier_claims_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.identifier_claims
    ADD CONSTRAINT identifier_claims_pkey PRIMARY KEY (kind, digest);


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
-- Name: events_by_user; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX events_by_user ON public.events USING btree (user_id, "position");


--
-- Name: events_erasing; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX events_erasing ON public.events USING btree (user_id) WHERE (event_type = 'UserErased'::text);


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
-- Name: sessions_by_user; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX sessions_by_user ON public.sessions USING btree (user_id, epoch);


--
-- Name: signing_keys_newest; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX signing_keys_newest ON public.signing_keys USING btree (((signs_until IS NULL))) WHERE (signs_until IS NULL);


--
-- Name: checkpoints checkpoints_are_never_changed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER checkpoints_are_never_changed BEFORE DELETE OR UPDATE OR TRUNCATE ON public.checkpoints FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

ALTER TABLE public.checkpoints ENABLE ALWAYS TRIGGER checkpoints_are_never_changed;


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


