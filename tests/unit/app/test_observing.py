from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from app import observing
from famulus.errors import SettingsError
from famulus.settings import Settings


@pytest.mark.parametrize("extra", ["prometheus", "otel"])
def test_a_missing_extra_is_named_with_the_variable_that_asked_for_it(
    extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "find_spec", lambda _: None)
    app: Any = SimpleNamespace()

    with pytest.raises(SettingsError, match=rf"FAMULUS_{extra.upper()}: .*famulus\[{extra}\]"):
        observing.observe(app, Settings(**{extra: True}))


def test_nothing_is_observed_unless_asked_for() -> None:
    app: Any = object()

    observing.observe(app, Settings())
