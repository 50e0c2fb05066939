"""No record is unpickled: Faust registers codecs that run whatever a record says, for whoever may write to a topic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from faust.serializers import codecs

from famulus.errors import SettingsError

if TYPE_CHECKING:
    import faust

WORD: Final = "pickle"


def refuse_pickle(app: faust.App) -> None:
    """Take those codecs away, and raise `SettingsError` if something of the application asks for one."""
    for name in [name for name in codecs.codecs if WORD in name]:
        del codecs.codecs[name]
    for what, codec in _serializers(app):
        if _is_pickle(codec):
            raise SettingsError(
                what, f"{codec!r} would run code that a record brings along: use raw, json or a codec of your own"
            )


def _serializers(app: Any) -> Iterator[tuple[str, Any]]:
    yield "key_serializer", app.conf.key_serializer
    yield "value_serializer", app.conf.value_serializer
    for topic in app.topics:
        yield f"key_serializer of topic {topic}", topic.key_serializer
        yield f"value_serializer of topic {topic}", topic.value_serializer
    for name, table in app.tables.items():
        yield f"key_serializer of table {name!r}", table.key_serializer
        yield f"value_serializer of table {name!r}", table.value_serializer


def _is_pickle(codec: Any) -> bool:
    """Of a name, of several in a row (``json|pickle``), or of an object, which shows its row as text."""
    kinds = (kind.__name__ for kind in type(codec).__mro__)
    return any(WORD in name.lower() for name in (repr(codec), *kinds))
