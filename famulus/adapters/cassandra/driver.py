"""What is used of cassandra-driver, which has no types. Beyond this page its values are ``Any``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Prepared = Any
"""`cassandra.query.PreparedStatement`."""
Row = tuple[Any, ...]
Rows = list[Row]


class Session(Protocol):
    """`cassandra.cluster.Session`. All but `execute_async` block."""

    cluster: Any
    default_fetch_size: int
    use_client_timestamp: bool

    def set_keyspace(self, keyspace: str) -> None: ...

    def prepare(self, query: str) -> Prepared: ...

    def execute(self, query: str, parameters: Sequence[Any] | None = None, *, host: Any = None) -> Any: ...

    def execute_async(self, query: Any, parameters: Sequence[Any] | None = None) -> Response: ...


class Response(Protocol):
    """`cassandra.cluster.ResponseFuture`."""

    has_more_pages: bool
    attempted_hosts: Sequence[Any]
    """To which the request was sent."""
    timeout: float | None

    def add_callbacks(
        self,
        callback: Callable[..., None],
        errback: Callable[..., None],
        *,
        callback_args: Sequence[Any],
        errback_args: Sequence[Any],
    ) -> None: ...

    def clear_callbacks(self) -> None: ...

    def start_fetching_next_page(self) -> None: ...
