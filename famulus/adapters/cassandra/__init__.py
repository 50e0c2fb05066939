"""The stores of production: runs, blueprints and epochs in Cassandra."""

from famulus.adapters.cassandra.blobs import CassandraBlobStore
from famulus.adapters.cassandra.blueprints import CassandraBlueprintStore
from famulus.adapters.cassandra.database import CassandraDatabase
from famulus.adapters.cassandra.dead_letters import CassandraDeadLetterStore
from famulus.adapters.cassandra.epochs import CassandraEpochs
from famulus.adapters.cassandra.hooks import CassandraHookStore
from famulus.adapters.cassandra.runs import CassandraRunStore
from famulus.adapters.cassandra.schedules import CassandraScheduleStore
from famulus.adapters.cassandra.schema import migrate
from famulus.adapters.cassandra.timers import CassandraTimerStore
from famulus.adapters.cassandra.tokens import CassandraTokenStore

__all__ = [
    "CassandraBlobStore",
    "CassandraBlueprintStore",
    "CassandraDatabase",
    "CassandraDeadLetterStore",
    "CassandraEpochs",
    "CassandraHookStore",
    "CassandraRunStore",
    "CassandraScheduleStore",
    "CassandraTimerStore",
    "CassandraTokenStore",
    "migrate",
]
