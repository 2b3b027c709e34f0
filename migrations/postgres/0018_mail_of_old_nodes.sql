-- Mail that nodes of a version before 0010 put into due_mail goes to mail_queue; a late node neither completes nor postpones
-- what another node has taken since; a clock that was ahead closes no mailbox for as long as it was ahead.
--
-- Old nodes may run during the upgrade: they go on inserting into due_mail, and the trigger moves what they insert. They use
-- the functions that are replaced here with the same arguments. SQLite has one program at a time: what is done here by
-- functions is done by that program, and no migration is needed.

-- What a person is told of an event; NULL for nothing, and for a notice to the address that the account had before: that is
-- sealed in the event. That notice of an old node is lost.
CREATE FUNCTION mail_kind_of(event_type text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE event_type
               WHEN 'PasswordReset' THEN 'password-changed'
               WHEN 'PasswordChanged' THEN 'password-changed'
               WHEN 'UserLocked' THEN 'account-locked'
               WHEN 'RefreshTokenReused' THEN 'refresh-token-reused'
               WHEN 'EmailVerificationRequested' THEN 'verification-link'
           END
$$;

-- It runs after the statement that inserts: the event, which that statement stores too, is there by then.
CREATE FUNCTION move_due_mail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH gone AS (
        DELETE FROM due_mail
         WHERE aggregate_type = NEW.aggregate_type AND aggregate_id = NEW.aggregate_id AND sequence = NEW.sequence
        RETURNING *
    )
    INSERT INTO mail_queue AS waiting (mail_id, user_id, kind, happened, happened_at, due_at)
    SELECT gen_random_uuid(), gone.user_id, mail_kind_of(event.event_type), 1, event.recorded_at, gone.due_at
      FROM gone JOIN events AS event USING (aggregate_type, aggregate_id, sequence)
     WHERE mail_kind_of(event.event_type) IS NOT NULL
    ON CONFLICT (user_id, kind, mailbox) DO UPDATE
    SET happened = waiting.happened + 1, happened_at = greatest(waiting.happened_at, excluded.happened_at);
    RETURN NULL;
END
$$;

-- Creating it waits for whoever is inserting: what follows sees all that was inserted without it.
CREATE TRIGGER due_mail_is_moved AFTER INSERT ON due_mail FOR EACH ROW EXECUTE FUNCTION move_due_mail();

WITH gone AS (DELETE FROM due_mail RETURNING *)
INSERT INTO mail_queue AS waiting (mail_id, user_id, kind, happened, happened_at, due_at)
SELECT gen_random_uuid(), gone.user_id, mail_kind_of(event.event_type), count(*), max(event.recorded_at), max(gone.due_at)
  FROM gone JOIN events AS event USING (aggregate_type, aggregate_id, sequence)
 WHERE mail_kind_of(event.event_type) IS NOT NULL
 GROUP BY gone.user_id, mail_kind_of(event.event_type)
ON CONFLICT (user_id, kind, mailbox) DO UPDATE
SET happened = waiting.happened + excluded.happened,
    happened_at = greatest(waiting.happened_at, excluded.happened_at);

-- As before, except that the number of attempts, by which a late node is told from the one that has the entry, only grows.
CREATE OR REPLACE FUNCTION complete_mail(done uuid, attempt bigint, told bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM mail_queue WHERE mail_id = done AND attempts = attempt FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    DELETE FROM mail_queue WHERE mail_id = done AND happened <= told;
    -- One attempt more: a second completion of this attempt changes nothing.
    UPDATE mail_queue
       SET happened = happened - told, admitted = false, attempts = attempts + 1, due_at = happened_at
     WHERE mail_id = done;
END
$$;

-- As before, except that a budget that is used for longer than any admission at this time could have used it was written by a
-- clock that was ahead, and counts as used for that long. Thirty is the most mails of all kinds at once.
CREATE OR REPLACE FUNCTION admit_mail(
    recipient bytea, mail_kind text, moment timestamptz,
    kind_limit timestamptz, kind_step interval, all_limit timestamptz, all_step interval
) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    kind_used timestamptz;
    all_used  timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(encode(recipient, 'hex'), 1));
    -- It is stored: otherwise the budget would never be less used than that.
    UPDATE mail_budgets SET used_until = kind_limit + kind_step
     WHERE mailbox = recipient AND kind = mail_kind AND used_until > kind_limit + kind_step;
    UPDATE mail_budgets SET used_until = moment + 30 * all_step
     WHERE mailbox = recipient AND kind = 'all' AND used_until > moment + 30 * all_step;
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
