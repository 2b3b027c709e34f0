-- The most mails of all kinds at once are forty since there are notices about second factors. The function before cut the budget to
-- thirty, so notices, which may use all forty, were never refused by it.
--
-- Rolling upgrade: the function takes the same arguments. Nodes of the version before go on asking for a limit of thirty.

-- As before (0018), with forty.
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
    UPDATE mail_budgets SET used_until = moment + 40 * all_step
     WHERE mailbox = recipient AND kind = 'all' AND used_until > moment + 40 * all_step;
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
