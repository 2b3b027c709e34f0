-- The Merkle tree over the log (RFC 6962) and its signed heads.

-- Nodes over 256, 65 536, … entries, so that a proof need not read all of them. Derived: `authlog log verify --repair`
-- writes them anew.
CREATE TABLE log_nodes (
    level      smallint NOT NULL CHECK (level > 0 AND level % 8 = 0),
    node_index bigint NOT NULL CHECK (node_index >= 0),
    hash       bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, node_index)
);

-- What the log's key vouches for: the first tree_size entries have the root in the note.
CREATE TABLE checkpoints (
    tree_size  bigint PRIMARY KEY CHECK (tree_size > 0),
    note       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TRIGGER checkpoints_are_never_changed
    BEFORE UPDATE OR DELETE OR TRUNCATE ON checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE checkpoints ENABLE ALWAYS TRIGGER checkpoints_are_never_changed;
