"""Token sampling in Inspect: draw a token from any place, undo it, or let the model write by itself at a chosen pace."""

import time
from dataclasses import dataclass, replace

from textual.binding import Binding
from textual.worker import Worker

from lab.engine.client import EngineDied, EngineError
from models.sampling_settings import SamplingSettings
from screens.inspect.inspect_part import InspectHost, InspectPart, Ready
from screens.inspect.selection import Prompt, cut_after, with_prompt, with_token

PACES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Tokens a second that the model may write by itself; never more than the views can follow."""

UNDO_KEPT = 500
"""Prompts that can be gone back to."""


@dataclass(frozen=True)
class SamplingUndo:
    """A prompt and the position in it that undo goes back to."""

    prompt: Prompt
    position: int | None


class TokenSampling(InspectPart):
    """Draws one token at a time through the engine, so that each can be looked at like one that was typed."""

    BINDINGS = (
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
    )

    def __init__(self, host: InspectHost) -> None:
        super().__init__(host)
        self._undo: list[SamplingUndo] = []
        self._pace = 2
        self._writing: Worker[None] | None = None

    def is_enabled(self, action: str) -> bool:
        return bool(self._undo) if action == "undo" else True

    @property
    def is_writing(self) -> bool:
        """True while the model writes by itself."""
        return self._writing is not None and self._writing.is_running

    @property
    def in_words(self) -> str:
        """The pace and its keys, for the status line; "" while the model does not write."""
        if not self.is_writing:
            return ""
        pace = PACES[self._pace]
        return f"writing {pace:g} token{'s' if pace != 1 else ''} a second · A stops · + faster · - slower"

    def action_sample(self, seeds_on: int = 0) -> None:
        self._host.start(self._sample_once(seeds_on), "sample")

    async def _sample_once(self, seeds_on: int) -> None:
        await self._sample(seeds_on)

    async def _sample(self, seeds_on: int = 0) -> bool:
        """Draw for the place after the position, `seeds_on` seeds further. False if that could not be done, or came too late."""
        selection, model = self._host.selection, self._host.model
        if not isinstance(model, Ready) or model.answered.prompt != selection.prompt:
            return False
        sampling = replace(selection.sampling, seed=selection.sampling.seed + seeds_on)
        start = cut_after(selection.prompt, model.path, selection.position)
        try:
            token = await self._host.session.sample(replace(selection, prompt=start, sampling=sampling))
        except EngineError as error:
            self._host.fail(str(error), isinstance(error, EngineDied))
            return False
        now = self._host.selection
        if (now.prompt, now.position) != (selection.prompt, selection.position):
            return False
        self.change_prompt(with_token(start, model.path, token.id), sampling)
        return True

    def change_prompt(self, prompt: Prompt, sampling: SamplingSettings | None = None) -> None:
        """Show another prompt at its last token; undo goes back to the one before."""
        selection = self._host.selection
        if prompt != selection.prompt:
            self._undo = [*self._undo[1 - UNDO_KEPT :], SamplingUndo(selection.prompt, selection.position)]
        self._host.selection = replace(with_prompt(selection, prompt), sampling=sampling or selection.sampling)
        self._host.refresh_bindings()

    def prompt_refused(self, kept: Prompt) -> None:
        """Drop the last undo when the engine has refused a prompt and `kept` stays."""
        if self._undo and self._undo[-1].prompt == kept:
            self._undo.pop()
            self._host.refresh_bindings()

    def forget(self) -> None:
        """Stop writing, and drop what undo would go back to: another run is shown."""
        self.stop_writing()
        self._undo.clear()

    def action_undo(self) -> None:
        if self._undo:
            self.stop_writing()
            undo = self._undo.pop()
            self._host.selection = replace(with_prompt(self._host.selection, undo.prompt), position=undo.position)
            self._host.refresh_bindings()

    def action_auto(self) -> None:
        if self.is_writing:
            self.stop_writing()
        else:
            self._writing = self._host.start(self._write(), "write")
            self._host.say_location()

    def action_pace(self, by: int) -> None:
        self._pace = min(max(self._pace + by, 0), len(PACES) - 1)
        self._host.say_location()

    def stop_writing(self) -> None:
        """No further token; the one that is being drawn is dropped."""
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
            self._host.say_location()

    async def _write(self) -> None:
        """Draw on until something else happens to the prompt or the position, or the engine refuses."""
        while True:
            began = time.monotonic()
            if not await self._sample():
                break
            prompt = self._host.selection.prompt
            await self._host.session.settle(began, lambda: 1 / PACES[self._pace])
            selection = self._host.selection
            if selection.prompt != prompt or selection.position is not None or not self._host.is_free:
                break
        self._writing = None
        self._host.say_location()
