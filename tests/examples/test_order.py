"""The order: money moves once, and what was done is undone when it is not shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.world import World

from examples.order.ledger import FIRST_STOCK, KeyReusedError, Ledger
from examples.order.nodes import LEDGER_VARIABLE
from famulus.blueprint import lint, parse_blueprint
from famulus.nodes import load_registry

BLUEPRINT = Path(__file__).parents[2] / "examples/order/blueprint.json"
ORDER = {"customer": "ada", "sku": "lamp", "quantity": 2, "unit_cents": 1999, "country": "SE"}


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    path = tmp_path / "ledger.db"
    monkeypatch.setenv(LEDGER_VARIABLE, str(path))
    return Ledger(path)


async def run_order(order: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    functions = {name: each.function for name, each in load_registry(["examples.order.nodes"]).items()}
    async with World(functions) as world:
        await world.push(json.loads(BLUEPRINT.read_text()))
        await world.start("order", "r1", {"order": order})
        view = await world.ended("r1")
    assert view.summary.status == "completed", view.summary.reason
    return view.context["close"], {step.node_id: step.status for step in view.steps}


def test_the_same_key_charges_once(ledger: Ledger) -> None:
    ledger.charge("run/charge", "ada", 100)
    ledger.charge("run/charge", "ada", 100)

    assert ledger.balance("ada") == 100


def test_the_same_key_for_another_amount_is_refused(ledger: Ledger) -> None:
    ledger.charge("run/charge", "ada", 100)

    with pytest.raises(KeyReusedError):
        ledger.charge("run/charge", "ada", 200)
    assert ledger.balance("ada") == 100


def test_a_refund_is_paid_once(ledger: Ledger) -> None:
    ledger.charge("run/charge", "ada", 100)

    assert [ledger.refund("run/refund", "run/charge") for _ in range(2)] == [100, 100]
    assert ledger.balance("ada") == 0


def test_what_is_not_in_stock_is_not_reserved(ledger: Ledger) -> None:
    assert not ledger.reserve("run/reserve", "lamp", FIRST_STOCK + 1)
    assert ledger.in_stock("lamp") == FIRST_STOCK


def test_a_reservation_is_made_and_released_once(ledger: Ledger) -> None:
    assert ledger.reserve("run/reserve", "lamp", 3)
    assert ledger.reserve("run/reserve", "lamp", 3)
    assert ledger.in_stock("lamp") == FIRST_STOCK - 3

    ledger.release("run/reserve")
    ledger.release("run/reserve")

    assert ledger.in_stock("lamp") == FIRST_STOCK


def test_blueprint_lints_clean() -> None:
    registry = load_registry(["examples.order.nodes"])

    assert lint(parse_blueprint(BLUEPRINT.read_bytes()), implementations=registry.keys()) == []


async def test_a_good_order_is_shipped(ledger: Ledger) -> None:
    told, steps = await run_order(ORDER)

    assert told == {"shipped": True, "parcel": "parcel-r1"}
    assert (steps["refuse"], steps["refund"], steps["release"]) == ("skipped", "skipped", "skipped")
    assert ledger.balance("ada") == 3998
    assert ledger.in_stock("lamp") == FIRST_STOCK - 2


async def test_a_suspicious_order_is_refunded_and_released(ledger: Ledger) -> None:
    told, steps = await run_order({**ORDER, "unit_cents": 30_000, "country": "XX"})

    assert told["refunded_cents"] == 60_000
    assert "fraud score 80" in told["message"]
    assert steps["ship"] == "skipped"
    assert ledger.balance("ada") == 0
    assert ledger.in_stock("lamp") == FIRST_STOCK


async def test_an_order_that_cannot_be_paid_only_releases(ledger: Ledger) -> None:
    told, steps = await run_order({**ORDER, "unit_cents": 90_000})

    assert told["refunded_cents"] == 0
    assert (steps["refund"], steps["release"]) == ("skipped", "completed")
    assert ledger.in_stock("lamp") == FIRST_STOCK


async def test_an_order_that_is_out_of_stock_only_refunds(ledger: Ledger) -> None:
    told, steps = await run_order({**ORDER, "quantity": FIRST_STOCK + 1, "unit_cents": 1})

    assert told["refunded_cents"] == FIRST_STOCK + 1
    assert (steps["refund"], steps["release"]) == ("completed", "skipped")
    assert ledger.balance("ada") == 0
