"""Split: the training and the validation part of the chosen text, and the windows that a model is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Label

from lab.core.errors import UserError
from lab.core.number_format import bytes_, probability
from lab.planning.sequence_preview import SplitRequest, TextSplit, TrainingTokens, run_split_process, tokenize_start
from models.config import DEFAULT_PRESET, PRESETS, TokenizerKind
from models.tokenizers.gpt2_vocabulary_files import VocabularyError
from screens.about_key import About, described
from screens.background import in_thread, latest, still_wanted
from screens.data.data_page import NO_TEXT, ChosenText, DataPage
from screens.data.split_layout import size_lines, split_lines, window_lines, window_title
from screens.widgets.choice import Choice
from screens.widgets.line_scroll_view import SCROLL_KEYS
from screens.widgets.page_bar import PageLink
from screens.widgets.piece_lines import PieceLine, PieceLinesView, words_lines

KINDS: tuple[TokenizerKind, ...] = ("bpe", "gpt2", "bytes")
READING = "Reading the text …"


class SplitView(PieceLinesView):
    """The split, the sizes and a window, or as many as fit, one under the other. Posts `Moved` to show another window."""

    BORDER_TITLE = "from text to training windows"
    HELP: ClassVar[str | None] = """
**Split.** The text is cut once: its first nine tenths train the model, the last tenth only measures it (validation loss). The
border is moved a little, to the next document, paragraph or line. What of the validation part also stands in the training part
is no new text to the model; the form of a new run offers other parts. Several files are joined with the token `<|endoftext|>`
between each two, which tells the model that a new text begins.

**Windows.** The training tokens are cut into windows as long as the model's context. The *target* is the *input* moved on by one
token: at every position the model predicts the next one. Each epoch cuts the windows from its own offset and shuffles them.
"""
    BINDINGS: ClassVar[list[BindingType]] = described(
        Binding("right,l", "move(1)", "Window", id="split.next", key_display="←/→", tooltip="The next training window"),
        About(synonyms="window input target shifted batch sequence"),
        Binding("left,h", "move(-1)", "Window before", id="split.previous", show=False, tooltip="The training window before"),
        Binding("}", "move(100)", "100 on", id="split.far", key_display="{ }", tooltip="A hundred windows on"),
        About(rank=110),
        Binding("{", "move(-100)", "100 back", id="split.far_back", show=False, tooltip="A hundred windows back"),
        *SCROLL_KEYS,
    )

    @dataclass
    class Moved(Message):
        """Another window is wanted."""

        by: int

    def action_move(self, by: int) -> None:
        self.post_message(self.Moved(by))


class SplitPage(DataPage):
    """Reads the split of the text once, in a process of its own, and its tokens once per tokenizer, in a thread."""

    LINK = PageLink(
        "split",
        "split",
        "Split the text for training and validation",
        "validation train window sequence target documents chinchilla parameters end-of-text",
    )
    STEP = 2
    REST = "#split-view"
    PARTS = (SplitView,)
    BINDINGS: ClassVar[list[BindingType]] = described(
        Binding("c", "turn('kind')", "Tokenizer", id="split.tokenizer", tooltip="Compare tokenizers: split with the next one"),
        About(synonyms="bpe bytes gpt2 vocabulary"),
        Binding("m", "turn('preset')", "Model", id="split.model", tooltip="Cut windows for another model"),
        About(synonyms="preset size parameters context"),
        Binding("v", "ids", "Ids", id="split.ids", tooltip="The windows as token ids, or as tokens"),
        About(synonyms="numbers integers token ids"),
    )
    DEFAULT_CSS = """
    SplitPage {
        #split-choices { height: 1; padding: 0 2; }
        #split-choices Label { width: auto; margin: 0 1 0 0; color: $text-muted; }
        #split-choices Choice { margin: 0 3 0 0; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._text: ChosenText | None = None
        self._split: TextSplit | None = None
        self.tokens: TrainingTokens | None = None
        self.window = 0
        self.as_ids = False
        self._problem = ""
        self._progress = READING

    def compose(self) -> ComposeResult:
        with Horizontal(id="split-choices"):
            yield Label("c tokenizer")
            yield Choice(KINDS, KINDS[0], id="split-kind", tooltip="The tokenizer of the run")
            yield Label("m model")
            yield Choice(list(PRESETS), DEFAULT_PRESET, id="split-preset", tooltip="The model's preset")
        yield SplitView(id="split-view")

    @property
    def kind(self) -> TokenizerKind:
        value = self.query_one("#split-kind", Choice).value
        return next(kind for kind in KINDS if kind == value)

    @property
    def preset(self) -> str:
        return self.query_one("#split-preset", Choice).value

    @property
    def context(self) -> int:
        return PRESETS[self.preset].context

    def show(self, text: ChosenText | None) -> None:
        if text and self._text and text.key == self._text.key and (self._split is not None or self._problem):
            self._draw()
            return
        self.hide()
        self._text, self._split, self.tokens, self._problem = text, None, None, ""
        self._progress = READING
        self.window = 0
        self._draw()
        if text is not None:
            self._read(text)

    def hide(self) -> None:
        self.workers.cancel_group(self, "split")
        self.workers.cancel_group(self, "tokens")

    @latest("split")
    async def _read(self, text: ChosenText) -> None:
        request = SplitRequest(text.source, text.encoding or None, text.cleaning)
        try:
            self._split = await still_wanted(run_split_process(request, self._tell_progress))
        except UserError as error:
            self._problem = str(error)
        self._draw()
        self._tokenize_now()

    def _tell_progress(self, done: int, total: int) -> None:
        self._progress = f"Reading the text: {probability(done / total, 0) if total else '…'} of {bytes_(total)} …"
        self._draw()

    def _tokenize_now(self) -> None:
        self.tokens = None
        if self._split is not None:
            self._tokenize(self._split, self.kind, self.preset)

    @latest("tokens")
    async def _tokenize(self, split: TextSplit, kind: TokenizerKind, preset: str) -> None:
        self._problem = ""
        try:
            self.tokens = await in_thread(tokenize_start, split, kind, preset)
        except (UserError, VocabularyError) as error:
            self._problem = str(error)
        self.window = 0
        self._draw()

    @on(Choice.Changed)
    def _choice_changed(self, event: Choice.Changed) -> None:
        event.stop()
        if event.choice.id == "split-preset" and self.kind != "bpe" and self.tokens is not None:
            self.window = 0
        else:
            self._problem = ""
            self._tokenize_now()
        self._draw()

    @on(SplitView.Moved)
    def _move(self, message: SplitView.Moved) -> None:
        if self.tokens is not None:
            last = max(0, self.tokens.windows_to_show(self.context) - 1)
            self.window = max(0, min(last, self.window + message.by))
            self._draw()

    def action_ids(self) -> None:
        self.as_ids = not self.as_ids
        self._draw()

    def action_turn(self, what: str) -> None:
        self.query_one(f"#split-{what}", Choice).action_turn(1)

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        view = self.query_one(SplitView)
        view.set_lines(self._lines(max(20, view.room), view.window))

    def _lines(self, width: int, height: int) -> list[PieceLine]:
        if self._text is None:
            return words_lines(NO_TEXT, width, "dim")
        if self._split is None:
            return words_lines(self._problem or self._progress, width, "wrong" if self._problem else "dim")
        lines = [*split_lines(self._split, width), []]
        if self.tokens is None:
            return [*lines, *words_lines(self._problem or "Tokenizing …", width, "wrong" if self._problem else "dim")]
        lines += [*size_lines(self.tokens, self.preset, width), []]
        windows = self.tokens.windows_to_show(self.context)
        for window in range(self.window, max(self.window + 1, windows)):
            shown = words_lines(window_title(self.tokens, window, self.context), width, "title") if windows else []
            shown += [*window_lines(self.tokens, window, self.context, width, as_ids=self.as_ids), []]
            if window > self.window and len(lines) + len(shown) - 1 > height:
                break
            lines += shown
        return lines[:-1]
