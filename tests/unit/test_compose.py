"""The compose file and the Dockerfile, read instead of run: what they name exists, and nothing is left open."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from click import Command, Group

from famulus.cli.program import COMMANDS, main
from famulus.connect import topic_specs
from famulus.settings import Settings, variable_of

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
VARIABLES = {variable_of(field) for field in Settings.model_fields}

each_service = pytest.mark.parametrize("name", sorted(SERVICES))
each_of_ours = pytest.mark.parametrize("name", sorted(OURS))


def from_dockerfile(instruction: str) -> list[str]:
    """The arguments of an instruction wherever it occurs, continued lines joined."""
    lines = re.sub(r"\\\n\s*", " ", DOCKERFILE).splitlines()
    return [line.removeprefix(f"{instruction} ") for line in lines if line.startswith(f"{instruction} ")]


def environment_of_image() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in " ".join(from_dockerfile("ENV")).split())


def command_exists(words: list[str]) -> bool:
    """Whether `famulus <words>` leads to a command, and every option is one of it."""
    command: Command = main
    for word in words:
        if word.startswith("-"):
            return any(word in parameter.opts for parameter in command.params)
        if not isinstance(command, Group):
            return False
        found = command.get_command(None, word) if word in COMMANDS or command is not main else None  # type: ignore[arg-type]  # no context is read
        if found is None:
            return False
        command = found
    return not isinstance(command, Group)


def test_two_workers_run_beside_the_three_servers() -> None:
    workers = [name for name, service in OURS.items() if "command" not in service]

    assert set(SERVICES) - set(OURS) == {"kafka", "cassandra", "valkey", "topics"}
    assert len(workers) == 2


@each_service
def test_image_is_pinned(name: str) -> None:
    tag = SERVICES[name]["image"].partition(":")[2]

    assert re.match(r"\d", tag)


def test_dockerfile_builds_on_pinned_images_and_runs_without_root() -> None:
    bases = from_dockerfile("FROM")

    assert all(re.fullmatch(r"python:3\.\d+-slim( AS \w+)?", base) for base in bases)
    assert from_dockerfile("USER") == ["famulus"]
    assert "--require-hashes" in DOCKERFILE


@each_service
def test_service_does_not_run_as_root(name: str) -> None:
    user = SERVICES[name].get("user", "famulus" if name in OURS else "root")

    assert user not in {"root", "0"}


@each_service
def test_ports_are_published_on_loopback_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


def test_no_two_services_publish_the_same_port() -> None:
    published = [port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", ())]

    assert len(published) == len(set(published))


@each_service
def test_dependencies_can_be_met(name: str) -> None:
    for dependency, wanted in SERVICES[name].get("depends_on", {}).items():
        service = SERVICES[dependency]
        if wanted["condition"] == "service_healthy":
            assert service["healthcheck"]["test"]
        else:
            assert wanted["condition"] == "service_completed_successfully"
            assert service["restart"] == "no"


@each_service
def test_service_that_stays_has_a_health_check(name: str) -> None:
    service = SERVICES[name]
    checked = "HEALTHCHECK" in DOCKERFILE if name in OURS else "healthcheck" in service

    assert service["restart"] == "no" or checked


@each_service
def test_volumes_are_declared(name: str) -> None:
    named = [volume.split(":")[0] for volume in SERVICES[name].get("volumes", ())]

    assert set(named) <= set(COMPOSE["volumes"])


@each_of_ours
def test_environment_names_settings_with_values_that_they_take(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = {key: value for key, value in environment_of_image().items() if key.startswith("FAMULUS_")}
    environment = {**image, **OURS[name]["environment"]}
    for key, value in environment.items():
        monkeypatch.setenv(key, str(value))

    assert set(environment) <= VARIABLES
    assert not Settings.load().is_embedded


@each_of_ours
def test_nodes_and_blueprints_that_it_names_are_in_the_image(name: str) -> None:
    environment = OURS[name]["environment"]
    copied = {words.split()[0] for words in from_dockerfile("COPY")}

    for module in environment["FAMULUS_NODES"].split(","):
        assert find_spec(module) is not None
        assert module.partition(".")[0] in copied
    for path in environment["FAMULUS_BLUEPRINTS"].split(","):
        assert (ROOT / path).exists()
        assert path.partition("/")[0] in copied


@each_of_ours
def test_command_is_one_of_the_command_line(name: str) -> None:
    of_image = re.findall(r'"([^"]+)"', from_dockerfile("CMD")[-1])
    program, *words = OURS[name].get("command", of_image)

    assert program == "famulus"
    assert command_exists(words)


def test_topics_are_those_of_the_settings() -> None:
    script = SERVICES["topics"]["command"][0]
    names = re.search(r"for topic in (.*); do", script)
    specs = topic_specs(Settings.load())

    assert names is not None
    assert names[1].split() == [spec.name for spec in specs]
    assert f"--partitions {specs[0].partitions} " in script
    assert "--if-not-exists" in script


def test_what_the_dockerfile_copies_exists_and_is_not_ignored() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for words in from_dockerfile("COPY") if "--from" not in words for source in words.split()[:-1]}

    assert copied == let_in
    assert all((ROOT / source).exists() for source in copied)


def test_container_has_time_to_drain() -> None:
    for name in ("worker-1", "worker-2"):
        assert int(OURS[name]["stop_grace_period"].removesuffix("s")) > Settings.load().drain_seconds
