"""Process that runs a learner's function, `python -P -m lab.exercises.check_process FD`, and writes to FD what came of it.

It is the learner's own code, with their rights. It is held by limits on processor time, memory and the size of files, by
`check_keeper`, and by the process that asked, which ends it and all that it started. What the code prints goes to this process's
standard output.
"""

import os
import resource
import sys
import traceback
from bdb import BdbQuit
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from lab.exercises.comparison import Apart, apart, difference, plain
from lab.exercises.exercise import NAMES, Task, task_of
from lab.exercises.your_model import ForwardPass, YourModel, assembled, your_forward_pass, your_model

if TYPE_CHECKING:
    from lab.exercises.material import Case

ERRORS = (ValueError, IndexError, RuntimeError)
"""Errors in which known mistakes end on some arguments, torch's among them."""
MOST_MEMORY = 4 << 30
"""Bytes that the learner's code may take beyond what torch has."""
MOST_WRITTEN = 1 << 26
"""Bytes of a file that it may write."""
TRACEBACK_LINES = 8
PRINTED_LINES, PRINTED_CHARACTERS = 20, 2000
"""Of what the code prints that is shown."""


class NotDefinedError(Exception):
    """Error: a file does not define the function of its exercise."""


NO_MESSAGE = "no message"
ASKS = "It asks for input, as a debugger does, and a check has nobody who answers."
NO_MEMORY = "It asked for more memory than it may have."
SENTENCES: tuple[tuple[type[BaseException], str, str], ...] = (
    (NotImplementedError, NO_MESSAGE, "It is not written yet."),
    (SystemExit, "", "It called sys.exit."),
    (EOFError, "EOF when reading", ASKS),
    (BdbQuit, "", ASKS),
    (MemoryError, "", NO_MEMORY),
    (RuntimeError, "tried to allocate", NO_MEMORY),
    (RecursionError, "", "It calls itself without an end."),
    (RuntimeError, "does not require grad", "It asks torch for gradients, which a check has switched off: compute them by hand."),
)
"""What an error means: its type, a part of its message, and the sentence."""
IN_PLACE = "It changes its arguments in place; they have to stay as they are, for the model goes on with them."
NOT_REACHED = "It was not reached."
"""Of a case, where the check ended before."""


class CheckRequest(msgspec.Struct, frozen=True):
    """The exercise, the learner's file, the run and prompt to check it on, and the seconds it may take."""

    name: str
    """"" to put all files that pass into a model."""
    file: str
    mine: dict[str, str]
    """Files of other exercises that pass, by their names: what the code imports from them is the learner's."""
    run: str
    prompt: str
    seconds: float
    ids: tuple[int, ...] = ()
    """Tokens in place of the prompt, for a forward pass alone."""
    checkpoint: str = "best"


class CaseResult(msgspec.Struct, frozen=True):
    name: str
    sentence: str = ""
    """What is wrong; "" where it is right."""

    @property
    def mark(self) -> str:
        return "·" if self.sentence == NOT_REACHED else "✗" if self.sentence else "✓"


class CheckResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of a check. It passes where `problem` is empty."""

    name: str
    problem: str = ""
    mistake: str = ""
    """The known mistake whose results these are."""
    cases: list[CaseResult] = []
    traceback: list[str] = []
    """The learner's own lines of an error."""
    printed: str = ""
    apart: Apart | None = None
    """The first result that differs, beside the right one."""
    number: str = ""
    """What Inspect calls the right one of the first number that differs; "" where it does not explain it."""
    model: YourModel | None = None
    """What came of the model that uses the learner's functions."""
    forward_pass: ForwardPass | None = None

    @property
    def passes(self) -> bool:
        return not self.problem

    @property
    def what_it_printed(self) -> str:
        """The first of it, under a title."""
        shown = "\n".join(self.printed.rstrip().split("\n")[:PRINTED_LINES])[:PRINTED_CHARACTERS]
        return f"It printed:\n{shown}{'' if shown == self.printed.rstrip() else ' … and more'}"


def main() -> None:
    to_asker = os.fdopen(int(sys.argv[1]), "wb")
    request, output = msgspec.json.decode(sys.stdin.buffer.readline(), type=CheckRequest), sys.stdout
    import torch

    from lab.exercises.material import Material
    from lab.runs.run_folder import Run

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    material = Material(Run(Path(request.run)), request.prompt, request.ids, request.checkpoint)
    task = task_of(request.name) if request.name else None
    cases = task.cases(material) if task else []
    right = [plain(task.reference(*copied(case))) for case in cases] if task else [material.trace]
    _limit(request.seconds)

    def tell(so_far: CheckResult) -> None:
        to_asker.write(msgspec.json.encode(so_far) + b"\n")
        to_asker.flush()

    tell(CheckResult(request.name, NOT_REACHED))  # from here on the time counts
    if task is not None:
        result = check(request, task, cases, right, tell)
    else:
        try:
            if request.ids:
                used = set[str]()
                functions = assembled(request.mine, executed, used.add)
                result = CheckResult("", forward_pass=your_forward_pass(functions, used, material)[1])
            else:
                result = CheckResult("", model=your_model(request.mine, executed, material))
        except BaseException as error:  # as in `check`
            result = CheckResult("", described(error), traceback=own_lines(request, error))
    output.flush()
    tell(result)
    os._exit(0)  # threads that the code has started do not keep it


def _limit(seconds: float) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    limits = {resource.RLIMIT_CPU: int(used.ru_utime + used.ru_stime + seconds) + 1, resource.RLIMIT_FSIZE: MOST_WRITTEN}
    with suppress(OSError, StopIteration):  # Linux tells what is taken already
        taken = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData"))
        limits[resource.RLIMIT_DATA] = int(taken.split()[1]) * 1024 + MOST_MEMORY
    for kind, most in limits.items():
        with suppress(ValueError, OSError):  # a lower limit holds already
            resource.setrlimit(kind, (most, most + (kind == resource.RLIMIT_CPU)))  # SIGXCPU, and a second later SIGKILL


def copied(case: "Case") -> tuple[Any, ...]:
    """The arguments anew: code that changes them in place spoils nothing."""
    import copy

    return copy.deepcopy(case.arguments)


def problem_of(cases: Sequence[CaseResult]) -> str:
    """What is wrong with the first case that is not right, without its name where all are so; "" where none is."""
    wrong = next((each for each in cases if each.sentence), None)
    if wrong is None or all(each.sentence in (wrong.sentence, NOT_REACHED) for each in cases):
        return wrong.sentence if wrong is not None else ""
    return f"{wrong.name[0].upper()}{wrong.name[1:]}: {wrong.sentence}"


def check(
    request: CheckRequest, task: Task, cases: "Sequence[Case]", right: list[Any], tell: Callable[[CheckResult], None]
) -> CheckResult:
    """Load the learner's function, and call it for each case. `tell` gets the result so far before each call."""
    try:
        function = load(request.name, Path(request.file), request.mine)
    except BaseException as error:  # whatever the learner's code raises, sys.exit included, is what is to be told
        return CheckResult(request.name, described(error), traceback=own_lines(request, error))
    results, found = [CaseResult(case.name, NOT_REACHED) for case in cases], list[Any]()
    for at, (case, expected) in enumerate(zip(cases, right, strict=True)):
        tell(CheckResult(request.name, NOT_REACHED, cases=results))
        arguments = copied(case)
        try:
            found.append(plain(function(*arguments)))
            differs = difference(expected, found[at])
            if not all(map(same, case.arguments, arguments)):
                differs = f"{IN_PLACE} {differs}".strip()
        except BaseException as error:  # of the code, or of what it returned, which may be an object of any kind
            found[at:], differs = [error], described(error)
        results[at] = CaseResult(case.name, differs)
    at = next((at for at, each in enumerate(results) if each.sentence), -1)
    if at < 0:
        return CheckResult(request.name, cases=results)
    is_error, differ = isinstance(found[at], BaseException), apart(right[at], found[at])
    return CheckResult(
        request.name,
        problem=problem_of(results),
        mistake=known_mistake(task, cases, found),
        cases=results,
        traceback=own_lines(request, found[at]) if is_error else [],
        apart=differ,
        number=cases[at].number.format(*differ.index) if differ is not None else "",
    )


def same(one: Any, other: Any) -> bool:
    """True where an argument is as it was."""
    if isinstance(one, dict):
        return all(same(one[key], other.get(key)) for key in one)
    return bool((one == other).all()) if hasattr(one, "detach") else one == other


def known_mistake(task: Task, cases: "Sequence[Case]", found: list[Any]) -> str:
    """The sentence on the wrong version that returns the same in all cases; "" where none does."""

    def returns_same(version: Callable[..., Any]) -> bool:
        for case, mine in zip(cases, found, strict=True):
            try:
                with np.errstate(all="ignore"):
                    theirs: Any = plain(version(*copied(case)))
            except ERRORS as error:
                theirs = error
            if isinstance(theirs, ERRORS) or isinstance(mine, BaseException):
                if type(theirs) is not type(mine):
                    return False
            elif difference(theirs, mine):
                return False
        return True

    return next((sentence for sentence, version in task.wrong if returns_same(version)), "")


def load(name: str, file: Path, mine: dict[str, str]) -> Callable[..., Any]:
    """The learner's function. The modules named as the exercises give their own functions where these pass, else the lab's."""
    assembled(mine, executed)
    return executed(name, file)


def executed(name: str, file: Path) -> Callable[..., Any]:
    """The function that a file defines. Raises what its code raises, and NotDefinedError where it does not define it."""
    values: dict[str, Any] = {"__name__": name, "__file__": str(file)}
    exec(compile(file.read_bytes(), str(file), "exec"), values)
    if not callable(values.get(name)):
        raise NotDefinedError(f"The file has to define a function called {name}.")
    function: Callable[..., Any] = values[name]
    return function


def described(error: BaseException) -> str:
    """What an error of the learner's code means, in a sentence."""
    if isinstance(error, NotDefinedError):
        return str(error)
    if isinstance(error, SyntaxError):
        return f"Line {error.lineno} is no Python: {error.msg}." if error.lineno else f"It is no Python: {error.msg}."
    if isinstance(error, ImportError) and error.name in NAMES:
        return f"From {error.name} only {error.name} itself can be imported; what else you need has to stand in this file, too."
    try:
        message = str(error).strip() or NO_MESSAGE
    except Exception:  # of the learner's own class
        message = "its message cannot be made"
    said = (sentence for kind, part, sentence in SENTENCES if isinstance(error, kind) and part in message)
    return next(said, f"{type(error).__name__}: {message}".encode("utf-8", "backslashreplace").decode())


def own_lines(request: CheckRequest, error: BaseException) -> list[str]:
    """The lines of an error that are the learner's; none where the code is not written yet."""
    is_unwritten = isinstance(error, NotImplementedError) and not error.args  # as the template raises it
    files = {request.file, *request.mine.values()} if not is_unwritten else set()
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    return [f"{Path(frame.filename).name}, line {frame.lineno}: {frame.line}" for frame in frames][-TRACEBACK_LINES:]


if __name__ == "__main__":
    main()
