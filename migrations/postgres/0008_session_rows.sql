-- A session's row holds all that decisions about it depend on, so that its events need not be loaded.

-- When the current generation of the refresh token replaced the one before it.
ALTER TABLE sessions ADD COLUMN rotated_at timestamptz;
UPDATE sessions s
   SET rotated_at = coalesce(
           (SELECT min((e.payload #>> '{TokenRefreshed,at}')::timestamptz)
              FROM events e
             WHERE e.aggregate_type = 'session' AND e.aggregate_id = s.session_id::text
               AND e.event_type = 'TokenRefreshed' AND s.generation > 0
               AND (e.payload #>> '{TokenRefreshed,generation}')::bigint = s.generation),
           s.started_at);
ALTER TABLE sessions ALTER COLUMN rotated_at SET NOT NULL;
