-- The log of events, and what is written in the same statement as an event.

-- The names of kinds and ids are compared as bytes ("C"): faster than a language's rules, and the same everywhere.
CREATE TABLE events (
    aggregate_type text COLLATE "C" NOT NULL,
    aggregate_id   text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL CHECK (sequence > 0),
    event_type     text NOT NULL,
    event_version  text NOT NULL,
    -- json keeps the text as it came, jsonb would not: the stored bytes are what the log's proof is made of.
    payload        json NOT NULL,
    metadata       json NOT NULL,
    -- In which order events were written. It is drawn before the commit, so that reading by it alone skips events.
    position       bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    -- Together with a snapshot this tells which events can still appear before others; see sequence_batch.
    txid           xid8 NOT NULL DEFAULT pg_current_xact_id(),
    -- To the microsecond, by the database's clock, when the row was written: a little before it was committed.
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    user_id        uuid GENERATED ALWAYS AS ((metadata ->> 'user_id')::uuid) STORED,
    -- By this name the program tells that another command came first.
    CONSTRAINT events_pkey PRIMARY KEY (aggregate_type, aggregate_id, sequence)
);

-- The order in which the sequencer reads.
CREATE INDEX events_by_transaction ON events (txid, position);

-- The history of one account is one range.
CREATE INDEX events_by_user ON events (user_id, position);

-- What verifiers of tokens ask for all the time, a small part of all events. The program's queries repeat the list of
-- types word for word; otherwise the indexes would not be used.
CREATE INDEX events_revoking_by_transaction ON events (txid)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'PasswordReset');
CREATE INDEX events_revoking_by_time ON events (recorded_at)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'PasswordReset');

-- The application's role may own the tables, and grants do not bind an owner; a trigger does.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: what was recorded stays as it is', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER events_are_never_changed
    BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE events ENABLE ALWAYS TRIGGER events_are_never_changed;

-- Which account has which identifier. The digest is keyed: the table cannot be tested against a list of names.
CREATE TABLE identifier_claims (
    kind   text NOT NULL,
    digest bytea NOT NULL,
    owner  uuid NOT NULL,
    -- By this name the program tells that an identifier is taken.
    CONSTRAINT identifier_claims_pkey PRIMARY KEY (kind, digest)
);
CREATE INDEX identifier_claims_by_owner ON identifier_claims (owner);

-- The password hash that signs an account in, under the name that an event gave it.
CREATE TABLE credentials (
    user_id       uuid PRIMARY KEY,
    credential_id uuid NOT NULL,
    password_hash text NOT NULL
);

-- Opaque access tokens, as digests: whoever reads the table cannot use them.
CREATE TABLE opaque_tokens (
    digest     bytea PRIMARY KEY,
    session_id uuid NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX opaque_tokens_by_session ON opaque_tokens (session_id);

-- The key under which an account's personal fields are sealed, wrapped by the master key. To delete it is to erase them.
CREATE TABLE subject_keys (
    user_id uuid PRIMARY KEY,
    wrapped bytea NOT NULL
);

-- Secrets that every node uses, sealed under the master key.
CREATE TABLE shared_secrets (
    name   text PRIMARY KEY,
    sealed bytea NOT NULL
);

-- Accounts' numbers. A number that was drawn for a registration that failed is not given out again.
CREATE SEQUENCE account_numbers AS bigint START WITH 1;
