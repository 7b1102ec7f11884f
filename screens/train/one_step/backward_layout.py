"""Layout of the backward pass: the model drawn from the loss back to the embeddings, p − one-hot and the weight beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from lab.core.number_format import fixed, significant
from lab.core.visible_text import visible
from lab.one_step.step_stages import BackwardPass, MovingWeight
from screens.blocks.bars_and_shades import signed_bar
from screens.colour.heat import ColouredPiece
from screens.widgets.forward_pass_layout import FULL_NAMES_FROM, DrawnLine, ModelPart, drawing_of
from screens.widgets.text_fitting import fit, wrap

DRAWING_SHARE = 0.5
DRAWING_WIDTHS = (26, 52)
"""Fewest and most columns of the drawing."""
GAP = 4
"""Columns between the drawing and what is beside it, for the line to the weight."""
LABELS, NUMBER = (6, 10), 7
"""Columns of a token where it is narrow and where it is wide, and of a number."""
WIDE_FROM = 34
WIDEST_BAR = 61
NAMES = {"position embedding": ("position", "positions"), "token embedding": ("embed", "embedding")}
"""Names of what is no box, for a narrow drawing and for a wide one."""
NUMBERS_FROM = 31
"""Columns of a drawing that has room for the magnitude of a box of one line."""
FEWEST_ERRORS = 4
FINDING = "finding the largest weight change…"

PictureLine = Sequence[ColouredPiece]


@dataclass(frozen=True)
class LaidPicture:
    """The lines of the picture, and where its parts are."""

    lines: list[PictureLine]
    left: int
    """Columns of the drawing."""
    errors: int
    """Lines of p − one-hot."""

    def stage_at(self, x: int, y: int) -> str:
        """The stage with the numbers of the part at this place."""
        return "gradients" if x < self.left else "logits_gradient" if y < self.errors else "weight"


def lay_backward(picture: BackwardPass, target: str, sentence: str, width: int, height: int) -> LaidPicture:
    """The picture in so many columns, and in so many lines where the model's layers collapse far enough.

    The sentence stands below it where there is room.
    """
    low, high = DRAWING_WIDTHS
    left = max(low, min(high, int(width * DRAWING_SHARE)))
    right = max(1, width - left - GAP)
    boxes = sum(part.layer is not None for part in picture.parts)
    one_line_each = len(picture.parts) + 1 + boxes > height
    parts = model_parts(picture, left >= FULL_NAMES_FROM, one_line_each and left < NUMBERS_FROM)
    here = next((part.steps[0] for part in parts if picture.weight is not None and picture.weight.part in part.titles), -1)
    drawn = drawing_of(parts, here, left, height, backward=True)
    weight = _weight_lines(picture.weight, right)
    room = max(FEWEST_ERRORS, height - len(weight) - 2)
    errors = error_lines(picture, target, right, room)
    at = drawn.current if here >= 0 else None
    start = max(len(errors) + 1, min(len(drawn.lines) - len(weight), len(errors) + 1 if at is None else at))
    beside = [*errors, *([[]] * (start - len(errors))), *weight]
    count = max(len(drawn.lines), len(beside))
    words: list[PictureLine] = [[], *([(line, "dim")] for line in wrap(sentence, width))]
    lines: list[PictureLine] = [
        [
            *_padded(drawn.lines[line] if line < len(drawn.lines) else None, left, line == at),
            (_connector(line, at, start), "link"),
            *(beside[line] if line < len(beside) else []),
        ]
        for line in range(count)
    ]
    return LaidPicture(lines + words if count + len(words) <= height else lines, left, len(errors))


def model_parts(picture: BackwardPass, is_wide: bool, numbers_beside_boxes: bool) -> list[ModelPart]:
    """The model's parts in the order of the backward pass; magnitudes are gradient norms.

    The boxes have a scale of their own: the token embedding, which is the output head, too, would leave them all dark.
    """
    parts = [ModelPart(f"loss {fixed(picture.mean, 3)}", (0,), ("loss",))]
    stream: float | None = None
    for index, part in enumerate(picture.parts, 1):
        stream = part.stream if part.stream is not None else stream  # what reaches the embeddings is the last stream's
        is_box = part.layer is not None
        notes = () if is_box and not numbers_beside_boxes else (significant(part.weights),)
        name = NAMES[part.name][is_wide] if part.name in NAMES else part.name
        magnitude = part.weights if is_box else None
        parts.append(ModelPart(name, (index,), (part.name,), part.layer, magnitude, stream, notes))
    return parts


def legend(picture: BackwardPass) -> str:
    """The scales of the drawing."""
    widest = max((part.stream or 0.0 for part in picture.parts), default=0.0)
    most = max((part.weights for part in picture.parts if part.layer is not None), default=0.0)
    return f"gradient norms: box █ {significant(most)} · rail █ {significant(widest)}"


def error_lines(picture: BackwardPass, target: str, width: int, room: int) -> list[PictureLine]:
    """p − one-hot as bars about an axis, the target's first; those that do not fit go into the rest."""
    full = max((abs(error.value) for error in picture.errors), default=0.0) or 1.0
    title = f"p − one-hot at {target}"
    scale = f"full bar ±{significant(full, 2)}"
    head = f"{title}   {scale}" if cell_len(title) + cell_len(scale) + 3 <= width else title
    listed = [error for error in picture.errors if not error.is_rest]
    rest = [error for error in picture.errors if error.is_rest]
    kept = listed[: max(1, room - 1 - len(rest))]
    values = [(error.label, error.value, "text") for error in kept]
    if rest:
        left = sum(error.value for error in [*listed[len(kept) :], *rest])
        values.append(("others", left, "dim"))
    label_room = LABELS[width >= WIDE_FROM]
    bar_room = max(3, min(WIDEST_BAR, width - label_room - NUMBER - 1))
    lines: list[PictureLine] = [[(fit(head, width), "title")]]
    for label, value, role in values:
        sign = "negative" if value < 0 else "positive"
        number = fixed(value, 3, sign=True).rjust(NUMBER)
        bar = signed_bar(value / full, bar_room)
        lines.append([(fit(label, label_room), role), (number + " ", role), (bar, sign)])
    return lines


def _weight_lines(weight: MovingWeight | None, width: int) -> list[PictureLine]:
    if weight is None:
        return [[(line, "dim")] for line in wrap(FINDING, width)]
    change = significant(weight.after - weight.before, 3, sign=True)
    return [
        [(fit("largest weight change", width), "title")],
        *([(line, "text")] for line in wrap(visible(weight.words), width)),
        [(fit(f"{significant(weight.before, 4)} → {significant(weight.after, 4)}", width), "text")],
        [(fit(f"step {change}", width), "strong")],
    ]


def _padded(line: DrawnLine | None, width: int, is_linked: bool) -> list[ColouredPiece]:
    """A line of the drawing on exactly `width` columns; the linked one goes on to the weight."""
    pieces = [] if line is None else list(line.pieces)
    used = sum(cell_len(text) for text, _ in pieces)
    space = max(0, width - used)
    return [*pieces, (" " + "─" * (space - 1) if is_linked and space else " " * space, "link")]


def _connector(line: int, at: int | None, start: int) -> str:
    """The piece of the line from the part to its weight in the gap."""
    if at is None or not min(at, start) <= line <= max(at, start):
        return " " * GAP
    if at == start:
        return "──▸ "
    if line == at:
        return "─╮  " if start > at else "─╯  "
    if line == start:
        return " ╰▸ " if start > at else " ╭▸ "
    return " │  "
