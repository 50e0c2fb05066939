"""What a proxy says is believed as far as trusted proxies go, and no further."""

from __future__ import annotations

import pytest

from famulus.security.failures import WINDOW_SECONDS, Failures
from famulus.security.proxies import Proxies, networks
from famulus.security.scopes import Scope

ROLES = {"ops": Scope.OPERATOR, "all": Scope.VIEWER}


def proxies(*trusted: str) -> Proxies:
    return Proxies(networks(trusted), ROLES)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
        ("10.0.0.1", "1.2.3.4, nonsense", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("9.9.9.9", "1.2.3.4", "9.9.9.9"),
        ("", "1.2.3.4", ""),
    ],
)
def test_the_client_is_the_last_one_that_no_trusted_proxy_is(peer: str, forwarded: str, client: str) -> None:
    origin = proxies("10.0.0.0/8").origin(
        peer=peer, is_secure=False, host="here", headers={"X-Forwarded-For": forwarded} if forwarded else {}
    )

    assert origin.client == client


@pytest.mark.parametrize(
    ("user", "groups", "scope"),
    [
        ("ada", "ops", Scope.OPERATOR),
        ("ada", "x, all ,ops", Scope.OPERATOR),
        ("ada", "all", Scope.VIEWER),
        ("ada", "none", None),
        ("", "ops", None),
        ("a\x1b[31m", "ops", None),
        ("x" * 129, "ops", None),
    ],
)
def test_a_user_may_do_what_the_greatest_of_the_groups_may(user: str, groups: str, scope: Scope | None) -> None:
    headers = {"X-Forwarded-User": user, "X-Forwarded-Groups": groups}

    caller = proxies("10.0.0.1").origin(peer="10.0.0.1", is_secure=False, host="here", headers=headers).caller

    assert (None if caller is None else caller.scope) == scope


def test_who_fails_too_often_waits_until_the_first_failure_is_a_minute_ago() -> None:
    now = [0.0]
    failures = Failures(2, now=lambda: now[0])

    failures.note("a")
    assert failures.wait_seconds("a") == 0
    now[0] = 10.0
    failures.note("a")

    assert failures.wait_seconds("a") == WINDOW_SECONDS - 10
    assert failures.wait_seconds("b") == 0
    now[0] = WINDOW_SECONDS
    assert failures.wait_seconds("a") == 0
