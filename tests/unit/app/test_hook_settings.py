"""Settings of webhooks."""

from __future__ import annotations

import pytest

from famulus.errors import SettingsError
from famulus.settings import Settings


@pytest.mark.parametrize("url", ["flows.example", "ftp://flows.example", "//flows.example"])
def test_a_public_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="FAMULUS_PUBLIC_URL"):
        Settings.load(public_url=url)


def test_a_secret_that_can_be_guessed_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError, match="FAMULUS_HOOK_SECRET") as refused:
        Settings.load(hook_secret="hunter2")

    assert "hunter2" not in str(refused.value)


def test_a_token_cannot_expire_before_its_step_waits() -> None:
    with pytest.raises(SettingsError, match="FAMULUS_HOOK_TOKEN_SECONDS"):
        Settings.load(hook_token_seconds=-1)


def test_an_empty_secret_is_none() -> None:
    assert Settings.load(hook_secret="").hook_secret is None
