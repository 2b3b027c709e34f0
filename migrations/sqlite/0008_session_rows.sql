-- A session's row holds all that decisions about it depend on, so that its events need not be loaded.

-- When the current generation of the refresh token replaced the one before it.
ALTER TABLE sessions ADD COLUMN rotated_at INTEGER NOT NULL DEFAULT 0;
UPDATE sessions
   SET rotated_at = coalesce(
           (SELECT min(CAST(round(unixepoch(e.payload ->> '$.TokenRefreshed.at', 'subsec') * 1000) AS INTEGER))
              FROM events AS e
             WHERE e.aggregate_type = 'session' AND e.aggregate_id = sessions.session_id
               AND e.event_type = 'TokenRefreshed' AND sessions.generation > 0
               AND e.payload ->> '$.TokenRefreshed.generation' = sessions.generation),
           started_at);
