"""The page of the notes, checked: the claims with their verdicts, and the one that is read."""

from __future__ import annotations

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lab.core.errors import UserError
from lab.core.visible_text import visible
from lab.lessons.claim import Claim, Verdict, load_claims
from lab.views.screen_state import ScreenState
from screens.background import in_thread, latest
from screens.learn.claim_reader import ClaimChecks, ClaimReader, ClaimText
from screens.learn.learn_page import ReadingPage, run_in_words
from screens.learn.live.engine_view import LOADING
from screens.learn.live.live_widget import ModelAtHand, model_of
from screens.widgets.text_fitting import fit, wrap
from screens.widgets.top_bars import PageLink

SHORT: dict[Verdict, str] = {"true": "✓ true", "limit": "◐ limit", "not so": "✗ not so", "unchecked": "? unclear"}
"""Mark and word of a verdict in the list."""
RUNNING, WAITING = "… runs", "· waits"
WORD_CELLS = 10
PADDING = 2
"""Columns that the list keeps free of an option's text."""


class ClaimList(OptionList):
    """The claims, each with its verdict."""

    BORDER_TITLE = "claims of a learner's notes on the lecture"
    HELP = "**The claims.** Each is checked on your model, the chosen one first."
    BINDINGS = [
        Binding("j", "cursor_down", "Claim", id="claims.next", key_display="j/k", tooltip="The next claim"),
        Binding("k", "cursor_up", "Previous", id="claims.previous", show=False, tooltip="The claim before"),
        Binding("right,l,space", "select", "Read", id="claims.read", key_display="enter", tooltip="Read the claim"),
        Binding("r", "check_again", "Check again", id="claims.again", tooltip="Run the claim's experiment again"),
    ]

    class Widened(Message):
        """The list has another width."""

    def on_resize(self) -> None:
        self.post_message(self.Widened())

    @property
    def below(self) -> int:
        """Number of claims that end below the lines in sight."""
        end, found = 0, 0
        bottom = round(self.scroll_y) + self.scrollable_content_region.height
        for option in self.options:
            end += len(str(option.prompt).split("\n"))
            found += end > bottom
        return found

    def action_check_again(self) -> None:
        self.post_message(ClaimReader.CheckAgain())


class ClaimsPage(ReadingPage):
    """Narrow screens show the list or the claim, wide ones both. Claims are checked while the page is in sight."""

    LINK = PageLink("claims", "the notes, checked")
    LIST, TEXT = "#claims-list", "#claim-text"
    PARTS = (ClaimList, ClaimReader, ClaimText)

    def __init__(self) -> None:
        super().__init__()
        self.checks: ClaimChecks | None = None
        self._model: ModelAtHand | None = None
        self._opens = ""
        """A claim to open once the claims have been read."""

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield ClaimList(id="claims-list")
            yield ClaimReader()

    @property
    def reader(self) -> ClaimReader:
        return self.query_one(ClaimReader)

    @property
    def choices(self) -> ClaimList:
        return self.query_one(ClaimList)

    @property
    def claims(self) -> list[Claim]:
        return self.checks.claims if self.checks is not None else []

    @property
    def is_settled(self) -> bool:
        return self.checks is not None and self._model is not None and self.checks.is_idle

    def on_mount(self) -> None:
        self.watch(self, "run", self._follow_run)
        self.watch(self.choices, "scroll_y", self._mark_rest, init=False)
        self.watch(self.app, "language", self._follow_language, init=False)

    def watch_is_shown(self, is_shown: bool) -> None:
        if is_shown and self.checks is None:
            self._read_claims()
        elif self.checks is not None:
            self.checks.go_on(is_shown)

    def _follow_language(self) -> None:
        """Read and check the claims anew, in the language in use."""
        if self.checks is not None:
            self._opens = self.screen_state().claim
            self.checks.go_on(False)
            self.checks = None
            if self.is_shown:
                self._read_claims()

    @latest("claims")
    async def _read_claims(self) -> None:
        claims: list[Claim] = []
        try:
            claims = await in_thread(load_claims)
        except UserError as error:
            self.reader.say(str(error), error=True)
        self.checks = ClaimChecks(self.engine, claims, self._changed)
        self.choices.clear_options()
        self.choices.add_options([Option(self._line(claim), claim.name) for claim in self.claims])
        if self._model is not None:
            self.checks.use_model(self._model)
        if self._opens:
            self._open(self._opens)
        elif self.claims:
            self.choices.highlighted = 0
        self.checks.go_on(self.is_shown)

    @latest("model")
    async def _follow_run(self, name: str) -> None:
        self._model = await in_thread(model_of, name)
        if self.checks is not None:
            self.checks.use_model(self._model)

    @on(ClaimList.Widened)
    def _changed(self) -> None:
        """Show the verdicts as they are now."""
        if (checks := self.checks) is None:
            return
        for at, claim in enumerate(checks.claims):
            line = self._line(claim)
            if self.choices.get_option_at_index(at).prompt != line:
                self.choices.replace_option_prompt_at_index(at, line)
        self._mark_rest()
        self._show_claim()
        if checks.problem:
            self.reader.say(checks.problem, error=True)
        elif checks.running and self.engine.is_loading:
            self.reader.say(LOADING)
        elif checks.running:
            self.reader.say(f"Checking on the model… {len(checks.claims) - len(checks.results)} to go")
        else:
            self.reader.say("")

    def _mark_rest(self) -> None:
        """Tell below the list how many claims are checked, and how many are below those in sight."""
        checks = self.checks
        if checks is None:
            return
        on = f" on {visible(checks.model.run)}" if checks.model is not None else ""
        rest = f" · ↓ {self.choices.below} more" if self.choices.below else ""
        self.choices.border_subtitle = Text(f"{len(checks.results)} of {len(checks.claims)} checked{on}{rest}")

    def _line(self, claim: Claim) -> Text:
        """A claim as a line of the list: the verdict's mark and word, then the claim."""
        checks = self.checks
        checked = checks.results.get(claim.name) if checks is not None else None
        word = RUNNING if checks is not None and checks.running == claim.name else WAITING
        if checked is not None:
            word = SHORT[checked.verdict]
        room = self.choices.scrollable_content_region.width - WORD_CELLS - PADDING
        title = f"\n{' ' * WORD_CELLS}".join(wrap(claim.title, max(WORD_CELLS, room)))
        return Text.assemble((fit(word, WORD_CELLS), "bold" if checked is not None else "dim"), title)

    @property
    def chosen(self) -> Claim | None:
        """The claim under the cursor of the list."""
        at = self.choices.highlighted
        return self.claims[at] if at is not None and at < len(self.claims) else None

    def _show_claim(self) -> None:
        claim, checks = self.chosen, self.checks
        if claim is None or checks is None:
            return
        place = f"claim {self.claims.index(claim) + 1} of {len(self.claims)}"
        checked = checks.results.get(claim.name)
        run = run_in_words(self._model.run, self.lab) if self._model is not None else ""
        self.reader.show(claim, place, checked, is_running=checks.running == claim.name, run=run)

    @on(OptionList.OptionHighlighted)
    def _highlighted(self) -> None:
        claim = self.chosen
        if claim is not None and self.checks is not None:
            self.checks.look_at(claim.name)
            self._show_claim()

    @on(OptionList.OptionSelected)
    def _read(self) -> None:
        self.add_class("-reading")
        self.reader.take_focus()

    @on(ClaimReader.Turned)
    def _turn(self, message: ClaimReader.Turned) -> None:
        at = (self.choices.highlighted or 0) + message.by
        if 0 <= at < len(self.claims):
            self.choices.highlighted = at
        else:
            self.close_reading()

    @on(ClaimReader.CheckAgain)
    def _check_again(self) -> None:
        if self.chosen is not None and self.checks is not None:
            self.checks.check_again(self.chosen.name)

    def _open(self, name: str) -> None:
        self._opens = ""
        at = next((at for at, claim in enumerate(self.claims) if claim.name == name), None)
        if at is not None:
            self.choices.highlighted = at
            self._read()

    def screen_state(self) -> ScreenState:
        name = self.chosen.name if self.chosen is not None and self.has_class("-reading") else ""
        return ScreenState(mode="learn", page=self.LINK.name, run=self.run, claim=name)

    def restore_state(self, state: ScreenState) -> None:
        if state.claim and self.checks is not None:
            self._open(state.claim)
        else:
            self._opens = state.claim
