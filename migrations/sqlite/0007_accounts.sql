-- Verified addresses, locks, sessions that are kept, and mail about events.

ALTER TABLE accounts ADD COLUMN email_verified INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN locked INTEGER NOT NULL DEFAULT 0;
-- The session of an earlier epoch that goes on.
ALTER TABLE accounts ADD COLUMN kept_session TEXT;
ALTER TABLE accounts ADD COLUMN verification_id TEXT;
ALTER TABLE accounts ADD COLUMN verification_email TEXT;
ALTER TABLE accounts ADD COLUMN verification_expires_at INTEGER;

-- Whoever followed a mailed link to set a password has proved that the address is theirs.
UPDATE accounts SET email_verified = 1
WHERE email IS NOT NULL AND EXISTS
    (SELECT 1 FROM events AS e WHERE e.aggregate_type = 'user' AND e.aggregate_id = accounts.user_id
        AND e.event_type = 'PasswordReset');

-- An append that may leave nobody who administers accounts looks here.
CREATE INDEX accounts_administering ON accounts (user_id) WHERE role = 'admin' AND locked = 0;

-- More than before ends sessions. The program knows the same list of types.
DROP INDEX events_revoking_by_position;
DROP INDEX events_revoking_by_time;
CREATE INDEX events_revoking_by_position ON events (position)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'SessionRevoked', 'PasswordReset', 'PasswordChanged', 'SessionsRevoked', 'RoleChanged', 'UserLocked', 'UserErased');
CREATE INDEX events_revoking_by_time ON events (recorded_at)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'SessionRevoked', 'PasswordReset', 'PasswordChanged', 'SessionsRevoked', 'RoleChanged', 'UserLocked', 'UserErased');

-- Events of which a person is still to be told by mail, put in by the append that stores the event. An entry that was
-- taken is due again when its lease ends.
CREATE TABLE due_mail (
    aggregate_type TEXT    NOT NULL,
    aggregate_id   TEXT    NOT NULL,
    sequence       INTEGER NOT NULL,
    user_id        TEXT    NOT NULL,
    attempts       INTEGER NOT NULL DEFAULT 0,
    due_at         INTEGER NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
) STRICT, WITHOUT ROWID;

CREATE INDEX due_mail_due ON due_mail (due_at);
CREATE INDEX due_mail_by_user ON due_mail (user_id);
