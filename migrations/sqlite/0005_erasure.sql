-- Erasing accounts, and replacing the master key.

-- An erasure ends sessions as well. The program knows the same list of types.
DROP INDEX events_revoking_by_position;
DROP INDEX events_revoking_by_time;
CREATE INDEX events_revoking_by_position ON events (position)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'PasswordReset', 'UserErased');
CREATE INDEX events_revoking_by_time ON events (recorded_at)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'PasswordReset', 'UserErased');

-- Whether an account was erased: every append asks, of an index that has an entry an erasure.
CREATE INDEX events_erasing ON events (user_id) WHERE event_type = 'UserErased';

-- An erasure finds the tokens of a session.
CREATE INDEX opaque_tokens_by_session ON opaque_tokens (session_id);

-- Which master key seals what is new, by its fingerprint. While a rotation goes on, what is older may be sealed under
-- the key before.
CREATE TABLE sealing_key (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    fingerprint BLOB    NOT NULL
) STRICT;
