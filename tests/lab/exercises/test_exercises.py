"""Exercises: the lab's own versions pass, each known mistake is told from all others, and code of any kind ends in a sentence."""

import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import time
import types
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from lab.core.errors import UserError
from lab.exercises.cases import CASES
from lab.exercises.check import check_file
from lab.exercises.check_process import IN_PLACE, copied, known_mistake, wrong_with
from lab.exercises.comparison import difference
from lab.exercises.exercise import NAMES, beside_the_functions, defined, reference_of, words_of, wrong_versions
from lab.exercises.export import my_gpt
from lab.exercises.learner_code import DECODER, ENCODER, Told, described, executed, plain
from lab.exercises.learner_files import begin, begin_anew, checksum, file_of, passing, remember, states
from lab.exercises.material import Material
from lab.exercises.own_process import ENDED
from lab.exercises.your_model import STEPS
from lab.inspect.stages.stage_registry import STAGES
from lab.lessons.lesson import lessons
from lab.runs.find_runs import open_run
from tests.lab.exercises import numpy_parts
from tests.lab.exercises.forked_check import PROMPT, ForkedCheck
from tests.lab.exercises.references import REFERENCES
from tests.lab.training.module_forker import ModuleForker


@pytest.fixture(scope="module")
def material() -> Material:
    return Material(open_run("demo"), PROMPT)


@pytest.fixture
def forked(forker: ModuleForker, tmp_path: Path) -> ForkedCheck:
    return ForkedCheck(forker, tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / words_of("softmax").file_name


def results(version: Any, cases: Any) -> list[Told]:
    found = list[Told]()
    for case in cases:
        try:
            with np.errstate(all="ignore"):
                found.append(DECODER.decode(ENCODER.encode(Told(plain(version(*copied(case)))))))
        except Exception as error:
            found.append(Told(error=str(error), error_type=type(error).__name__))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_each_known_mistake_is_told_from_all_others_and_each_case_is_failed_by_one(name: str, material: Material) -> None:
    cases, wrong_ones = CASES[name](material), wrong_versions(name)
    right = [plain(REFERENCES.get(name, reference_of(name))(*copied(case))) for case in cases]
    failed = set[int]()
    for sentence, version in wrong_ones:
        found = results(version, cases)
        wrong = {at for at, (one, told) in enumerate(zip(right, found, strict=True)) if wrong_with(one, told)}
        assert wrong, sentence
        failed |= wrong
        assert known_mistake(name, cases, found) == sentence
    assert failed == set(range(len(cases)))
    assert not any(map(wrong_with, right, results(reference_of(name), cases))), "the plain solution is right"
    assert len(wrong_ones) >= (8 if 6 <= words_of(name).number <= 13 else 4)


OWN_NUMBERS = "import random\ndrawn = random.Random(1)\n"


@pytest.mark.parametrize(
    ("name", "changes", "named"),
    [
        ("sample", {"before >= top_p": "before + p[order] > top_p", "<= u).sum()": "> u).nonzero()[0]"}, "top-p leaves out"),
        ("sample", {"return p,": "return p.tolist(),", "<= u": "< u"}, "The id is the first up to which they sum to u or more"),
        ("sample", {"<= u": "<= drawn.random()"}, "With the same arguments it returns something else"),
        (
            "cross_entropy",
            {
                "logits - logits.max(-1, keepdim=True).values": "logits",
                "logp.exp()": "torch.exp(logits) / torch.exp(logits).sum(-1, keepdim=True)",
            },
            "Large logits overflow",
        ),
        ("embed", {"wpe[: len(ids)]": "wpe[list(range(1, len(ids) + 1))]"}, "Positions count from 1"),
        ("head", {"pattern @ v": "pattern @ v * math.nan"}, ""),
        (
            "adamw",
            {"def adamw(": "def averaged(t):\n    assert t == 1\n\n\ndef adamw(", "    m = ": "    averaged(t)\n    m = "},
            "",
        ),
        ("adamw", {"beta2 * v +": "beta2 * v -"}, ""),
        (
            "cross_entropy",
            {"-logp[torch.arange(n), targets].mean()": "-(torch.eye(logits.shape[1])[targets] * logp.exp().log()).sum() / n"},
            "A probability rounds to 0",
        ),
    ],
)
def test_a_known_mistake_without_numbers_is_known_however_it_fails_where_it_has_numbers_elsewhere(
    name: str, changes: dict[str, str], named: str, material: Material
) -> None:
    code, cases = words_of(name).solution, CASES[name](material)
    for old, new in changes.items():
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    version = defined(name, OWN_NUMBERS + code, {other: reference_of(other) for other in NAMES[: NAMES.index(name)]})
    found = known_mistake(name, cases, results(version, cases))
    assert found.startswith(named)
    assert bool(found) == bool(named)


def test_solutions_that_are_the_labs_own_version_do_as_another_code_does(material: Material) -> None:
    count, learn, encode, windows, embed = (reference_of(name) for name in NAMES[:5])
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
        (np.ones((2, 2)), [np.ones(2), np.ones(2)], "It returned a list or tuple of 2 tensors, and has to return one array"),
        (np.ones((2, 2)), [[1.0, 1.0], [1.0, 1.0]], "It returned a list or tuple of 2 lists, and has to return one array"),
        (np.ones((2, 2)), [np.ones(2), None], "It returned a list or tuple of 2 parts, and has to return one array"),
        (np.array([[0.0, 1], [2, 3], [4, 5]]), np.array([[4.0, 5], [2, 3], [0, 1]]), "Its rows are the right ones in reversed"),
        (np.arange(3.0), np.arange(3.0)[::-1], "Its numbers are the right ones in reversed order."),
        (
            np.ones((2, 3, 2)),
            np.ones((2, 3, 2)) + np.array([0.5, -2.0]),
            "Every row differs by the same vector, 0.500, −2.00 …, as by a bias.",
        ),
    ],
)
def test_an_unknown_mistake_gets_a_true_sentence(right: Any, found: Any, words: str) -> None:
    assert words in difference(right, found).words


def test_rounding_is_no_difference_and_lists_do_for_arrays() -> None:
    assert not difference(np.array([1.0, 100.0]), [1.0, 100.0001]).words
    assert not difference(np.array([0.5]), np.float32(0.5) * np.ones(1)).words
    assert not difference([1, 2], (1, 2)).words


RIGHT = "import torch\ndef softmax(x):\n    {}\n    return torch.softmax(x, -1)\n"
SLEEP = f"{1_000_000 + os.getpid()}"
"""Seconds by which a process that a test's code has started is known, beside those of other sessions of tests."""
SLEEPS = f"import subprocess; subprocess.Popen(['sleep', '{SLEEP}']"
STARTED = [
    ("print('\\x1b[31mhi')", ""),
    ("input()", "It asks for input"),
    ("breakpoint()", "It asks for input"),
    ("import sys; sys.exit()", "It called sys.exit."),
    ("torch.empty(1 << 36)", "It asked for more memory than it may have."),
    ("import threading, time; threading.Thread(target=lambda: [time.sleep(1) for _ in iter(int, 1)]).start()", ""),
    (f"{SLEEPS}, start_new_session=True)", ""),
]
"""What each call of the learner's code does, and what is said of it, where that depends on the process of the check."""
FORKED = [
    ("x -= 1", IN_PLACE),
    ("from head import softmax", "From head only head itself can be imported"),
    ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
    ("x.sum().backward()", "It asks torch for gradients"),
    ("return type('O', (), {'__array__': lambda *_, **__: 1 / 0})()", "ZeroDivisionError: division by zero"),
    ("class E(Exception):\n    __str__ = None\nraise E", "E: its message cannot be made"),
    ("raise ValueError('\\ud800 x')", "ValueError: \\ud800 x"),
    ("raise EOFError('Ran out of input')", "EOFError: Ran out of input"),
    ("x[..., 0] = 0", f"{IN_PLACE} The first number that differs"),
    ("import os; os.fork() or os._exit(0)", ""),
    (f"{SLEEPS})", ""),
    ("raise RecursionError", "It calls itself without an end."),
    ("raise NotImplementedError", "It is not written yet."),
    ("import sys; sys.stdout = None", ""),
]
"""The same where it does not."""


def one_a_call(statements: Sequence[str]) -> str:
    """A softmax that does one of these things at each call."""
    lines = [f"if call == {at}:\n{textwrap.indent(each, '    ')}" for at, each in enumerate(statements)]
    body = textwrap.indent("\n".join(["global call", "call += 1", *lines, "return torch.softmax(x, -1)"]), "    ")
    return f"import torch\ncall = -1\ndef softmax(x):\n{body}\n"


def assert_nothing_sleeps() -> None:
    deadline = time.monotonic() + 20
    while any(SLEEP in (each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("calls", [STARTED, FORKED[:7], FORKED[7:]])
def test_what_a_call_does_is_told_in_a_sentence_and_leaves_nothing_running(
    file: Path, forked: ForkedCheck, calls: list[tuple[str, str]]
) -> None:
    file.write_text(one_a_call([statement for statement, _ in calls]))
    is_started = calls is STARTED
    result = check_file("softmax", file, open_run("demo").path, PROMPT) if is_started else forked.check("softmax", file)
    assert len(result.cases) == len(calls)
    for case, (statement, sentence) in zip(result.cases, calls, strict=True):
        assert case.sentence.startswith(sentence), statement
        assert bool(case.sentence) == bool(sentence), statement
    assert result.printed.startswith("␛[31mhi" if is_started else "")
    assert_nothing_sleeps()


OF_ONE_HEAD = "The scores of head 1.1 at your prompt: 36 numbers"
OF_ALL = "he scores of all heads: "


@pytest.mark.parametrize(
    ("source", "problem", "marks"),
    [
        ("while True: pass", "It took longer than 1 s of processor time: a loop without an end, or too", "✗······"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", "It took longer than 1 s by the clock: a loop", "✗······"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "It was killed: by itself, ", "✗······"),
        ("import os, signal; os.kill(0, signal.SIGKILL)", "It was killed: by itself, ", "✗······"),
        ("import os; os.closerange(0, 1024)", ENDED, "✗······"),
        ("while True: print('x' * 100000)", r"It printed more than 16\.0 MB\.", "✗······"),
        ("if x.dim() == 3: raise ValueError('memory')", f"T{OF_ALL}ValueError: memory", "✓✓✗✓✓✓✓"),
        ("if x.dim() == 3: import os; os._exit(3)", rf"T{OF_ALL}{ENDED} \(exit code 3\)\.", "✓✓✗····"),
        ("if x.dim() == 3: import os; os._exit(3)\n    return x", f"{OF_ONE_HEAD}.* Then, t{OF_ALL}{ENDED}", "✗✗✗····"),
    ],
)
def test_the_first_case_that_is_wrong_is_named_unless_all_are_and_those_after_an_end_are_not_reached(
    file: Path, forked: ForkedCheck, source: str, problem: str, marks: str
) -> None:
    file.write_text(RIGHT.format(source))
    result = forked.check("softmax", file, seconds=0.2 if "SIGSTOP" in source else 1)
    assert re.match(problem, result.problem), result.problem
    assert "".join(case.mark for case in result.cases) == marks
    assert [line.partition(": ")[0] for line in result.traceback] == ["06_softmax.py, line 3"] * ("raise" in source)


def test_a_check_whose_process_its_code_kills_ends_in_a_sentence_with_all_that_it_has_started(file: Path) -> None:
    kill = "import os, signal; os.kill(os.getppid(), signal.SIGKILL); signal.pause()"
    file.write_text(RIGHT.format(f"{SLEEPS}, start_new_session=True); {kill}"))
    assert check_file("softmax", file, open_run("demo").path, PROMPT).problem.startswith("It was killed: by itself, ")
    assert_nothing_sleeps()


def test_what_passes_is_imported(file: Path, forked: ForkedCheck) -> None:
    file.write_text(RIGHT.format("print('mine')"))
    head = file.with_name("08_head.py")
    head.write_text(f"from softmax import softmax\n{words_of('head').solution.replace('def softmax', 'def other')}")
    result = forked.check("head", head, mine={"softmax": file})
    assert (result.problem, set(result.printed.split())) == ("", {"mine"})


def test_what_is_right_is_not_in_the_process_of_the_learners_code(file: Path, forked: ForkedCheck) -> None:
    file.write_text("""import gc, sys
import numpy as np
import torch

call = 0

def softmax(x):
    global call
    call += 1
    right = torch.softmax(x, -1)
    if call > 2:
        return right
    seen = [right.clone()] if call == 2 else []

    def is_right(each):
        is_same = isinstance(each, torch.Tensor | np.ndarray) and each is not right and each.shape == right.shape
        return is_same and np.asarray(each).dtype.kind == "f" and np.allclose(np.asarray(each), right, atol=1e-6)

    held, frame = [*gc.get_objects()], sys._getframe()
    while frame := frame.f_back:
        held += frame.f_locals.values()
    for each in held:
        if each is not held and (is_right(each) or type(each) in (list, tuple) and any(map(is_right, each))):
            print(call, "finds", type(each))
    return right
""")
    result = forked.check("softmax", file, seconds=30)
    assert not result.problem
    assert {line.partition(" finds ")[0] for line in result.printed.splitlines()} == {"2"}, "only what the second call holds"
    file.write_text("import torch\n\ndef softmax(x):\n    torch.softmax = lambda x, _: x * 0\n    return x * 0\n")
    assert forked.check("softmax", file).problem


def test_a_warning_is_no_output_and_told_where_it_is_of_the_learners_own_line(file: Path, forked: ForkedCheck) -> None:
    file.write_text("import torch\n\nasync def softmax(x):\n    return x\n")
    result = forked.check("softmax", file)
    assert (result.printed, result.warnings) == ("", [])
    assert "a value of type coroutine" in result.problem
    file.write_text(RIGHT.format("torch.tensor(x)"))
    result = forked.check("softmax", file)
    assert (result.problem, result.printed) == ("", "")
    assert result.output[0].startswith("Python or torch warns:\n06_softmax.py, line 3: UserWarning: To copy construct")


def test_a_check_that_was_stopped_ends_when_the_lab_is_ended(file: Path) -> None:
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
def test_a_file_that_is_no_python_is_said_to_be(file: Path, source: bytes, problem: str) -> None:
    file.write_bytes(source)
    with pytest.raises((SyntaxError, UserError)) as caught:
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


def begun_file(folder: Path, name: str, source: str) -> Path:
    """A file that imports the functions of all exercises before it."""
    file, used = folder / words_of(name).file_name, NAMES[: words_of(name).number - 1]
    file.write_text("".join(f"from {other} import {other}\n" for other in used) + source)
    return file


def in_numpy(name: str) -> str:
    return numpy_parts.HEAD + numpy_parts.PARTS[name]


def of_other_types() -> dict[str, str]:
    """Solutions that return other types than the lab's: 16-bit ids, float64, arrays and lists of ids."""
    source = {name: words_of(name).solution for name in ("learn_merges", "encode", "layer_norm", "cross_entropy")}
    return {
        "learn_merges": source["learn_merges"].replace("merges.append(pair)", "merges.append(list(pair))"),
        "encode": f"import numpy as np\n{source['encode'].replace('return ids', 'return np.array(ids)')}",
        "windows": in_numpy("windows"),
        "layer_norm": source["layer_norm"].replace("mean =", "x = x.double(); mean ="),
        "cross_entropy": source["cross_entropy"].replace("logits -", "logits.double() -"),
    }


def test_your_model_predicts_writes_and_trains_as_the_labs_with_solutions_for_all_of_whatever_types(
    tmp_path: Path, forked: ForkedCheck
) -> None:
    other = of_other_types()
    files = {name: begun_file(tmp_path, name, other.get(name, words_of(name).solution)) for name in NAMES}
    assert not any(forked.check(name, files[name]).problem for name in other)
    result = forked.use(files)
    assert result.model is not None, result.problem
    assert result.model.used == list(NAMES)
    assert result.model.is_equal
    assert len(result.model.losses) == STEPS
    assert result.model.losses[-1][0] < result.model.losses[0][0] - 1
    found = forked.use(files, checkpoint="last", ids=[1, 2, 3]).forward_pass
    assert found is not None
    assert found.used == ["embed", "softmax", "layer_norm", "head", "attention", "mlp", "gpt"]
    assert found.parity.max_delta < 1e-4


@pytest.mark.parametrize("name", numpy_parts.PARTS)
def test_a_part_in_numpy_passes_and_does_among_parts_in_torch_as_one_in_torch_among_parts_in_numpy(
    name: str, tmp_path: Path, forked: ForkedCheck
) -> None:
    assert not forked.check(name, begun_file(tmp_path, name, in_numpy(name))).problem
    for is_numpy in (True, False):
        kinds = {other: is_numpy == (other == name) for other in numpy_parts.PARTS}
        sources = {other: in_numpy(other) if numpy else words_of(other).solution for other, numpy in kinds.items()}
        model = forked.use({other: begun_file(tmp_path, other, source) for other, source in sources.items()})
        assert model.model is not None, model.problem
        assert model.model.is_equal
        assert model.model.used == [other for other in numpy_parts.PARTS if other != "windows"]


def test_all_parts_in_numpy_are_a_model_that_writes(tmp_path: Path, forked: ForkedCheck) -> None:
    result = forked.use({name: begun_file(tmp_path, name, in_numpy(name)) for name in numpy_parts.PARTS})
    assert result.model is not None, result.problem
    assert result.model.is_equal


def run_of(mine: dict[str, Path], folder: Path) -> subprocess.CompletedProcess[str]:
    """What their one file does with a small text, where there is no lab."""
    file, text = folder / "my_gpt.py", folder / "text.txt"
    file.write_text(my_gpt(mine), encoding="utf-8")
    known = ("the", "cat", "sat", "on", "a", "mat", "and", "some", "dog", "ran", "to", "its", "old", "log")
    text.write_text(" ".join(random.Random(1).choices(known, k=400)))
    run = [sys.executable, "-I", str(file), str(text), "50"]
    return subprocess.run(run, capture_output=True, text=True, timeout=120, check=False, cwd=folder)


def assert_learns(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr[-2000:]
    losses = re.findall(r"step \d+: loss ([\d.]+)", done.stdout)
    assert float(losses[-1]) < float(losses[0])


def test_one_file_of_what_passes_trains_and_writes_without_the_lab(tmp_path: Path) -> None:
    folder = tmp_path / "write"
    begin(folder, "softmax")
    mine = {"softmax": file_of(folder, "softmax"), "head": file_of(folder, "head")}
    mine |= {name: begun_file(folder, name, source) for name, source in of_other_types().items()}
    mine["count_pairs"] = begin(folder, "count_pairs")
    mine["softmax"].write_text(f"{words_of('softmax').solution}\n\nif __name__ == '__main__':\n    raise SystemExit('mine')\n")
    mine["head"].write_text(f"from softmax import softmax as shares\n{words_of('head').solution.replace('softmax(', 'shares(')}")
    helpers = "def softmax(ids):\n    return [*ids]\n\n\nTEXT = '''\nno code\n'''\n\n\ndef merge():\n    return {}\n\n\n"
    mine["count_pairs"].write_text(helpers.format("{}") + words_of("count_pairs").solution.replace("{}", "merge()"))
    mine["encode"].write_text(helpers.format("0") + words_of("encode").solution.replace("list(data)", "softmax(data[merge() :])"))
    assert_learns(run_of(mine, tmp_path))
    text = (tmp_path / "my_gpt.py").read_text()
    assert "\nYours: 1, 2, 3, 4, 6, 7, 8, 12. The others are the lab's.\n" in text
    assert "# 8. One causal head: yours" in text
    assert "# 9. All heads: the lab's plain solution, until yours passes" in text


USES_CACHE = """CACHE = {}


def NAME(GIVEN):
    assert CACHE.setdefault("made", "NAME") == "NAME"
"""
OF_ONE_FILE = {
    "import in the function": {
        "head": words_of("head").solution.replace("    scores", "    from softmax import softmax\n    scores", 1)
    },
    "imports on one line": {
        "head": f"from softmax import softmax; import math as maths\n{words_of('head').solution}".replace(" math.", " maths.")
    },
    "byte order mark": {"softmax": f"\ufeff{words_of('softmax').solution}"},
    "equal dicts": {
        name: words_of(name).solution.replace(f"def {name}({given}):\n", USES_CACHE.replace("NAME", name).replace("GIVEN", given))
        for name, given in (("embed", "ids, wte, wpe"), ("head", "q, k, v"))
    },
    "a builtin's name": {
        "softmax": "def max(s):\n    return s.amax(-1, keepdim=True)\n\n\n"
        + words_of("softmax").solution.replace("scores.max(-1, keepdim=True).values", "max(scores)")
    },
    "names for annotations alone": {
        "softmax": "from __future__ import annotations; from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n"
        f"    from torch import Tensor\n\n{words_of('softmax').solution.replace('(scores):', '(scores: Tensor) -> Tensor:', 1)}"
    },
}


@pytest.mark.parametrize("sources", OF_ONE_FILE.values(), ids=OF_ONE_FILE)
def test_what_works_in_files_works_in_one_file(sources: dict[str, str], tmp_path: Path) -> None:
    mine = {name: tmp_path / words_of(name).file_name for name in sources}
    for name, source in sources.items():
        mine[name].write_text(source, encoding="utf-8")
    assert_learns(run_of(mine, tmp_path))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("from numpy import *", r"line 3, has `from numpy import \*`, which one file cannot have; name what you import"),
        ("def count():\n    global TEXT", "line 4, has `global TEXT`, which one file cannot have; keep the value in a dict"),
        ("import os, lab.cli", "line 3, has `import os, lab.cli`, which one file cannot have; write it yourself"),
        (
            "def one():\n    from lab import cli",
            "line 4, has `from lab import cli`, which one file cannot have; write it yourself",
        ),
    ],
)
def test_what_has_no_room_in_one_file_is_a_sentence(line: str, words: str, file: Path) -> None:
    file.write_text(f"\n\n{line}\n\n\n{words_of('softmax').solution}")
    with pytest.raises(UserError, match=rf"^06_softmax\.py, {words}\.$"):
        my_gpt({"softmax": file})


def test_a_file_of_imports_and_its_function_stands_in_one_file_as_it_is(file: Path) -> None:
    source = f'"""Mine."""\n\nimport math\n\nimport numpy as np\n\n\n{words_of("softmax").solution}'
    file.write_text(f"from __future__ import (\n    annotations,\n)\n{source}")
    assert f'yours\n\n{source.strip()}\n\n\nsoftmax = put_in("softmax", softmax)\n' in my_gpt({"softmax": file})


def test_pairs_of_ids_from_numpy_are_counted_as_those_of_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "count_pairs", types.ModuleType("count_pairs"))
    count = defined("put_in", beside_the_functions()[0], {})("count_pairs", reference_of("count_pairs"))
    assert count(np.array([1, 2, 1, 2], np.uint16)) == {(1, 2): 2, (2, 1): 1}


@pytest.mark.parametrize("embedded", ["torch.nn.functional.embedding(ids, wte)", "wte[ids]"])
def test_ids_from_numpy_are_ids_for_a_part_in_torch(embedded: str, tmp_path: Path, forked: ForkedCheck) -> None:
    """Also where torch wants a tensor of them."""
    embed = f"import torch\n\n\ndef embed(ids, wte, wpe):\n    return {embedded} + wpe[: len(ids)]\n"
    result = forked.use(
        {name: begun_file(tmp_path, name, embed if name == "embed" else in_numpy(name)) for name in ("embed", "gpt")}
    )
    assert result.model is not None, result.problem
    assert result.model.is_equal


def test_numpy_in_the_forward_pass_is_said_where_it_stops_the_training(tmp_path: Path, forked: ForkedCheck) -> None:
    sources = {"mlp": in_numpy("mlp"), **{name: words_of(name).solution for name in ("cross_entropy", "adamw")}}
    mine = {name: begun_file(tmp_path, name, source) for name, source in sources.items()}
    done = run_of(mine, tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "It cannot train with these functions, for gradients go through torch's operations alone: Can't"
    )
    assert "Traceback" not in done.stderr
    used = forked.use(mine).model
    assert used is not None
    assert used.cannot_train
    assert "nothing in it calls them" not in "".join(used.in_words())
