-- Mail is bounded by mailbox, and the queue of mail by account.

-- What a person is to be told by mail, put in by the append that stores the event. There is one entry for an account, a
-- kind and a mailbox: what happens while it waits is counted. It replaces due_mail.
CREATE TABLE mail_queue (
    mail_id     uuid PRIMARY KEY,
    user_id     uuid NOT NULL,
    kind        text COLLATE "C" NOT NULL,
    -- Keyed digest of the mailbox to tell; empty for that of the address that the account has.
    mailbox     bytea NOT NULL DEFAULT '',
    -- The address to tell, sealed under the account's key, where it is not the account's own.
    address     bytea,
    happened    bigint NOT NULL,
    happened_at timestamptz NOT NULL,
    -- Whether the gate let it through. Should handing it over fail, it need not ask again.
    admitted    boolean NOT NULL DEFAULT false,
    attempts    bigint NOT NULL DEFAULT 0,
    -- When it is due: at once, or when its lease ends, or when it was postponed to.
    due_at      timestamptz NOT NULL,
    UNIQUE (user_id, kind, mailbox)
);
CREATE INDEX mail_queue_due ON mail_queue (due_at);

ALTER TABLE reset_requests ADD COLUMN admitted boolean NOT NULL DEFAULT false;

-- What waits already goes on waiting, except for notices to addresses that accounts had before: those are sealed in events.
-- The table itself stays, empty, for nodes of the version before: they serve on while they are replaced one by one.
INSERT INTO mail_queue (mail_id, user_id, kind, happened, happened_at, due_at)
SELECT gen_random_uuid(), user_id, kind, count(*), max(recorded_at), max(due_at)
  FROM (SELECT mail.user_id, event.recorded_at, mail.due_at,
               CASE event.event_type
                   WHEN 'PasswordReset' THEN 'password-changed'
                   WHEN 'PasswordChanged' THEN 'password-changed'
                   WHEN 'UserLocked' THEN 'account-locked'
                   WHEN 'RefreshTokenReused' THEN 'refresh-token-reused'
                   WHEN 'EmailVerificationRequested' THEN 'verification-link'
               END AS kind
          FROM due_mail AS mail
          JOIN events AS event USING (aggregate_type, aggregate_id, sequence)) AS waiting
 WHERE kind IS NOT NULL
 GROUP BY user_id, kind;
DELETE FROM due_mail;

-- How much mail a mailbox was sent, of a kind and of all kinds: the budget is used until that instant. A row whose instant
-- has passed means as much as none.
CREATE TABLE mail_budgets (
    -- Keyed digest.
    mailbox    bytea NOT NULL,
    kind       text COLLATE "C" NOT NULL,
    used_until timestamptz NOT NULL,
    PRIMARY KEY (mailbox, kind)
);
CREATE INDEX mail_budgets_used_until ON mail_budgets (used_until);

-- Uses up what one mail takes of two budgets of a mailbox, or of none: NULL if there was enough of both, and otherwise when
-- there will be. The statements after the lock see what others did who held it.
CREATE FUNCTION admit_mail(
    recipient bytea, mail_kind text, moment timestamptz,
    kind_limit timestamptz, kind_step interval, all_limit timestamptz, all_step interval
) RETURNS timestamptz LANGUAGE plpgsql AS $$
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

-- Removes an entry, if it was not taken again since this attempt, less what happened after its mail was made.
CREATE FUNCTION complete_mail(done uuid, attempt bigint, told bigint) RETURNS void LANGUAGE plpgsql AS $$
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

-- As before, with the mail that is due where it is now.
CREATE OR REPLACE FUNCTION erase_account(erased uuid, resets uuid[]) RETURNS void LANGUAGE plpgsql STRICT AS $$
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
