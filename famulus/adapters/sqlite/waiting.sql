-- What steps that wait, batches, compensation and child runs have to keep; and when something is due.

ALTER TABLE births ADD COLUMN parent BLOB;  -- JSON object: the step that waits for the run
ALTER TABLE heads ADD COLUMN ending BLOB;   -- JSON object: how the run ends when it is compensated
ALTER TABLE steps ADD COLUMN extra BLOB;    -- JSON object: what few steps have

-- Hints to look at a run, in the order in which they are due. Of one timer the highest stamp stays.
CREATE TABLE timers (
    namespace TEXT    NOT NULL,
    partition INTEGER NOT NULL,
    due_at    REAL    NOT NULL,
    run_id    TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    step_id   TEXT    NOT NULL,
    stamp     INTEGER NOT NULL,
    PRIMARY KEY (namespace, partition, due_at, run_id, kind, step_id)
) WITHOUT ROWID;
