-- How the person in a session was authenticated. NULL is a password alone, at the start of the session.
ALTER TABLE sessions ADD COLUMN authentication TEXT;
