"""Nothing that users run executes what it reads: no pickle, no eval, no shell. The functions that they write are run apart."""

import ast
import re
from pathlib import Path

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
UNPICKLES = Path("lab/exchange/hugging_face/weights_files.py")
"""The one module that reads a pickle: weights that the user asked to convert, by torch's loader for weights alone."""
RUN_CODE = (Path("lab/exercises/learner_code.py"), Path("lab/exercises/exercise.py"))
"""The two modules that run code: a file that the learner has written and asks to be checked, in a process of its own; and there,
too, the solutions and known mistakes in the words of the lab's own exercises."""
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "subprocess.getoutput"}
CODE_KEYWORDS = ("shell", "allow_pickle")
WORDS = re.compile(rf"\b({'|'.join((*PICKLES, *(name.rpartition('.')[2] for name in CALLS), *CODE_KEYWORDS))})\b")
"""A module without one of these words does not call what is looked for: it need not be parsed."""


def found(source: str, *, unpickles: bool = False) -> list[str]:
    """What in a module would execute what it is given; one that `unpickles` may call torch's loader for weights alone."""
    reasons: list[str] = []
    for node in ast.walk(ast.parse(source)) if WORDS.search(source) else ():
        if isinstance(node, ast.Import):
            reasons += [f"imports {alias.name}" for alias in node.names if alias.name.split(".")[0] in PICKLES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PICKLES:
            reasons.append(f"imports from {node.module}")
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            named = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            is_weights_only = unpickles and called == "torch.load" and named.get("weights_only") == "True"
            reasons += [f"calls {called}"] * (called in CALLS and not is_weights_only)
            reasons += [f"{name}={value}" for name, value in named.items() if name in CODE_KEYWORDS and value != "False"]
    return reasons


def test_no_module_unpickles_evaluates_or_asks_a_shell() -> None:
    assert len(RUN_BY_USERS) > 100
    sources = {path.relative_to(ROOT): path.read_text() for path in RUN_BY_USERS}
    assert all(found(sources.pop(path)) == ["calls exec", "calls compile"] for path in RUN_CODE)
    assert {str(path): why for path, text in sources.items() if (why := found(text, unpickles=path == UNPICKLES))} == {}


FOUND = {
    "import pickle": 1,
    "from marshal import loads": 1,
    "eval(text)": 1,
    "import subprocess\nsubprocess.run(command, shell=True)": 1,
    "import numpy\nnumpy.load(path, allow_pickle=True)": 1,
    "import torch\ntorch.load(path)": 1,
    "import torch\ntorch.load(file, weights_only=False)": 1,
    "import torch\ntorch.load(file, weights_only=True)": 0,
}


def test_each_of_them_would_be_found_and_pickles_may_be_read_for_weights_alone() -> None:
    assert {source: len(found(source, unpickles=True)) for source in FOUND} == FOUND
    assert len(found("import torch\ntorch.load(file, weights_only=True)")) == 1
