-- When a letter was kept. By this it expires, and not by the time of its record, which anybody may have written.
ALTER TABLE dead_letters ADD COLUMN kept_at REAL NOT NULL DEFAULT 0;

UPDATE dead_letters SET kept_at = CAST(strftime('%s', 'now') AS REAL);

CREATE INDEX dead_letters_by_keeping ON dead_letters (namespace, kept_at);
