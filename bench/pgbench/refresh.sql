-- One select and one append with an update of its row in one statement. No text has a colon before a letter or a digit,
-- which pgbench would take for a variable.
SELECT version AS version FROM sessions JOIN accounts USING (user_id) WHERE session_id = :client_id::int \gset
WITH event AS (
    INSERT INTO events (aggregate_id, sequence, payload, metadata)
    VALUES ('session-' || :client_id::int, :version::bigint + 1,
            '{"TokenRefreshed":{"at":"2026-11-21T10-55-18.432Z","expires_at":"2026-11-24T10-55-18.432Z","generation": 17}}',
            '{"actor":"user-01a1fdbf-0b5f-7f69-9c90-34ecbb43e155","contract":"api-auth","ip":"sealed-MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTA","request_id":"a0df6ada-4ff7-4016-adea-6207d8b7f365","user_agent":"sealed-MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTA","user_id":"01a1fdbf-0b5f-7f69-9c90-34ecbb43e155"}')
)
UPDATE sessions SET version = :version::bigint + 1, generation = :version::bigint + 1, last_used_at = now(), expires_at = now()
 WHERE session_id = :client_id::int AND version = :version::bigint;
