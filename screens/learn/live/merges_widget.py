"""Live widget `merges`: BPE learned on the user's text merge by merge, and the pieces that it makes of a phrase."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Input

from lab.core.number_format import probability
from lab.views.screen_state import ScreenState
from screens.background import in_thread, latest, paced
from screens.learn.learn_engine import LearnEngine
from screens.learn.live.live_widget import ModelAtHand, ViewWidget

if TYPE_CHECKING:
    from lab.tokenization.bpe_session import BpeSession

Opened = tuple["BpeSession", tuple[bytes, ...], str]
"""A session, the tokens that the run learned from its text, and the reason why the text is not the user's own."""
PHRASE = "running runs ran"
BUILTIN = "stories"
"""Text to learn from where the user's own cannot be read."""
KEPT = "merges"
"""Name under which the session is kept while the lesson is read, so that going on and back loses no merge."""
SLICE_SECONDS = 0.06
"""Longest time of merging between two paints."""


class MergesWidget(ViewWidget):
    """Option: `phrase`, the text whose pieces are shown. Learns from the text chosen in Data, else from the run's own."""

    OPTIONS = ("phrase",)
    USES_MODEL = False
    HELP = "**BPE.** Learned on your text as you watch."
    BINDINGS = [
        Binding("enter", "merge(1)", "Merge", id="merges.one", tooltip="Make the most common pair one token"),
        Binding("plus", "merge(10)", "×10, ×100", id="merges.ten", key_display="+ *", tooltip="Make ten merges"),
        Binding("asterisk", "merge(100)", "×100", id="merges.hundred", show=False, tooltip="Make a hundred merges"),
        Binding("e", "edit", "Phrase", id="merges.edit", tooltip="Edit the phrase; enter ends it"),
        Binding("u", "merge(-1)", "Undo", id="merges.undo", tooltip="Undo the last merge"),
    ]

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.session: BpeSession | None = None
        self._run = ""
        self._run_tokens: tuple[bytes, ...] = ()
        self._key: tuple[object, ...] = ()
        """Lesson and text of the session."""
        self._is_merging = False

    def compose(self) -> ComposeResult:
        field = Input(self.options.get("phrase", PHRASE), select_on_focus=False, max_length=200)
        field.border_title = "phrase"
        yield field
        yield from super().compose()

    @property
    def is_settled(self) -> bool:
        return self.session is not None and not self._is_merging

    def show_model(self, model: ModelAtHand) -> None:
        self._run = model.run
        self.workers.cancel_group(self, "bpe-open")
        lab = self.lab
        self._key = (self.lesson, model.run, lab.text_source, lab.text_encoding, lab.text_cleaning)
        kept = self.engine.kept.get(KEPT)
        if kept is not None and kept[0] == self._key:
            self._take(kept[1])
        else:
            self.say("Counting the words of the text…")
            self._open(model.run, lab.text_source, lab.text_encoding, lab.text_cleaning)

    @latest("bpe-open")
    async def _open(self, run: str, source: str, encoding: str, cleaning: tuple[str, ...]) -> None:
        report = paced(lambda share: self.say(f"reading {probability(share, 0)} of the text"))
        self._take(await in_thread(_learnable, run, source, encoding, cleaning, report))

    def _take(self, opened: Opened) -> None:
        """Show a text whose words are counted."""
        self.session, self._run_tokens, problem = opened
        self.engine.kept[KEPT] = (self._key, opened)
        self._draw()
        self.say(problem, error=bool(problem))

    def action_merge(self, steps: int) -> None:
        if self.session is not None and not self._is_merging:
            self._is_merging = True
            self._move(self.session, steps)

    @latest("bpe-move")
    async def _move(self, session: BpeSession, steps: int) -> None:
        while steps and session is self.session:
            steps = await in_thread(session.move, steps, SLICE_SECONDS)
            if session is self.session:
                self._draw()
        self._is_merging = False

    @on(Input.Changed)
    def _draw(self) -> None:
        if self.session is None:
            return
        from lab.tokenization.bpe_session import agreement_sentence, merges_view

        state = self.session.state
        agreement = agreement_sentence(state, self._run_tokens, self._run) if self._run_tokens else ""
        self.view.show(merges_view(state, self.query_one(Input).value, agreement))

    def full_screen(self) -> ScreenState | None:
        return ScreenState(mode="tokens", page="bpe", run=self._run)


def _learnable(run: str, source: str, encoding: str, cleaning: tuple[str, ...], report: Callable[[float], None]) -> Opened:
    """Count the words of the text that was chosen, else of the run's."""
    from lab.core.errors import UserError
    from lab.tokenization.bpe_session import BpeSession
    from lab.tokenization.learnable_text import read_run_text, read_training_part

    problem = ""
    tokens: tuple[bytes, ...] = ()
    try:
        if source:
            text = read_training_part(source, encoding or None, report, cleaning=cleaning)
        else:
            text, tokens = read_run_text(run, report)
    except UserError as error:
        problem = f"{error} Shown on the built-in stories."
        text = read_training_part(BUILTIN, report=report)
    return BpeSession(text), tokens, problem
