-- Version 9: what owners of different epochs wrote of a step, a key or an event stands side by side. The epoch is the
-- upper part of the stamp (famulus.ids).

CREATE TABLE steps_of_epochs (
    namespace  TEXT    NOT NULL,
    run_id     TEXT    NOT NULL,
    step_id    TEXT    NOT NULL,
    epoch      INTEGER NOT NULL,
    node_id    TEXT    NOT NULL,
    status     TEXT    NOT NULL,
    attempt    INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    output     BLOB,
    action     TEXT,
    fired      TEXT    NOT NULL,  -- JSON array of edge positions
    reason     TEXT,
    error      BLOB,
    worker     TEXT,
    started_at REAL,
    ended_at   REAL,
    extra      BLOB,
    stamp      INTEGER NOT NULL,
    PRIMARY KEY (namespace, run_id, step_id, epoch)
) WITHOUT ROWID;

INSERT INTO steps_of_epochs (namespace, run_id, step_id, epoch, node_id, status, attempt, seq, output, action, fired,
                             reason, error, worker, started_at, ended_at, extra, stamp)
SELECT namespace, run_id, step_id, stamp >> 40, node_id, status, attempt, seq, output, action, fired, reason, error,
       worker, started_at, ended_at, extra, stamp
FROM steps;

DROP TABLE steps;

ALTER TABLE steps_of_epochs RENAME TO steps;

CREATE TABLE context_of_epochs (
    namespace TEXT    NOT NULL,
    run_id    TEXT    NOT NULL,
    key       TEXT    NOT NULL,
    epoch     INTEGER NOT NULL,
    value     BLOB,               -- NULL: the key was deleted; the row stays, for its stamp
    seq       INTEGER NOT NULL,
    stamp     INTEGER NOT NULL,
    PRIMARY KEY (namespace, run_id, key, epoch)
) WITHOUT ROWID;

INSERT INTO context_of_epochs (namespace, run_id, key, epoch, value, seq, stamp)
SELECT namespace, run_id, key, stamp >> 40, value, seq, stamp
FROM context;

DROP TABLE context;

ALTER TABLE context_of_epochs RENAME TO context;

CREATE TABLE events_of_epochs (
    namespace TEXT    NOT NULL,
    run_id    TEXT    NOT NULL,
    seq       INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,
    type      TEXT    NOT NULL,
    at        REAL    NOT NULL,
    data      BLOB    NOT NULL,
    stamp     INTEGER NOT NULL,
    PRIMARY KEY (namespace, run_id, seq, epoch)
) WITHOUT ROWID;

INSERT INTO events_of_epochs (namespace, run_id, seq, epoch, type, at, data, stamp)
SELECT namespace, run_id, seq, stamp >> 40, type, at, data, stamp
FROM events;

DROP TABLE events;

ALTER TABLE events_of_epochs RENAME TO events;
