"""Split: the training and the validation part of the chosen text, and the windows that a model is trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Label

from lab.core.errors import UserError
from lab.core.number_format import bytes_, count, counted, probability, significant, whole
from lab.core.visible_text import visible
from lab.data.statistics.copied_share import describe_copied
from lab.planning.sequence_preview import (
    COMPUTE_OPTIMAL,
    SplitRequest,
    TextSplit,
    TrainingTokens,
    compute_optimal_sentence,
    run_split_process,
    tokenize_start,
    windows_per_epoch,
)
from models.config import DEFAULT_PRESET, END_OF_TEXT, PRESETS, TokenizerKind
from models.parameter_count import parameter_count
from models.tokenizers.gpt2_vocabulary_files import VocabularyError
from screens.about_key import About, described
from screens.background import in_thread, latest, still_wanted
from screens.data.data_page import NO_TEXT, ChosenText, DataPage, share_read
from screens.widgets.choice import Choice
from screens.widgets.line_scroll_view import SCROLL_KEYS
from screens.widgets.piece_lines import LINE_END, PieceLine, PieceLinesView, words_lines
from screens.widgets.text_fitting import Piece, fit, tail
from screens.widgets.top_bars import PageLink

TRAIN, VALIDATION = "█", "▒"
SHORTEST_NAME = 16
LABEL = 10
LONGEST_TOKEN = 18
RATIOS = (0.01, 1000.0)
"""Ends of the scale of tokens per parameter."""


def split_lines(of: TextSplit, width: int) -> list[PieceLine]:
    """The documents in a row, the text's length with its border, the text on both sides of it, and the share that is on both."""
    cells = max(8, width - 2)
    border = min(cells - 1, max(1, round(of.split / max(1, of.bytes) * cells)))
    share = probability(of.split / max(1, of.bytes))
    left = f"training {counted(of.split, 'byte')}, {share}"
    right = f"validation {whole(of.bytes - of.split)}"
    lines: list[PieceLine] = [documents_line(of, width)]
    if len(of.starts) > 1:
        marks = [" "] * cells
        for start in of.starts[1:]:
            marks[min(cells - 1, round(start / of.bytes * cells))] = "╷"
        lines.append([(" " + "".join(marks), "dim")])
    lines.append([("▕", "dim"), (TRAIN * border, "train"), (VALIDATION * (cells - border), "val"), ("▏", "dim")])
    gap = width - 1 - cell_len(left) - cell_len(right)
    lines.append([(f" {left}", "train"), (" " * max(1, gap), ""), (right, "val")])
    half = (width - 3) // 2
    before, after = of.before.replace("\n", LINE_END), of.after.replace("\n", LINE_END)
    shown = fit(f"…{tail(visible(before), half - 1)}" if before else "", half, "right")
    lines.append([(shown, "text"), (" ┃ ", "title"), (fit(after, half), "text")])
    return lines + (words_lines(f"{words}.", width, "dim") if (words := describe_copied(of.copied)) else [])


def documents_line(of: TextSplit, width: int) -> PieceLine:
    """The first documents with the token between them, as many as fit."""
    number = len(of.documents)
    if number == 1:
        return [("one document, so no end-of-text token", "dim")]
    line: list[Piece] = [(f"{whole(number)} documents ", "dim")]
    used = cell_len(line[0][0])
    for at, document in enumerate(of.documents):
        name = document.name if cell_len(document.name) <= SHORTEST_NAME else f"{document.name[: SHORTEST_NAME - 1]}…"
        name = f"{fit(name, cell_len(name))} {bytes_(document.bytes)}"
        token = f" {END_OF_TEXT} " if at else ""
        if used + cell_len(token) + cell_len(name) + 2 > width:
            line.append((f"{token.rstrip()} …" if used + cell_len(token) + 2 <= width else " …", "dim"))
            break
        line += [(token, "key"), (name, "text")]
        used += cell_len(token) + cell_len(name)
    return line


def size_lines(tokens: TrainingTokens, preset: str, width: int) -> list[PieceLine]:
    """Tokens, windows and parameters, and the tokens per parameter on a scale with Chinchilla's."""
    config = tokens.model(preset)
    about = "" if tokens.text.is_whole else "about "
    parameters = parameter_count(config)
    windows = windows_per_epoch(tokens.train_tokens, config.context)
    ratio = tokens.train_tokens / parameters
    facts = [
        f"{about}{whole(tokens.train_tokens)} training tokens in {about}{whole(windows)} windows of {config.context} an epoch",
        f"{preset}: {count(parameters)} parameters, {significant(ratio)} tokens per parameter in one epoch",
    ]
    lines: list[PieceLine] = []
    joined = " · ".join(facts)
    lines += [[(joined, "title")]] if cell_len(joined) <= width else [[(fit(fact, width), "title")] for fact in facts]
    lines.append(ratio_scale(ratio, width))
    lines += words_lines(compute_optimal_sentence(tokens.train_tokens, config), width, "dim")
    return lines


def ratio_scale(ratio: float, width: int) -> PieceLine:
    """A logarithmic scale of tokens per parameter with this text's place and Chinchilla's; an arrow beyond its ends."""
    low, high = (math.log10(end) for end in RATIOS)
    left, right = f"{RATIOS[0]:g} ", f" {RATIOS[1]:,.0f} tokens per parameter"
    cells = max(20, min(72, width - cell_len(left) - cell_len(right)))

    def place(value: float) -> int:
        return round((min(high, max(low, math.log10(max(value, 1e-9)))) - low) / (high - low) * (cells - 1))

    row = ["─"] * cells
    mark = place(COMPUTE_OPTIMAL)
    row[mark] = "┼"
    words = f"{COMPUTE_OPTIMAL:.0f}"
    at = place(ratio)
    if not mark < at <= mark + len(words) and mark + len(words) < cells:
        row[mark + 1 : mark + 1 + len(words)] = words
    sign = "◂" if ratio < RATIOS[0] else "▸" if ratio > RATIOS[1] else "●"
    row[at] = sign
    return [(left, "dim"), ("".join(row[:at]), "mark"), (sign, "title"), ("".join(row[at + 1 :]), "mark"), (right, "dim")]


def window_title(tokens: TrainingTokens, index: int, context: int) -> str:
    shown = tokens.windows_to_show(context)
    of = whole(shown) if tokens.text.is_whole else f"the first {whole(shown)}"
    start = index * context
    return (
        f"window {whole(index + 1)} of {of} ←/→ · tokens {whole(start + 1)} to {whole(start + context)} · position t predicts t+1"
    )


def window_lines(tokens: TrainingTokens, index: int, context: int, width: int, *, as_ids: bool) -> list[PieceLine]:
    """A window as rows of position, input and target: the target is the input moved on by one token."""
    if not tokens.windows_to_show(context):
        return words_lines(f"The training part has fewer than {context + 1} tokens: not one window of {context}.", width, "wrong")
    window = tokens.window(index, context)
    names = [str(id) if as_ids else tokens.tokenizer.label(id) for id in window]
    cells = [fit(name, min(cell_len(name), LONGEST_TOKEN)) for name in names]
    lines: list[PieceLine] = []
    at = 0
    while at < len(window) - 1:
        widths: list[int] = []
        room = width - LABEL
        while at + len(widths) < len(window) - 1:
            place = at + len(widths)
            wide = max(cell_len(cells[place]), cell_len(cells[place + 1]), len(str(place + 1)))
            if widths and sum(widths) + len(widths) + wide > room:
                break
            widths.append(min(wide, room))
        lines += [
            _row("position", [str(at + place + 1) for place in range(len(widths))], widths, "dim"),
            _row("input", cells[at : at + len(widths)], widths, "text"),
            _row("target", cells[at + 1 : at + 1 + len(widths)], widths, "val"),
            [],
        ]
        at += len(widths)
    return lines[:-1]


def _row(label: str, texts: Sequence[str], widths: Sequence[int], kind: str) -> PieceLine:
    pieces: list[Piece] = [(fit(label, LABEL), "dim")]
    for number, (text, width) in enumerate(zip(texts, widths, strict=True)):
        pieces += [("│" if number else "", "mark"), (fit(text, width), kind)]
    return pieces


KINDS: tuple[TokenizerKind, ...] = ("bpe", "gpt2", "bytes")
READING = "Reading the text …"


class SplitView(PieceLinesView):
    """The split, the sizes and a window, or as many as fit, one under the other."""

    BORDER_TITLE = "from text to training windows"
    HELP: ClassVar[str | None] = """
**Split.** The text is cut once: its first nine tenths train the model, the last tenth only measures it (validation loss). The
border is moved a little, to the next document, paragraph or line. What of the validation part also stands in the training part
is no new text to the model; the form of a new run offers other parts. Several files are joined with the token `<|endoftext|>`
between each two, which tells the model that a new text begins.

**Windows.** The training tokens are cut into windows as long as the model's context. The *target* is the *input* moved on by one
token: at every position the model predicts the next one. Each epoch cuts the windows from its own offset and shuffles them.
"""
    BINDINGS = SCROLL_KEYS


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
    WORK = ("split", "tokens")
    PARTS = (SplitView,)
    BINDINGS: ClassVar[list[BindingType]] = described(
        Binding("right,l", "move(1)", "Window", id="split.next", key_display="←/→", tooltip="The next training window"),
        About(synonyms="window input target shifted batch sequence"),
        Binding("left,h", "move(-1)", "Window before", id="split.previous", show=False, tooltip="The training window before"),
        Binding("}", "move(100)", "100 on", id="split.far", key_display="{ }", tooltip="A hundred windows on"),
        About(rank=110),
        Binding("{", "move(-100)", "100 back", id="split.far_back", show=False, tooltip="A hundred windows back"),
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
        self._progress = f"Reading the text: {share_read(done, total)} …"
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

    def action_move(self, by: int) -> None:
        if self.tokens is not None:
            last = max(0, self.tokens.windows_to_show(self.context) - 1)
            self.window = max(0, min(last, self.window + by))
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
