-- Sessions of applications, and what people let applications do.

-- NULL is a session of a person.
ALTER TABLE sessions ADD COLUMN client_id TEXT;
-- Scopes, separated by spaces.
ALTER TABLE sessions ADD COLUMN scopes TEXT;
-- The resources for which access tokens are, as a JSON list.
ALTER TABLE sessions ADD COLUMN audience TEXT;
-- The session that this one ends with.
ALTER TABLE sessions ADD COLUMN parent TEXT;

-- JSON. NULL is an account without consents.
ALTER TABLE accounts ADD COLUMN consents TEXT;
