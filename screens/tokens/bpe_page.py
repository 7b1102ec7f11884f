"""Learn BPE: the merges of a byte-pair encoding being learned on the user's own text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.reactive import reactive, var
from textual.timer import Timer

from lab.core.errors import UserError
from screens.about_key import About, described, keyless
from screens.background import in_thread, latest, paced
from screens.plot.figure import Figure, Series
from screens.plot.plot_widget import LinePlot
from screens.tokens.bpe_widgets import MergeList, PairList, TextStrip
from screens.tokens.tokens_page import SourceLine, TokensPage
from screens.widgets.status_line import StatusLine
from screens.widgets.top_bars import PageLink

if TYPE_CHECKING:
    from lab.tokenization.bpe_session import BpeSession, BpeState

Source = Literal["text", "run", "box"]
"""The text in use, the text of the current run, or what is typed into the text box."""


UNITS = ((1_000_000, ", millions"), (1_000, ", thousands"), (1, ""))
"""Units of the tokens, and their names in the legend."""
BYTES = 256

SLICE_SECONDS = 0.06
TICK_SECONDS = 0.25
ALL_STEPS = 1 << 60
FASTER_EVERY = 50
"""Merges after which playing makes one more merge a step: later ones change less of the text."""
WIDE = 110
"""Columns from which merges and curve stand side by side."""

KEYS: list[BindingType] = described(
    Binding("enter,l,right", "step(1)", "Merge", id="bpe.merge", key_display="⏎", tooltip="Merge the most common pair"),
    About(synonyms="learn pair bpe most frequent next step"),
    Binding("space", "play", "Play", id="bpe.play", tooltip="Merge again and again, or pause"),
    About(synonyms="animate run watch training learn bpe pause"),
    Binding("plus", "step(10)", "Ten", id="bpe.ten", key_display="+ -", tooltip="Ten merges"),
    About(synonyms="merge ten pairs learn bpe"),
    Binding("minus", "step(-10)", "Ten back", id="bpe.ten_back", show=False, tooltip="Undo ten merges"),
    Binding("u,h,left,backspace", "step(-1)", "Undo", id="bpe.back", key_display="u", tooltip="Undo the last merge"),
    About(synonyms="unmerge previous step back"),
    Binding("n", "source", "New text", id="bpe.source", tooltip="New text to learn from: in use, the run's, or the text box"),
    About(synonyms="text file corpus learn from"),
    Binding("v", "merges", "Merges", id="bpe.merges", tooltip="The merges so far, or the curve"),
    About(synonyms="list learned rules ranks curve"),
    keyless("step(100)", "bpe.hundred", "A hundred merges"),
    About(synonyms="merge hundred pairs learn bpe"),
    keyless("restart", "bpe.restart", "Undo all merges: the text as bytes"),
    About(synonyms="reset start over zero bytes"),
)


class BpePage(TokensPage):
    """Pair counts at the left, the curve and the merges at the right, the text below."""

    LINK = PageLink("bpe", "learn BPE", synonyms="merges learn train pairs byte-pair encoding")
    REST = "#bpe-pairs"
    PARTS = (PairList, MergeList, TextStrip)
    FOLLOWS_TOKENIZER = False
    HELP = (
        "**Learn BPE.** A text starts as bytes. The most common pair of neighbouring tokens becomes a new token, again and "
        "again, but never across the border of a word, which takes along the space before it. A run's own tokenizer is learned "
        "in the same way from the same part of the text, and has the same merges."
    )
    DEFAULT_CSS = """
    BpePage {
        #bpe-upper { height: 3fr; min-height: 5; }
        #bpe-strip { height: 2fr; min-height: 4; }
        #bpe-pairs, #bpe-right { width: 1fr; }
        #bpe-right { layout: horizontal; }
        #bpe-curve-box { width: 1fr; height: 1fr; border: round $foreground 30%; border-title-color: $foreground 90%; }
        #bpe-curve { height: 1fr; }
        #bpe-merges { width: 1fr; height: 1fr; }
        #bpe-merges, #bpe-parts { display: none; }
        &.-merges #bpe-merges, &.-merges #bpe-parts { display: block; }
        &.-merges #bpe-curve-box { display: none; }
        &.-wide-page #bpe-merges, &.-wide-page #bpe-parts, &.-wide-page #bpe-curve-box { display: block; }
        &.-wide-page #bpe-right { width: 2fr; }
    }
    """
    BINDINGS = KEYS

    wanted = 0
    """Number of the newest text asked for."""

    source: var[Source | None] = var[Source | None](None)
    """The text that is learned from; None until the page is opened."""
    playing: var[bool] = var(False)
    shows_merges: reactive[bool] = reactive(False, toggle_class="-merges", repaint=False)

    def __init__(self) -> None:
        super().__init__()
        self.session: BpeSession | None = None
        self._opened: tuple[object, ...] | None = None
        self._reading = False
        self._moving = False
        self._steps = 0
        """Merges still to make, or steps back for a negative number."""
        self._is_cancelled = False
        """True if what the slice on its way leaves over is not to be done."""
        self._run_tokens: tuple[bytes, ...] = ()
        self._run = ""
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield SourceLine("learn from", id="bpe-sources")
        yield StatusLine(id="bpe-counts")
        yield StatusLine(most_lines=2, id="bpe-next")
        with Horizontal(id="bpe-upper"):
            yield PairList(id="bpe-pairs")
            with Horizontal(id="bpe-right"):
                yield MergeList(id="bpe-merges")
                with Vertical(id="bpe-curve-box") as box:
                    box.border_title = "tokens left"
                    yield LinePlot(id="bpe-curve")
        yield StatusLine(most_lines=2, id="bpe-parts")
        yield TextStrip(id="bpe-strip")

    def on_mount(self) -> None:
        self._timer = self.set_interval(TICK_SECONDS, self._tick, pause=True)
        self.watch(self.query_one(MergeList), "cursor", self._show_parts, init=False)
        self.watch(self.app, "text_source", self._text_chosen, init=False)
        for name in ("text_encoding", "text_cleaning", "run_name"):
            self.watch(self.app, name, self._text_changed, init=False)

    def on_resize(self) -> None:
        self.set_class(self.size.width >= WIDE, "-wide-page")
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool:
        """False for the choice between merges and curve where there is room for both."""
        return action != "merges" or not self.has_class("-wide-page")

    @property
    def state(self) -> BpeState | None:
        """Everything to see now; None before a text has been read."""
        return self.session.state if self.session else None

    @property
    def is_settled(self) -> bool:
        return not self._reading and not self._moving and not self._steps

    def watch_is_shown(self) -> None:
        if not self.is_shown:
            self.playing = False
        self._open()

    def _text_changed(self) -> None:
        if self.source is not None:
            self._open()

    watch_text = _text_changed

    def _text_chosen(self) -> None:
        if self.source is not None and self.lab.text_source:
            self.source = "text"
        elif self.source == "text":
            self.source = "run"
        self._text_changed()

    def watch_source(self) -> None:
        self._name_sources()
        self._open()

    def _open(self) -> None:
        if not self.is_shown or not self.is_mounted:
            return
        if self.source is None:
            self.source = "text" if self.lab.text_source else "run"
            return
        self._name_sources()
        wanted: tuple[Source, str, str, tuple[str, ...], str]
        match self.source:
            case "text":
                wanted = (self.source, self.lab.text_source, self.lab.text_encoding, self.lab.text_cleaning, "")
            case "run":
                wanted = (self.source, self.lab.run_name, "", (), "")
            case "box":
                wanted = (self.source, "", "", (), self.text)
        if wanted == self._opened:
            return
        self._opened = wanted
        self.wanted += 1
        self.playing, self._steps, self._reading = False, 0, True
        self._run_tokens, self._run = (), self.lab.run_name
        self.session = None
        self._show()
        self.query_one("#bpe-counts", StatusLine).say("reading the text")
        self._read(*wanted)

    def _names(self) -> dict[Source, str]:
        """The texts to learn from. The text in use is left out while there is none."""
        name = self.lab.text_source.split("\n", 1)[0].rstrip("/").rsplit("/", 1)[-1]  # of its first file or folder
        text: dict[Source, str] = {"text": f"text {name}"} if name else {}
        return {**text, "run": f"run {self.lab.run_name}'s text", "box": "the text box"}

    def _name_sources(self) -> None:
        if self.is_mounted:
            self.query_one(SourceLine).show(self._names(), self.source)

    @on(SourceLine.Chosen)
    def _source_clicked(self, event: SourceLine.Chosen) -> None:
        event.stop()
        self.source = event.source

    def _show_share(self, number: int, share: float) -> None:
        if self._reading and number == self.wanted:
            self.query_one("#bpe-counts", StatusLine).say(f"counting the words of the text: {share:.0%}")

    @latest("bpe-open")
    async def _read(self, source: Source, name: str, encoding: str, cleaning: tuple[str, ...], text: str) -> None:
        """Count the words of a text, and read the vocabulary that the run learned from it."""
        number = self.wanted
        report = paced(lambda share: self.call_later(self._show_share, number, share))

        def read() -> tuple[BpeSession, tuple[bytes, ...]]:
            from lab.tokenization.bpe_session import BpeSession
            from lab.tokenization.learnable_text import read_run_text, read_training_part, whole_text

            run_tokens: tuple[bytes, ...] = ()
            match source:
                case "text":
                    learnable = read_training_part(name, encoding or None, report, cleaning=cleaning)
                case "run":
                    learnable, run_tokens = read_run_text(name, report)
                case "box":
                    learnable = whole_text("the text in the box", text)
            return BpeSession(learnable), run_tokens

        try:
            self.session, self._run_tokens = await in_thread(read)
        except UserError as error:
            self._reading, self._steps = False, 0
            self.query_one("#bpe-counts", StatusLine).say(str(error), error=True)
            return
        self._reading = False
        self._show()
        self._go_on()

    def action_step(self, steps: int) -> None:
        if steps < 0:
            self.playing = False
        if self.session is None and not self._reading:
            self._open()
            return
        self._steps += steps
        self._go_on()

    def action_restart(self) -> None:
        self.playing = False
        self._steps, self._is_cancelled = -ALL_STEPS if self.state else 0, True
        self._go_on()

    def _go_on(self) -> None:
        if self.session is None or self._moving or not self._steps:
            return
        steps, self._steps = self._steps, 0
        self._moving, self._is_cancelled = True, False
        self._merge(self.session, steps)

    @work(group="bpe-move")
    async def _merge(self, session: BpeSession, steps: int) -> None:
        """Merge, or step back for a negative number, for the time of a slice. Never twice at once for the same session."""
        left = await in_thread(session.move, steps, SLICE_SECONDS)
        self._moving = False
        if session is self.session:
            self._steps += 0 if self._is_cancelled else left
            if not left and not session.state.pairs:
                self._steps, self.playing = min(0, self._steps), False
            self._show()
        self._go_on()

    def action_play(self) -> None:
        self.playing = not self.playing and bool(self.state and self.state.pairs)

    def watch_playing(self) -> None:
        if self._timer is None:
            return
        if self.playing:
            self._timer.resume()
        else:
            self._timer.pause()
        self._say_counts()

    def _tick(self) -> None:
        if not self.playing:
            return  # a tick that was on its way when it was paused
        if not self.screen.is_current:
            self.playing = False
        elif self.state and not self._moving and not self._steps:
            self.action_step(1 + len(self.state.merges) // FASTER_EVERY)

    def action_source(self) -> None:
        there = list(self._names())
        self.source = there[(there.index(self.source) + 1) % len(there)] if self.source in there else there[0]

    def action_merges(self) -> None:
        self.shows_merges = not self.shows_merges
        self.query_one("#bpe-merges" if self.shows_merges else "#bpe-pairs").focus()

    def go_back(self) -> bool:
        if self._reading:
            self._reading, self._opened = False, None
            self.workers.cancel_group(self, "bpe-open")
            self.query_one("#bpe-counts", StatusLine).say("Reading was cancelled; enter reads again, n takes another text.")
            return True
        if self.playing or not self.is_settled:
            self.playing, self._steps, self._is_cancelled = False, 0, True
            return True
        return False

    def _show(self) -> None:
        state = self.state
        self.query_one(PairList).show(state)
        self.query_one(MergeList).show(state)
        self._show_parts()
        self.query_one(TextStrip).show(state)
        self.query_one(LinePlot).figure = tokens_left(state, self.wanted) if state else None
        self._say_counts()

    def _say_counts(self) -> None:
        state = self.state
        following = self.query_one("#bpe-next", StatusLine)
        if state is None:
            following.left = ""
            return
        from lab.tokenization.bpe_session import agreement_sentence

        counts = self.query_one("#bpe-counts", StatusLine)
        counts.say(state.counts_sentence)
        counts.mark = "▶" if self.playing else ""
        counts.right = (state.text_sentence,)
        agreement = f" {agreement_sentence(state, self._run_tokens, self._run)}" if self._run_tokens else ""
        following.left = state.next_sentence + agreement

    def _show_parts(self) -> None:
        self.query_one("#bpe-parts", StatusLine).left = self.query_one(MergeList).parts


def tokens_left(state: BpeState, text: int) -> Figure:
    """A point per merge, from the bytes of the text on. `text` tells one text from another."""
    unit, words = next(((unit, words) for unit, words in UNITS if state.text_bytes >= 10 * unit), UNITS[-1])
    sizes = [float(BYTES + number) for number in range(len(state.merges) + 1)]
    left = [state.text_bytes / unit, *(merge.tokens_left / unit for merge in state.merges)]
    series = Series(f"tokens of the text{words}", f"tokens{words}", "line", "train", sizes, left)
    shown = (series,) if state.merges else ()
    return Figure(shown, (text, len(state.merges)), "vocabulary", empty="The curve begins with the first merge.")
