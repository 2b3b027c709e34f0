-- What grants access is bound to its account under the master key (docs/adr/0011).
--
-- Nodes of the version before may run at the same time as new ones. They leave the new columns as they are, and so their rows have no
-- MAC or one that is out of date, and their passwords are in `password_hash` alone. New nodes accept that, and write
-- `password_hash` as well, until AUTHLOG_UPGRADE_WINDOW (an hour) has passed since this migration. Then one node seals
-- every password and writes every row again from its events, and adds to the store's secret in shared_secrets that this
-- has been done. From then on a row without its MAC grants nothing, and `password_hash` is emptied. No step has to be
-- done in one go: an interrupted one begins again.
-- An old node that appends several events of sessions in one statement finds the type of a row changed. It then sends
-- each event by itself, and logs a warning.

-- The password hash, sealed for its account and its name. `password_hash` is empty where nothing but the sealed hash is
-- stored.
ALTER TABLE credentials ADD COLUMN sealed bytea;

-- MACs over what rows say.
ALTER TABLE accounts ADD COLUMN mac bytea;
ALTER TABLE sessions ADD COLUMN mac bytea;
ALTER TABLE opaque_tokens ADD COLUMN mac bytea;
