-- An account's row holds all that decisions about it depend on, so that its events need not be loaded.

-- The mailed links that were last asked for, as JSON with the version of the row that they belong to. Null, or of another
-- version, where an earlier version of the program wrote the row: then they are not known.
ALTER TABLE accounts ADD COLUMN recent_requests TEXT;

-- Ending an account's sessions asks whether any began in its current epoch.
DROP INDEX sessions_by_user;
CREATE INDEX sessions_by_user ON sessions (user_id, epoch);
