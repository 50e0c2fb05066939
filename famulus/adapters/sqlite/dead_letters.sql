-- Records that could not be handled, and what became of them.
CREATE TABLE dead_letters (
    namespace TEXT NOT NULL,
    letter_id TEXT NOT NULL,
    at        REAL NOT NULL,
    summary   BLOB NOT NULL,
    key       BLOB,
    value     BLOB,
    headers   BLOB NOT NULL,
    PRIMARY KEY (namespace, letter_id)
);

CREATE INDEX dead_letters_by_time ON dead_letters (namespace, at DESC, letter_id DESC);

CREATE TABLE dead_letter_marks (
    namespace TEXT NOT NULL,
    letter_id TEXT NOT NULL,
    state     TEXT NOT NULL,
    by_whom   TEXT NOT NULL,
    at        REAL NOT NULL,
    note      TEXT,
    PRIMARY KEY (namespace, letter_id)
) WITHOUT ROWID;
