-- The tables that a refresh reads and writes, without the rest of the schema.
CREATE TABLE events (
    aggregate_id text COLLATE "C" NOT NULL,
    sequence     bigint NOT NULL,
    payload      json NOT NULL,
    metadata     json NOT NULL,
    position     bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (aggregate_id, sequence)
);
CREATE TABLE accounts (user_id uuid PRIMARY KEY, email text NOT NULL);
CREATE TABLE sessions (
    session_id   int PRIMARY KEY,
    version      bigint NOT NULL,
    user_id      uuid NOT NULL,
    generation   bigint NOT NULL,
    last_used_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL
) WITH (fillfactor = 85);
INSERT INTO accounts SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 'person' || n || '@example.com'
  FROM generate_series(0, 1023) n;
INSERT INTO sessions SELECT n, 1, ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 0, now(), now()
  FROM generate_series(0, 1023) n;
