-- Whether an event ends sessions is stored with it. Events of earlier versions do not have it, and are found by their types; no
-- type is added to these nine any more. The types are compared one by one, because SQLite makes a table of a list (IN) for
-- every event that is added.
ALTER TABLE events ADD COLUMN ends_sessions INTEGER NOT NULL DEFAULT 0;
DROP INDEX events_revoking_by_position;
DROP INDEX events_revoking_by_time;
CREATE INDEX events_ending_sessions_by_position ON events (position)
    WHERE ends_sessions OR event_type = 'LoggedOut' OR event_type = 'RefreshTokenReused' OR event_type = 'SessionRevoked' OR event_type = 'PasswordReset' OR event_type = 'PasswordChanged' OR event_type = 'SessionsRevoked' OR event_type = 'RoleChanged' OR event_type = 'UserLocked' OR event_type = 'UserErased';
CREATE INDEX events_ending_sessions_by_time ON events (recorded_at)
    WHERE ends_sessions OR event_type = 'LoggedOut' OR event_type = 'RefreshTokenReused' OR event_type = 'SessionRevoked' OR event_type = 'PasswordReset' OR event_type = 'PasswordChanged' OR event_type = 'SessionsRevoked' OR event_type = 'RoleChanged' OR event_type = 'UserLocked' OR event_type = 'UserErased';
