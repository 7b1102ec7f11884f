"""The part of Inspect that writes: draw a token, from any place; take it back; let the model go on by itself at a chosen pace."""

import asyncio
import time
from dataclasses import dataclass, replace

from textual import work
from textual.binding import Binding
from textual.reactive import var
from textual.worker import Worker

from lab.engine.client import EngineDied, EngineError
from lab.views.blocks import LensPath
from models.sampling_settings import SamplingSettings
from screens.base_screen import LabScreen
from screens.inspect.engine_session import Microscope
from screens.inspect.selection import Prompt, Selection, cut_after, with_prompt, with_token

PACES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Tokens a second that the model may write by itself; never more than the views can follow."""

UNDO_KEPT = 500
"""Prompts that can be gone back to."""

SECONDS_BETWEEN_ASKING = 0.01


@dataclass(frozen=True)
class SamplingUndo:
    """What undo goes back to."""

    prompt: Prompt
    position: int | None


class SamplingScreen(LabScreen):
    """Draws one token at a time through the engine, so that each can be looked at like one that was typed."""

    BINDINGS = [
        Binding(
            "space",
            "sample",
            "Sample",
            id="inspect.sample",
            tooltip="Draw the token after the position and append it; from an earlier token on, write a different ending",
        ),
        Binding(
            "n",
            "sample(1)",
            "Next seed",
            id="inspect.next_seed",
            show=False,
            tooltip="The same with the next seed: another random number, so most likely another token",
        ),
        Binding(
            "u", "undo", "Undo", id="inspect.undo", tooltip="Take back the last token drawn, ending replaced or prompt edited"
        ),
        Binding("A", "auto", "Write on", id="inspect.auto", tooltip="Let the model write by itself; again to stop it"),
        Binding(
            "plus,equals_sign",
            "pace(1)",
            "Faster",
            id="inspect.faster",
            show=False,
            key_display="+",
            tooltip="More tokens a second when it writes by itself",
        ),
        Binding("minus", "pace(-1)", "Slower", id="inspect.slower", show=False, key_display="-", tooltip="Fewer tokens a second"),
    ]

    aim: var[Selection | None] = var(None)
    microscope: Microscope
    _way: LensPath | None = None
    _way_prompt: Prompt | None = None

    def __init__(self) -> None:
        super().__init__()
        self._undo: list[SamplingUndo] = []
        self._pace = 2
        self._writing: Worker[None] | None = None

    @property
    def is_writing(self) -> bool:
        """Whether the model writes by itself."""
        return self._writing is not None and self._writing.is_running

    @property
    def writing_in_words(self) -> str:
        """What is to be said of it in the line below; "" while it does not write."""
        if not self.is_writing:
            return ""
        return (
            f"writing {PACES[self._pace]:g} token{'s' if PACES[self._pace] != 1 else ''} a second · A stops · + faster · - slower"
        )

    @work(exclusive=True, group="sample")
    async def action_sample(self, seeds_on: int = 0) -> None:
        await self._sample(seeds_on)

    async def _sample(self, seeds_on: int = 0) -> bool:
        """Draw for the place after the position, `seeds_on` seeds further. False if that could not be done, or came too late."""
        aim, way = self.aim, self._way
        if aim is None or way is None or self._way_prompt != aim.prompt:
            return False
        sampling = replace(aim.sampling, seed=aim.sampling.seed + seeds_on)
        start = cut_after(aim.prompt, way, aim.position)
        try:
            token = await self.microscope.sample(replace(aim, prompt=start, sampling=sampling))
        except EngineError as error:
            self.trouble(str(error), isinstance(error, EngineDied))
            return False
        if self.aim is None or (self.aim.prompt, self.aim.position) != (aim.prompt, aim.position):
            return False
        self.change_prompt(with_token(start, way, token.id), sampling)
        return True

    def change_prompt(self, prompt: Prompt, sampling: SamplingSettings | None = None) -> None:
        """Show another prompt at its last token; what was before can be gone back to."""
        if self.aim is None:
            return
        if prompt != self.aim.prompt:
            self._undo = [*self._undo[1 - UNDO_KEPT :], SamplingUndo(self.aim.prompt, self.aim.position)]
        self.aim = replace(with_prompt(self.aim, prompt), sampling=sampling or self.aim.sampling)
        self.refresh_bindings()

    def forget_prompt(self, kept: Prompt) -> None:
        """To be called when the engine has refused a prompt and `kept` stays: there is nothing to go back to."""
        if self._undo and self._undo[-1].prompt == kept:
            self._undo.pop()
            self.refresh_bindings()

    def action_undo(self) -> None:
        if self.aim is not None and self._undo:
            self.stop_writing()
            moment = self._undo.pop()
            self.aim = replace(with_prompt(self.aim, moment.prompt), position=moment.position)
            self.refresh_bindings()

    def action_auto(self) -> None:
        if self.is_writing:
            self.stop_writing()
        elif self.aim is not None:
            self._writing = self._write()
            self.tell_where()

    def action_pace(self, by: int) -> None:
        self._pace = min(max(self._pace + by, 0), len(PACES) - 1)
        self.tell_where()

    def stop_writing(self) -> None:
        """No further token; the one that is being drawn is dropped."""
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
            self.tell_where()

    @work(exclusive=True, group="write")
    async def _write(self) -> None:
        """Draws on until something else happens to the prompt or the position, or the engine says no."""
        while True:
            began = time.monotonic()
            if not await self._sample():
                break
            assert self.aim is not None
            prompt = self.aim.prompt
            while not self.microscope.is_idle or time.monotonic() < began + 1 / PACES[self._pace]:
                await asyncio.sleep(SECONDS_BETWEEN_ASKING)
            if self.aim is None or self.aim.prompt != prompt or self.aim.position is not None or not self.may_write():
                break
        self._writing = None
        self.tell_where()

    def may_write(self) -> bool:
        """Whether nothing else is going on that a new token would disturb."""
        return self.is_current

    def trouble(self, sentence: str, died: bool) -> None:
        """Say what the engine said, and whether it ended."""
        raise NotImplementedError

    def tell_where(self) -> None:
        """Say in the line below where one is, and that the model is writing."""
        raise NotImplementedError
