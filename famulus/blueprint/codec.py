"""JSON to blueprint and back. Every problem of a document is found at once, and named by its path.

The camelCase of the JSON lives here. Properties that the specification does not know are dropped; an optional property
that is null or an empty string counts as not given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from famulus.blueprint.fields import JSON_DEPTH_MAX, Fields, Problem, told
from famulus.blueprint.model import Blueprint, Edge, JoinPolicy, Node, NodeConfig
from famulus.errors import BlueprintError
from famulus.ids import BlueprintId, Digest, NodeId

NODES_MAX: Final = 20_000
EDGES_MAX: Final = 100_000
ATTEMPTS_MAX: Final = 1_000_000
BACKOFF_MAX: Final = 1000
LOSERS: Final = ("keep", "cancel")
FAILURE_POLICIES: Final = ("continue", "failFast")
VERSION_DIGITS: Final = 12
PROBLEMS_IN_MESSAGE: Final = 20

DUPLICATE_NODE_ID: Final = "DUPLICATE_NODE_ID"


@dataclass(frozen=True, slots=True)
class Reading:
    """What could be made of a document."""

    blueprint: Blueprint | None
    """``None`` if a node or edge could not be read at all. Only without problems is it fit to be run."""
    problems: Sequence[Problem]


def parse_blueprint(data: bytes | str | Mapping[str, Any], *, default_id: str | None = None) -> Blueprint:
    """Make a blueprint of JSON text or data. Raises `BlueprintError` with every problem."""
    reading = read_blueprint(data, default_id=default_id)
    if reading.blueprint is None or reading.problems:
        problems = [str(problem) for problem in reading.problems]
        more = len(problems) - PROBLEMS_IN_MESSAGE
        listed = "; ".join(problems[:PROBLEMS_IN_MESSAGE]) + (f"; and {more} more" if more > 0 else "")
        raise BlueprintError(f"the blueprint cannot be used: {listed}", problems=problems)
    return reading.blueprint


def read_blueprint(data: bytes | str | Mapping[str, Any], *, default_id: str | None = None) -> Reading:
    """As `parse_blueprint`, for those who want to go on with what could be read."""
    reader = _Reader()
    blueprint = None
    try:
        document = _decode(data)
    except ValueError as error:
        reader.problem("", str(error))
    else:
        blueprint = reader.blueprint(document, default_id)
    return Reading(None if reader.incomplete else blueprint, tuple(reader.problems))


def encode_blueprint(blueprint: Blueprint) -> bytes:
    """Canonical JSON: sorted keys, no spaces, nothing that is a default, no version that is derived from the digest."""
    return _canonical(_document(blueprint))


def digest_of(blueprint: Blueprint) -> Digest:
    """SHA-256 of the canonical JSON."""
    return _sha256(_document(blueprint))


def _decode(data: bytes | str | Mapping[str, Any]) -> Any:
    if not isinstance(data, bytes | str):
        return data
    try:
        return msgspec.json.decode(data)
    except RecursionError:
        raise ValueError(f"the JSON nests too deep, at most {JSON_DEPTH_MAX} levels are accepted") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ValueError(f"not readable as JSON ({error}), expected an object with nodes and edges") from error


class _Reader(Fields):
    """A blueprint and its parts, by their names in the JSON."""

    def blueprint(self, document: Any, default_id: str | None) -> Blueprint | None:
        if not isinstance(document, Mapping):
            self.wrong("", document, "an object with nodes and edges")
            return None
        given_id = document.get("id")
        blueprint_id = self.identity("id", default_id if given_id in (None, "") else given_id)
        metadata = self.metadata(document.get("metadata"))
        nodes = tuple(self.nodes(document.get("nodes")))
        edges = tuple(self.edges(document.get("edges")))
        version = self.version("metadata.version", metadata.get("version"))
        version = version or self.version("version", document.get("version"))
        blueprint = Blueprint(
            id=BlueprintId(blueprint_id or ""), version=version or "", nodes=nodes, edges=edges, metadata=metadata
        )
        if version or self.problems:
            return blueprint
        return replace(blueprint, version=_sha256(_content(blueprint))[:VERSION_DIGITS])

    def metadata(self, given: Any) -> dict[str, Any]:
        metadata = self.object("metadata", given)
        entries = metadata.get("cycleEntryPoints")
        if entries is not None and not (isinstance(entries, list) and all(isinstance(entry, str) for entry in entries)):
            self.wrong("metadata.cycleEntryPoints", entries, "a list of node ids")
        language = metadata.get("expressionLanguage")
        if language not in (None, "path", "cel"):
            self.wrong("metadata.expressionLanguage", language, 'one of "path", "cel"')
        self.milliseconds("metadata.timeout", metadata.get("timeout"))
        self.choice("metadata.failurePolicy", metadata.get("failurePolicy"), FAILURE_POLICIES)
        strict = metadata.get("strict")
        if strict is not None and not isinstance(strict, bool):
            self.wrong("metadata.strict", strict, "true or false")
        return metadata

    def nodes(self, given: Any) -> Iterator[Node]:
        taken: dict[str, str] = {}
        for path, entry in self.entries("nodes", given, NODES_MAX):
            node_id = self.identity(f"{path}.id", entry.get("id"))
            if node_id is None:
                self.incomplete = True
            else:
                self.first_use(path, node_id, taken)
            yield Node(
                id=NodeId(node_id or ""),
                uses=self.required_text(f"{path}.uses", entry.get("uses"), "the name of an implementation"),
                params=self.object(f"{path}.params", entry.get("params")),
                inputs=self.inputs(f"{path}.inputs", entry.get("inputs")),
                config=self.config(f"{path}.config", entry.get("config")),
            )

    def edges(self, given: Any) -> Iterator[Edge]:
        if given is None:
            return
        for path, entry in self.entries("edges", given, EDGES_MAX):
            source = self.required_text(f"{path}.source", entry.get("source"), "a node id")
            target = self.required_text(f"{path}.target", entry.get("target"), "a node id")
            self.incomplete |= not (source and target)
            yield Edge(
                source=NodeId(source),
                target=NodeId(target),
                action=self.text(f"{path}.action", entry.get("action")),
                condition=self.text(f"{path}.condition", entry.get("condition")),
                transform=self.text(f"{path}.transform", entry.get("transform")),
            )

    def config(self, path: str, given: Any) -> NodeConfig:
        entry = self.object(path, given)
        join = self.join(f"{path}.joinStrategy", entry.get("joinStrategy"))
        losers = self.choice(f"{path}.joinLosers", entry.get("joinLosers"), LOSERS)

        def milliseconds(name: str) -> int | None:
            return self.milliseconds(f"{path}.{name}", entry.get(name))

        return NodeConfig(
            max_attempts=self.whole_number(f"{path}.maxRetries", entry.get("maxRetries"), ATTEMPTS_MAX) or 1,
            retry_delay_ms=milliseconds("retryDelay") or 0,
            retry_backoff=self.number(f"{path}.retryBackoff", entry.get("retryBackoff"), 1, BACKOFF_MAX) or 1.0,
            retry_delay_max_ms=milliseconds("retryDelayMax"),
            retry_jitter=self.number(f"{path}.retryJitter", entry.get("retryJitter"), 0, 1) or 0.0,
            retry_on=self.names(f"{path}.retryOn", entry.get("retryOn")),
            never_retry_on=self.names(f"{path}.neverRetryOn", entry.get("neverRetryOn")),
            timeout_ms=milliseconds("timeout"),
            total_timeout_ms=milliseconds("totalTimeout"),
            heartbeat_ms=milliseconds("heartbeatTimeout"),
            fallback=self.node_id(f"{path}.fallback", entry.get("fallback")),
            compensate=self.node_id(f"{path}.compensate", entry.get("compensate")),
            join=join,
            join_count=self.join_count(f"{path}.joinCount", entry.get("joinCount"), join),
            join_deadline_ms=milliseconds("joinDeadline"),
            cancel_losers=losers == "cancel",
        )

    def join(self, path: str, given: Any) -> JoinPolicy:
        if given in (None, ""):
            return JoinPolicy.ALL
        if given in tuple(JoinPolicy):
            return JoinPolicy(given)
        self.wrong(path, given, f"one of {', '.join(JoinPolicy)}")
        return JoinPolicy.ALL

    def join_count(self, path: str, given: Any, join: JoinPolicy) -> int | None:
        if join is JoinPolicy.N_OF_M:
            if given is None:
                self.wrong(path, given, f"a whole number from 1 to {NODES_MAX}, for joinStrategy {join}")
            return self.whole_number(path, given, NODES_MAX, least=1)
        if given is not None:
            self.problem(path, f"{told(given)}, but it is read only with joinStrategy {JoinPolicy.N_OF_M}")
        return None

    def inputs(self, path: str, given: Any) -> str | Mapping[str, Any] | None:
        if isinstance(given, Mapping):
            return self.object(path, given)
        return self.text(path, given, expected="a string or an object of strings")

    def version(self, path: str, given: Any) -> str | None:
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            return str(int(given) if float(given).is_integer() else given)
        if given in (None, ""):
            return None
        return self.identity(path, given, expected="a string or number")

    def first_use(self, path: str, node_id: str, taken: dict[str, str]) -> None:
        before = taken.setdefault(node_id, path)
        if before != path:
            message = f"{told(node_id)} is the id of {before} already, expected an id of its own"
            self.problem(f"{path}.id", message, code=DUPLICATE_NODE_ID, node_id=node_id)


def _document(blueprint: Blueprint) -> dict[str, Any]:
    """The JSON object, without a version of its own if the metadata or the content give it."""
    document = _content(blueprint)
    given = blueprint.metadata.get("version") not in (None, "")
    if not given and blueprint.version != _sha256(document)[:VERSION_DIGITS]:
        document["version"] = blueprint.version
    return document


def _content(blueprint: Blueprint) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": blueprint.id,
        "nodes": [_node(node) for node in blueprint.nodes],
        "edges": [
            _given(source=e.source, target=e.target, action=e.action, condition=e.condition, transform=e.transform)
            for e in blueprint.edges
        ],
    }
    if blueprint.metadata:
        document["metadata"] = dict(blueprint.metadata)
    return document


def _node(node: Node) -> dict[str, Any]:
    return _given(
        id=node.id,
        uses=node.uses,
        params=dict(node.params) or None,
        inputs=dict(node.inputs) if isinstance(node.inputs, Mapping) else node.inputs,
        config=_config(node.config) or None,
    )


def _config(config: NodeConfig) -> dict[str, Any]:
    return _given(
        maxRetries=config.max_attempts if config.max_attempts != 1 else None,
        retryDelay=config.retry_delay_ms or None,
        retryBackoff=_short(config.retry_backoff) if config.retry_backoff != 1 else None,
        retryDelayMax=config.retry_delay_max_ms,
        retryJitter=_short(config.retry_jitter) if config.retry_jitter else None,
        retryOn=list(config.retry_on) or None,
        neverRetryOn=list(config.never_retry_on) or None,
        timeout=config.timeout_ms,
        totalTimeout=config.total_timeout_ms,
        heartbeatTimeout=config.heartbeat_ms,
        fallback=config.fallback,
        compensate=config.compensate,
        joinStrategy=config.join.value if config.join is not JoinPolicy.ALL else None,
        joinCount=config.join_count,
        joinDeadline=config.join_deadline_ms,
        joinLosers="cancel" if config.cancel_losers else None,
    )


def _short(number: float) -> float:
    """A whole number without its fraction, as one would write it."""
    return int(number) if number.is_integer() else number


def _given(**properties: Any) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if value is not None}


def _canonical(document: Mapping[str, Any]) -> bytes:
    # The hook meets what is a mapping but no dict, such as the defaults of the model.
    return msgspec.json.encode(document, order="sorted", enc_hook=dict)


def _sha256(document: Mapping[str, Any]) -> Digest:
    return Digest(hashlib.sha256(_canonical(document)).hexdigest())
