"""Which part may import which, so that screens stay quick and models know nothing of files or screens."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

TORCH_FREE_MODELS = {
    "models/__init__.py",
    "models/config.py",
    "models/accounts.py",
    "models/tokenizer.py",
    "models/gpt2_vocabulary.py",
    "models/sampling_settings.py",
}
"""What of models the screens may use."""

LAB_TORCH = (
    "lab/checkpoint.py",
    "lab/training.py",
    "lab/evaluation.py",
    "lab/engine.py",
    "lab/explain.py",
    "lab/attribution.py",
)
"""The parts of lab that live in the trainer's and the engine's processes, and may import torch on loading."""

OPENS_THE_LAB = "lab/cli.py"
FIRST_PAINT = ("lab.cli", "lab.runs", "lab.machine", "lab.run_config", "lab.numbers")
HEAVY = ("torch", "numpy", "tiktoken", "rustbpe", "plotext", "transformers")


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path, *, module_level: bool = False) -> Iterator[str]:
    """Every module that a file imports, also inside functions; those for type checkers only are left out."""

    def walk(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if module_level and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path} has a relative import"
                assert child.module
                yield child.module
                yield from (f"{child.module}.{alias.name}" for alias in child.names)
            yield from walk(child)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")))


def top(name: str) -> str:
    return name.partition(".")[0]


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running `code`."""
    program = f"import sys\n{code}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True, cwd="/")
    return set(done.stdout.split())


def may_load_torch(path: Path) -> bool:
    name = path.relative_to(ROOT).as_posix()
    return name.startswith(LAB_TORCH) if name.startswith("lab/") else name not in TORCH_FREE_MODELS


def dotted(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def test_no_screen_loads_torch() -> None:
    names = ", ".join(dotted(path) for path in modules("screens"))
    assert "torch" not in loaded_after(f"import {names}")


def test_torch_free_modules_load_no_torch() -> None:
    free = [dotted(path) for path in modules("models") + modules("lab") if not may_load_torch(path)]
    assert {"models.tokenizer", "lab.runs", "lab.client", "lab.commands.trace"} <= set(free)
    assert "torch" not in loaded_after(f"import {', '.join(free)}")


@pytest.mark.parametrize("name", FIRST_PAINT)
def test_what_home_needs_loads_nothing_heavy(name: str) -> None:
    assert not loaded_after(f"import {name}") & set(HEAVY)


def test_opening_the_lab_loads_no_command_line() -> None:
    assert not loaded_after("import lab.cli, screens.app, screens.home") & {"click", *HEAVY}


def test_models_import_neither_lab_nor_screens() -> None:
    for path in modules("models"):
        assert not {top(name) for name in imports(path)} & {"lab", "screens", "textual"}, path


def test_lab_imports_no_screen() -> None:
    for path in modules("lab"):
        found = {top(name) for name in imports(path)} & {"screens", "textual"}
        allowed = {"screens"} if str(path.relative_to(ROOT)) == OPENS_THE_LAB else set()
        assert found <= allowed, path


def test_screens_import_nothing_that_needs_torch() -> None:
    needs = {"torch"} | {dotted(path) for path in modules("models") + modules("lab") if may_load_torch(path)}
    for path in modules("screens"):
        assert not set(imports(path)) & needs, path


def test_only_the_modules_meant_to_import_torch_do_so_on_loading() -> None:
    for path in modules("models") + modules("lab"):
        if "torch" in {top(name) for name in imports(path, module_level=True)}:
            assert may_load_torch(path), path


@pytest.fixture
def poisoned(tmp_path: Path) -> Path:
    """A working directory whose folders have the names of ours, and break whoever imports them."""
    for name in ("models", "lab", "checkpoints", "screens"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('imported from the working directory')\n")
    (tmp_path / "text.txt").write_text("the big dog ran fast. " * 100)
    return tmp_path


def test_the_lab_works_where_folders_have_its_names(poisoned: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    environment = os.environ | {"LLMLAB_HOME": str(home)}
    llmlab = Path(sys.executable).with_name("llmlab")
    train = ["train", "text.txt", "--preset", "nano", "--context", "16", "--steps", "3", "--tokenizer", "bytes", "--name", "tiny"]
    done = subprocess.run(
        [llmlab, *train, "--quiet"], cwd=poisoned, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [llmlab, "runs"], cwd=poisoned, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "tiny" in done.stdout
    assert "finished" in done.stdout
