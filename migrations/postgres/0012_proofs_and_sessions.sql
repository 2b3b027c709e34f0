-- Pending changes of address end with the session epoch in which they were asked for, and accounts with any number of
-- sessions can be erased.
--
-- While nodes are replaced one by one: what an old node writes to an account keeps a pending change of address when it ends
-- sessions or changes a role. Such a row differs from the fold of its events until the link is followed, has been replaced,
-- or `authlog doctor --repair` rewrites the row. Erasures of old nodes go through the function below and leave surplus
-- sessions to the new ones.

-- Every event that raised the epoch after the request ends it. The first version of RoleChanged did not raise it.
UPDATE accounts
   SET verification_id = NULL, verification_email = NULL, verification_expires_at = NULL
 WHERE verification_email IS NOT NULL
   AND EXISTS (
       SELECT FROM events e
        WHERE e.aggregate_type = 'user' AND e.aggregate_id = accounts.user_id::text
          AND (e.event_type = 'SessionsRevoked' OR (e.event_type = 'RoleChanged' AND e.event_version <> '1'))
          AND e.sequence > (
              SELECT max(r.sequence) FROM events r
               WHERE r.aggregate_type = 'user' AND r.aggregate_id = accounts.user_id::text
                 AND r.event_type = 'EmailVerificationRequested'));

-- Accounts that were erased while they had more sessions than one append removes. The rest goes in batches afterwards:
-- without the account's row none of them counts.
CREATE TABLE unfinished_erasures (
    user_id uuid PRIMARY KEY
);

-- As before, with a bounded number of sessions.
CREATE OR REPLACE FUNCTION erase_account(erased uuid, resets uuid[]) RETURNS void LANGUAGE plpgsql STRICT AS $$
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
