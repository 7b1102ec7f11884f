"""Layout of the model as a drawing: the residual stream as a rail, attention and MLP as boxes that branch off and rejoin.

Pure: from the parts of a model and the room to lines of pieces. A part's magnitude is any number from 0 up, such as the norm of
what it adds, or of its gradient.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.cells import cell_len

from lab.core.number_format import significant
from lab.views.blocks import StageEntry
from screens.blocks.block_layout import EIGHTHS_UP, bar
from screens.colour import ColouredPiece, heat
from screens.widgets.text_fitting import fit

LEAST_ROOM = (27, 18)
"""Columns and lines from which the model is drawn."""
MARK, RAIL, BRANCH = 1, 2, 2
"""Columns of the current stage's mark, of the rail, and from there to a box."""
THICKEST_BRANCH = 6
"""Height of a full branch in eighths of a line: less than the rail's, so that the two stay apart without colour."""
FULL_NAMES_FROM = 40
"""Columns from which names are not shortened."""
NUMBER = 6
"""Columns of a magnitude with the space before it."""
NOTE = 11
"""Columns of a short note with the space before it."""
WIDE_BOX = 18
"""Columns of a box with a full name: those of the longest name on the rail."""
WIDEST_OPEN_BOX = 26
FRAME_LINES = 2
CHANGED = " ✗"
NOTHING: ColouredPiece = ("", "")
SHORT = {"embed + position": "embed", "final norm": "norm", "logits → softmax": "logits", "attention": "attn"}
"""Shorter names for a narrow column."""


@dataclass(frozen=True)
class ModelPart:
    """A part of the model: a box beside the rail, or without `layer` a place on it."""

    name: str
    steps: tuple[int, ...]
    """Indices of its stages; in a box with several the last one is where it rejoins the rail."""
    titles: tuple[str, ...]
    """Names of these stages."""
    layer: int | None = None
    """0-based."""
    magnitude: float | None = None
    stream: float | None = None
    """Magnitude of the rail after the part; None where nothing flows on."""
    notes: tuple[str, ...] = ()
    """Words on the stream after the part, such as its logit lens, the longest first: the first that fits is shown."""
    is_changed: bool = False
    """True where an intervention changes it."""

    @property
    def is_open_when_current(self) -> bool:
        """True for a box that shows its stages while one of them is current."""
        return self.layer is not None and len(self.steps) > 1


@dataclass(frozen=True)
class DrawnLine:
    """One line of the drawing, and the step that it leads to."""

    pieces: tuple[ColouredPiece, ...]
    step: int


@dataclass(frozen=True)
class Drawing:
    lines: tuple[DrawnLine, ...]
    current: int
    """The line of the current stage."""
    legend: str
    """The magnitude of the widest rail in words, or of the brightest box where no box says what its number is."""
    note_room: int
    """Columns that every box has for its note."""


def short_name(name: str) -> str:
    """`1 attn` for `1 attention`."""
    number, _, part = name.partition(" ")
    return SHORT.get(name) or (f"{number} {SHORT[part]}" if part in SHORT else name)


def parts_of(
    steps: Sequence[StageEntry], notes: dict[str, tuple[str, ...]] | None = None, changed: frozenset[str] = frozenset()
) -> list[ModelPart]:
    """The parts of a forward pass, with the norm of what each adds and of the stream after it.

    `notes` and `changed`, the parts that an intervention changes, name them by their group.
    """
    parts = []
    for group, members in groupby(enumerate(steps), key=lambda each: each[1].group):
        found = list(members)
        last = next((step for _, step in reversed(found) if step.lens is not None), found[-1][1])
        indices, titles = tuple(index for index, _ in found), tuple(step.title for _, step in found)
        words = (notes or {}).get(group, ())
        parts.append(ModelPart(group, indices, titles, found[0][1].layer, last.added, last.stream, words, group in changed))
    return parts


def fits(width: int, height: int) -> bool:
    """True where there is room for a drawing."""
    return width >= LEAST_ROOM[0] and height >= LEAST_ROOM[1]


def drawing_of(parts: Sequence[ModelPart], current: int, width: int, height: int, *, backward: bool = False) -> Drawing:
    """The model in `width` columns and, unless the current layer alone is higher, in `height` lines.

    The box of the current step shows its stages. The others have three lines each, two or one, the same whichever is current;
    layers far from the current one collapse where one is too many. `backward` turns the arrows into the boxes.
    """
    return _Pen(parts, current, width, backward).drawing(height)


class _Pen:
    """Draws the parts of one model, with one scale for all branches and one for the rail."""

    def __init__(self, parts: Sequence[ModelPart], current: int, width: int, backward: bool) -> None:
        self._parts = list(parts)
        self._step = current
        self._here = next((index for index, part in enumerate(parts) if current in part.steps), 0)
        self._room = max(1, width - MARK - RAIL - BRANCH)
        self._arrow = "◂" if backward else "▸"
        self._number_words = () if backward else (" norm added", " added")
        """The words that name the numbers, said once, beside the first one that has room."""
        self._most = max((part.magnitude or 0.0 for part in parts), default=0.0)
        self._widest = max((part.stream or 0.0 for part in parts), default=0.0)
        self._is_wide = width >= FULL_NAMES_FROM
        titles = [cell_len(self._title(part)) for part in parts if part.layer is not None]
        self._box = max(WIDE_BOX if self._is_wide else 0, max(titles, default=0) + 3)
        """Columns of a closed box; notes stand to its right."""
        self._joins = max((part.steps[-1] for part in parts if part.layer is not None), default=0)
        """The step at which the last box rejoins the rail."""
        self._lines: list[DrawnLine] = []
        self._current_line = 0

    def drawing(self, height: int) -> Drawing:
        size = self._size(height)
        low, high = self._layers_in_sight(height) if size == 1 else (0, len(self._parts))
        stream: float | None = None
        for side, members in groupby(self._parts, key=lambda part: _side(part.layer, low, high)):
            found = list(members)
            if side:
                self._range(found)
            else:
                for part in found:
                    self._part(part, stream, size)
                    stream = part.stream
            stream = found[-1].stream
        room = self._room - self._box
        note_room = room - 1 - (NUMBER if size == 1 and room >= NUMBER + NOTE else 0)
        words = f"norm added up to {_brief(self._most)}" if size == 1 else f"stream norm up to {_brief(self._widest)}"
        return Drawing(tuple(self._lines), self._current_line, words if self._most else "", note_room)

    def _size(self, height: int) -> int:
        """Lines of a closed box, such that all fit whichever is open."""
        boxes = [part for part in self._parts if part.layer is not None]
        tallest = max((len(part.steps) + FRAME_LINES for part in boxes if part.is_open_when_current), default=0)
        rest = len(self._parts) - len(boxes) + tallest
        closed = len(boxes) - (tallest > 0)
        return next((size for size in (3, 2) if rest + size * closed <= height), 1)

    def _layers_in_sight(self, height: int) -> tuple[int, int]:
        """The first and the last of the most layers around the current one that fit, one line a closed box."""
        lines_of: dict[int, int] = {}
        for index, part in enumerate(self._parts):
            if part.layer is not None:
                is_open = index == self._here and part.is_open_when_current
                lines_of[part.layer] = lines_of.get(part.layer, 0) + (len(part.steps) + FRAME_LINES if is_open else 1)
        last = max(lines_of, default=0)
        places = [part for part in self._parts if part.layer is None]
        on_rail = sum(1 + len(self._listed(part)) for part in places)
        here = self._parts[self._here].layer
        if here is None:
            here = last if any(part.layer is not None for part in self._parts[: self._here]) else 0

        def lines(low: int, high: int) -> int:
            return on_rail + sum(lines_of.get(layer, 0) for layer in range(low, high + 1)) + (low > 0) + (high < last)

        low = high = here
        while True:
            wider = [(low, high + 1)] * (high < last) + [(low - 1, high)] * (low > 0)
            fitting = [each for each in wider if lines(*each) <= height]
            if not fitting:
                return low, high
            low, high = min(fitting, key=lambda each: abs(each[0] + each[1] - 2 * here))

    def _part(self, part: ModelPart, incoming: float | None, size: int) -> None:
        is_here = self._step in part.steps
        if part.layer is None:
            self._place(part, is_here)
        elif is_here and part.is_open_when_current:
            self._open_box(part, incoming)
        elif size == 1:
            self._line(part, is_here)
        else:
            self._closed_box(part, incoming, is_here, size)

    def _add(self, step: int, rail: str, *pieces: ColouredPiece, is_current: bool = False) -> None:
        if is_current:
            self._current_line = len(self._lines)
        mark = ("▸" if is_current else " ", "current")
        self._lines.append(DrawnLine((mark, (rail, "rail"), *(piece for piece in pieces if piece[0])), step))

    def _rail(self, stream: float | None) -> str:
        """The rail, as wide as the stream is large: 16 widths in two cells."""
        if not self._widest:
            return "│ "
        return "  " if stream is None else bar(stream / self._widest, RAIL).ljust(RAIL)

    def _joined(self, part: ModelPart) -> tuple[str, ColouredPiece]:
        """The rail, and the branch that touches it, as thick as what the part adds is large."""
        rail = self._rail(part.stream).rstrip()
        glyph = "─" if part.magnitude is None or not self._most else _height(part.magnitude / self._most, THICKEST_BRANCH)
        return rail, (glyph * (RAIL + BRANCH - len(rail)), "branch")

    def _into(self) -> ColouredPiece:
        return "─" + self._arrow, "frame"

    def _title(self, part: ModelPart) -> str:
        name = part.name if self._is_wide else short_name(part.name)
        return name + CHANGED if part.is_changed else name

    def _shaded(self, text: str, part: ModelPart) -> ColouredPiece:
        """A box's name on the shade of its magnitude."""
        is_here = self._step in part.steps
        if part.magnitude is None or not self._most:
            return text, "current" if is_here else "name"
        role = "selected" if is_here else "struck" if part.is_changed else ""
        return text, heat("sequential", part.magnitude / self._most, role=role)

    def _number(self, part: ModelPart, room: int = NUMBER) -> ColouredPiece:
        number = "" if part.magnitude is None else " " + _brief(part.magnitude).rjust(NUMBER - 1)
        return number + self._words_beside(number, room), "number"

    def _words_beside(self, number: str, room: int) -> str:
        """The words that name a number; "" where that has been said, or there is no room."""
        words = next((each for each in self._number_words if number and cell_len(number + each) <= room), "")
        self._number_words = () if words else self._number_words
        return words

    @staticmethod
    def _note(part: ModelPart, room: int) -> ColouredPiece:
        """The first of the notes that fits, else the shortest, cut; a space before it."""
        if not part.notes or room < 5:
            return NOTHING
        words = next((note for note in part.notes if cell_len(note) < room), part.notes[-1])
        return " " + fit(words, min(cell_len(words), room - 1)), "note"

    def _place(self, part: ModelPart, is_here: bool) -> None:
        """A part on the rail itself, such as the embedding and the final norm."""
        role = "current" if is_here else "name"
        rail, branch = self._rail(part.stream), NOTHING
        if part.magnitude is not None:
            rail, branch = self._joined(part)
        elif part is self._parts[0]:
            rail = "○ "
        elif not self._widest and part.steps[0] > self._joins:
            rail = " " * RAIL
        name_room = RAIL + BRANCH + (self._box if part.notes else self._room) - len(rail) - len(branch[0]) - 1
        name = part.name if cell_len(part.name) <= name_room else short_name(part.name)
        note = self._note(part, self._room - self._box)
        listed = self._listed(part)
        here = is_here and not listed
        self._add(part.steps[0], rail, branch, (" " + fit(name, name_room), role), note, is_current=here)
        for step, title in listed:
            here = step == self._step
            text = " " * BRANCH + (" ▸ " if here else "   ") + fit(title, self._room - 3), "current" if here else "stage"
            self._add(step, self._rail(part.stream), text, is_current=here)

    def _listed(self, part: ModelPart) -> list[tuple[int, str]]:
        """The stages of a part on the rail while one of several is current."""
        return list(zip(part.steps, part.titles, strict=True)) if len(part.steps) > 1 and self._step in part.steps else []

    def _line(self, part: ModelPart, is_here: bool) -> None:
        rail, branch = self._joined(part)
        room = self._room - self._box
        number = self._number(part) if room >= NUMBER + NOTE else NOTHING
        name = self._shaded(fit(f" {self._title(part)}", self._box - 1), part)
        note = self._note(part, room - len(number[0]))
        self._add(part.steps[0], rail, branch, ("▐", "frame"), name, number, note, is_current=is_here)

    def _closed_box(self, part: ModelPart, incoming: float | None, is_here: bool, size: int) -> None:
        step, rail, inner = part.steps[0], self._rail(incoming), self._box - 2
        out_rail, branch = self._joined(part)
        name = self._shaded(fit(f" {self._title(part)}", inner), part)
        note = self._note(part, self._room - self._box)
        if size == 3:
            self._add(step, rail, (" " * BRANCH + f"╭{'─' * inner}╮", "frame"))
        sides = ("│", "│") if size == 3 else ("▐", "▌")
        body = ((sides[0], "frame"), name, (sides[1], "frame"), self._number(part, self._room - self._box))
        self._add(step, rail, self._into(), *body, is_current=is_here)
        foot = f"╰{'─' * inner}╯" if size == 3 else "▘" + " " * (inner + 1)
        self._add(step, out_rail, branch, (foot, "frame"), note)

    def _open_box(self, part: ModelPart, incoming: float | None) -> None:
        """The current box with its stages inside, and its last stage where it rejoins the rail."""
        rail, inner = self._rail(incoming), min(self._room, WIDEST_OPEN_BOX) - 2
        title = f" {self._title(part)} "
        edge = "─" * max(0, inner - cell_len(title) - 1)
        head = ((" " * BRANCH + "╭─", "frame"), self._shaded(title, part), (edge + "╮", "frame"))
        self._add(part.steps[0], rail, *head)
        for place, (step, name) in enumerate(zip(part.steps[:-1], part.titles, strict=False)):
            is_here = step == self._step
            lead = (" " * BRANCH, "") if place else self._into()
            text = (" ▸ " if is_here else "   ") + fit(name, inner - 3), "current" if is_here else "stage"
            self._add(step, rail, lead, ("│", "frame"), text, ("│", "frame"), is_current=is_here)
        out_rail, branch = self._joined(part)
        number = "" if part.magnitude is None else f" {_brief(part.magnitude)} "
        number = self._words_beside(number, inner - 1) + number
        edge = "─" * max(0, inner - cell_len(number) - 1)
        foot = (branch, ("╰" + edge, "frame"), (number, "number"), ("─╯", "frame"))
        self._add(part.steps[-1], out_rail, *foot)
        is_here, joins = part.steps[-1] == self._step, f"⊕ {part.titles[-1]}"
        room = max(cell_len(joins), BRANCH + self._box)
        shown = fit(joins, room), "current" if is_here else "stage"
        note = self._note(part, BRANCH + self._room - room)
        self._add(part.steps[-1], self._rail(part.stream), shown, note, is_current=is_here)

    def _range(self, parts: list[ModelPart]) -> None:
        """Collapsed layers in one line, with a bar for what each of their parts adds."""
        first, last = (parts[0].layer or 0) + 1, (parts[-1].layer or 0) + 1
        name = f"┊ layer {first}" if first == last else f"┊ layers {first}–{last}"
        room = self._room + BRANCH - cell_len(name)
        bars = " " + "".join(_height((part.magnitude or 0.0) / self._most) for part in parts) if self._most else ""
        bars = bars if len(bars) <= room else ""
        fits_whole = parts[-1].notes and cell_len(parts[-1].notes[-1]) < room - len(bars)
        note = self._note(parts[-1], room - len(bars)) if fits_whole else NOTHING
        self._add(parts[0].steps[0], self._rail(parts[-1].stream), (name, "stage"), (bars, "branch"), note)


def _side(layer: int | None, low: int, high: int) -> int:
    """0 for what is in sight; −1 and 1 for layers before and after."""
    return 0 if layer is None or low <= layer <= high else -1 if layer < low else 1


def _height(fraction: float, most: int = 8) -> str:
    """One of `most` heights, in eighths of a line; anything above 0 shows, and 0 is dotted."""
    return EIGHTHS_UP[min(most, max(1, round(fraction * most)))] if fraction > 0 else "┄"


def _brief(magnitude: float) -> str:
    """A magnitude in five characters where that is possible: 0.70, 23.3, 412."""
    return significant(magnitude, 2 if magnitude < 1 else 3)
