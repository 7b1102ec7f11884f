"""The token strip: tokens side by side over their ids, one chosen, shaded by a number each, and the predicted next token."""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.color import Color
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.core.number_format import probability, whole
from lab.views.blocks import Prediction, Token
from screens.colour import LEAST_INK, MASKED_LEVEL, Heat, heat, level_of, palette_of
from screens.colour import LEVELS as SCALE_STEPS
from screens.widgets.text_fitting import fit
from screens.widgets.token_shading import THICK, ArcCell, Shading, arc_lines

LEVELS = "▁▂▃▄▅▆▇█"
"""Blocks for the probability of a sampled token, in eighths."""
CLASSES = ((0.5, "sure"), (0.2, "likely"), (0.05, "unlikely"), (0.0, "rare"))
"""Least probability, and the style that repeats the block."""

HIDDEN = "✗"
"""Mark before the id of a token hidden by an intervention."""

HALF = 0.5
"""Strength of the highlight from which on it is drawn where colours cannot be mixed."""

LONGEST_LABEL = 24
"""Longest label in the strip."""


@dataclass(frozen=True)
class Box:
    """Position of one token, in character cells from the start of the row."""

    start: int
    width: int


def level(token: Token) -> str:
    """The block for the token's probability."""
    return LEVELS[min(len(LEVELS) - 1, int((token.probability or 0.0) * len(LEVELS)))]


class TokenStrip(Widget):
    """Two lines, tokens and ids; scrolls to the chosen token; `…` marks tokens out of sight. More lines hold arcs."""

    COMPONENT_CLASSES = {
        *("tokens--even", "tokens--odd", "tokens--chosen", "tokens--id", "tokens--bar", "tokens--next", "tokens--arc"),
        *(f"tokens--{name}" for _, name in CLASSES),
    }
    DEFAULT_CSS = """
    TokenStrip {
        height: 2; padding: 0 1;
        & > .tokens--even { color: $foreground; background: $foreground 8%; }
        & > .tokens--odd { color: $foreground; background: $foreground 16%; }
        & > .tokens--chosen { color: $accent; text-style: reverse bold; }
        & > .tokens--id { color: $foreground 60%; }
        & > .tokens--bar { color: $foreground 40%; }
        & > .tokens--next { color: $success; text-style: bold; }
        & > .tokens--arc { color: $foreground; }
        & > .tokens--sure { color: $success; }
        & > .tokens--likely { color: $accent; }
        & > .tokens--unlikely { color: $warning; }
        & > .tokens--rare { color: $error; }
    }
    """

    FILLS_BOX: ClassVar[bool] = False
    """True where a label's paper is as wide as what stands below it."""

    tokens: reactive[tuple[Token, ...]] = reactive(())
    chosen: reactive[int | None] = reactive(None)
    dropped: reactive[int] = reactive(0)
    """Number of prompt tokens before these, outside the context window."""
    written: reactive[int] = reactive(0)
    """Number of sampled tokens at the end."""
    hidden: reactive[frozenset[int]] = reactive(frozenset())
    """Tokens hidden by an intervention from later ones."""
    guess: reactive[Prediction | None] = reactive(None)
    """The prediction after the chosen token."""
    shading: reactive[Shading | None] = reactive(None)
    """A number for each token: its paper, the bar after it, and the arcs."""

    veiled: reactive[bool] = reactive(False)
    """True to show tokens and ids alone: no prediction, no probability, no shading."""
    highlight: reactive[float] = reactive(0.0)
    """Strength of the prediction's colour on the last token, which has just been sampled: 1 that colour alone, 0 none of it."""

    @dataclass
    class Clicked(Message):
        """A token was clicked."""

        index: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._boxes: list[Box] = []
        self._arcs: tuple[tuple[int, int, int], list[list[ArcCell]]] | None = None
        """The arcs drawn last, and the first cell, width and lines that they were drawn for."""
        self._left = 0
        self._lead = 0

    def watch_tokens(self) -> None:
        self._place()
        self._arcs = None

    watch_written = watch_hidden = watch_tokens

    def _place(self) -> None:
        """Make a box for each token, wide enough for label and id, the block of a sampled one, the mark of a hidden one."""
        self._boxes, at = [], 0
        for index, token in enumerate(self.tokens):
            width = max(min(cell_len(token.label), LONGEST_LABEL), self._room_below(index), 1)
            self._boxes.append(Box(at, width))
            at += width + 1

    def _room_below(self, index: int) -> int:
        """Cells of what stands below a token."""
        return len(str(self.tokens[index].id)) + (index >= len(self.tokens) - self.written) + (index in self.hidden)

    def watch_shading(self) -> None:
        self._arcs = None

    watch_veiled = watch_shading

    @property
    def _shown_shading(self) -> Shading | None:
        return None if self.veiled else self.shading

    def _expected(self) -> str:
        if self.guess is None or self.veiled:
            return ""
        last = self.chosen is None or self.chosen == len(self.tokens) - 1
        after = "" if last else f"after token {(self.chosen or 0) + 1} "
        return f" {after}▸{fit(self.guess.label, min(cell_len(self.guess.label), 16))} {probability(self.guess.probability)}"

    def _scroll(self, room: int) -> None:
        """Scroll the least that keeps the chosen token in sight."""
        total = self._boxes[-1].start + self._boxes[-1].width + 1 if self._boxes else 0
        if self.chosen is not None and self.chosen < len(self._boxes):
            box = self._boxes[self.chosen]
            if box.start - 1 < self._left:
                self._left = max(0, box.start - 1 - room // 4)
            elif box.start + box.width + 2 > self._left + room:
                self._left = box.start + box.width + 2 - room
        self._left = max(0, min(self._left, total - room)) if total > room else 0

    @property
    def above(self) -> int:
        """Lines for arcs above the tokens."""
        return max(0, self.content_size.height - 2)

    def render_line(self, y: int) -> Strip:
        width = self.content_size.width
        y -= self.above
        base = self.rich_style
        lead = f"{whole(self.dropped)} before ┆" if self.dropped else ""
        self._lead = cell_len(lead)
        tail = self._expected()
        total = self._boxes[-1].start + self._boxes[-1].width + 1 if self._boxes else 0
        room = max(4, min(total, width - self._lead - cell_len(tail)))
        self._scroll(room)
        if y < 0:
            arcs = Strip([Segment(" " * self._lead, base), *self._arc_segments(y + self.above, room)])
            return arcs.adjust_cell_length(width, base)
        row = Strip(self._label_segments(room) if y == 0 else self._id_segments(room))
        shown = row.crop(self._left, self._left + room)
        mark = self.get_component_rich_style("tokens--bar")
        if self._left > 0:
            shown = Strip.join([Strip([Segment("…", mark)]), shown.crop(1)])
        if self._left + room < total:
            shown = Strip.join([shown.crop(0, room - 1), Strip([Segment("…", mark)])])
        parts = [Strip([Segment(lead if y == 0 else " " * self._lead, self.get_component_rich_style("tokens--id"))]), shown]
        if y == 0 and tail:
            parts.append(Strip([Segment(tail, self.get_component_rich_style("tokens--next"))]))
        return Strip.join(parts).adjust_cell_length(width, base)

    def _in_sight(self, room: int) -> tuple[int, int]:
        """Half-open range of the tokens that begin or end within the cells in sight."""
        first = max(0, bisect_right(self._boxes, self._left, key=lambda box: box.start) - 1)
        return first, bisect_right(self._boxes, self._left + room, key=lambda box: box.start)

    def _label_segments(self, room: int) -> list[Segment]:
        bar = Segment("│", self.get_component_rich_style("tokens--bar"))
        first, end = self._in_sight(room)
        blank = self.rich_style
        segments = [Segment(" " * self._boxes[first].start, blank)] if first < end else []
        for index in range(first, end):
            token, box = self.tokens[index], self._boxes[index]
            label = fit(token.label, box.width if self.FILLS_BOX else min(cell_len(token.label), box.width))
            padding = Segment(" " * (box.width - cell_len(label)), blank)
            shading = self._shown_shading
            after = [bar] if self.FILLS_BOX else [padding, bar]
            if shading is not None:
                share = shading.share(index)
                after = [Segment(shading.bar(index), self._ink(level_of(share), share >= THICK)), padding]
            style = self._style(index)
            style = self._highlighted(style) if self.highlight and index == len(self.tokens) - 1 else style
            segments += [Segment(label, style), *after]
        return segments

    def _ink(self, level: int, strong: bool) -> Style:
        """The colour of a level as ink, where there are colours enough."""
        palette = palette_of(self)
        if palette.paints:
            return palette.style(Heat("sequential", level if level == MASKED_LEVEL else max(level, LEAST_INK), MASKED_LEVEL))
        return self.get_component_rich_style("tokens--arc") + Style(bold=strong)

    def _arc_segments(self, y: int, room: int) -> list[Segment]:
        shading = self._shown_shading
        if shading is None or shading.at >= len(self._boxes):
            return []
        place = self._left, room, self.above
        if self._arcs is None or self._arcs[0] != place:
            labels = (min(cell_len(token.label), box.width) for token, box in zip(self.tokens, self._boxes, strict=True))
            centres = [box.start + width // 2 for box, width in zip(self._boxes, labels, strict=True)]
            self._arcs = place, arc_lines(shading, centres, *place)
        runs = groupby(self._arcs[1][y], key=itemgetter(1))
        strong = round(THICK * SCALE_STEPS)
        return [Segment("".join(text for text, _ in run), self._ink(level, level >= strong)) for level, run in runs]

    def _id_segments(self, room: int) -> list[Segment]:
        style = self.get_component_rich_style("tokens--id")
        first, end = self._in_sight(room)
        segments = [Segment(" " * self._boxes[first].start, style)] if first < end else []
        return [*segments, *(segment for index in range(first, end) for segment in self._below(index))]

    def _below(self, index: int) -> list[Segment]:
        """The id of a token, behind the block of a sampled one or the mark of a hidden one; and a space."""
        token, name, style = self.tokens[index], self._class_of(index), self.get_component_rich_style("tokens--id")
        words = (HIDDEN if index in self.hidden else "") + str(token.id)
        if name is None:
            return [Segment(fit(words, self._boxes[index].width + 1), style)]
        block = Segment(level(token), self.get_component_rich_style(f"tokens--{name}"))
        return [block, Segment(fit(words, self._boxes[index].width), style)]

    def _class_of(self, index: int) -> str | None:
        """Probability class of a sampled token; None for a typed one."""
        p = self.tokens[index].probability
        if self.veiled or index < len(self.tokens) - self.written or p is None:
            return None
        return next(name for least, name in CLASSES if p >= least)

    def _style(self, index: int) -> Style:
        if index == self.chosen:
            return self.get_component_rich_style("tokens--chosen")
        style = self.get_component_rich_style("tokens--odd" if index % 2 else "tokens--even")
        shading = self._shown_shading
        if shading is not None:
            palette, share = palette_of(self), shading.share(index)
            if palette.paints and share == share:
                role = "struck" if index in self.hidden else "selected" if index == shading.top else ""
                return palette.style(heat("sequential", share, role=role))
            if index == shading.top:
                style += Style(bold=True, underline=True)
        if index in self.hidden:
            style += Style(strike=True, dim=True)
        name = self._class_of(index)
        return style if name is None else style + Style(color=self.get_component_rich_style(f"tokens--{name}").color)

    def _highlighted(self, style: Style) -> Style:
        """The style with as much of the prediction's colour for paper as the highlight is strong."""
        colour = self.get_component_rich_style("tokens--next").color
        paper = style.color if style.reverse else style.bgcolor
        if colour is None or paper is None or not palette_of(self).paints:
            return style + Style(color=colour, reverse=True) if self.highlight > HALF else style
        mixed = Color.from_rich_color(paper).blend(Color.from_rich_color(colour), self.highlight)
        ink = mixed.get_contrast_text(alpha=1.0)
        return Style(color=ink.rich_color, bgcolor=mixed.rich_color, bold=True)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        x = offset.x - self._lead + self._left
        for index, box in enumerate(self._boxes):
            if box.start <= x < box.start + box.width:
                self.post_message(self.Clicked(index))
                return
