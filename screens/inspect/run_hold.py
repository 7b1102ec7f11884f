"""Hold on a run: keeps it from being renamed or deleted until the engine, which takes seconds to start, holds it itself."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

from lab.engine.client import EngineDied
from lab.engine.method_registry import RELEASE, ReleaseParams
from screens.engine.engine_interface import Engine


class RunHold:
    """One held run at most, by the file descriptor of its lock."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._descriptor: int | None = None

    def take(self, descriptor: int | None) -> None:
        """Hold this run instead."""
        self.release()
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    async def let_go(self, path: Path) -> None:
        """Release the run in this folder, in the engine too if one runs."""
        self.release()
        if self._engine.pid is not None:
            with suppress(EngineDied):  # then it holds nothing
                await self._engine.call(RELEASE, ReleaseParams(path=str(path)))


@dataclass
class FirstPrompt(Message):
    """The prompt to begin with: the user's last one for this run, or the run's own; and the number of layers to outline."""

    run: str
    text: str
    own: str
    """The run's own prompt."""
    layers: int
    hold: int | None
    """File descriptor of the run's lock, None where it cannot be held."""


def read_first_prompt(name: str) -> FirstPrompt:
    """Open a run, hold it, and choose a prompt. Raises: UserError where there is no such run."""
    from lab.data.default_prompts import first_prompt
    from lab.inspect.prompt_history import last_prompt
    from lab.runs.find_runs import open_run
    from lab.runs.home_folder import home
    from lab.runs.run_locks import hold_inspect_lock

    run = open_run(name)
    own = first_prompt(run)
    return FirstPrompt(name, last_prompt(home(), name) or own, own, run.config.model.layers, hold_inspect_lock(run.path))
