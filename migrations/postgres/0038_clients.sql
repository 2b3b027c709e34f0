-- OAuth clients: one row for each client that was ever registered.
--
-- Rolling upgrade: nodes of the version before do not know the table. They neither change clients nor read them. What they do
-- with the events of clients is in docs/operations.md.

CREATE TABLE clients (
    client_id text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    -- The settings, the ids of the secrets and the lock, as JSON text. NULL is a client that was removed: its id stays taken.
    state text,
    mac bytea NOT NULL
);

-- Writes the rows of clients with their events. An append calls it last, and without rows it does nothing. It fails if a trigger
-- or a rule keeps a row from being as it was written.
CREATE FUNCTION write_clients(written jsonb) RETURNS void LANGUAGE plpgsql STRICT AS $$
BEGIN
    INSERT INTO clients SELECT * FROM jsonb_populate_recordset(NULL::clients, written)
    ON CONFLICT (client_id) DO UPDATE SET version = excluded.version, state = excluded.state, mac = excluded.mac
    WHERE clients.version <= excluded.version;
    IF EXISTS (SELECT FROM jsonb_populate_recordset(NULL::clients, written) AS due
                WHERE (SELECT c FROM clients c WHERE c.client_id = due.client_id) IS DISTINCT FROM due) THEN
        RAISE EXCEPTION 'the rows of clients were not kept: a trigger or a rule interferes. Run authlog doctor'
            USING ERRCODE = 'AE006';
    END IF;
END
$$;
