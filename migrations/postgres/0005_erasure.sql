-- Erasing accounts, and replacing the master key.

-- An erasure ends sessions as well. The program's queries repeat the list of types word for word.
DROP INDEX events_revoking_by_transaction;
DROP INDEX events_revoking_by_time;
CREATE INDEX events_revoking_by_transaction ON events (txid)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'PasswordReset', 'UserErased');
CREATE INDEX events_revoking_by_time ON events (recorded_at)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'PasswordReset', 'UserErased');

-- Whether an account was erased: every append asks, of an index that has an entry an erasure.
CREATE INDEX events_erasing ON events (user_id) WHERE event_type = 'UserErased';

-- An erasure finds the tokens of a session.
CREATE INDEX opaque_tokens_by_session ON opaque_tokens (session_id);

-- Keeps these accounts from being erased until the transaction ends, and says which of them were erased before.
--
-- The locks live in memory: an append writes nothing more than it did. They are taken in one order by everybody, so that
-- nobody waits for someone who waits for them. What follows them is a statement of its own in a volatile function: its
-- snapshot is newer than the locks, and so it sees every erasure that they waited for.
CREATE FUNCTION hold_accounts(users uuid[]) RETURNS uuid[] LANGUAGE plpgsql STRICT AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(held::text, 0))
       FROM (SELECT DISTINCT held FROM unnest(users) AS held ORDER BY held) AS in_order;
    RETURN array(SELECT user_id FROM events WHERE event_type = 'UserErased' AND user_id = ANY(users));
END
$$;

-- Fails if one of these accounts was erased, and otherwise keeps them from being erased until the transaction ends.
CREATE FUNCTION refuse_erased(users uuid[]) RETURNS void LANGUAGE plpgsql STRICT AS $$
BEGIN
    IF cardinality(hold_accounts(users)) > 0 THEN
        -- By this code the program tells.
        RAISE EXCEPTION 'the account was erased' USING ERRCODE = 'AE001';
    END IF;
END
$$;

-- Deletes all that is kept of an account beside its events, and these requests for resets. First it waits for those who
-- write to the account; each statement then sees what they wrote.
CREATE FUNCTION erase_account(erased uuid, resets uuid[]) RETURNS void LANGUAGE plpgsql STRICT AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(erased::text, 0));
    DELETE FROM subject_keys WHERE user_id = erased;
    DELETE FROM identifier_claims WHERE owner = erased;
    DELETE FROM credentials WHERE user_id = erased;
    DELETE FROM opaque_tokens WHERE session_id IN (SELECT session_id FROM sessions WHERE user_id = erased);
    DELETE FROM sessions WHERE user_id = erased;
    DELETE FROM accounts WHERE user_id = erased;
    DELETE FROM reset_requests WHERE reset_id = ANY(resets);
END
$$;

-- Which master key seals what is new, by its fingerprint. While a rotation goes on, what is older may be sealed under
-- the key before.
CREATE TABLE sealing_key (
    id          int PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    fingerprint bytea NOT NULL
);

-- Fails unless this master key seals what is new, and otherwise keeps it so until the transaction ends.
CREATE FUNCTION require_sealing_key(mine bytea) RETURNS void LANGUAGE plpgsql STRICT AS $$
BEGIN
    -- "authlog!" in ASCII, as a number: one lock beside those of the accounts.
    PERFORM pg_advisory_xact_lock_shared(7022647185798817569);
    IF NOT EXISTS (SELECT FROM sealing_key WHERE fingerprint = mine) THEN
        RAISE EXCEPTION 'another master key seals what is new' USING ERRCODE = 'AE002';
    END IF;
END
$$;

-- Lets this master key seal what is new, once nothing is being sealed under another.
CREATE FUNCTION change_sealing_key(to_be bytea) RETURNS void LANGUAGE plpgsql STRICT AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7022647185798817569);
    INSERT INTO sealing_key (fingerprint) VALUES (to_be)
    ON CONFLICT (id) DO UPDATE SET fingerprint = excluded.fingerprint;
END
$$;
