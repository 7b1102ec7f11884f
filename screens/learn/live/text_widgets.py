"""Live views of a text of one's own: the funnel of the cleaning rules, and the first merges of BPE."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Input

from lab.core.errors import UserError
from lab.core.number_format import bytes_, probability
from lab.core.visible_text import visible
from lab.data.cleaning.measure_funnel import FunnelRequest, funnel_view, run_funnel_process
from lab.data.cleaning.rule_registry import BY_NAME
from lab.data.corpus import STDIN, shown_source
from lab.data.text_source import sources_of
from lab.runs.find_runs import open_run
from lab.views.screen_state import ScreenState
from screens.background import in_thread, latest, paced, still_wanted
from screens.blocks.table_layout import LaidTable
from screens.learn.learn_page import LearnEngine
from screens.learn.live.live_widget import ModelAtHand, ViewWidget

if TYPE_CHECKING:
    from lab.tokenization.bpe_session import BpeSession

FUNNEL_TEXT = "python"
"""The text beside the user's own: real documentation, in which most rules for duplicates find something."""


class FunnelWidget(ViewWidget):
    """Measures every cleaning rule on a text, in a process of its own. Nothing changes on disk, nor in the choices of Data.

    Option `text: python`: the built-in reference of Python first, and the user's text at a key.
    """

    OPTIONS = ("text",)
    USES_MODEL = False
    HELP = "**Funnel.** The text through all cleaning rules, in their order; the bars are what is left."
    BINDINGS = [
        Binding("x", "switch", "Switch rule", id="funnel.switch", tooltip="Leave out the rule under the cursor, or apply it"),
        Binding("v", "other_text", "Other text", id="funnel.text", tooltip="Your text, or the built-in Python reference"),
    ]

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.left_out: set[str] = set()
        """Names of the rules that are switched off."""
        self._own: tuple[str, str] | None = None
        """Source and encoding of the user's text."""
        self._shows_builtin = self.options.get("text") == FUNNEL_TEXT
        self._rows: list[str] = []
        self._is_answered = False

    def show_model(self, model: ModelAtHand) -> None:
        self._find_text(model.run)

    @latest("text")
    async def _find_text(self, run: str) -> None:
        """Measure the text that is chosen in Data, else that of the run."""
        self._own, problem = (self.lab.text_source, self.lab.text_encoding), ""
        if not self.lab.text_source:
            self._own = FUNNEL_TEXT, ""
            try:
                config = await in_thread(lambda: open_run(run).config)
            except UserError as error:
                problem = str(error)
            else:
                if not config.has_text:
                    problem = f"{run} was imported, without its text; this is a built-in text."
                elif STDIN in sources_of(config.data.source):
                    problem = f"{run} was trained on standard input, which cannot be read again; this is a built-in text."
                else:
                    self._own = config.data.source, config.data.encoding
        self._start(problem)

    @property
    def text(self) -> tuple[str, str]:
        """Source and encoding of the text in view."""
        return (FUNNEL_TEXT, "") if self._shows_builtin or self._own is None else self._own

    def _start(self, problem: str = "") -> None:
        self._is_answered = False
        if self.view.view is not None:
            self.view.wait(True)
        self.say(problem or "Reading the text…", error=bool(problem))
        source, encoding = self.text
        self._measure(source, encoding, tuple(name for name in BY_NAME if name not in self.left_out), problem)

    @latest("funnel")
    async def _measure(self, source: str, encoding: str, rules: tuple[str, ...], problem: str) -> None:
        try:
            request = FunnelRequest(source, encoding or None, rules)
            reply = await still_wanted(run_funnel_process(request, self._tell_progress))
        except UserError as error:
            self._is_answered = True
            self.view.wait(False)
            self.say(f"{error} Press v for a built-in text.", error=True)
            return
        assert reply.funnel is not None
        view, self._rows = funnel_view(reply.funnel, self.left_out, visible(shown_source(source).rsplit("/", 1)[-1]))
        self.view.show(view)
        self._is_answered = True
        self.say(problem, error=bool(problem))

    def _tell_progress(self, done: int, total: int) -> None:
        if total:
            self.say(f"reading {probability(done / total, 0)} of {bytes_(total)}")

    def action_switch(self) -> None:
        cursor = self.view.cursor
        is_in_table = cursor is not None and isinstance(self.view.laid.blocks[cursor[0]], LaidTable)
        rule = self._rows[cursor[1]] if cursor is not None and is_in_table else ""
        if rule:
            self.left_out ^= {rule}
            self._start()
        else:
            self.say("Choose a rule with ↑ and ↓ first.")

    def action_other_text(self) -> None:
        self._shows_builtin = not self._shows_builtin
        self._start()

    def full_screen(self) -> ScreenState | None:
        if not self._is_answered:
            return None
        source, encoding = self.text
        return ScreenState(mode="data", page="clean", text=source, encoding=encoding)


Opened = tuple["BpeSession", tuple[bytes, ...], str]
"""A session, the tokens that the run learned from its text, and the reason why the text is not the user's own."""
PHRASE = "running runs ran"
MERGES_TEXT = "stories"
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
        text = read_training_part(MERGES_TEXT, report=report)
    return BpeSession(text), tokens, problem
