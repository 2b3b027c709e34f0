-- Sessions of applications, and what people let applications do.
--
-- Rolling upgrade: the MAC of a session of a person, and of an account without consents, is the same as before, so old and new nodes
-- accept each other's rows. The row of an application's session has another MAC: an old node refuses it, and so refuses its tokens,
-- whose form it does not know either. An old node treats an account with a consent as missing, as it would lose the consents if it
-- wrote the row: let people use applications once every node is new.
-- An old node that appends several events of sessions in one statement finds the type of a row changed. It then sends each event by
-- itself, and logs a warning.

-- NULL is a session of a person.
ALTER TABLE sessions ADD COLUMN client_id text;
-- Scopes, separated by spaces.
ALTER TABLE sessions ADD COLUMN scopes text;
-- The resources for which access tokens are, as a JSON list.
ALTER TABLE sessions ADD COLUMN audience text;
-- The session that this one ends with.
ALTER TABLE sessions ADD COLUMN parent uuid;

-- JSON. NULL is an account without consents.
ALTER TABLE accounts ADD COLUMN consents text;
