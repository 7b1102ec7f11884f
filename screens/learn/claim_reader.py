"""Claim reader: a claim with its verdict and the note that holds, its experiment's picture below; and the checks of claims."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace
from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Markdown

from lab.core.visible_text import visible
from lab.engine.method_registry import EXPERIMENT, ExperimentParams
from lab.lessons.claim import TITLES, CheckedClaim, Claim, check_claim
from lab.views.blocks import View
from models.config import SamplingSettings
from screens.blocks.block_view import BlockView
from screens.learn.learn_page import LearnEngine, ReadingBox, Refused
from screens.learn.live.live_widget import ModelAtHand
from screens.widgets.status_line import StatusLine


class ClaimChecks:
    """Asks for the missing experiments while it may go on. `changed` is called whenever a result or what runs changes."""

    def __init__(self, engine: LearnEngine, claims: Sequence[Claim], changed: Callable[[], None]) -> None:
        self._engine, self._changed = engine, changed
        self.claims = list(claims)
        self.results: dict[str, CheckedClaim] = {}
        """By the claim's name."""
        self.running = ""
        """The name of the claim whose experiment runs; "" while none does."""
        self.problem = ""
        """The sentence with which the engine ended; nothing more is asked until another claim is looked at."""
        self.model: ModelAtHand | None = None
        self._goes_on = False
        self._in_view = self.claims[0].name if self.claims else ""
        self._runs: dict[str, int] = {}
        """Number of times that a claim was checked again."""

    @property
    def is_idle(self) -> bool:
        """True if nothing is asked, and nothing will be."""
        return not self.running and (self.model is None or not self._goes_on or self._next() is None or bool(self.problem))

    def use_model(self, model: ModelAtHand) -> None:
        """Check on this model from now on; verdicts on another one are forgotten."""
        if model != self.model:
            self._stop()
            self.model, self.problem = model, ""
            self.results.clear()
            self._advance()

    def go_on(self, goes_on: bool) -> None:
        """Check what is missing, or finish what runs and ask for nothing more."""
        self._goes_on = goes_on
        self._advance()

    def look_at(self, name: str) -> None:
        """Check this claim before the others."""
        if name != self._in_view:
            self._in_view, self.problem = name, ""
        if self.running != name and name not in self.results:
            self._stop()
            self._advance()

    def check_again(self, name: str) -> None:
        """Run a claim's experiment anew, with other random numbers."""
        self._stop()
        self.results.pop(name, None)
        self._runs[name] = self._runs.get(name, 0) + 1
        self._in_view, self.problem = name, ""
        self._advance()

    def _next(self) -> Claim | None:
        """The claim in view if it was not checked, else the first after it, else the first of all."""
        at = next((at for at, claim in enumerate(self.claims) if claim.name == self._in_view), 0)
        waiting = (claim for claim in (*self.claims[at:], *self.claims[:at]) if claim.name not in self.results)
        return next(waiting, None)

    def _stop(self) -> None:
        self.running = ""
        self._engine.forget("claims")

    def _advance(self) -> None:
        claim = self._next()
        if self._goes_on and self.model is not None and not self.running and not self.problem and claim is not None:
            self._ask(claim, self.model)
        self._changed()

    def _ask(self, claim: Claim, model: ModelAtHand) -> None:
        if not claim.experiment:
            self._finish(check_claim(claim))
            return
        self.running = claim.name
        params = ExperimentParams(
            run=model.run,
            text=claim.prompt or model.prompt,
            name=claim.experiment,
            sampling=SamplingSettings(seed=self._runs.get(claim.name, 0)),
            inputs=dict(claim.inputs),
        )

        def refused(refusal: Refused) -> None:
            if refusal.engine_died:
                self.running, self.problem = "", refusal.sentence
                self._changed()
            else:
                self._finish(CheckedClaim(claim, "unchecked", refusal.sentence))

        self._engine.ask("claims", EXPERIMENT, params, lambda result: self._finish(check_claim(claim, result)), refused)

    def _finish(self, checked: CheckedClaim) -> None:
        self.results[checked.claim.name] = checked
        self.running = ""
        self._advance()


_SIGNS = re.compile(r"([\\`*_\[\]<>#|~])")
"""Characters that Markdown may read as its own signs."""


class ClaimText(ReadingBox):
    """The words of a claim."""


class ClaimReader(Vertical):
    """Shows one claim, checked or not yet."""

    PARTS = (ClaimText,)
    BINDINGS = [
        Binding("space", "turn(1)", "Next claim", id="claim.next", key_display="space", tooltip="The next claim"),
        Binding("backspace", "turn(-1)", "Back", id="claim.previous", tooltip="The claim before"),
        Binding("r", "check_again", "Check again", id="claim.again", tooltip="Run it again, with other random numbers"),
        Binding("z", "enlarge", "Enlarge", id="claim.enlarge", tooltip="The experiment alone, or with the claim"),
    ]

    @dataclass
    class Turned(Message):
        """The user goes to the next claim (`by` 1) or the one before (−1)."""

        by: int

    class CheckAgain(Message):
        """The user wants the claim in view checked again."""

    def __init__(self) -> None:
        super().__init__()
        self.claim: Claim | None = None
        self._written = ""
        self._picture: View | None = None
        """The view that is shown, as it came."""
        self._idle = ("", False)
        """Words for the status line while the cursor is on no number, and True if they tell of an error."""

    def compose(self) -> ComposeResult:
        with ClaimText(id="claim-text"):
            yield Markdown(id="claim-words", open_links=False)
        yield BlockView(id="claim-view")
        yield StatusLine(most_lines=2, id="claim-status")

    def show(self, claim: Claim, place: str, checked: CheckedClaim | None, *, is_running: bool, run: str) -> None:
        """Show a claim, `place` in the list; `checked` is None before its experiment has ended."""
        text, view = self.query_one(ClaimText), self.query_one(BlockView)
        is_new = claim is not self.claim
        self.claim = claim
        state = "being checked…" if is_running else "not checked yet"
        if checked is not None:
            state = f"{checked.mark} {TITLES[checked.verdict]}"
        text.border_title = Text(f"{place} · {state}")
        text.model = run
        text.further = "space goes on" if checked is not None else ""
        picture = checked.view if checked is not None else None
        if picture is not None:
            view.wait(False)
            if self._picture is not picture:
                view.show(replace(picture, sentence=""))  # the claim says it
                self._picture = picture
        elif view.view is not None:
            view.wait(True)
        has_picture = picture is not None or (view.view is not None and not is_new and checked is None)
        if self.has_class("-text-only") == has_picture:
            self.set_class(not has_picture, "-text-only")
            if not has_picture:
                self.remove_class("-view-only")
                if view.has_focus:
                    text.focus()
            self.refresh_bindings()
        words = claim_markdown(claim, checked)
        if words != self._written:
            self._written = words
            self._write(words, is_new)

    @work(exclusive=True, group="claim")
    async def _write(self, words: str, is_new: bool) -> None:
        """Lay out the words; while a key is held, only the last ones."""
        await self.query_one(Markdown).update(words)
        if is_new:
            self.query_one(ClaimText).scroll_home(animate=False)

    def say(self, words: str, *, error: bool = False) -> None:
        """Say something that stays until something else is said; a number under the cursor takes its place meanwhile."""
        self._idle = (words, error)
        if not self.query_one(BlockView).has_focus or error:
            self.query_one(StatusLine).say(words, error=error)

    def take_focus(self) -> None:
        self.query_one(BlockView if self.has_class("-view-only") else ClaimText).focus()

    def leave(self) -> bool:
        """Show the text again where the picture stands alone. False if it does not."""
        was_alone = self.has_class("-view-only")
        self.remove_class("-view-only")
        return was_alone

    def action_turn(self, by: int) -> None:
        self.post_message(self.Turned(by))

    def action_check_again(self) -> None:
        self.post_message(self.CheckAgain())

    def action_enlarge(self) -> None:
        self.toggle_class("-view-only")
        self.take_focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "enlarge" or not self.has_class("-text-only")

    @on(BlockView.SpotChanged)
    def _tell_spot(self, message: BlockView.SpotChanged) -> None:
        message.stop()
        words, error = (message.spot.description, False) if message.spot is not None else self._idle
        self.query_one(StatusLine).say(words, error=error)


def claim_markdown(claim: Claim, checked: CheckedClaim | None) -> str:
    """The claim, and once it is checked its verdict, the note that holds, and the explanation with its figures."""
    if checked is None:
        return f"**{claim.title}**"
    parts = [f"{checked.mark} **{TITLES[checked.verdict].capitalize()}: {claim.title}**", _plain(checked.reason)]
    instead = checked.instead(_plain)
    if instead:
        parts.append(f"**{'In the notes:' if checked.verdict == 'true' else 'Write instead:'}** {instead}")
    parts.append(checked.explanation(_plain))
    parts += [f"*Source: {_plain(source)}*" for source in claim.sources]
    return "\n\n".join(filter(None, parts))


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _SIGNS.sub(r"\\\1", visible(text))
