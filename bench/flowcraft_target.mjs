// famulus as a target of the reference's benchmark. head_to_head.py puts this file into the benchmark's targets folder.
//
// The start of a run is one record; nothing is prepared in a store. The end of a run is `ended_at` of its row, by the
// clock of the worker: WRITETIME tells the order of writes there, not a time.
import fs from 'node:fs'
import path from 'node:path'
import { blueprints, nodesPerRun } from '../blueprints.mjs'
import { cass, cfg, send, spawnWorker, uuid } from '../common.mjs'

export const name = 'famulus'

const keyspace = process.env.FAMULUS_CASSANDRA_KEYSPACE
const inputs = new Map()
let namespace

// Every topic is a namespace of its own: a worker looks after all open runs of its namespace.
export async function worker({ topic, execLog, env }) {
  namespace = topic.replaceAll('-', '_')
  const w = spawnWorker({
    topic, group: topic, execLog,
    cmd: JSON.parse(process.env.FAMULUS_BENCH_WORKER),
    env: {
      ...env,
      KAFKA_BROKERS: cfg.kafka,
      CASSANDRA_CONTACT_POINTS: cfg.cassandra,
      CASSANDRA_DATACENTER: cfg.dc,
      REDIS_URL: cfg.redis,
      FAMULUS_NAMESPACE: namespace,
      FAMULUS_GROUP: topic,
      FAMULUS_JOBS_TOPIC: topic,
      FAMULUS_EVENTS_TOPIC: `${topic}.events`,
      FAMULUS_DEAD_LETTERS_TOPIC: `${topic}.dead-letters`,
      FAMULUS_NODES: 'bench.nodes',
      FAMULUS_BLUEPRINTS: writeBlueprints(),
      FAMULUS_DATA_DIR: path.join(cfg.tmp, `data-${uuid()}`),
    },
  })
  await w.ready
  return w
}

export const prepare = (ids, bpId, extra) => { for (const id of ids) inputs.set(id, extra) }

export const start = (topic, ids, bpId) => send(topic, ids.map((id) => ({
  key: id,
  value: JSON.stringify({ run_id: id, blueprint_id: bpId, input: inputs.get(id) ?? {} }),
})))

export async function statuses(ids) {
  const out = new Map()
  const query = `SELECT run_id, status, ended_at FROM ${keyspace}.runs WHERE namespace = ? AND run_id IN ?`
  for (let i = 0; i < ids.length; i += 100) {
    const found = await cass.execute(query, [namespace, ids.slice(i, i + 100)], { prepare: true })
    for (const row of found.rows) out.set(row.run_id, { status: row.ended_at === null ? 'running' : row.status, at: row.ended_at * 1000 })
  }
  return out
}

// The very objects that the reference runs.
function writeBlueprints() {
  const folder = path.join(cfg.tmp, 'famulus-blueprints')
  fs.mkdirSync(folder, { recursive: true })
  for (const id of Object.keys(nodesPerRun)) fs.writeFileSync(path.join(folder, `${id}.json`), JSON.stringify(blueprints[id]))
  return folder
}
