-- Verified addresses, locks, sessions that are kept, and mail about events.

ALTER TABLE accounts
    ADD COLUMN email_verified           boolean NOT NULL DEFAULT false,
    ADD COLUMN locked                   boolean NOT NULL DEFAULT false,
    -- The session of an earlier epoch that goes on.
    ADD COLUMN kept_session             uuid,
    ADD COLUMN verification_id          uuid,
    ADD COLUMN verification_email       text,
    ADD COLUMN verification_expires_at  timestamptz,
    ADD CHECK ((verification_id IS NULL) = (verification_expires_at IS NULL));

-- Whoever followed a mailed link to set a password has proved that the address is theirs.
UPDATE accounts SET email_verified = true
 WHERE email IS NOT NULL
   AND EXISTS (SELECT FROM events e
                WHERE e.aggregate_type = 'user' AND e.aggregate_id = accounts.user_id::text
                  AND e.event_type = 'PasswordReset');

-- An append that may leave nobody who administers accounts looks here.
CREATE INDEX accounts_administering ON accounts (user_id) WHERE role = 'admin' AND NOT locked;

-- More than before ends sessions. The program's queries repeat the list of types word for word.
DROP INDEX events_revoking_by_transaction;
DROP INDEX events_revoking_by_time;
CREATE INDEX events_revoking_by_transaction ON events (txid)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'SessionRevoked', 'PasswordReset', 'PasswordChanged', 'SessionsRevoked', 'RoleChanged', 'UserLocked', 'UserErased');
CREATE INDEX events_revoking_by_time ON events (recorded_at)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'SessionRevoked', 'PasswordReset', 'PasswordChanged', 'SessionsRevoked', 'RoleChanged', 'UserLocked', 'UserErased');

-- Events of which a person is still to be told by mail, put in by the append that stores the event.
CREATE TABLE due_mail (
    aggregate_type text COLLATE "C" NOT NULL,
    aggregate_id   text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    user_id        uuid NOT NULL,
    attempts       bigint NOT NULL DEFAULT 0,
    -- When it is due: at once, or when its lease ends, or when it was postponed to.
    due_at         timestamptz NOT NULL,
    -- By this name the program tells that another command came first.
    CONSTRAINT due_mail_pkey PRIMARY KEY (aggregate_type, aggregate_id, sequence)
);
CREATE INDEX due_mail_due ON due_mail (due_at);
CREATE INDEX due_mail_by_user ON due_mail (user_id);

-- Deletes all that is kept of an account beside its events, and these requests for resets. First it waits for those who
-- write to the account; each statement then sees what they wrote.
CREATE OR REPLACE FUNCTION erase_account(erased uuid, resets uuid[]) RETURNS void LANGUAGE plpgsql STRICT AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(erased::text, 0));
    DELETE FROM subject_keys WHERE user_id = erased;
    DELETE FROM identifier_claims WHERE owner = erased;
    DELETE FROM credentials WHERE user_id = erased;
    DELETE FROM opaque_tokens WHERE session_id IN (SELECT session_id FROM sessions WHERE user_id = erased);
    DELETE FROM sessions WHERE user_id = erased;
    DELETE FROM accounts WHERE user_id = erased;
    DELETE FROM due_mail WHERE user_id = erased;
    DELETE FROM reset_requests WHERE reset_id = ANY(resets);
END
$$;

-- Fails unless somebody beside this account is an administrator who can sign in. Whoever asks waits for whoever asked
-- before; what follows the lock is a statement of its own in a volatile function, and sees what they did.
CREATE FUNCTION require_administrator_beside(account uuid) RETURNS void LANGUAGE plpgsql STRICT AS $$
BEGIN
    -- "authadmn" in ASCII, as a number: one lock beside those of the accounts.
    PERFORM pg_advisory_xact_lock(7022647185613548910);
    IF NOT EXISTS (SELECT FROM accounts WHERE role = 'admin' AND NOT locked AND user_id <> account) THEN
        -- By this code the program tells.
        RAISE EXCEPTION 'no other account is an administrator''s' USING ERRCODE = 'AE003';
    END IF;
END
$$;
