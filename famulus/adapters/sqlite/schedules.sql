-- What is started when, written by whoever defines it: the one with the later time stays.
CREATE TABLE schedules (
    namespace   TEXT NOT NULL,
    schedule_id TEXT NOT NULL,
    body        BLOB NOT NULL,
    written_at  REAL NOT NULL,
    PRIMARY KEY (namespace, schedule_id)
) WITHOUT ROWID;

-- How far each schedule is, written by the owner of its partition: a row is replaced only by one with a higher stamp.
CREATE TABLE schedule_progress (
    namespace   TEXT NOT NULL,
    schedule_id TEXT NOT NULL,
    last_tick   INTEGER NOT NULL,
    started     INTEGER,
    sent_at     REAL,
    waiting     INTEGER,
    stamp       INTEGER NOT NULL,
    PRIMARY KEY (namespace, schedule_id)
) WITHOUT ROWID;
