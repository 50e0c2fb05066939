"""Pages as a browser would read them, and what nothing on them may be."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

LIVE = frozenset({"script", "iframe", "object", "embed", "img", "style", "base", "foreignobject"})
INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def assert_harmless(page: str) -> Elements:
    elements = Elements(page)
    for tag, attributes in elements.found:
        assert tag not in LIVE, tag
        assert not [name for name in attributes if name.startswith("on") or name == "style"], attributes
        for name in ("href", "src", "action"):
            target = urlsplit(attributes.get(name) or "")
            assert (target.scheme, target.netloc) == ("", ""), attributes
    assert not INVISIBLE.search(page)
    return elements
