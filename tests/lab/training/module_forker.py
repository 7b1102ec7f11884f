"""Processes that run a module of the lab, forked from one that has imported torch, so that a start takes tenths of a second.

That process is itself forked from pytest's, which has torch, too. It reads a line of JSON, forks, and prints the process number;
or waits for one, and prints its exit code; or imports modules. `ModuleForker` is the other end.
"""

import faulthandler
import importlib
import inspect
import json
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from lab.core import child_process
from lab.core.child_process import DetachedProcess

ROOT = Path(__file__).parents[3]
POLL_SECONDS = 0.01
PATIENCE = 300.0
"""Processes of low priority wait for a core beside other tests."""


def wait_for(what: Callable[[], object], seen: Callable[[], object] = lambda: "") -> None:
    """Wait until it is true. `seen` tells what there was instead."""
    give_up = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < give_up, f"waited in vain: {inspect.getsource(what).strip()} {seen()}"
        time.sleep(POLL_SECONDS)


class Forker:
    """Forks this process, which must have torch, but no threads of it."""

    def fork(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        log: Path,
        folder: Path = ROOT,
        environment: Mapping[str, str] | None = None,
    ) -> int:
        """Fork a process that calls the `main` of `module`, as `DetachedProcess` would start it. Returns its number."""
        pid = os.fork()
        if pid == 0:
            _run(module, arguments, log, folder, dict(os.environ if environment is None else environment))
        return pid

    def code_of(self, pid: int, *, waits: bool = True) -> int | None:
        """The exit code of a process, negative for a signal; None if it lives and nobody `waits`. It is told once."""
        ended, status = os.waitpid(pid, 0 if waits else os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if ended else None

    def detached_process(self, module: str, arguments: Sequence[str], **where: Any) -> DetachedProcess:
        """A process that is forked, to whoever would start a `DetachedProcess`."""
        return ForkedProcess(self, module, arguments, **where)


class ModuleForker(Forker):
    """Forks a process of its own, which it forks from this one."""

    def __init__(self) -> None:
        """Fork it: before there are tests, so that it has nothing of them.

        It has none of this process's threads, either: torch's, if a module of tests computed as it was imported, would be waited
        for in vain. It keeps torch to one.
        """
        asked, ask = os.pipe()
        answer, answered = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _serve(asked, answered)
        os.close(asked)
        os.close(answered)
        self._asks, self._answers = open(ask, "w"), open(answer)  # noqa: SIM115
        self._live: set[int] = set()

    def load(self, *modules: str) -> None:
        """Import modules, so that what is forked from now on has them."""
        self._ask({"modules": modules})

    def end(self) -> None:
        """End the process, and those that it has forked."""
        for pid in self._live:  # none of these numbers is another process's yet: nobody has waited for it
            os.kill(pid, signal.SIGKILL)
        self._asks.close()
        self._answers.close()
        os.waitpid(self._pid, 0)

    def fork(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        log: Path,
        folder: Path = ROOT,
        environment: Mapping[str, str] | None = None,
    ) -> int:
        asked = {"module": module, "arguments": list(arguments), "log": str(log), "folder": str(folder)}
        pid = self._ask(asked | {"environment": dict(os.environ if environment is None else environment)})
        assert pid is not None
        self._live.add(pid)
        return pid

    def code_of(self, pid: int, *, waits: bool = True) -> int | None:
        code = self._ask({"pid": pid, "waits": waits})
        if code is not None:
            self._live.remove(pid)
        return code

    def _ask(self, what: dict[str, Any]) -> int | None:
        self._asks.write(json.dumps(what) + "\n")
        self._asks.flush()
        answer: int | None = json.loads(self._answers.readline())
        return answer


class Forked:
    """What is asked of a `subprocess.Popen`."""

    def __init__(self, forker: Forker, pid: int) -> None:
        self.pid, self._forker = pid, forker
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            self._code = self._forker.code_of(self.pid, waits=False)
        return self._code

    @property
    def returncode(self) -> int | None:
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a forked process", timeout or 0.0)
            time.sleep(POLL_SECONDS)
        return code

    def terminate(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


class ForkedProcess(DetachedProcess):
    """The same as a `DetachedProcess`, but for torch, which it has imported from the start."""

    def __init__(
        self,
        forker: Forker,
        module: str,
        arguments: Sequence[str],
        *,
        log: Path,
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log, self._log_start = log, log.stat().st_size if log.exists() else 0
        pid = forker.fork(module, arguments, log=log, folder=folder, environment=environment)
        self._process = Forked(forker, pid)  # type: ignore[assignment]


def _run(module: str, arguments: Sequence[str], log: Path, folder: Path, environment: dict[str, str]) -> NoReturn:
    code = 99
    try:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # as a started process has none of these, such as a lock's
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        os.nice = lambda increment: 0  # beside other tests a process of low priority would starve, and so would its session
        child_process.AUTOGROUP = Path(os.devnull)
        code = importlib.import_module(module).main(list(arguments))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _serve(asked: int, answered: int) -> NoReturn:
    """Do what a `ModuleForker` asks until it ends, or the process that has it."""
    try:
        os.setsid()  # Ctrl-C is not meant for it
        os.dup2(asked, 0)
        os.dup2(answered, 1)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # pytest's, of which nothing that is forked may keep one open
        # Without closefd=False a process that this one forks could serve no others: its own three would close these.
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        faulthandler.disable()
        logging.getLogger().handlers.clear()
        import torch

        import lab.training.training_loop  # noqa: F401

        torch.set_num_threads(1)  # a process whose torch has threads cannot be forked
        forker = Forker()
        for line in sys.stdin:
            print(json.dumps(_answer(forker, json.loads(line))), flush=True)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _answer(forker: Forker, asked: dict[str, Any]) -> int | None:
    if "modules" in asked:
        for module in asked["modules"]:
            importlib.import_module(module)
        return None
    return forker.code_of(**asked) if "pid" in asked else forker.fork(**asked)
