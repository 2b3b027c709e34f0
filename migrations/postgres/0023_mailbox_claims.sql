-- Addresses are claimed by their mailbox as well (docs/adr/0016).
--
-- Rolling upgrade: nodes of the version before do not read this table.

-- What was done once to a store of an earlier version, and does not have to be done again.
CREATE TABLE finished_upgrades (name text PRIMARY KEY);
