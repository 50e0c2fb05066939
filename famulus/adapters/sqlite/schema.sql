-- Version 1 of the embedded store. Later versions are further files, see MIGRATIONS in database.py.
--
-- Every key starts with the namespace: several applications may share a file. The four tables of a run carry a stamp
-- (famulus.ids.Stamp) in every row; a row is replaced only by one with a higher stamp. Tables are clustered by their
-- key (WITHOUT ROWID), so loading a run reads neighbouring pages, and a row is written once, not once more to an index.

-- What never changes in a run. Apart from heads, because a late first commit may come with a lower stamp than the head.
CREATE TABLE births (
    namespace    TEXT    NOT NULL,
    run_id       TEXT    NOT NULL,
    blueprint_id TEXT    NOT NULL,
    version      TEXT    NOT NULL,
    digest       TEXT    NOT NULL,
    input        BLOB    NOT NULL,
    input_digest TEXT    NOT NULL,
    partition    INTEGER NOT NULL,
    created_at   REAL    NOT NULL,
    stamp        INTEGER NOT NULL,
    PRIMARY KEY (namespace, run_id)
) WITHOUT ROWID;

-- Recent runs, newest first. SQLite maintains it in the transaction of the row.
CREATE INDEX births_by_creation ON births (namespace, created_at, run_id);

CREATE TABLE heads (
    namespace  TEXT    NOT NULL,
    run_id     TEXT    NOT NULL,
    status     TEXT    NOT NULL,
    reason     TEXT,
    updated_at REAL    NOT NULL,
    ended_at   REAL,
    seals      TEXT    NOT NULL,  -- JSON object: epoch -> stamp
    next_seq   INTEGER NOT NULL,
    partition  INTEGER NOT NULL,  -- a copy of the birth's, for the index
    is_open    INTEGER NOT NULL,  -- 0 once the run has reached a terminal status
    stamp      INTEGER NOT NULL,
    PRIMARY KEY (namespace, run_id)
) WITHOUT ROWID;

-- Open runs of a partition: as long as what is open, not as what was ever run.
CREATE INDEX heads_open ON heads (namespace, partition, run_id) WHERE is_open = 1;

CREATE TABLE steps (
    namespace  TEXT    NOT NULL,
    run_id     TEXT    NOT NULL,
    step_id    TEXT    NOT NULL,
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
    stamp      INTEGER NOT NULL,
    PRIMARY KEY (namespace, run_id, step_id)
) WITHOUT ROWID;

CREATE TABLE context (
    namespace TEXT    NOT NULL,
    run_id    TEXT    NOT NULL,
    key       TEXT    NOT NULL,
    value     BLOB,               -- NULL: the key was deleted; the row stays, for its stamp
    seq       INTEGER NOT NULL,
    stamp     INTEGER NOT NULL,
    PRIMARY KEY (namespace, run_id, key)
) WITHOUT ROWID;

CREATE TABLE events (
    namespace TEXT    NOT NULL,
    run_id    TEXT    NOT NULL,
    seq       INTEGER NOT NULL,
    type      TEXT    NOT NULL,
    at        REAL    NOT NULL,
    data      BLOB    NOT NULL,
    stamp     INTEGER NOT NULL,
    PRIMARY KEY (namespace, run_id, seq)
) WITHOUT ROWID;

-- The first registration of an (id, version) stays.
CREATE TABLE blueprints (
    namespace     TEXT NOT NULL,
    blueprint_id  TEXT NOT NULL,
    version       TEXT NOT NULL,
    digest        TEXT NOT NULL,
    body          BLOB NOT NULL,
    registered_at REAL NOT NULL,
    PRIMARY KEY (namespace, blueprint_id, version)
) WITHOUT ROWID;

CREATE INDEX blueprints_by_digest ON blueprints (namespace, digest);

CREATE TABLE epochs (
    namespace TEXT    NOT NULL PRIMARY KEY,
    last      INTEGER NOT NULL    -- the highest epoch taken so far
) WITHOUT ROWID;
