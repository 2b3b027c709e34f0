-- Pending changes of address end with the session epoch in which they were asked for, and accounts with any number of
-- sessions can be erased.

-- Every event that raised the epoch after the request ends it. The first version of RoleChanged did not raise it.
UPDATE accounts
   SET verification_id = NULL, verification_email = NULL, verification_expires_at = NULL
 WHERE verification_email IS NOT NULL
   AND EXISTS (
       SELECT 1 FROM events AS e
        WHERE e.aggregate_type = 'user' AND e.aggregate_id = accounts.user_id
          AND (e.event_type = 'SessionsRevoked' OR (e.event_type = 'RoleChanged' AND e.event_version <> '1'))
          AND e.sequence > (
              SELECT max(r.sequence) FROM events AS r
               WHERE r.aggregate_type = 'user' AND r.aggregate_id = accounts.user_id
                 AND r.event_type = 'EmailVerificationRequested'));

-- Accounts that were erased while they had more sessions than one append removes. The rest goes in batches afterwards:
-- without the account's row none of them counts.
CREATE TABLE unfinished_erasures (
    user_id TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;
