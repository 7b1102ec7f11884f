"""Nothing that users run executes what it reads: no pickle, no eval, no shell."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "lab" / "bench"
"""They run other projects' trainers, which is the user's own wish, and read what these have just written."""

RUN_BY_USERS = [
    path
    for package in ("models", "lab", "screens")
    for path in sorted((ROOT / package).rglob("*.py"))
    if BENCHMARKS not in path.parents
]
PICKLES = {"pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "subprocess.getoutput"}


def found(source: str) -> list[str]:
    """What in a module would execute what it is given."""
    reasons = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            reasons += [f"imports {alias.name}" for alias in node.names if alias.name.split(".")[0] in PICKLES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PICKLES:
            reasons.append(f"imports from {node.module}")
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            named = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            reasons += [f"calls {called}"] * (called in CALLS)
            reasons += [
                f"{name}={value}" for name, value in named.items() if name in ("shell", "allow_pickle") and value != "False"
            ]
    return reasons


def test_no_module_unpickles_evaluates_or_asks_a_shell() -> None:
    assert len(RUN_BY_USERS) > 100
    assert {str(path.relative_to(ROOT)): why for path in RUN_BY_USERS if (why := found(path.read_text()))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from marshal import loads",
        "eval(text)",
        "import torch\ntorch.load(path)",
        "import subprocess\nsubprocess.run(command, shell=True)",
        "import numpy\nnumpy.load(path, allow_pickle=True)",
    ],
)
def test_each_of_them_would_be_found(source: str) -> None:
    assert len(found(source)) == 1
