"""Exercises: the lab's own versions pass, each known mistake is told from all others, and code of any kind ends in a sentence."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from lab.core.errors import UserError
from lab.exercises.check import check_file, use_passing
from lab.exercises.check_process import CheckRequest, CheckResult, check, copied, known_mistake
from lab.exercises.comparison import difference, plain
from lab.exercises.exercise import NAMES, defined, task_of, words_of
from lab.exercises.export import my_gpt
from lab.exercises.learner_files import begin, begin_anew, checksum, file_of, passing, remember, states
from lab.exercises.material import Material
from lab.exercises.your_model import STEPS
from lab.inspect.stages.stage_registry import STAGES
from lab.lessons.lesson import lessons
from lab.runs.find_runs import open_run

PROMPT = "Once there was a small cat. The small"


@pytest.fixture(scope="module")
def material() -> Material:
    return Material(open_run("demo"), PROMPT)


def results(version: Any, cases: Any) -> list[Any]:
    found = list[Any]()
    for case in cases:
        try:
            with np.errstate(all="ignore"):
                found.append(plain(version(*copied(case))))
        except Exception as error:
            found.append(error)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_each_known_mistake_is_told_from_all_others_and_each_case_is_failed_by_one(name: str, material: Material) -> None:
    task = task_of(name)
    cases = task.cases(material)
    right = results(task.reference, cases)
    assert not any(isinstance(each, Exception) for each in right)
    failed = set[int]()
    for sentence, version in task.wrong:
        found = results(version, cases)
        wrong = {
            at
            for at, (one, other) in enumerate(zip(right, found, strict=True))
            if isinstance(other, Exception) or difference(one, other)
        }
        assert wrong, sentence
        failed |= wrong
        assert known_mistake(task, list(cases), found) == sentence
    assert failed == set(range(len(cases)))
    solution = defined(name, words_of(name).solution, {other: task_of(other).reference for other in NAMES})
    assert not any(map(difference, right, results(solution, cases))), "the plain solution is right"
    assert len(task.wrong) >= (8 if 6 <= words_of(name).number <= 13 else 4)


def test_solutions_that_are_the_labs_own_version_do_as_another_code_does(material: Material) -> None:
    count, learn, encode, windows, embed = (task_of(name).reference for name in NAMES[:5])
    text = material.text[:500].decode()
    merges = learn(text.encode(), 20)
    for new, pair in enumerate(merges, 256):
        counts = Counter(pairwise(map(ord, text)))
        assert count(list(map(ord, text))) == counts
        assert counts.most_common(1)[0][0] == pair
        text = text.replace("".join(map(chr, pair)), chr(new))
    assert len(merges) == 20
    assert encode(material.text[:500], merges) == list(map(ord, text))
    assert [each.tolist() for each in windows([5, 6, 7, 8], [0, 1], 2)] == [[[5, 6], [6, 7]], [[6, 7], [7, 8]]]
    wte, wpe = (material.weights[f"{name}.weight"] for name in ("wte", "wpe"))
    assert embed(torch.tensor(material.ids), wte, wpe).equal(material.vectors("resid_pre"))


def test_words_name_a_lesson_and_the_template_defines_the_function() -> None:
    known = {lesson.name for lesson in lessons()}
    for name in NAMES:
        words = words_of(name)
        assert words.lesson in known
        assert set(words.stages) <= set(STAGES)
        assert len(words.hints) == 3
        assert f"def {name}(" in words.template
        compile(words.template, name, "exec")


@pytest.mark.parametrize(
    ("right", "found", "words"),
    [
        (np.ones((3, 2)), np.ones((2, 3)), "Its shape is (2, 3), and has to be (3, 2). It is the transpose's shape."),
        (np.ones(3), None, "It has to return numbers of shape (3); it returned nothing (is `return` missing?)."),
        (np.arange(6.0).reshape(3, 2), np.arange(6.0).reshape(3, 2) * 8, "Every number is 8.00 times the right one."),
        (np.arange(6.0), -np.arange(6.0), "Every number has the opposite sign."),
        (np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.5, 4.5]), "Every number is 0.500 too high."),
        (np.array([[0.0, 1], [2, 3], [4, 5]]), np.array([[0.0, 1], [2, 9], [1, 5]]), "Row 0 is right, all from row 1 on"),
        (np.array([[0.0, 1], [2, 3], [4, 5]]), np.array([[7.0, 8]] * 3), "All its rows are the same."),
        (np.array([1.0, 2.0]), np.array([1.0, np.nan]), "1 number of 2 is NaN or infinite, the first at [1]."),
        ([np.ones(2), np.zeros(2)], [np.ones(2), np.ones(2)], "In result 2 of 2: "),
        ([np.ones(2), np.zeros(2)], np.ones(2), "It has to return 2 results; it returned numbers of shape (2)."),
        ({(1, 2): 2}, {"ab": 2}, "1 key is missing, such as (1, 2), which is 2. 1 key is too much, such as 'ab'."),
        ([1, 2, 3], [1, 5, 3], "Item 1 is 5, and has to be 2; those before it are right."),
        ([1, 2, 3], [5, 2, 3], "Item 0 is 5, and has to be 1."),
        ([1, 2, 3], [1, 2], "It has 2 items, and has to have 3; the first 2 are right."),
        ([1, 2, 3], [1], "It has 1 item, and has to have 3; the first is right."),
        (np.array([0.0, 0.5, 0.5]), np.array([0.1, 0.5, 0.5]), "has to be 0. 1 of 3 numbers differs."),
        (np.array([1.0, 2.0, 3.0]), np.array([1.001, 1.999, 3.001]), "3 of 3 numbers differ."),
        (np.array([1.0, 2.0, 3.0]), np.array([1.0002, 2.0004, 3.0006]), "is 1.0002, and has to be 1. 3 of 3 numbers differ."),
        (np.array([1, 2]), np.array([1.0, 2.0]), "It has to return whole numbers"),
        (np.ones((2, 2)), [np.ones(2), np.ones(2)], "It returned several parts, and has to return one array"),
        (np.ones((2, 2)), [[1.0, 1.0], [1.0, 1.0]], "It returned several parts, and has to return one array"),
    ],
)
def test_an_unknown_mistake_gets_a_true_sentence(right: Any, found: Any, words: str) -> None:
    assert words in difference(right, found)


def test_rounding_is_no_difference_and_lists_do_for_arrays() -> None:
    assert difference(np.array([1.0, 100.0]), [1.0, 100.0001]) == ""
    assert difference(np.array([0.5]), np.float32(0.5) * np.ones(1)) == ""
    assert difference([1, 2], (1, 2)) == ""


RIGHT = "import torch\ndef softmax(x):\n    {}\n    return torch.softmax(x, -1)\n"


@pytest.fixture
def checked(material: Material, tmp_path: Path) -> Iterator[Callable[[str], CheckResult]]:
    """Checks the text of a file in this process, where modules of the exercises are left."""
    task = task_of("softmax")
    cases = task.cases(material)
    right = [plain(task.reference(*copied(case))) for case in cases]

    def check_here(text: str) -> CheckResult:
        file = tmp_path / "06_softmax.py"
        file.write_text(text)
        with torch.no_grad():
            return check(CheckRequest("softmax", str(file), {}, "", PROMPT, 1), task, cases, right, lambda so_far: None)

    yield check_here
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("pass", ""),
        ("if x.dim() == 3: raise ValueError('memory')", "The scores of all heads: ValueError: memory"),
        ("from head import softmax", "From head only head itself can be imported"),
        ("import sys; sys.exit()", "It called sys.exit."),
        ("raise EOFError('Ran out of input')", "EOFError: Ran out of input"),
        ("raise ValueError('\\ud800 x')", "ValueError: \\ud800 x"),
        ("class E(Exception):\n        __str__ = None\n    raise E", "E: its message cannot be made"),
        ("x.sum().backward()", "It asks torch for gradients"),
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("return type('O', (), {'__array__': lambda *_, **__: 1 / 0})()", "ZeroDivisionError: division by zero"),
        ("x -= 1", "It changes its arguments in place"),
        ("x[..., 0] = 0", "The scores of head 1.1 at your prompt: It changes its arguments in place; they"),
    ],
)
def test_an_error_of_any_kind_is_a_sentence(checked: Callable[[str], CheckResult], source: str, problem: str) -> None:
    result = checked(RIGHT.format(source))
    assert result.problem.startswith(problem)
    assert result.passes == (not problem)
    if "x.dim() == 3" in source:
        assert "".join(case.mark for case in result.cases) == "✓✓✗✓✓✓✓"


QUIET = """print('\\x1b[31mhi'); x.zero_() if False else None
    import os, subprocess, sys, threading, time
    os.fork() or os._exit(0)
    threading.Thread(target=lambda: [time.sleep(1) for _ in iter(int, 1)]).start()
    subprocess.Popen(['sleep', '987654'])
    subprocess.Popen(['sleep', '987654'], start_new_session=True)
    sys.stdout = None"""
"""Lines that keep no function from being right, and leave threads and processes."""


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (QUIET, ""),
        ("while x.dim() == 3: pass", "The scores of all heads: It took longer than "),
        ("if x.dim() == 3:\n        while True: pass\n    return x", "The scores of head 1.1 at your prompt: 36 numbers"),
        ("import os; os._exit(3)", "Your code ended Python itself, or closed what its result goes through (exit code 3)."),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", "It took longer than 5 s by the clock: a loop"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "It was killed: by itself, "),
        ("import os; os.closerange(0, 1024)", "Your code ended Python itself, or closed what its result goes through"),
        ("import os, signal; os.kill(os.getppid(), signal.SIGKILL)", ""),
        ("import os, signal; os.kill(0, signal.SIGKILL)", "It was killed: by itself, "),
        ("input()", "It asks for input"),
        ("breakpoint()", "It asks for input"),
        ("torch.empty(1 << 36)", "It asked for more memory than it may have."),
        ("while True: print('x' * 100000)", "It printed more than 16.0 MB."),
    ],
)
def test_code_of_any_kind_ends_in_a_sentence_and_leaves_nothing_running(tmp_path: Path, source: str, problem: str) -> None:
    file = tmp_path / "06_softmax.py"
    file.write_text(RIGHT.format(source))
    result = check_file("softmax", file, open_run("demo").path, PROMPT, seconds=1)
    assert result.problem.startswith(problem)
    assert result.passes == (not problem)
    assert "\x1b" not in result.printed
    if "x.dim() == 3" in source:
        marks = "".join(case.mark for case in result.cases)
        assert re.fullmatch("[✓✗]{2}✗····", marks), marks
    if source is QUIET:
        assert "hi" in result.printed
        deadline = time.monotonic() + 20
        while any("987654" in each.info["cmdline"] for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"]):
            assert time.monotonic() < deadline


def test_a_check_that_was_stopped_ends_when_the_lab_is_ended(tmp_path: Path) -> None:
    file = tmp_path / "06_softmax.py"
    file.write_text(RIGHT.format("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"))
    lab = "import sys\nfrom pathlib import Path\nfrom lab.exercises.check import check_file\n"
    call = f"{lab}check_file('softmax', Path({str(file)!r}), Path({str(open_run('demo').path)!r}), 'The', seconds=50)"
    asker = subprocess.Popen([sys.executable, "-c", call])
    started = list[psutil.Process]()
    deadline = time.monotonic() + 60
    while not any(each.status() == psutil.STATUS_STOPPED for each in started):
        assert time.monotonic() < deadline
        started = psutil.Process(asker.pid).children(recursive=True)
        time.sleep(0.05)
    asker.terminate()
    assert asker.wait(20) == -signal.SIGTERM
    assert not psutil.wait_procs(started, timeout=20)[1]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (b"def softmax(x)\n    return x\n", "Line 1 is no Python: expected ':'."),
        (b"def softmax(x):\n    return '\xff'\n", "Line 2 is no Python"),
        (b"def softmax(x): return x\0\n", "is no Python"),
        (b"y = 1\n", "The file has to define a function called softmax."),
    ],
)
def test_a_file_that_is_no_python_is_said_to_be(tmp_path: Path, source: bytes, problem: str) -> None:
    from lab.exercises.check_process import NotDefinedError, described, executed

    file = tmp_path / "06_softmax.py"
    file.write_bytes(source)
    with pytest.raises((SyntaxError, NotDefinedError)) as caught:
        executed("softmax", file)
    assert problem in described(caught.value)


def test_files_of_the_learner_are_begun_once_kept_when_begun_anew_and_pass_as_long_as_they_are_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "write"
    file = begin(folder, "softmax")
    file.write_text("mine")
    assert begin(folder, "softmax").read_text() == "mine"
    remember(folder, "softmax", checksum(file))
    assert passing(folder) == {"softmax": file}
    begin_anew(folder, "softmax")
    assert passing(folder) == {}
    assert file.read_text() == words_of("softmax").template
    assert [each.read_text() for each in folder.glob("*earlier*")] == ["mine"]
    file.write_text("again")
    begin_anew(folder, "softmax")
    assert sorted(each.read_text() for each in folder.glob("*earlier*")) == ["again", "mine"]
    assert file_of(folder, "head").name == "08_head.py"
    assert os.access(file, os.W_OK)
    os.mkfifo(file_of(folder, "head"))
    with pytest.raises(UserError, match="is a named pipe"):
        begin(folder, "head")
    assert (states(folder)["softmax"], states(folder)["head"]) == ("begun", "")
    (tmp_path / "linked").symlink_to(folder)
    with pytest.raises(UserError, match="is a link"):
        begin(tmp_path / "linked", "head")


def test_your_model_predicts_writes_and_trains_as_the_labs_with_plain_solutions_for_all(tmp_path: Path) -> None:
    files = {}
    for name in NAMES:
        words = words_of(name)
        used = "".join(f"from {other} import {other}\n" for other in NAMES[: words.number - 1])
        files[name] = tmp_path / words.file_name
        files[name].write_text(used + words.solution)
    result = use_passing(files, open_run("demo").path, PROMPT)
    assert result.model is not None, result.problem
    assert result.model.used == list(NAMES)
    assert result.model.is_equal
    assert len(result.model.losses) == STEPS
    assert result.model.losses[-1][0] < result.model.losses[0][0] - 1
    found = use_passing(files, open_run("demo").path, "", checkpoint="last", ids=[1, 2, 3]).forward_pass
    assert found is not None
    assert found.used == ["embed", "softmax", "layer_norm", "head", "attention", "mlp", "gpt"]
    assert found.parity.max_delta < 1e-4


def test_one_file_of_what_passes_trains_and_writes_without_the_lab(tmp_path: Path) -> None:
    folder = tmp_path / "write"
    begin(folder, "softmax")
    mine = {"softmax": file_of(folder, "softmax"), "head": file_of(folder, "head")}
    mine["softmax"].write_text(f"{words_of('softmax').solution}\n\nif __name__ == '__main__':\n    raise SystemExit('mine')\n")
    mine["head"].write_text(f"from softmax import softmax as shares\n{words_of('head').solution.replace('softmax(', 'shares(')}")
    file, text = tmp_path / "my_gpt.py", tmp_path / "text.txt"
    file.write_text(my_gpt(mine))
    known = ("the", "cat", "sat", "on", "a", "mat", "and", "some", "dog", "ran", "to", "its", "old", "log")
    words = random.Random(1).choices(known, k=2000)
    text.write_text(" ".join(words))
    run = [sys.executable, "-I", str(file), str(text), "50"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    losses = re.findall(r"step \d+: loss ([\d.]+)", done.stdout)
    assert float(losses[-1]) < float(losses[0])
    assert "# 8. One causal head: yours" in file.read_text()
    assert "# 9. All heads: the lab's plain solution, until yours passes" in file.read_text()
    mine["head"].write_text(f"def softmax(x):\n    return x\n\n\n{words_of('head').solution}")
    with pytest.raises(UserError, match=r"06_softmax\.py and 08_head\.py both define `softmax`"):
        my_gpt(mine)
    mine["softmax"].write_text("def softmax(x):\n    from lab.exercises.tasks.softmax import softmax\n    return softmax(x)\n")
    with pytest.raises(UserError, match=r"06_softmax\.py, line 2, imports the lab"):
        my_gpt(mine)
