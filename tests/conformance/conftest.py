"""Whatever a case comes to in memory, what is recorded of it agrees with itself."""

from __future__ import annotations

import pytest
from support.audited import AuditedStage


@pytest.fixture(autouse=True)
def audited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("famulus.conformance.memory.Stage", AuditedStage)
