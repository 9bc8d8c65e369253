-- Places at which the terminal's key handed over to another, and the keys, as JSON.
ALTER TABLE chain ADD COLUMN handovers TEXT NOT NULL DEFAULT '[]';
