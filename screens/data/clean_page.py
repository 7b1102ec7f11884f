"""Clean: the rules, how much of the text each takes, and real places before and after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.reactive import var

from lab.core.errors import UserError
from lab.core.number_format import bytes_, probability
from lab.data.builtin_texts import is_builtin
from lab.data.cleaning.funnel_meter import Funnel
from lab.data.cleaning.measure_funnel import FunnelRequest, problem_with_path, run_funnel_process
from lab.data.cleaning.rule_registry import RULES, in_order
from lab.data.corpus import shown_source
from lab.data.path_completion import working_folder
from lab.data.text_source import path_of, sources_of
from lab.runs.run_schema import DEFAULT_RULES
from screens.about_key import About, described, keyless
from screens.background import DelayedCall, latest, still_wanted
from screens.data.clean_layout import RuleState, change, funnel_lines, rule_lines
from screens.data.data_page import NO_TEXT, ChosenText, DataPage, share_read
from screens.dialogs.ask import AskText, ConfirmDialog
from screens.widgets.line_scroll_view import SCROLL_KEYS
from screens.widgets.piece_lines import PieceLinesView, words_lines
from screens.widgets.status_line import StatusLine
from screens.widgets.top_bars import PageLink

SECONDS_OF_TICKING = 0.3
FIRST_RULE = 1
"""Line of the first rule in the list; the text as it is stands above it."""


class RuleList(PieceLinesView):
    """The rules, a line each, with the funnel as bars. Posts `Switched`."""

    BORDER_TITLE = "rules, in their order"
    HELP: ClassVar[str | None] = """
**Clean.** Each rule is one of those that the large data pipelines use; a click leaves it out or applies it. The bars are the
**funnel**: `█` is what is left of the text after a rule, `▒` what it took, in the order in which rules are applied. Below stand
real examples from this text: `[−taken−]` before, `{+added+}` after.

Nothing changes on disk. The rules go with the text to Train, and a run keeps them.
"""
    BINDINGS: ClassVar[list[BindingType]] = described(
        Binding("x,enter", "switch", "Leave out", id="clean.switch", key_display="x", tooltip="Leave out this rule, or apply it"),
        About(synonyms="switch toggle enable disable dedup duplicates ftfy boilerplate emails"),
        Binding("down,j", "select(1)", "Next rule", id="clean.down", show=False, tooltip="The next rule"),
        Binding("up,k", "select(-1)", "Rule before", id="clean.up", show=False, tooltip="The rule before"),
        Binding("pagedown", "select(10)", "Page down", id="clean.page_down", show=False, tooltip="Ten rules down"),
        Binding("pageup", "select(-10)", "Page up", id="clean.page_up", show=False, tooltip="Ten rules up"),
        Binding("home", "select(-100)", "First", id="clean.first", show=False, tooltip="The first rule"),
        Binding("end", "select(100)", "Last", id="clean.last", show=False, tooltip="The last rule"),
    )

    selected: var[int] = var(0)
    """Index into `RULES`."""

    @dataclass
    class Switched(Message):
        """A rule is to be switched on or off."""

        rule: str

    def watch_selected(self, index: int) -> None:
        self.show_line(index + FIRST_RULE, 1)

    def action_select(self, by: int) -> None:
        self.selected = max(0, min(len(RULES) - 1, self.selected + by))

    def action_switch(self) -> None:
        self.post_message(self.Switched(RULES[self.selected].name))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        index = self.line_at(offset.y) - FIRST_RULE if offset is not None else -1
        if 0 <= index < len(RULES):
            self.selected = index
            self.action_switch()


class RuleDetail(PieceLinesView):
    """One rule: its effect, its places, its explanation."""

    BINDINGS = SCROLL_KEYS


class CleanPage(DataPage):
    """Switching a rule answers at once; the numbers follow from a process that reads the text."""

    LINK = PageLink(
        "clean",
        "clean",
        "Clean the text, rule by rule",
        "rules boilerplate duplicates dedup deduplication near-duplicates minhash unicode normalization nfc ftfy "
        "mojibake emails phone gutenberg funnel filter c4 fineweb gopher",
    )
    STEP = 1
    REST = "#rules"
    WORK = ("funnel",)
    PARTS = (RuleList, RuleDetail)
    BINDINGS: ClassVar[list[BindingType]] = described(
        Binding("right,l", "place(1)", "Example", id="clean.place", key_display="←/→", tooltip="Next example of what it changed"),
        About(synonyms="excerpt example before after diff next"),
        Binding("left,h", "place(-1)", "Example before", id="clean.place_before", show=False, tooltip="The example before"),
        Binding("a", "all", "All", id="clean.all", tooltip="All rules on, or back to the usual ones"),
        About(synonyms="every rule default reset"),
        Binding("o", "save", "Save", id="clean.save", tooltip="Save the cleaned text as a file"),
        About(synonyms="export write cleaned text file download"),
        keyless("cancel", "clean.cancel", "Stop reading the text", "Cancel"),
        About(synonyms="stop abort reading"),
        Binding("r", "measure", "Measure", id="clean.measure", tooltip="Read the text again and measure the rules"),
        About(synonyms="funnel count numbers", needs="a text whose rules are not measured"),
    )
    DEFAULT_CSS = """
    CleanPage {
        #clean-body { height: 1fr; width: 1fr; layout: vertical; }
        #rules { height: 1fr; }
        #rule { height: 9; }
    }
    """

    rules: var[tuple[str, ...]] = var(DEFAULT_RULES, init=False)
    """Names of the rules that are on, in the order of application."""
    is_measuring: var[bool] = var(False, bindings=True)
    is_saving: var[bool] = var(False, bindings=True)

    @dataclass
    class RulesChanged(Message):
        """Other rules are on: the change of that number."""

        number: int
        rules: tuple[str, ...]

    @dataclass
    class Measured(Message):
        """The funnel of a text with these rules."""

        text: ChosenText
        rules: tuple[str, ...]
        funnel: Funnel

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0
        self._text: ChosenText | None = None
        self.funnel: Funnel | None = None
        self.place = 0
        self._measured_rules: tuple[str, ...] | None = None
        self._shows_largest = True
        """True until the user chooses a rule: the cursor goes to the one with the largest effect once that is known."""
        self._measuring = DelayedCall(self)

    def compose(self) -> ComposeResult:
        yield StatusLine(id="clean-status")
        with Container(id="clean-body"):
            yield RuleList(id="rules")
            yield RuleDetail(id="rule")

    def on_mount(self) -> None:
        self.watch(self.query_one(RuleList), "selected", self._select, init=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "cancel":
                return self.is_measuring or self.is_saving
            case "measure":
                return self._text is not None and not self.is_measuring and self._measured_rules != self.rules
            case "save":
                return self._text is not None and not self.is_saving
        return True

    def show(self, text: ChosenText | None) -> None:
        rules = text.cleaning if text is not None else self.rules
        is_same = text is not None and self._text is not None and text.as_read == self._text.as_read
        self._text = text
        self.set_reactive(CleanPage.rules, rules)
        if not is_same:
            self._measured_rules = None
            self.funnel = None
            self._shows_largest = True
        if text is None:
            self.hide()
        elif self._measured_rules != rules:
            self._measure_soon()
        self._draw()

    def would_be_lost(self) -> str:
        return "the cleaned text being saved" if self.is_saving else ""

    def go_back(self) -> bool:
        if self.screen.focused is self.query_one(RuleDetail):
            self.query_one(RuleList).focus()
            return True
        if self.is_measuring or self.is_saving:
            self.action_cancel()
            return True
        return False

    @on(RuleList.Switched)
    def _switch(self, message: RuleList.Switched) -> None:
        message.stop()
        self._shows_largest = False
        self.rules = in_order({*self.rules} ^ {message.rule})

    def action_all(self) -> None:
        self._shows_largest = True
        self.rules = DEFAULT_RULES if len(self.rules) == len(RULES) else in_order(rule.name for rule in RULES)

    def watch_rules(self, rules: tuple[str, ...]) -> None:
        self._draw()
        self.changes += 1
        self.post_message(self.RulesChanged(self.changes, rules))
        if self._text is not None:
            self._measure_soon()

    def _select(self) -> None:
        self._shows_largest = False
        self.place = 0
        self.query_one(RuleDetail).top = 0
        self._draw()

    def action_place(self, by: int) -> None:
        self.place += by
        self._draw()

    def _measure_soon(self) -> None:
        self.workers.cancel_group(self, "funnel")  # its numbers would be those of other rules, or of another text
        self._say("…")
        self._measuring.start(SECONDS_OF_TICKING, self.action_measure)

    def action_measure(self) -> None:
        if self._text is not None:
            self.is_measuring = True
            self._measure(self._text, self.rules)

    def hide(self) -> None:
        self._measuring.cancel()
        super().hide()
        self.is_measuring = False

    def action_cancel(self) -> None:
        words = "stopped, nothing was saved" if self.is_saving else "stopped: r measures the rules"
        self.hide()
        self.workers.cancel_group(self, "save")
        self.is_saving = False
        self._say(words)

    @latest("funnel")
    async def _measure(self, text: ChosenText, rules: tuple[str, ...]) -> None:
        try:
            request = FunnelRequest(text.source, text.encoding or None, rules)
            reply = await still_wanted(run_funnel_process(request, self._tell_progress))
        except UserError as error:
            self.is_measuring = False
            self._say(str(error), error=True)
            return
        self.is_measuring = False
        funnel = reply.funnel
        assert funnel is not None
        self._measured_rules = rules
        self.funnel = funnel
        changes = {step.rule: abs(change(step)) for step in funnel.steps}
        if self._shows_largest and any(changes.values()):
            self.query_one(RuleList).selected = max(range(len(RULES)), key=lambda at: changes.get(RULES[at].name, 0))
        self._draw()
        self._say(_summary(funnel))
        self.post_message(self.Measured(text, rules, funnel))

    def _tell_progress(self, done: int, total: int) -> None:
        self._say(f"reading {share_read(done, total)} · Esc stops")

    def _say(self, words: str, *, error: bool = False) -> None:
        self.query_one("#clean-status", StatusLine).say(words, error=error)

    @work(group="ask")
    async def action_save(self) -> None:
        if (text := self._text) is None:
            return
        words = "Where to save the cleaned text? The text that you chose stays as it is."
        ask = AskText("Save the cleaned text", words, _proposed_path(text), refuse=problem_with_path)
        if not (typed := await self.app.push_screen_wait(ask)):
            return
        path = Path(typed.strip()).expanduser()
        replace = path.exists()
        if replace:
            words = f"{path} exists, with {bytes_(path.stat().st_size)}. Its contents would be lost."
            dialog = ConfirmDialog("Replace the file?", words, key="r", yes="replace", by_enter=False)
            if not await self.app.push_screen_wait(dialog):
                return
        self.is_saving = True
        self._save(text, self.rules, path, replace)

    @latest("save")
    async def _save(self, text: ChosenText, rules: tuple[str, ...], path: Path, replace: bool) -> None:
        request = FunnelRequest(text.source, text.encoding or None, rules, str(path.absolute()), replace)
        try:
            reply = await still_wanted(run_funnel_process(request, self._tell_progress))
            self._say(f"saved {bytes_(reply.saved or 0)} as {path}")
        except UserError as error:
            self._say(str(error), error=True)
        self.is_saving = False

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        rules, detail = self.query_one(RuleList), self.query_one(RuleDetail)
        if self._text is None:
            self._say(NO_TEXT)
        state = RuleState(frozenset(self.rules), rules.selected, self.funnel, self._measured_rules == self.rules)
        rules.set_lines(funnel_lines(state, max(40, rules.room)))
        rule = RULES[rules.selected]
        detail.border_title = rule.title
        width = max(20, detail.room)
        notes = self.funnel.notes if self.funnel is not None else ()
        below = [line for note in notes for line in words_lines(note, width, "dim")]
        detail.set_lines([*rule_lines(rule, state, self.place, width, detail.window - len(below)), *below])


def _summary(funnel: Funnel) -> str:
    decoding = f"{funnel.decoding} · " if funnel.decoding else ""
    share = f" ({probability(funnel.kept_bytes / funnel.raw_bytes)})" if funnel.raw_bytes else ""
    return f"{decoding}raw {bytes_(funnel.raw_bytes)} → kept {bytes_(funnel.kept_bytes)}{share}"


def _proposed_path(text: ChosenText) -> str:
    """A name beside the text that nothing has yet: `notes.cleaned.txt`, or `notes.cleaned` for a folder of documents."""
    source = sources_of(text.source)[0]
    path = working_folder() / f"{source.partition(':')[0]}.txt" if is_builtin(source) else path_of(source)
    place = path.parent if path.parent.is_dir() else working_folder()
    ending = "" if text.facts.documents > 1 else ".txt"
    return shown_source(str(place / f"{path.stem or 'text'}.cleaned{ending}"))
