"""Live widget `funnel`: the cleaning funnel of the user's text, with a key to switch a rule off and on."""

from __future__ import annotations

from collections.abc import Mapping

from textual.binding import Binding

from lab.core.errors import UserError
from lab.core.number_format import bytes_, probability
from lab.core.visible_text import visible
from lab.data.cleaning.measure_funnel import FunnelRequest, funnel_view, run_funnel_process
from lab.data.cleaning.rule_registry import BY_NAME
from lab.data.corpus import STDIN, shown_source
from lab.data.text_source import sources_of
from lab.runs.find_runs import open_run
from lab.views.screen_state import ScreenState
from screens.background import in_thread, latest, still_wanted
from screens.blocks.table_layout import LaidTable
from screens.learn.learn_engine import LearnEngine
from screens.learn.live.live_widget import ModelAtHand, ViewWidget

BUILTIN = "python"
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
        self._shows_builtin = self.options.get("text") == BUILTIN
        self._rows: list[str] = []
        self._is_measured = False

    @property
    def is_settled(self) -> bool:
        return self._is_measured

    def show_model(self, model: ModelAtHand) -> None:
        self._find_text(model.run)

    @latest("text")
    async def _find_text(self, run: str) -> None:
        """Measure the text that is chosen in Data, else that of the run."""
        self._own, problem = (self.lab.text_source, self.lab.text_encoding), ""
        if not self.lab.text_source:
            self._own = BUILTIN, ""
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
        return (BUILTIN, "") if self._shows_builtin or self._own is None else self._own

    def _start(self, problem: str = "") -> None:
        self._is_measured = False
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
            self._is_measured = True
            self.view.wait(False)
            self.say(f"{error} Press v for a built-in text.", error=True)
            return
        assert reply.funnel is not None
        view, self._rows = funnel_view(reply.funnel, self.left_out, visible(shown_source(source).rsplit("/", 1)[-1]))
        self.view.show(view)
        self._is_measured = True
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
        if not self._is_measured:
            return None
        source, encoding = self.text
        return ScreenState(mode="data", page="clean", text=source, encoding=encoding)
