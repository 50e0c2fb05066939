"""The SQL of the embedded store. Columns are named as the fields of the rows in `famulus.ports`.

Each upsert of a run's rows ends with the fence: an equal or higher stamp stays as it is. Nothing here needs more than
SQLite 3.24, so that the library of an older distribution will do.
"""

from __future__ import annotations

from typing import Final

# -- rows of a run ---------------------------------------------------------------------------------------------------

UPSERT_BIRTH: Final = """
    INSERT INTO births (namespace, run_id, blueprint_id, version, digest, input, input_digest, partition, created_at,
                        parent, stamp)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (namespace, run_id) DO UPDATE SET
        blueprint_id = excluded.blueprint_id, version = excluded.version, digest = excluded.digest,
        input = excluded.input, input_digest = excluded.input_digest, partition = excluded.partition,
        created_at = excluded.created_at, parent = excluded.parent, stamp = excluded.stamp
    WHERE excluded.stamp > births.stamp
"""

# is_open follows the head that stays: a late commit cannot reopen a run, and one that is rerun is open again.
UPSERT_HEAD: Final = """
    INSERT INTO heads (namespace, run_id, status, reason, updated_at, ended_at, seals, next_seq, ending, partition,
                       is_open, stamp)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (namespace, run_id) DO UPDATE SET
        status = excluded.status, reason = excluded.reason, updated_at = excluded.updated_at,
        ended_at = excluded.ended_at, seals = excluded.seals, next_seq = excluded.next_seq, ending = excluded.ending,
        partition = excluded.partition, is_open = excluded.is_open, stamp = excluded.stamp
    WHERE excluded.stamp > heads.stamp
"""

UPSERT_STEP: Final = """
    INSERT INTO steps (namespace, run_id, epoch, step_id, node_id, status, attempt, seq, output, action, fired, reason,
                       error, worker, started_at, ended_at, extra, stamp)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (namespace, run_id, step_id, epoch) DO UPDATE SET
        node_id = excluded.node_id, status = excluded.status, attempt = excluded.attempt, seq = excluded.seq,
        output = excluded.output, action = excluded.action, fired = excluded.fired, reason = excluded.reason,
        error = excluded.error, worker = excluded.worker, started_at = excluded.started_at,
        ended_at = excluded.ended_at, extra = excluded.extra, stamp = excluded.stamp
    WHERE excluded.stamp > steps.stamp
"""

UPSERT_CONTEXT: Final = """
    INSERT INTO context (namespace, run_id, epoch, key, value, seq, stamp)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (namespace, run_id, key, epoch) DO UPDATE SET
        value = excluded.value, seq = excluded.seq, stamp = excluded.stamp
    WHERE excluded.stamp > context.stamp
"""

UPSERT_EVENT: Final = """
    INSERT INTO events (namespace, run_id, epoch, seq, type, at, data, stamp)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (namespace, run_id, seq, epoch) DO UPDATE SET
        type = excluded.type, at = excluded.at, data = excluded.data, stamp = excluded.stamp
    WHERE excluded.stamp > events.stamp
"""

SELECT_BIRTH: Final = """
    SELECT run_id, blueprint_id, version, digest, input, input_digest, partition, created_at, parent
    FROM births WHERE namespace = ? AND run_id = ?
"""

SELECT_HEAD: Final = """
    SELECT status, reason, updated_at, ended_at, seals, next_seq, ending, stamp
    FROM heads WHERE namespace = ? AND run_id = ?
"""

SELECT_STEPS: Final = """
    SELECT step_id, node_id, status, attempt, seq, output, action, fired, reason, error, worker, started_at, ended_at,
           extra, stamp
    FROM steps WHERE namespace = ? AND run_id = ?
"""

SELECT_CONTEXT: Final = "SELECT key, value, seq, stamp FROM context WHERE namespace = ? AND run_id = ?"

SELECT_EVENTS: Final = """
    SELECT seq, type, at, data, stamp
    FROM events WHERE namespace = ?1 AND run_id = ?2 AND seq > ?3
        AND seq <= (SELECT MAX(seq) FROM (
            SELECT seq FROM events WHERE namespace = ?1 AND run_id = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4))
    ORDER BY seq, epoch
"""

SELECT_OPEN_PAGE: Final = """
    SELECT run_id
    FROM heads WHERE namespace = ? AND partition = ? AND is_open = 1 AND run_id > ?
    ORDER BY run_id LIMIT ?
"""

SELECT_RECENT: Final = """
    SELECT run_id
    FROM births WHERE namespace = ? AND created_at < ?
    ORDER BY created_at DESC, run_id DESC LIMIT ?
"""

SELECT_ALL_PAGE: Final = """
    SELECT h.run_id
    FROM heads h JOIN births b ON b.namespace = h.namespace AND b.run_id = h.run_id
    WHERE h.namespace = ? AND h.run_id > ?
    ORDER BY h.run_id LIMIT ?
"""

SELECT_OPENNESS: Final = "SELECT is_open FROM heads WHERE namespace = ? AND run_id = ?"

# -- timers ----------------------------------------------------------------------------------------------------------

UPSERT_TIMER: Final = """
    INSERT INTO timers (namespace, partition, due_at, run_id, kind, step_id, stamp)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (namespace, partition, due_at, run_id, kind, step_id) DO UPDATE SET stamp = excluded.stamp
    WHERE excluded.stamp > timers.stamp
"""

SELECT_DUE_TIMERS: Final = """
    SELECT partition, due_at, run_id, kind, step_id, stamp
    FROM timers WHERE namespace = ? AND partition = ? AND due_at <= ?
    ORDER BY due_at, run_id, kind, step_id LIMIT ?
"""

SELECT_TIMER: Final = """
    SELECT 1 FROM timers
    WHERE namespace = ? AND partition = ? AND due_at = ? AND run_id = ? AND kind = ? AND step_id = ?
"""

DELETE_TIMER: Final = """
    DELETE FROM timers
    WHERE namespace = ? AND partition = ? AND due_at = ? AND run_id = ? AND kind = ? AND step_id = ? AND stamp <= ?
"""

# -- blueprints ------------------------------------------------------------------------------------------------------

INSERT_BLUEPRINT: Final = """
    INSERT INTO blueprints (namespace, blueprint_id, version, digest, body, registered_at)
    VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (namespace, blueprint_id, version) DO NOTHING
"""

SELECT_BLUEPRINT_BY_DIGEST: Final = """
    SELECT blueprint_id, version, digest, body, registered_at
    FROM blueprints WHERE namespace = ? AND digest = ? LIMIT 1
"""

SELECT_BLUEPRINT_BY_VERSION: Final = """
    SELECT blueprint_id, version, digest, body, registered_at
    FROM blueprints WHERE namespace = ? AND blueprint_id = ? AND version = ?
"""

SELECT_LATEST_BLUEPRINT: Final = """
    SELECT blueprint_id, version, digest, body, registered_at
    FROM blueprints WHERE namespace = ? AND blueprint_id = ?
    ORDER BY registered_at DESC LIMIT 1
"""

SELECT_BLUEPRINTS: Final = """
    SELECT blueprint_id, version, digest, body, registered_at
    FROM blueprints WHERE namespace = ?
    ORDER BY blueprint_id, registered_at
"""

# -- webhooks ----------------------------------------------------------------------------------------------------------

INSERT_HOOK: Final = """
    INSERT INTO hooks (namespace, digest, run_id, step_id) VALUES (?, ?, ?, ?)
    ON CONFLICT (namespace, digest) DO NOTHING
"""

SELECT_HOOK: Final = "SELECT digest, run_id, step_id FROM hooks WHERE namespace = ? AND digest = ?"

INSERT_SECRET: Final = """
    INSERT INTO secrets (namespace, name, value) VALUES (?, ?, ?)
    ON CONFLICT (namespace, name) DO NOTHING
"""  # noqa: S105  # a statement

SELECT_SECRET: Final = "SELECT value FROM secrets WHERE namespace = ? AND name = ?"  # noqa: S105  # a statement

# -- schedules -------------------------------------------------------------------------------------------------------

UPSERT_SCHEDULE: Final = """
    INSERT INTO schedules (namespace, schedule_id, body, written_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (namespace, schedule_id) DO UPDATE SET body = excluded.body, written_at = excluded.written_at
    WHERE excluded.written_at > schedules.written_at
"""

DELETE_SCHEDULE: Final = "DELETE FROM schedules WHERE namespace = ? AND schedule_id = ? AND written_at <= ?"

SELECT_SCHEDULE: Final = """
    SELECT s.schedule_id, s.body, s.written_at, p.last_tick, p.started, p.sent_at, p.waiting, p.stamp
    FROM schedules s LEFT JOIN schedule_progress p ON p.namespace = s.namespace AND p.schedule_id = s.schedule_id
    WHERE s.namespace = ? AND s.schedule_id = ?
"""

SELECT_SCHEDULES: Final = """
    SELECT s.schedule_id, s.body, s.written_at, p.last_tick, p.started, p.sent_at, p.waiting, p.stamp
    FROM schedules s LEFT JOIN schedule_progress p ON p.namespace = s.namespace AND p.schedule_id = s.schedule_id
    WHERE s.namespace = ? ORDER BY s.schedule_id
"""

UPSERT_SCHEDULE_PROGRESS: Final = """
    INSERT INTO schedule_progress (namespace, schedule_id, last_tick, started, sent_at, waiting, stamp)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (namespace, schedule_id) DO UPDATE SET
        last_tick = excluded.last_tick, started = excluded.started, sent_at = excluded.sent_at,
        waiting = excluded.waiting, stamp = excluded.stamp
    WHERE excluded.stamp > schedule_progress.stamp
"""

DELETE_SCHEDULE_PROGRESS: Final = """
    DELETE FROM schedule_progress WHERE namespace = ? AND schedule_id = ? AND stamp <= ?
"""

# -- epochs ----------------------------------------------------------------------------------------------------------

INCREMENT_EPOCH: Final = """
    INSERT INTO epochs (namespace, last) VALUES (?, 1)
    ON CONFLICT (namespace) DO UPDATE SET last = last + 1
"""

SELECT_EPOCH: Final = "SELECT last FROM epochs WHERE namespace = ?"

# -- large values ----------------------------------------------------------------------------------------------------

INSERT_BLOB: Final = "INSERT OR IGNORE INTO blobs (namespace, run_id, digest, piece, data) VALUES (?, ?, ?, ?, ?)"

SELECT_BLOB: Final = "SELECT data FROM blobs WHERE namespace = ? AND run_id = ? AND digest = ? AND piece = ?"
