"""The layout of the code: imports in one order, no circles, no torch where screens must be quick."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("models", "lab", "screens", "tests")

ORDER = (
    "models",
    "lab.core",
    "lab.views",
    "lab.runs",
    "lab.data",
    "lab.tokenization",
    "lab.planning",
    "lab.training",
    "lab.analysis",
    "lab.training.scaling",
    "lab.training.posttraining",
    "lab.inspect",
    "lab.training.one_step",
    "lab.experiments",
    "lab.studies",
    "lab.job_process",
    "lab.engine",
    "lab.exchange",
    "lab.lessons",
    "lab.exercises",
    "lab.bench",
    "lab.api",
    "lab.cli",
    "screens",
)
"""Each package imports only from itself and from those before it. Only `lab.cli` imports `screens`, to open the lab."""

SHARED_BY_MODES = ("screens.widgets", "screens.plot", "screens.blocks", "screens.dialogs")
MODES = ("screens.home", "screens.data", "screens.tokens", "screens.train", "screens.inspect", "screens.learn")

TORCH_FREE = (
    "models.config",
    "models.parameter_count",
    "models.tokenizers.tokenizer",
    "models.tokenizers.gpt2_vocabulary_files",
    "lab.engine.client",
    "lab.engine.process",
    "lab.experiments.experiment_result",
    "lab.job_process",
    "lab.cli",
    "lab.data.text_source",
    "lab.data.token_file",
    "lab.planning.prepare_run",
    "lab.runs.find_runs",
    "lab.training.scaling",
    "lab.tokenization",
    "lab.training.trainer",
    "lab.views.blocks",
    "screens",
)
"""Modules and packages that must do without torch. The trainer is one of them until it owns its run."""

FIRST_PAINT = (
    "lab.cli",
    "lab.runs.find_runs",
    "lab.core.machine",
    "lab.runs.run_schema",
    "lab.core.number_format",
    "lab.planning.settings_table",
)
AFTER_FIRST_PAINT = {
    *("ctypes", "screens.command_palette", "screens.home.import_dialog", "screens.home.run_pane"),
    *("lab.core.machine", "lab.lessons.lesson", "lab.runs.run_schema", "lab.runs.run_summary"),
}
HEAVY = {"torch", "numpy", "tiktoken", "rustbpe", "plotext", "transformers"}


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


PATHS = {dotted(path): path for package in PACKAGES[:3] for path in sorted((ROOT / package).rglob("*.py"))}


class Contents(NamedTuple):
    """What is asked of a module: its syntax tree is a thousand times as large."""

    docstring: str
    statements: int
    """Those of the module itself."""
    imports: set[str]
    """Our own modules that it imports: also inside functions, and for type checkers only."""
    at_its_level: set[str]
    """Every module that it imports at its own level; not those for type checkers."""
    inside_functions: set[str]
    """Every module that it imports inside functions; not those for type checkers."""
    classes: list[tuple[str, int]]
    """Name and lines of each."""
    docstrings: list[str]
    """First lines: of the module, of classes and of functions."""


@cache
def contents(name: str) -> Contents:
    tree = ast.parse(PATHS[name].read_text(encoding="utf-8"))
    found = Contents(ast.get_docstring(tree) or "", len(tree.body), set(), set(), set(), [], [])
    waiting: list[tuple[ast.AST, set[str]]] = [(tree, found.at_its_level)]
    while waiting:
        node, loaded = waiting.pop()
        if isinstance(node, ast.expr):
            continue  # holds no statements
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            loaded = set()
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            loaded = found.inside_functions
        waiting += ((child, loaded) for child in ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
            found.imports.update(names)
            loaded.update(names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{name} has a relative import"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found.imports.update(inside & PATHS.keys() or {node.module})
            loaded.update(inside, {node.module})
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.docstrings.append((ast.get_docstring(node) or "").partition("\n")[0])
            if isinstance(node, ast.ClassDef):
                found.classes.append((node.name, (node.end_lineno or 0) - node.lineno + 1))
    found.imports.intersection_update(PATHS.keys() - {name})
    return found


def imports(name: str) -> set[str]:
    return contents(name).imports


def later(name: str) -> set[str]:
    """Every module that ours of that name loads, at once or inside functions."""
    return contents(name).at_its_level | contents(name).inside_functions


def loads(names: Iterable[str]) -> set[str]:
    """Everything that importing these modules imports in turn, by what stands in the files."""
    seen: set[str] = set()
    waiting = [*names]
    while waiting:
        parts = waiting.pop().split(".")
        for prefix in (".".join(parts[:end]) for end in range(1, len(parts) + 1)):
            if prefix not in seen:
                seen.add(prefix)
                waiting += contents(prefix).at_its_level if prefix in PATHS else ()
    return seen


def inside(package: str) -> list[str]:
    return [name for name in PATHS if name == package or name.startswith(package + ".")]


def top_levels(names: Iterable[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def package_of(name: str) -> str:
    return max((package for package in ORDER if name == package or name.startswith(package + ".")), key=len, default="")


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other, directly or not, with those between: all that is left without beginnings and ends."""
    left = {name: set(others) for name, others in graph.items()}
    while gone := {name for name, others in left.items() if not others & left.keys()}:
        left = {name: others for name, others in left.items() if name not in gone}
    while gone := left.keys() - set[str]().union(*left.values()):
        left = {name: others for name, others in left.items() if name not in gone}
    return [sorted(left)] if left else []


def test_every_module_is_in_a_package_of_the_order() -> None:
    assert [name for name in PATHS if name != "lab" and not package_of(name)] == []


def test_imports_go_one_way() -> None:
    wrong = [
        f"{name} imports {imported}, which comes after it"
        for name in PATHS
        if name != "lab"
        for imported in imports(name)
        if ORDER.index(package_of(imported)) > ORDER.index(package_of(name))
        and (name, package_of(imported)) != ("lab.cli", "screens")
    ]
    assert wrong == []


@pytest.mark.parametrize("package", [package for package in ORDER if package.startswith("lab.")])
def test_a_package_of_the_lab_imports_what_its_docstring_says(package: str) -> None:
    said = contents(package).docstring.rpartition("Imports ")[2]
    mine = [name for name in PATHS if package_of(name) == package]
    found = {package_of(other) for name in mine for other in imports(name)} - {package, ""}
    assert {name for name in re.findall(r"`([\w.]+)`", said) if name in ORDER} == found


def test_a_mode_imports_no_other_mode_and_what_they_share_imports_none() -> None:
    wrong = []
    for name in PATHS:
        own = next((package for package in (*SHARED_BY_MODES, *MODES) if name.startswith(package + ".")), None)
        for imported in imports(name) if own else ():
            mode = next((package for package in MODES if imported.startswith(package + ".")), None)
            if mode and mode != own:
                wrong.append(f"{name} imports {imported}")
    assert wrong == []


def test_no_module_imports_itself_in_a_circle() -> None:
    assert circles({name: imports(name) for name in PATHS}) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) == [["a", "b", "c"]]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_every_package_says_what_lives_there_and_runs_nothing() -> None:
    for name, path in PATHS.items():
        if path.name == "__init__.py":
            assert contents(name).docstring, f"{name} has no docstring"
            if name != "lab.cli":
                assert contents(name).statements == 1, f"{name} holds more than its docstring"


def assert_without_torch(names: Iterable[str]) -> None:
    if "torch" in loads(names):
        assert [name for name in names if "torch" in loads([name])] == []


OPENING = f"""
import asyncio, gc, sys
from lab.cli import import_lab
class Lab(import_lab().LabApp):
    def on_ready(self):
        print(*sys.modules, "collects" * gc.isenabled())
async def main():
    app = Lab(preload=False)
    async with app.run_test() as pilot:
        while not app.runs_known:
            await pilot.pause(0.01)
asyncio.run(main())
import {", ".join(FIRST_PAINT)}
assert gc.isenabled()
"""


def test_what_must_do_without_torch_does_and_opening_the_lab_loads_nothing_heavy_nor_the_command_line() -> None:
    names = [name for package in TORCH_FREE for name in inside(package)]
    assert set(TORCH_FREE) <= set(names)
    assert_without_torch(names)
    loaded = "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    program = f"{OPENING}\n{loaded}\nimport {', '.join(names)}\n{loaded}"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True, cwd="/")
    at_first_paint, by_opening, by_all = (set(line.split()) for line in done.stdout.splitlines())
    assert "screens.home.run_table" in at_first_paint
    assert not at_first_paint & {"collects", *AFTER_FIRST_PAINT}
    assert "textual" in by_opening
    assert not by_opening & {"click", *HEAVY}
    assert "click" in by_all
    assert not by_all & {"torch", "py3langid"}, "nor the language classifier"


def test_screens_import_nothing_that_needs_torch_not_even_later() -> None:
    assert_without_torch({imported for name in inside("screens") for imported in later(name)})


def test_models_and_lab_import_no_textual() -> None:
    assert [name for name in (*inside("models"), *inside("lab")) if "textual" in top_levels(later(name))] == []
