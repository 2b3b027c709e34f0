-- Addresses are claimed by their mailbox as well (docs/adr/0016).

-- What was done once to a store of an earlier version, and does not have to be done again.
CREATE TABLE finished_upgrades (name TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
