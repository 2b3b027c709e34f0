-- Sessions of applications whose refresh tokens are bound to a key (RFC 9449).

-- The thumbprint of the key. NULL is a session that is bound to none.
ALTER TABLE sessions ADD COLUMN dpop_jkt TEXT;
