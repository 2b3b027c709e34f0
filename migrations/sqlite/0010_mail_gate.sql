-- Mail is bounded by mailbox, and the queue of mail by account.

-- What a person is to be told by mail, put in by the append that stores the event. There is one entry for an account, a
-- kind and a mailbox: what happens while it waits is counted. An entry that was taken is due again when its lease ends.
CREATE TABLE mail_queue (
    mail_id     TEXT    PRIMARY KEY NOT NULL,
    user_id     TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    -- Keyed digest of the mailbox to tell; empty for that of the address that the account has.
    mailbox     BLOB    NOT NULL DEFAULT x'',
    -- The address to tell, sealed under the account's key, where it is not the account's own.
    address     BLOB,
    happened    INTEGER NOT NULL,
    happened_at INTEGER NOT NULL,
    -- Whether the gate let it through. Should handing it over fail, it need not ask again.
    admitted    INTEGER NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL DEFAULT 0,
    due_at      INTEGER NOT NULL,
    UNIQUE (user_id, kind, mailbox)
) STRICT;

CREATE INDEX mail_queue_due ON mail_queue (due_at);

ALTER TABLE reset_requests ADD COLUMN admitted INTEGER NOT NULL DEFAULT 0;

-- What waits already goes on waiting, except for notices to addresses that accounts had before: those are sealed in events.
INSERT INTO mail_queue (mail_id, user_id, kind, happened, happened_at, due_at)
SELECT lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-8'
           || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))),
       user_id, kind, count(*), max(recorded_at) / 1000, max(due_at)
FROM (SELECT mail.user_id, event.recorded_at, mail.due_at,
             CASE event.event_type
                 WHEN 'PasswordReset' THEN 'password-changed'
                 WHEN 'PasswordChanged' THEN 'password-changed'
                 WHEN 'UserLocked' THEN 'account-locked'
                 WHEN 'RefreshTokenReused' THEN 'refresh-token-reused'
                 WHEN 'EmailVerificationRequested' THEN 'verification-link'
             END AS kind
      FROM due_mail AS mail JOIN events AS event USING (aggregate_type, aggregate_id, sequence))
WHERE kind IS NOT NULL
GROUP BY user_id, kind;
DROP TABLE due_mail;

-- How much mail a mailbox was sent, of a kind and of all kinds: the budget is used until that instant. A row whose instant
-- has passed means as much as none.
CREATE TABLE mail_budgets (
    -- Keyed digest.
    mailbox    BLOB    NOT NULL,
    kind       TEXT    NOT NULL,
    used_until INTEGER NOT NULL,
    PRIMARY KEY (mailbox, kind)
) STRICT, WITHOUT ROWID;

CREATE INDEX mail_budgets_used_until ON mail_budgets (used_until);
