"""Token sampling in Inspect: sample one token at any position, undo it, or generate at a chosen pace."""

import time
from dataclasses import replace

from textual.binding import Binding
from textual.worker import Worker

from lab.core.number_format import probability
from lab.engine.client import EngineDied, EngineError
from lab.engine.method_registry import SAMPLE, SampleParams
from models.config import SamplingSettings
from screens.about_key import About, described, keyless
from screens.inspect.inspect_part import Actions, InspectHost, InspectPart, Ready
from screens.inspect.selection import Prompt, Selection, cut_after, with_prompt, with_token
from screens.inspect.widgets.prompt_bar import in_short

PACES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Tokens a second in generation, at most as fast as the views follow."""

PACE_KEYS = {"plus": 1, "equals_sign": 1, "minus": -1}
"""Keys that change the pace of what plays, and by how much."""

UNDO_KEPT = 500
"""Selections whose prompt, position and interventions undo can restore."""


class TokenSampling(InspectPart):
    """Samples one token at a time through the engine, so that each can be inspected like a typed one."""

    BINDINGS = described(
        Binding(
            "space", "do('sample')", "Sample", id="inspect.sample", tooltip="Sample a token at random; it replaces what follows"
        ),
        About(
            "Prompt and sampling",
            words="sample the next token; sampling settings",
            also=("inspect.settings",),
            synonyms="generate next token predict draw",
            rank=11,
        ),
        Binding("s", "do('sampling')", "Settings", id="inspect.settings", tooltip="Temperature, top-k, top-p and seed; generate"),
        About(synonyms="sampling nucleus greedy randomness min-p repetition penalty pace token after"),
        Binding(
            "u",
            "do('undo')",
            "Undo",
            id="inspect.undo",
            tooltip="Undo the last sampled token, edit of the prompt or intervention",
        ),
        About(synonyms="back revert restore", needs="a sampled token, an edit or an intervention"),
        keyless("do('sample', 1)", "inspect.next_seed", "Sample again with the next seed", "Next seed"),
        keyless("do('auto')", "inspect.auto", "Generate token after token; again: stop", "Generate"),
        About(synonyms="write continue text completion"),
        keyless("do('pace', 1)", "inspect.faster", "Generate faster", "Faster"),
        keyless("do('pace', -1)", "inspect.slower", "Generate slower", "Slower"),
    )

    def __init__(self, host: InspectHost) -> None:
        super().__init__(host)
        self._undo: list[Selection] = []
        self._pace = 2
        self._writing: Worker[None] | None = None
        self.drawn: Prompt | None = None
        """The prompt with the token that was sampled last, until it is on the screen."""
        self._told: tuple[Selection, str] | None = None
        """The selection with the token that was sampled last, and how that was chosen."""

    def is_enabled(self, action: str) -> bool:
        return bool(self._undo) if action == "undo" else True

    @property
    def is_writing(self) -> bool:
        """True while tokens are generated one after the other."""
        return self._writing is not None and self._writing.is_running

    @property
    def told(self) -> str:
        """The last token drawn and the probability that it was drawn with, as long as nothing else is selected."""
        return self._told[1] if self._told is not None and self._told[0] == self._host.selection else ""

    @property
    def pace_text(self) -> str:
        """The pace and its keys, for the status line; "" while nothing is generated."""
        if not self.is_writing:
            return ""
        return f"generating {self._pace_in_words} · space stop · + faster · - slower"

    @property
    def _pace_in_words(self) -> str:
        pace = PACES[self._pace]
        return f"{pace:g} token{'s' if pace != 1 else ''}/s"

    def key_pressed(self, key: str) -> bool:
        """Change the pace while tokens are generated. False if the key is for somebody else."""
        changes = self.is_writing and key in PACE_KEYS
        if changes:
            self.do_pace(PACE_KEYS[key])
        return changes

    def actions(self) -> Actions:
        return self.do_sampling, self.do_sample, self.do_undo, self.do_auto, self.do_pace

    def do_sampling(self) -> None:
        seed = self._host.selection.sampling.seed + 1
        lines = (
            ("temperature, top-k, top-p, seed", in_short(self._host.selection.sampling), "do('settings')"),
            ("generate token after token", f"at {self._pace_in_words} (+ and -)", "do('auto')"),
            ("next seed", f"sample again with seed {seed}", "do('sample', 1)"),
        )
        self._host.start(self._offer("sampling", lines), "menu")

    def do_sample(self, seeds_on: int = 0) -> None:
        """Sample one token; while tokens are generated, stop that."""
        if not self.leave():
            self._host.start(self._sample(seeds_on), "sample")

    async def _sample(self, seeds_on: int = 0) -> bool:
        """Sample the next token, `seeds_on` seeds further. False if that failed or came too late."""
        selection, model = self._host.selection, self._host.model
        if not isinstance(model, Ready) or model.answered.prompt != selection.prompt:
            return False
        sampling = replace(selection.sampling, seed=selection.sampling.seed + seeds_on)
        start = cut_after(selection.prompt, model.path, selection.position)
        asked = replace(selection, prompt=start, sampling=sampling)
        try:
            token = await self._host.session.engine.call(SAMPLE, asked.params(SampleParams))
        except EngineError as error:
            self._host.fail(str(error), isinstance(error, EngineDied))
            return False
        now = self._host.selection
        if (now.prompt, now.position) != (selection.prompt, selection.position):
            return False
        self.drawn = with_token(start, model.path, token.id)
        self.change_prompt(self.drawn, sampling)
        words = f"drawn at random: “{token.label}” had {probability(token.drawn_with or 0.0)}"
        if token.drawn_with == 1.0:
            words = f"only “{token.label}” could be drawn: the model gives it {probability(token.probability or 0.0)}"
        self._told = self._host.selection, words
        return True

    def change_prompt(self, prompt: Prompt, sampling: SamplingSettings | None = None) -> None:
        """Show another prompt at its last token; undo goes back to the one before."""
        selection = self._host.selection
        if prompt != selection.prompt:
            self.keep_for_undo()
        self._host.selection = replace(with_prompt(selection, prompt), sampling=sampling or selection.sampling)

    def keep_for_undo(self) -> None:
        """Let undo lead back to the prompt, the position and the interventions in view."""
        self._undo = [*self._undo[1 - UNDO_KEPT :], self._host.selection]

    def let_undo_lead_to(self, own: str) -> None:
        """Let undo lead to the run's own prompt, where the user's last one was restored in its place."""
        now = self._host.selection
        if own != now.prompt.text:
            self._undo = [replace(now, prompt=Prompt(own), position=None, interventions=())]
            self._host.refresh_bindings()

    def prompt_refused(self, kept: Prompt) -> None:
        """Drop the last undo when the engine has refused a prompt and `kept` stays."""
        if self._undo and self._undo[-1].prompt == kept:
            self._undo.pop()
            self._host.refresh_bindings()

    def forget(self) -> None:
        """Stop generating and clear the undo history: another run is shown."""
        self.stop_writing()
        self._undo.clear()

    def do_undo(self) -> None:
        if self._undo:
            self.stop_writing()
            undo = self._undo.pop()
            now = self._host.selection
            before = now if undo.prompt == now.prompt else replace(with_prompt(now, undo.prompt), position=undo.position)
            self._host.selection = replace(before, interventions=undo.interventions, trail=())

    def leave(self) -> bool:
        """Stop generating, at escape. False if nothing is generated."""
        was_writing = self.is_writing
        self.stop_writing()
        return was_writing

    def do_auto(self) -> None:
        if self.is_writing:
            self.stop_writing()
        else:
            self._writing = self._host.start(self._write(), "write")
            self._host.say_location()

    def do_pace(self, by: int) -> None:
        self._pace = min(max(self._pace + by, 0), len(PACES) - 1)
        if self.is_writing:
            self._host.say_location()
        else:
            self._host.say(f"Generates {self._pace_in_words}.")

    def stop_writing(self) -> None:
        """Stop generating; the token under way is dropped."""
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
            self._host.say_location()

    async def _write(self) -> None:
        """Generate until the prompt or position is changed otherwise, or the engine refuses."""
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
