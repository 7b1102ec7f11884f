"""Hold on a run: keeps it from being renamed or deleted until the engine, which takes seconds to start, holds it itself."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

from lab.engine.client import EngineDied
from lab.engine.method_registry import RELEASE, ReleaseParams
from lab.runs.run_folder import Run
from lab.views.blocks import LensPath, Token, View
from screens.engine_client import Engine
from screens.inspect.selection import Prompt


class RunHold:
    """One held run at most, by the file descriptor of its lock: the one that was read last."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._descriptor: int | None = None
        self._number = 0

    def next_number(self) -> int:
        """The number of a reading that begins now; older ones do not count any more."""
        self._number += 1
        return self._number

    def take(self, read: "RunRead", opened: str) -> bool:
        """Hold this run instead, unless it is the one that the engine has `opened` and holds.

        False if another is being read since then: it is let go, and nothing changes.
        """
        is_newest = read.number == self._number
        if is_newest:
            self.release()
        if read.first is not None and read.first.hold is not None:
            if is_newest and read.first.run != opened:
                self._descriptor = read.first.hold
            else:
                os.close(read.first.hold)
        return is_newest

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
class FirstPrompt:
    """The prompt to begin with: one that was asked for, the user's last one for this run, or the run's own; and the number of
    layers to outline."""

    run: str
    prompt: Prompt
    own: str
    """The run's own prompt."""
    head: tuple[int, int] | None
    """Layer and head to begin with, 0-based; None for those that are chosen already."""
    layers: int
    hold: int | None
    """File descriptor of the run's lock, None where it cannot be held."""
    tokens: tuple[LensPath, View] | None
    """The prompt's tokens and the view of them, made without the model; None where the tokenizer cannot be used."""


@dataclass
class RunRead(Message):
    """A run as the reading of that number found it, or the reason why it cannot be read."""

    number: int
    first: FirstPrompt | None
    problem: str = ""


def read_first_prompt(name: str, asked: Prompt | None) -> FirstPrompt:
    """Open a run, hold it, and choose a prompt unless one is `asked` for. Raises: UserError where there is no such run."""
    from lab.data.default_prompts import DEMO_INSPECT_HEAD, DEMO_INSPECT_PROMPT, first_prompt
    from lab.inspect.prompt_history import last_prompt
    from lab.runs.find_runs import open_run
    from lab.runs.home_folder import demo, home
    from lab.runs.run_control import hold_inspect_lock

    run = open_run(name)
    own = DEMO_INSPECT_PROMPT if run.path == demo() else first_prompt(run)
    prompt = asked or Prompt(last_prompt(home(), name) or own)
    head = DEMO_INSPECT_HEAD if run.path == demo() and prompt == Prompt(own) else None
    return FirstPrompt(name, prompt, own, head, run.config.model.layers, hold_inspect_lock(run.path), read_tokens(run, prompt))


def read_tokens(run: Run, prompt: Prompt) -> tuple[LensPath, View] | None:
    """The tokens of a prompt, and the view of them as the engine would make it; None where the engine will say what is wrong."""
    from lab.core.errors import UserError
    from lab.inspect.stages.embedding_stage import tokens_view
    from lab.inspect.stages.stage_context import PromptTokens
    from lab.runs.run_folder import tokenizer_of
    from models.config import TokenizerError

    try:
        tokenizer = tokenizer_of(run)
        ids = tokenizer.encode(prompt.text) if prompt.ids is None else list(prompt.ids)
    except (UserError, TokenizerError):
        return None  # the engine reads the same file, and its sentence is shown
    if any(id_ >= run.config.model.vocab_size for id_ in ids):
        return None  # the engine says which one
    window = ids[-run.config.model.context :]
    if not window:
        return None
    shown = PromptTokens(tokenizer, window, len(window) - 1)
    tokens = [Token(id_, shown.label(index)) for index, id_ in enumerate(window)]
    return LensPath(tokens, [], shown.position, len(ids) - len(window), []), tokens_view(shown)
