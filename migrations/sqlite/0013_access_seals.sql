-- What grants access is bound to its account under the master key (docs/adr/0011).

-- The password hash, sealed for its account and its name. `password_hash` is empty where nothing but the sealed hash is
-- stored.
ALTER TABLE credentials ADD COLUMN sealed BLOB;

-- MACs over what rows say. NULL in rows of the version before: they are accepted until the service has written every row
-- again from its events, which it does while it serves. From then on a row without its MAC grants nothing. That this has
-- been done is part of the store's secret in shared_secrets. One program serves a file, so it begins at its start.
ALTER TABLE accounts ADD COLUMN mac BLOB;
ALTER TABLE sessions ADD COLUMN mac BLOB;
ALTER TABLE opaque_tokens ADD COLUMN mac BLOB;
