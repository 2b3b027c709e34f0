-- Appends count what they wrote, no time stops the sequencer, and mail remembers how often it may have been delivered.
--
-- Rolling upgrade: nodes of the version before know neither the new function nor the new columns, and go on as they did. The
-- functions that are replaced take the same arguments.

-- Fails unless as many rows were written as were to be: a trigger or a rule may keep one back.
CREATE FUNCTION require_rows(written bigint[], planned bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF written IS DISTINCT FROM planned THEN
        RAISE EXCEPTION 'of % rows % were written: a trigger or a rule interferes. Run authlog doctor', planned, written
            USING ERRCODE = 'AE006';
    END IF;
END
$$;

-- As before (0003), but for times beyond all numbers, such as infinity, which stopped the sequencer: they count as the last
-- number. No program of ours records such an event; the one that has it gets its place, and is named by the audit.
CREATE OR REPLACE FUNCTION leaf_hash(
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
        least(greatest(extract(epoch FROM recorded_at) * 1000000, -9223372036854775808), 9223372036854775807)::bigint::text
            || chr(10) ||
        payload::text || chr(10) ||
        metadata::text,
        'UTF8'))
$$;

-- How often a mail was handed over whole and the server did not say whether it took it.
ALTER TABLE mail_queue ADD COLUMN unacknowledged bigint NOT NULL DEFAULT 0;
ALTER TABLE reset_requests ADD COLUMN unacknowledged bigint NOT NULL DEFAULT 0;

-- As before (0018): what happened since is a mail of its own.
CREATE OR REPLACE FUNCTION complete_mail(done uuid, attempt bigint, told bigint) RETURNS void LANGUAGE plpgsql AS $$
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
