"""Check of a learner's file, and use of those that pass, by a process of its own, which is ended with all that it has started."""

import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec

from lab.core.child_process import torch_environment
from lab.core.errors import UserError
from lab.core.safe_open import read_regular
from lab.core.visible_text import visible
from lab.exercises.check_result import KILLED, CheckRequest, CheckResult
from lab.exercises.exercise import words_of
from lab.exercises.learner_files import LARGEST_FILE, checksum, file_of, passing, remember, states, write_folder
from lab.exercises.own_process import WAITS
from lab.runs.run_folder import Run
from models.parameter_count import flops_per_token

START_SECONDS = 60.0
"""Seconds that a check may take beside the learner's code: for torch and the run's weights to load, and to compare."""
SLOW_FLOPS = 2e10
"""Floating-point operations a second of a slow processor: a forward pass of a full context may take so long beside the rest."""
USE_SECONDS = 60.0
"""Seconds of processor time for the model of the learner's functions, its training included."""
MOST_ROUNDS = 50
"""Times that processes which have left the check are looked for; those that fork are faster than one look."""
QUIET_ROUNDS = 2
"""Looks in a row that find none before they are over: one that is just starting a program has no mark for a moment."""
MARK = "LLMLAB_CHECK"
"""Environment variable by which the processes of a check are known, in whatever session they are."""


def check_file(
    name: str,
    file: Path,
    run: Path,
    prompt: str,
    *,
    mine: dict[str, Path] | None = None,
    seconds: float | None = None,
    waiting: Callable[[], object] = bool,
) -> CheckResult:
    """Check a file as that exercise, on a run and a prompt; of the learner's own, keep whether it passes. `mine` are files of
    other exercises that pass, which it may import. `waiting` is called again and again, and ends the check by raising.

    Raises:
        UserError: if the file cannot be read, or the run not be opened.
    """
    try:
        read_regular(file, LARGEST_FILE)
    except FileNotFoundError as error:
        raise UserError(f"There is no file {visible(str(file))}; `llmlab write {words_of(name).number}` begins yours.") from error
    others = {each: str(path) for each, path in (mine or {}).items() if each != name}
    shape = Run(run).config.model
    seconds = seconds or words_of(name).seconds + round(flops_per_token(shape) / 3 * shape.context / SLOW_FLOPS)
    request = CheckRequest(name, str(file.absolute()), others, str(run), prompt, seconds)
    checked = checksum(file)  # of before: a file that is changed meanwhile does not pass
    result = _asked(request, waiting)
    if file == file_of(folder := write_folder(), name):
        remember(folder, name, checked if result.passes else "")
    return result


def check_begun(
    run: Path, prompt: str, *, seconds: float | None = None, waiting: Callable[[], object] = bool
) -> list[CheckResult]:
    """Check the learner's files that are not known to pass as they are, where one is more than its template; as `check_file`."""
    folder, results = write_folder(), list[CheckResult]()
    for name, state in states(folder).items():
        template = sha256(words_of(name).template.encode()).hexdigest()
        if state == "begun" and checksum(file := file_of(folder, name)) not in ("", template):
            results.append(check_file(name, file, run, prompt, mine=passing(folder), seconds=seconds, waiting=waiting))
    return results


def use_passing(
    mine: dict[str, Path],
    run: Path,
    prompt: str,
    *,
    seconds: float | None = None,
    waiting: Callable[[], object] = bool,
    checkpoint: str = "best",
    ids: Sequence[int] = (),
) -> CheckResult:
    """Put the files that pass into a model, and let it predict, train and write; with `ids`, only a forward pass of these tokens,
    beside the model's own. The rest as `check_file`."""
    files = {name: str(path) for name, path in mine.items()}
    return _asked(CheckRequest("", "", files, str(run), prompt, seconds or USE_SECONDS, tuple(ids), checkpoint), waiting)


def _asked(request: CheckRequest, waiting: Callable[[], object]) -> CheckResult:
    """What the process of a check answers. Once it is over, or `waiting` has raised, nothing of it runs any more."""
    mark, answer = uuid.uuid4().hex, b""
    deadline = time.monotonic() + START_SECONDS + WAITS * request.seconds
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "lab.exercises.check_process"],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**torch_environment(1), MARK: mark},
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(msgspec.json.encode(request) + b"\n")
            while time.monotonic() < deadline:
                waiting()
                if select.select([process.stdout], [], [], 0.05)[0]:
                    if not (content := process.stdout.read(1 << 16)):
                        break
                    answer += content
                elif process.poll() is not None:
                    break  # the code, which has ended it, holds the pipe
            else:
                raise UserError("The check took too long beside your code; it is ended.")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
            _end_others(mark)
    last = (answer.splitlines() or [b"no message"])[-1]
    with suppress(msgspec.MsgspecError):
        return msgspec.json.decode(last, type=CheckResult)
    if code < 0:
        return CheckResult(request.name, KILLED.format(request.seconds))
    raise UserError(f"The check could not begin: {visible(last.decode(errors='replace'))}")


def _end_others(mark: str) -> None:
    """End the processes that a check has started and that have left its group; again as long as there are new ones."""
    import psutil  # type: ignore[import-untyped]

    def left() -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == mark:
                    yield process

    quiet = 0
    for _ in range(MOST_ROUNDS):
        found = list(left())
        quiet = 0 if found else quiet + 1
        if quiet == QUIET_ROUNDS:
            return
        for process in found:
            with suppress(psutil.Error):
                process.kill()
