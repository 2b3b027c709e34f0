-- Pages of accounts that miss none, and pages of an account's sessions that read a bounded number of rows.

-- The place of each account in the list of accounts, of erased ones, too: a reader may have come as far as one of them. An
-- account's number is drawn before its registration is stored, so that reading by it alone skips accounts. Places are given as
-- accounts are stored, one after the other.
CREATE TABLE account_places (
    place  INTEGER PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    -- Whether the account is there.
    listed INTEGER NOT NULL
) STRICT;

INSERT INTO account_places (number, listed) SELECT DISTINCT number, 1 FROM accounts ORDER BY number;
CREATE INDEX account_places_in_order ON account_places (place) WHERE listed = 1;

CREATE TRIGGER accounts_have_places AFTER INSERT ON accounts BEGIN
    INSERT INTO account_places (number, listed) VALUES (new.number, 1)
    ON CONFLICT (number) DO UPDATE SET listed = 1;
END;

CREATE TRIGGER erased_accounts_keep_places AFTER DELETE ON accounts BEGIN
    UPDATE account_places SET listed = 0 WHERE number = old.number;
END;

-- It replaces the index without the id.
DROP INDEX sessions_by_user;
CREATE INDEX sessions_in_order ON sessions (user_id, epoch, session_id);
