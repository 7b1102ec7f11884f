"""Check of a learner's file, and use of those that pass, in a process of its own with limits."""

import os
import selectors
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from lab.core.child_process import torch_environment
from lab.core.errors import UserError
from lab.core.number_format import bytes_
from lab.core.safe_open import read_regular
from lab.core.visible_text import visible
from lab.exercises.check_process import NOT_REACHED, CaseResult, CheckRequest, CheckResult, problem_of
from lab.exercises.exercise import words_of
from lab.exercises.learner_files import LARGEST_FILE, checksum, file_of, remember, write_folder

START_SECONDS = 60.0
"""Seconds that torch and the run's weights may take to load."""
WAITS = 5
"""Multiple of a check's processor time which it may take by the clock: other programs take time, too."""
USE_SECONDS = 60.0
"""Seconds of processor time for the model of the learner's functions, its training included."""
MOST_PRINTED = 1 << 16
"""Bytes of what the code prints that are kept."""
MOST_OUTPUT = 16_000_000
"""Bytes after which code that prints without end is ended."""
MOST_ROUNDS = 50
"""Times that processes which have left the group of a check are looked for; those that fork are faster than one look."""

ENDLESS = "a loop without an end, or too slow a way"
ENDED = "Your code ended Python itself, or closed what its result goes through"
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
    request = CheckRequest(name, str(file.absolute()), others, str(run), prompt, seconds or words_of(name).seconds)
    checked = checksum(file)  # of before: a file that is changed meanwhile does not pass
    result = _Process(request, waiting).result()
    if file == file_of(folder := write_folder(), name):
        remember(folder, name, checked if result.passes else "")
    return result


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
    request = CheckRequest("", "", files, str(run), prompt, seconds or USE_SECONDS, tuple(ids), checkpoint)
    return _Process(request, waiting).result()


class _Process:
    """The process of a check: what it prints is kept up to a size, and it is ended with all that it has started."""

    def __init__(self, request: CheckRequest, waiting: Callable[[], object]) -> None:
        self._request, self._waiting = request, waiting
        self._printed = self._answer = b""
        self._output = 0

    def result(self) -> CheckResult:
        answers, their_end = os.pipe()
        mark = uuid.uuid4().hex
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "lab.exercises.check_keeper", str(their_end)],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**torch_environment(1), MARK: mark},
                pass_fds=(their_end,),
                start_new_session=True,
            )
        finally:
            os.close(their_end)
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin, process.stdout:
            try:
                with suppress(BrokenPipeError):
                    process.stdin.write(msgspec.json.encode(self._request) + b"\n")
                problem = self._follow(process, answers, process.stdout.fileno())
                if not problem:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(1)  # it ends by itself, which its exit code tells
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                code = process.wait()
                _end_others(mark)
                os.close(answers)
        printed, told = visible(self._printed.decode(errors="replace"), keep="\n\t"), self._answer.splitlines()
        if not problem and not told:
            raise UserError(f"The check could not begin: {(printed.strip().splitlines() or ['no message'])[-1]}")
        result = CheckResult(self._request.name, NOT_REACHED)
        with suppress(msgspec.MsgspecError, IndexError):  # the code may have written there itself
            result = msgspec.json.decode(told[-1], type=CheckResult)
        if result.problem == NOT_REACHED:
            problem = problem or self._end_in_words(code)
            before = [each for each in result.cases if each.sentence != NOT_REACHED]
            now, *later = result.cases[len(before) :] or [CaseResult("")]
            cases = [*before, CaseResult(now.name, problem), *later] if now.name else before
            first = problem_of(before)
            said = f"{first} Then, {now.name}: {problem}" if first else problem_of(cases) or problem
            result = CheckResult(self._request.name, said, cases=cases)
        return msgspec.structs.replace(result, printed=printed)

    def _end_in_words(self, code: int) -> str:
        if code == -signal.SIGXCPU:
            return f"It took longer than {self._request.seconds:g} s of processor time: {ENDLESS}."
        if code == -signal.SIGKILL:
            return f"It was killed: by itself, by the system for its memory, or after {self._request.seconds:g} s."
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"{ENDED} ({how})."

    def _follow(self, process: subprocess.Popen[bytes], answers: int, output: int) -> str:
        """Read until the answer has come or the process has ended; a sentence where it was cut short."""
        deadline, began, most = time.monotonic() + START_SECONDS, False, WAITS * self._request.seconds
        with selectors.DefaultSelector() as selector:
            selector.register(answers, selectors.EVENT_READ)
            selector.register(output, selectors.EVENT_READ)
            while answers in selector.get_map():
                self._waiting()
                if time.monotonic() > deadline:
                    late = f"The check did not begin within {START_SECONDS:g} s."
                    return f"It took longer than {most:g} s by the clock: {ENDLESS}." if began else late
                if not (ready := selector.select(0.05)) and process.poll() is not None:
                    return ""  # a process that it has left holds the pipe
                for key, _ in ready:
                    content = os.read(key.fd, 1 << 16)
                    if not content:
                        selector.unregister(key.fd)
                    elif key.fd == answers:
                        self._answer += content
                    else:
                        self._output += len(content)
                        self._printed = (self._printed + content)[:MOST_PRINTED]
                if not began and self._answer:
                    began, deadline = True, time.monotonic() + most
                if self._output > MOST_OUTPUT:
                    return f"It printed more than {bytes_(MOST_OUTPUT)}."
        return ""


def _end_others(mark: str) -> None:
    """End the processes that a check has started and that have left its group; again as long as there are new ones."""
    import psutil  # type: ignore[import-untyped]

    def left() -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == mark:
                    yield process

    for _ in range(MOST_ROUNDS):
        if not (found := list(left())):
            return
        for process in found:
            with suppress(psutil.Error):
                process.kill()
