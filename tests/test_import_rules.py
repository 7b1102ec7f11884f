"""Which part may import which, so that screens stay quick and models know nothing of files or screens."""

import ast
import functools
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("models", "lab", "screens")

TORCH_FREE = (
    "models.config",
    "models.parameter_count",
    "models.tokenizers.tokenizer",
    "models.tokenizers.gpt2_vocabulary_files",
    "lab.engine.client",
    "lab.experiments.experiment_registry",
    "lab.experiments.experiment_result",
    "lab.cli",
    "lab.data.text_source",
    "lab.data.token_file",
    "lab.planning.prepare_run",
    "lab.runs.find_runs",
    "lab.scaling",
    "lab.tokenization",
    "lab.training.trainer",
    "lab.views.blocks",
    "screens",
)
"""Modules and packages that must do without torch. The trainer is one of them until it owns its run."""

OPENS_THE_LAB = "lab.cli"
FIRST_PAINT = (
    "lab.cli",
    "lab.runs.find_runs",
    "lab.core.machine",
    "lab.runs.run_schema",
    "lab.core.number_format",
    "lab.planning.run_request",
)
HEAVY = {"torch", "numpy", "tiktoken", "rustbpe", "plotext", "transformers"}


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {dotted(path): path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}


def inside(package: str) -> list[str]:
    return sorted(name for name in MODULES if name == package or name.startswith(package + "."))


@functools.cache
def imports_by_place(name: str) -> tuple[frozenset[str], frozenset[str]]:
    """Every module that ours of that name imports at its own level, and those inside functions; not those for type checkers."""
    at_its_level, inside_functions = set[str](), set[str]()
    waiting: list[tuple[ast.AST, set[str]]] = [(ast.parse(MODULES[name].read_text(encoding="utf-8")), at_its_level)]
    while waiting:
        node, found = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found = inside_functions
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{name} has a relative import"
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif not isinstance(node, ast.expr):
            waiting += ((child, found) for child in ast.iter_child_nodes(node))
    return frozenset(at_its_level), frozenset(inside_functions)


def imports(name: str) -> frozenset[str]:
    """Every module that ours of that name imports, also inside functions; those for type checkers only are left out."""
    return frozenset().union(*imports_by_place(name))


def top(name: str) -> str:
    return name.partition(".")[0]


def loads(names: Iterable[str]) -> set[str]:
    """Everything that importing these modules imports in turn, by what stands in the files."""
    seen: set[str] = set()
    waiting = [*names]
    while waiting:
        parts = waiting.pop().split(".")
        for prefix in (".".join(parts[:end]) for end in range(1, len(parts) + 1)):
            if prefix not in seen:
                seen.add(prefix)
                waiting += imports_by_place(prefix)[0] if prefix in MODULES else ()
    return seen


def assert_without_torch(names: Iterable[str]) -> None:
    if "torch" in loads(names):
        assert [name for name in names if "torch" in loads([name])] == []


def test_what_must_do_without_torch_does_and_opening_the_lab_loads_nothing_heavy_nor_the_command_line() -> None:
    names = [name for package in TORCH_FREE for name in inside(package)]
    assert set(TORCH_FREE) <= set(names)
    assert_without_torch(names)
    loaded = "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    opening = f"import sys, lab.cli, screens.app, screens.home.home_screen\n{loaded}"
    program = f"{opening}\nimport {', '.join(names)}\n{loaded}"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True, cwd="/")
    by_opening, by_all = (set(line.split()) for line in done.stdout.splitlines())
    assert not by_opening & {"click", *HEAVY}
    assert "click" in by_all
    assert "torch" not in by_all


def test_screens_import_nothing_that_needs_torch_not_even_later() -> None:
    assert_without_torch({imported for name in inside("screens") for imported in imports(name)})


@pytest.mark.parametrize("name", FIRST_PAINT)
def test_what_home_needs_loads_nothing_heavy(name: str) -> None:
    assert not loads([name]) & HEAVY


def test_models_import_neither_lab_nor_screens() -> None:
    for name in inside("models"):
        assert not {top(imported) for imported in imports(name)} & {"lab", "screens", "textual"}, name


def test_lab_imports_no_screen() -> None:
    for name in inside("lab"):
        found = {top(imported) for imported in imports(name)} & {"screens", "textual"}
        assert found <= ({"screens"} if name == OPENS_THE_LAB else set()), name


@pytest.fixture
def poisoned(tmp_path: Path) -> Path:
    """A working directory whose folders have the names of ours, and break whoever imports them."""
    for name in (*PACKAGES, "checkpoints"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('imported from the working directory')\n")
    (tmp_path / "text.txt").write_text("the big dog ran fast. " * 100)
    return tmp_path


def test_the_lab_works_where_folders_have_its_names(poisoned: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    environment = os.environ | {"LLMLAB_HOME": str(tmp_path_factory.mktemp("home"))}
    llmlab = Path(sys.executable).with_name("llmlab")
    shape = ["--preset", "nano", "--context", "16", "--tokenizer", "bytes"]
    for arguments in (["train", "text.txt", *shape, "--steps", "3", "--threads", "1", "--name", "tiny", "--quiet"], ["runs"]):
        done = subprocess.run(
            [llmlab, *arguments], cwd=poisoned, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "tiny" in done.stdout
        assert "finished" in done.stdout
