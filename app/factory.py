"""The only wiring: settings, streams and read models become one Faust application."""

from __future__ import annotations

from types import ModuleType

from famulus import faultpoints
from famulus.adapters.faust import transport
from famulus.adapters.faust.worker_settings import EMBEDDED_TIMEOUTS, RAW_TOPIC, GroupTimeouts, worker_settings
from famulus.nodes import Registry, load_registry
from famulus.security.secrets import Secrets
from famulus.settings import Settings, passwords
from famulus.transports import kafka_options

from . import web
from .listening import likely_port
from .logs import logging_config
from .observing import observe
from .worker import FamulusApp


def create_app(
    settings: Settings, *, agents: ModuleType, tables: ModuleType, registry: Registry | None = None
) -> FamulusApp:
    """Make the application; nothing is opened before it starts. Raises `SettingsError` for nodes that do not load."""
    faultpoints.check()
    secrets = Secrets.of_environment(settings.secrets_dir)
    for password in passwords(settings):
        secrets.redactor.register(password)
    app = FamulusApp(
        settings.group,
        **worker_settings(
            brokers=settings.kafka_brokers or "", timeouts=_timeouts(settings), options=kafka_options(settings)
        ),
        broker_client_id=settings.worker,  # by it the broker says who has which partition
        datadir=str(settings.data_dir / "faust"),
        store="memory://",
        recovery_consistency_check=False,  # tables are in memory, and the embedded broker tells a wrong end of a topic
        topic_replication_factor=settings.replication_factor,  # of the changelogs of tables
        web_bind=settings.web_host,
        web_host=settings.web_host,
        web_port=likely_port(settings),
        web_application_options=web.application_options(settings),
        logging_config=logging_config(settings, secrets.redactor),
        autodiscover=False,
    )
    transport.install(app)
    app.configure_worker(settings, load_registry(settings.nodes) if registry is None else registry, secrets)
    observe(app, settings)
    jobs = app.topic(settings.jobs_topic, **RAW_TOPIC)
    items = app.topic(settings.items_topic, **RAW_TOPIC)
    events = app.topic(settings.events_topic, **RAW_TOPIC)
    letters = app.topic(settings.dead_letters_topic, **RAW_TOPIC)
    agents.jobs.register(app, topic=jobs, intake=app.intake)
    agents.items.register(app, topic=items, intake=app.item_intake)
    agents.dead_letters.register(app, topic=letters, intake=app.letter_intake)
    board = tables.run_board.define(app)
    throughput = tables.throughput.define(app, worker=settings.worker)
    agents.events.register(app, topic=events, board=board, throughput=throughput)
    web.register(app, board=board, throughput=throughput)
    return app


def _timeouts(settings: Settings) -> GroupTimeouts:
    if settings.embedded:
        return EMBEDDED_TIMEOUTS
    return GroupTimeouts(session=settings.session_timeout, rebalance=settings.session_timeout, heartbeat=1.0)
