"""Textual's private parts: each does for the lab what it is there for, and only one module touches them."""

import ast
import io
import os
import sys
import time
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from inspect import getsource
from pathlib import Path
from selectors import EVENT_READ
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest
import textual.screen
from rich.color import Color
from rich.segment import Segment
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.driver import Driver
from textual.events import Key
from textual.screen import ModalScreen, Screen
from textual.strip import Strip
from textual.widgets import Static

from screens.app import LabApp
from screens.terminal.textual_internals import NO_CACHE, SECONDS_BETWEEN_PAINTS, begin_with_theme, write_to
from tests.screens.pilot_waits import press, settle


def strip() -> Strip:
    return Strip([Segment("attention "), Segment("日本"), Segment(" 0.25")])


def test_parts_of_a_line_are_those_of_the_text_between_the_cuts_without_caches() -> None:
    whole = strip()
    names = {name for name in Strip.__slots__ if name.endswith("_cache") and name != "_render_cache"}
    assert {getattr(whole, name) for name in names} == {NO_CACHE}
    length, before = whole.cell_length, sys.getrefcount(whole)
    parts = whole.divide([length])
    assert [part.text for part in parts] == [whole.text]
    del parts
    assert sys.getrefcount(whole) == before, "a whole line is freed without the cycle collector"
    assert [part.text for part in strip().divide([5, 10, length])] == ["atten", "tion ", "日本 0.25"]
    assert [part.text for part in strip().divide([5, length + 8])] == ["atten"], "as Textual: a cut beyond the end is none"
    assert [part.text for part in strip().divide([length, length + 8])] == [strip().text]


def test_textual_paints_as_often_as_that() -> None:
    assert textual.screen.UPDATE_PERIOD == SECONDS_BETWEEN_PAINTS


class Signs(Static):
    COMPONENT_CLASSES = {"signs--good", "signs--bad"}
    DEFAULT_CSS = """
    Signs {
        & > .signs--good { color: red; }
        &.-calm > .signs--good { color: blue; }
    }
    """


async def test_styles_of_a_component_follow_the_classes_of_its_widget() -> None:
    app: App[None] = App()
    async with app.run_test() as pilot:
        signs = Signs("good")
        await app.mount(signs)
        assert signs.get_component_rich_style("signs--good").color == Color.parse("#ff0000")
        signs.add_class("-calm")
        await settle(pilot)
        assert signs.get_component_rich_style("signs--good").color == Color.parse("#0000ff")
        with pytest.raises(KeyError, match="signs--other"):
            signs.get_component_styles("signs--other")


@pytest.mark.usefixtures("home", "fixed_machine")
async def test_a_theme_to_begin_with_is_set_as_setting_it_does() -> None:
    pictures = []
    for begins in (True, False):
        app = LabApp(preload=False)
        if begins:
            begin_with_theme(app, "catppuccin-latte")
        async with app.run_test() as pilot:
            if not begins:
                app.theme = "catppuccin-latte"
            await pilot.pause(0.1)
            await press(pilot, "question_mark")
            await settle(pilot)
            pictures.append(app.export_screenshot())
            assert app.classes == {"-light-mode", "-theme-catppuccin-latte"}
    assert pictures[0] == pictures[1]


def test_a_driver_writes_where_it_is_told_to() -> None:
    driver, out = SimpleNamespace(_file=None), io.StringIO()
    write_to(cast(Driver, driver), out)
    assert driver._file is out
    assert "WriterThread(self._file)" in getsource(import_module("textual.drivers.linux_driver"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows hands over keys")
@pytest.mark.parametrize(("typed", "keys"), [(b"\x1b", ["escape"]), (b"\x1b[A", ["up"]), (b"\x1b\x1b", ["escape", "escape"])])
def test_an_escape_that_nothing_follows_is_a_key_long_before_the_driver_looks_again(typed: bytes, keys: list[str]) -> None:
    LabApp()
    selector, parser = import_module("textual.drivers.linux_driver").selectors.SelectSelector(), XTermParser()
    reading, writing = os.pipe()
    selector.register(reading, EVENT_READ)
    os.write(writing, typed)
    begin, found = time.monotonic(), []
    assert selector.select(60.0)
    found += [each.key for each in parser.feed(os.read(reading, 99).decode()) if isinstance(each, Key)]
    assert not selector.select(60.0)
    found += [each.key for each in parser.tick() if isinstance(each, Key)]
    assert found == keys
    assert time.monotonic() - begin < 30.0
    os.close(writing)
    os.close(reading)


SCREENS = Path(__file__).parents[3] / "screens"
ALLOWED = ("screens.terminal.textual_internals",)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


@cache
def sources(module: str) -> dict[str, ast.ClassDef]:
    """The classes of a module by their qualified names."""
    found: dict[str, ast.ClassDef] = {}

    def walk(statements: list[ast.stmt], prefix: str) -> None:
        for each in statements:
            if isinstance(each, ast.ClassDef):
                found[f"{prefix}{each.name}"] = each
                walk(each.body, f"{prefix}{each.name}.")
            elif isinstance(each, ast.If | ast.Try):
                walk([*each.body, *each.orelse], prefix)

    walk(ast.parse(getsource(sys.modules[module])).body, "")
    return found


@cache
def defined(owner: type) -> set[str]:
    """Private names of a class: what its source defines, and what its methods set."""
    made = sources(owner.__module__)[owner.__qualname__]
    targets = [each for node in made.body for each in getattr(node, "targets", [getattr(node, "target", None)])]
    names = {each.id for each in targets if isinstance(each, ast.Name)}
    names |= {each.name for each in made.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    stored = [each for each in ast.walk(made) if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store)]
    names |= {each.attr for each in stored if isinstance(each.value, ast.Name) and each.value.id == "self"}
    return {name for name in names if is_private(name)}


def classes_of(modules: Iterable[ModuleType]) -> set[type]:
    """The classes that are defined in these modules and can be read."""
    found = {each for module in modules for each in vars(module).values() if isinstance(each, type)}
    return {each for each in found if each.__module__ in {module.__name__ for module in modules} and "<" not in each.__qualname__}


def test_no_other_module_touches_private_names_of_textual() -> None:
    paths = {".".join(path.relative_to(SCREENS.parent).with_suffix("").parts): path for path in SCREENS.rglob("[a-z]*.py")}
    ours = {name: import_module(name) for name in paths}
    textuals = classes_of([module for name, module in [*sys.modules.items()] if name.startswith("textual.")])
    theirs = set().union(*(defined(each) for each in textuals))
    foreign = theirs - set().union(*(defined(each) for each in classes_of([*ours.values()]))) - {"_replace"}
    touched = set()
    for name, module in ours.items():
        for node in ast.walk(ast.parse(paths[name].read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("textual"):
                parts = [*node.module.split("."), *(each.name for each in node.names)]
                touched |= {(name, part) for part in parts if is_private(part)}
            elif isinstance(node, ast.Attribute) and node.attr in foreign:
                touched.add((name, node.attr))
        for owner in classes_of([module]):
            inherited = set().union(*(defined(base) for base in owner.__mro__ if base in textuals))
            touched |= {(name, each) for each in defined(owner) & inherited}
    assert {(name, each) for name, each in touched if name not in ALLOWED} == set()


async def test_nothing_is_painted_behind_a_screen_that_covers_all() -> None:
    class Veil(ModalScreen[None]):
        """Lets what is behind it show."""

    async with App[None]().run_test() as pilot:
        back = pilot.app.screen
        await pilot.app.push_screen(Screen(classes="opaque"))
        pilot.app.screen.styles.background = "black"
        assert pilot.app._background_screens == []
        await pilot.app.pop_screen()
        await pilot.app.push_screen(Veil())
        assert pilot.app._background_screens == [back]
