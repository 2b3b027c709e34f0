-- How the person in a session was authenticated. NULL is a password alone, at the start of the session.
--
-- Rolling upgrade: an old node neither reads nor writes the column, and the MAC of a session without a second factor is the same
-- as before, so old and new nodes accept each other's rows. A session that was started with a second factor has another MAC: an
-- old node refuses its tokens where it asks the store, and the session continues on new nodes.
-- An old node that appends several events of sessions in one statement finds the type of a row changed. It then sends
-- each event by itself, and logs a warning.
ALTER TABLE sessions ADD COLUMN authentication text;
