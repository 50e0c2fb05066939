"""What all tests share: the servers, each started once a session, and the last lines that say what ran on what.

`embedded` tests get Tansu and Valkey from wheels. `real` tests get Kafka, Cassandra and Valkey, as
FAMULUS_TEST_REAL_STACK says:

* not set: started where Java 17 and Maven (or its cache) are; else these tests are skipped with the reason,
* `required`: a machine without them is a failure,
* `env`: those that KAFKA_BROKERS, CASSANDRA_CONTACT_POINTS, CASSANDRA_DATACENTER and REDIS_URL name. Only then are
  these variables looked at: a shell that is set up for production must not lead tests there.

Tests keep apart by namespaces, groups and topics of their own.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from famulus.stacks import EmbeddedStack, RealStack, StackError, maven
from famulus.stacks.cassandra import CASSANDRA
from famulus.stacks.java import find_java
from famulus.stacks.kafka import KAFKA, LOG_BRIDGE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

REAL_STACK = "FAMULUS_TEST_REAL_STACK"
SERVER_VARIABLES = ("KAFKA_BROKERS", "CASSANDRA_CONTACT_POINTS", "CASSANDRA_DATACENTER", "REDIS_URL")
OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed")
SESSION_SECONDS = "6"
"""Until a killed worker's partitions move: the shortest that Kafka allows."""

# How long it takes to draw says how busy the machine is.
TIMELESS: dict[str, Any] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("local", **TIMELESS, print_blob=True)
hypothesis.settings.register_profile("ci", **TIMELESS, print_blob=True, derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "local"))


# -- servers ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def embedded_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The environment of a worker on the embedded stack, which runs for the whole session."""
    with EmbeddedStack(tmp_path_factory.mktemp("embedded")) as stack:
        yield {**stack.environment(), "FAMULUS_EMBEDDED": "true"}


@pytest.fixture(scope="session")
def real_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStack]:
    """The real servers, started by us: for tests that stop and kill them, and leave them up afterwards."""
    mode = os.environ.get(REAL_STACK, "")
    if mode == "env":
        pytest.skip(f"{REAL_STACK}=env: these servers are not ours to stop")
    if missing := why_no_real_stack():
        if mode == "required":
            pytest.fail(f"{missing}, and {REAL_STACK}=required")
        pytest.skip(missing)
    with RealStack(tmp_path_factory.mktemp("real")) as stack:
        yield stack


@pytest.fixture(scope="session")
def real_servers(request: pytest.FixtureRequest) -> Mapping[str, str]:
    """The environment of a worker on the real stack, which runs for the whole session."""
    if os.environ.get(REAL_STACK) == "env":
        if unnamed := [name for name in SERVER_VARIABLES if not os.environ.get(name)]:
            pytest.fail(f"{REAL_STACK}=env, but these variables are not set: {', '.join(unnamed)}")
        named = {name: os.environ[name] for name in SERVER_VARIABLES}
    else:
        named = request.getfixturevalue("real_stack").environment()
    return {**named, "FAMULUS_SESSION_TIMEOUT": SESSION_SECONDS}


def why_no_real_stack() -> str:
    """What this machine lacks to run Kafka and Cassandra; empty if nothing."""
    try:
        find_java()
    except StackError as error:
        return str(error)
    fetched = maven.is_cached(KAFKA, LOG_BRIDGE) and maven.is_cached(CASSANDRA)
    if not fetched and shutil.which("mvn") is None:
        return "Kafka and Cassandra are not in the cache and there is no mvn on PATH to fetch them"
    return ""


# -- what is shown -----------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under a failure, the logs of the processes that the test's fixtures started."""
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if hasattr(value, "logs_to_show"):
                report.sections += [(f"{name}: {title}", text) for title, text in value.logs_to_show()]
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any) -> Generator[None]:
    """After everything else: what ran on what, and what did not run, with the reason."""
    yield
    terminalreporter.section("what ran on what")
    for kind, counts in _outcomes_by_servers(terminalreporter.stats).items():
        told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES)
        terminalreporter.write_line(f"{kind:<35}{told}")
    for reason, count in _skip_reasons(terminalreporter.stats).most_common():
        terminalreporter.write_line(f"skipped {count}: {reason}")


def _outcomes_by_servers(stats: Mapping[str, list[Any]]) -> Mapping[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {
        "memory and SQLite": Counter(),
        "embedded (Tansu, Valkey, SQLite)": Counter(),
        "real (Kafka, Cassandra, Valkey)": Counter(),
    }
    alone, embedded, real = counts.values()
    for outcome in OUTCOMES:
        for report in stats.get(outcome, ()):
            keywords = getattr(report, "keywords", {})
            kind = real if "real" in keywords else embedded if "embedded" in keywords else alone
            kind[outcome] += 1
    return counts


def _skip_reasons(stats: Mapping[str, list[Any]]) -> Counter[str]:
    reports = stats.get("skipped", ())
    return Counter(
        report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else str(report.longrepr)
        for report in reports
    )
