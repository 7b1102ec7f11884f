"""Check of a learner's code in a fork of a process that has torch: it takes a tenth of a second, one that is started two."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import torch

from lab.exercises.check_process import check, use
from lab.exercises.check_result import CheckRequest, CheckResult
from lab.exercises.own_process import LAB
from lab.runs.find_runs import open_run
from tests.lab.training.module_forker import ModuleForker

PROMPT = "Once there was a small cat. The small"


class ForkedCheck:
    """Checks files on the demo, each in a fork of its own, as a started process would."""

    def __init__(self, forker: ModuleForker, folder: Path) -> None:
        forker.load(__name__, "lab.exercises.cases", "lab.exercises.material")
        self._forker, self._folder = forker, folder

    def check(self, name: str, file: Path, *, seconds: float = 1, mine: Mapping[str, Path] = {}) -> CheckResult:
        files = {other: str(path) for other, path in mine.items()}
        return self._answer(CheckRequest(name, str(file), files, str(open_run("demo").path), PROMPT, seconds))

    def use(self, mine: Mapping[str, Path], *, checkpoint: str = "best", ids: Sequence[int] = ()) -> CheckResult:
        files = {name: str(path) for name, path in mine.items()}
        return self._answer(CheckRequest("", "", files, str(open_run("demo").path), PROMPT, 60, tuple(ids), checkpoint))

    def _answer(self, request: CheckRequest) -> CheckResult:
        answer, log = self._folder / "answer.json", self._folder / "check.log"
        pid = self._forker.fork(__name__, [msgspec.json.encode(request).decode(), str(answer)], log=log)
        assert self._forker.code_of(pid) == 0, log.read_text()
        return msgspec.json.decode(answer.read_bytes(), type=CheckResult)


def main(arguments: list[str]) -> int:
    """Answer a request into a file, with a lab at the standard input that lives as long as this process."""
    os.dup2(os.pipe()[0], LAB)
    request = msgspec.json.decode(arguments[0], type=CheckRequest)
    torch.set_grad_enabled(False)
    result = check(request) if request.name else use(request)
    Path(arguments[1]).write_bytes(msgspec.json.encode(result))
    return 0
