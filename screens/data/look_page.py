"""Look: statistics of the chosen text as pictures, and samples from anywhere in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from lab.core.errors import UserError
from lab.core.number_format import bytes_, probability
from lab.core.visible_text import visible
from lab.data.statistics.text_profile import TextProfile, TextSample, places_of, random_start, read_profile, read_sample
from lab.data.text_source import open_corpus
from screens.about_key import About, described, keyless
from screens.background import in_thread, latest, now_and_then
from screens.blocks.piece_view import BlockPieceView
from screens.data.data_page import NO_TEXT, ChosenText, DataPage
from screens.data.look_layout import LookLine, LookPicture, lay_profile, lay_sample
from screens.widgets.line_scroll_view import SCROLL_KEYS
from screens.widgets.text_fitting import wrap
from screens.widgets.top_bars import PageLink

SECONDS_BETWEEN_PICTURES = 0.5


class LookView(BlockPieceView):
    """The statistics of a text, or a sample of it."""

    HELP: ClassVar[str | None] = """
**Look.** The text as it lies in its files. It is read in one pass, and a large one is drawn on the way.

- *Kinds*: letters by script, from Unicode's names; digits, punctuation and so on by its general categories.
- *Languages*: each section of 500 characters, 512 of a longer text, is told by the library py3langid, which knows how often
  sequences of bytes are in each language. Where it is less sure than 80%, or most signs are no letters, it is unknown.
- *Words*: runs of letters in lower case, of scripts that put spaces between words.
- *Repeats*: passages of 50 or more characters that stood earlier, character for character. Up to 2 million characters they are
  exact; of a longer text a sample of all passages is compared, and the shares are lower bounds.

A click on the map or on a passage shows the text there.
"""
    BINDINGS = SCROLL_KEYS
    DEFAULT_CSS = "LookView > .block--dim { color: $foreground 65%; }"


class LookPage(DataPage):
    """Reads the text in a thread, with pictures on the way; a sample takes its place until escape."""

    LINK = PageLink(
        "look",
        "look",
        "Look at the text: its statistics",
        "statistics characters words lines encoding repeats duplicates scripts languages sample",
    )
    REST = "#look-view"
    WORK = ("look", "sample")
    PARTS = (LookView,)
    BINDINGS: ClassVar[list[BindingType]] = described(
        Binding("space", "sample(1)", "Sample", id="look.sample", tooltip="Text from a random place"),
        About(synonyms="random passage excerpt anywhere read"),
        keyless("sample(-1)", "look.sample_back", "The random sample before this one"),
        Binding("v", "cleaned", "Raw or cleaned", id="look.cleaned", tooltip="The text as it lies in its files, or cleaned"),
        About(synonyms="raw original cleaned statistics"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._text: ChosenText | None = None
        self.profile: TextProfile | None = None
        self._picture = LookPicture()
        self.sample: TextSample | None = None
        self._sample_title = ""
        self._problem = ""
        self._seed = 0
        """Number of the random sample in sight; 0 for none."""
        self._cleaned = False
        """True to look at the text as the chosen rules clean it; False as it lies in its files."""
        self._top = 0

    def compose(self) -> ComposeResult:
        yield LookView(id="look-view")

    def show(self, text: ChosenText | None) -> None:
        if text != self._text:
            self.hide()
            self._text, self.profile, self._problem = text, None, ""
            self._forget_sample()
            self.query_one(LookView).top = 0
        self._draw()
        if text is not None and not self._problem and (self.profile is None or not self.profile.statistics.is_complete):
            self._read(text, self.cleaning)

    @property
    def cleaning(self) -> tuple[str, ...]:
        return self._text.cleaning if self._cleaned and self._text is not None else ()

    def action_cleaned(self) -> None:
        self._cleaned = not self._cleaned
        self.profile, self._problem = None, ""
        self._forget_sample()
        self.hide()
        self.show(self._text)

    def _forget_sample(self) -> None:
        self.workers.cancel_group(self, "sample")
        self.sample, self._seed = None, 0

    def go_back(self) -> bool:
        if self.sample is None:
            return False
        self._forget_sample()
        self._draw()
        self.query_one(LookView).top = self._top
        return True

    @latest("look")
    async def _read(self, text: ChosenText, cleaning: tuple[str, ...]) -> None:
        is_time = now_and_then(SECONDS_BETWEEN_PICTURES)
        profiles = read_profile(text.source, text.encoding or None, lambda progress: is_time(), cleaning)
        try:
            while (profile := await in_thread(next, profiles, None)) is not None:
                self.profile = profile
                self._draw()
        except UserError as error:
            self.profile, self._problem = None, str(error).replace("--encoding", "the encoding")
            self._draw()

    def action_sample(self, by: int) -> None:
        if self._text is None or self.profile is None or self._seed + by < 0:
            return
        self._seed = max(1, self._seed + by)
        total = places_of(self.profile.statistics)
        self._show_sample(self._text, self.cleaning, random_start(total, self._seed), total, f"random sample {self._seed}")

    def on_click(self, event: events.Click) -> None:
        view = self.query_one(LookView)
        offset = event.get_content_offset(view)
        if offset is None or self._text is None or self.profile is None or self.sample is not None:
            return
        line, total = view.line_at(offset.y), places_of(self.profile.statistics)
        passage = self._picture.passages.get(line)
        if passage is not None:
            found = self.profile.statistics.passages[passage]
            start = round(found.places[0] * total)
            self._show_sample(self._text, self.cleaning, start, total, f"repeated passage {passage + 1}")
        elif (place := self._picture.place_at(line, offset.x)) is not None:
            self._show_sample(self._text, self.cleaning, int(place * total), total, "the text here")

    @latest("sample")
    async def _show_sample(self, text: ChosenText, cleaning: tuple[str, ...], start: int, total: int, title: str) -> None:
        is_time = now_and_then(SECONDS_BETWEEN_PICTURES)

        def read() -> TextSample:
            corpus = open_corpus(text.source, text.encoding or None, cleaning=cleaning)
            return read_sample(corpus, start, total, lambda progress: is_time())

        sample, problem = None, ""
        try:
            sample = await in_thread(read)
        except UserError as error:
            problem = str(error)
        view = self.query_one(LookView)
        if self.sample is None:
            self._top = view.top
        self.sample, self._sample_title, self._problem = sample, title, problem
        view.top = 0
        self._draw()

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        view = self.query_one(LookView)
        view.border_title = Text(self._title())
        view.set_lines(self._lines(max(20, view.room)))

    def _title(self) -> str:
        if self.sample is not None:
            return f"{self._sample_title} · esc back"
        state = f"cleaned by {', '.join(self.cleaning) or 'no rule'}" if self._cleaned else "as it lies in its files"
        if self.profile is None:
            return f"the text {state}"
        found = self.profile.statistics
        if found.is_complete:
            return f"{visible(self.profile.name)} · {state}"
        return f"{probability(found.progress, 0)} · {found.stage} · so far {bytes_(found.bytes)}"

    def _lines(self, width: int) -> Sequence[LookLine]:
        if self.sample is not None:
            return lay_sample(self.sample, width)
        if self._text is None:
            return [[(line, "dim")] for line in wrap(NO_TEXT, width)]
        problem: list[LookLine] = [[(line, "wrong")] for line in wrap(self._problem, width)] if self._problem else []
        if self.profile is None:
            return problem or [[("Reading the text …", "dim")]]
        self._picture = lay_profile(self.profile, width)
        return self._picture.lines if not problem else [*problem, [], *self._picture.lines]
