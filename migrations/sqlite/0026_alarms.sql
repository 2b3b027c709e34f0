-- How often a mail was handed over whole and the server did not say whether it took it.
ALTER TABLE mail_queue ADD COLUMN unacknowledged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE reset_requests ADD COLUMN unacknowledged INTEGER NOT NULL DEFAULT 0;
