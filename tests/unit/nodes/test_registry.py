"""Implementations by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import ModuleType

import pytest

from famulus.errors import SettingsError
from famulus.nodes import Registry, load_registry, node, registry
from famulus.nodes.registry import ENTRY_POINT_GROUP

GOOD = """
from famulus.nodes import node

@node("one")
async def one(): return 1

@node("two")
def two(x: int): return 2

alias = two
helper = len
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of modules that can be imported, and are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints())
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def write(folder: Path, name: str, text: str) -> str:
    (folder / f"{name}.py").write_text(text)
    return name


def test_the_decorator_leaves_the_function_as_it_is() -> None:
    def f(x: int) -> int:
        return x + 1

    assert node("f")(f) is f
    assert f(1) == 2


@pytest.mark.parametrize("name", ["", None, 5, len])
def test_the_decorator_wants_a_name(name: object) -> None:
    with pytest.raises(TypeError, match="name"):
        node(name)  # type: ignore[arg-type]


def test_the_same_function_may_be_registered_twice() -> None:
    known = Registry()

    known.register("f", len_of)
    known.register("f", len_of)

    assert list(known) == ["f"]


def test_another_function_under_a_taken_name_is_an_error_that_tells_both() -> None:
    known = Registry()
    known.register("f", len_of)

    with pytest.raises(ValueError, match=r"'f'.*len_of.*other"):
        known.register("f", other)
    assert known["f"].function is len_of


def len_of(x: list[int]) -> int:
    return len(x)


def other(x: list[int]) -> int:
    return -len(x)


def test_modules_named_by_the_operator_are_loaded(modules: Path) -> None:
    known = load_registry([write(modules, "famulus_good", GOOD)])

    assert sorted(known) == ["one", "two"]
    assert [known["one"].is_async, known["two"].is_async] == [True, False]


def test_without_modules_the_registry_is_empty(modules: Path) -> None:
    assert len(load_registry([])) == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import famulus_is_not_there", "famulus_is_not_there"),
        ("def f(:", "SyntaxError"),
        ("raise RuntimeError('at import')", "at import"),
        ("x = 1", "nothing marked"),
    ],
)
def test_a_module_that_cannot_be_used_is_an_error_that_names_variable_and_module(
    modules: Path, text: str, problem: str
) -> None:
    name = write(modules, "famulus_bad", text)

    with pytest.raises(SettingsError, match=rf"MY_NODES: .*'famulus_bad'.*{problem}"):
        load_registry([name], variable="MY_NODES")


def test_a_module_that_does_not_exist_is_an_error_that_names_the_variable(modules: Path) -> None:
    with pytest.raises(SettingsError, match=r"FAMULUS_NODES: .*'famulus_nowhere'"):
        load_registry(["famulus_nowhere"])


@pytest.mark.parametrize(
    "function", ["@node('x')\ndef f(a, /): ...", "@node('x')\ndef f(*a): ...", "@node('x')\nclass F: x = 1\nF = F()"]
)
def test_a_marked_function_that_cannot_be_a_node_is_an_error_that_names_the_variable(
    modules: Path, function: str
) -> None:
    name = write(modules, "famulus_odd", f"from famulus.nodes import node\n{function}\n")

    with pytest.raises(SettingsError, match=r"FAMULUS_NODES: .*'famulus_odd'"):
        load_registry([name])


def test_two_modules_with_the_same_name_for_different_functions_are_an_error_that_names_the_variable(
    modules: Path,
) -> None:
    names = [write(modules, "famulus_first", GOOD), write(modules, "famulus_second", GOOD)]

    with pytest.raises(SettingsError, match=r"FAMULUS_NODES: .*'famulus_second'.*famulus_first\.one"):
        load_registry(names)


def test_importing_a_marked_function_into_another_module_is_no_conflict(modules: Path) -> None:
    first = write(modules, "famulus_first", GOOD)
    second = write(modules, "famulus_second", "from famulus_first import one")

    assert sorted(load_registry([first, second])) == ["one", "two"]


def test_what_only_looks_marked_is_not_registered(modules: Path) -> None:
    """A mock, a client with a magic `__getattr__`: they answer to every name."""
    text = GOOD + "\nfrom unittest import mock\ncall = mock.call\n"

    assert sorted(load_registry([write(modules, "famulus_magic", text)])) == ["one", "two"]


def test_entry_points_are_loaded_and_a_broken_one_is_named(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(modules, "famulus_good", GOOD)
    entries = [EntryPoint("good", "famulus_good", ENTRY_POINT_GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints(entries))

    assert sorted(load_registry([])) == ["one", "two"]

    entries.append(EntryPoint("broken", "famulus_nowhere", ENTRY_POINT_GROUP))
    with pytest.raises(SettingsError, match=r"'broken'.*famulus_nowhere"):
        load_registry([])


def test_nothing_is_registered_by_half_when_a_module_is_no_module() -> None:
    module = ModuleType("empty")

    assert Registry().add_module(module) == 0


# -- providers and middleware ------------------------------------------------------------------------------------------

NEEDY = """
from typing import Annotated
from famulus.nodes import Inject, node

class Pool: ...

@node("needy")
def needy(pool: Annotated[Pool, Inject("pool")]): return 1
"""

PROVIDING = """
from famulus.nodes import middleware, node, provide

@provide
def pool(): return 1

@middleware("before")
def check(ctx): ...

@node("plain")
def plain(): ...
"""


def test_a_provider_that_is_missing_is_a_settings_error_that_names_node_and_parameter(modules: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"MY_NODES: node 'needy': nothing provides 'pool' for its parameter 'pool'"
    ):
        load_registry([write(modules, "famulus_needy", NEEDY)], variable="MY_NODES")


def test_a_provider_may_come_from_a_module_that_is_loaded_later(modules: Path) -> None:
    known = load_registry([write(modules, "famulus_needy", NEEDY), write(modules, "famulus_providing", PROVIDING)])

    assert sorted(known.needs(known["needy"])) == ["pool"]
    layers = known.layers(known["needy"])
    assert layers is not None
    assert [each.function.__name__ for each in layers.before] == ["check"]


def test_a_module_of_providers_alone_is_loaded(modules: Path) -> None:
    text = PROVIDING.partition('@node("plain")')[0]

    assert list(load_registry([write(modules, "famulus_providing", text)])) == []


def test_providers_in_a_circle_are_a_settings_error(modules: Path) -> None:
    text = """
from typing import Annotated, Any
from famulus.nodes import Inject, provide

@provide
def a(b: Annotated[Any, Inject("b")]): ...

@provide
def b(a: Annotated[Any, Inject("a")]): ...
"""
    with pytest.raises(SettingsError, match="a -> b -> a"):
        load_registry([write(modules, "famulus_circle", text)])


def test_middleware_for_a_name_that_is_unknown_is_told(modules: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_registry([write(modules, "famulus_typo", GOOD + MISSPELT)])

    assert "famulus_typo.check is for nodes that are not registered here: ['onne']" in caplog.text


MISSPELT = """
from famulus.nodes import middleware

@middleware("before", only="onne")
def check(ctx): ...
"""


def test_a_class_that_inherits_from_a_node_is_none_itself(modules: Path) -> None:
    text = """
from famulus.nodes import node

@node("base")
class Base:
    def exec(self, prepared): return 1

class Other(Base): ...

@node("third", concurrency=2)
class Third(Base): ...
"""
    known = load_registry([write(modules, "famulus_classes", text)])

    assert sorted(known) == ["base", "third"]
    assert known["base"].limit is None
