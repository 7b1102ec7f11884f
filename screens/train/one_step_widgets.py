"""Widgets of one step: the list of its stages, the loss of each token, the backward pass as one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message

from lab.core.number_format import fixed, significant
from lab.core.visible_text import visible
from lab.training.one_step.step_stages import STAGES, BackwardPass, MovingWeight
from lab.views.blocks import StageEntry, Token
from screens.blocks.block_layout import signed_bar
from screens.colour import ColouredPiece, Heat, heat, palette_of
from screens.widgets.forward_pass_layout import FULL_NAMES_FROM, DrawnLine, ModelPart, drawing_of
from screens.widgets.forward_pass_list import ForwardPassList
from screens.widgets.piece_lines import PieceView
from screens.widgets.text_fitting import fit, wrap
from screens.widgets.token_strip import CLASSES, TokenStrip

HELP = (
    "One training step, stage by stage: the backward pass as a picture, the batch, the loss of each token, p − one-hot (the "
    "gradient of the logits), the gradient of each part, the largest weight updates, the optimizer's formula for one weight, and "
    "the loss after the step. The training text is at the top, each token's loss, −ln p, below it; `e` types a sentence instead, "
    "`b` returns to the run's own next batch. The run on disk is never changed.\n\n"
    "The token embedding is also the output head and gets gradient from both. A part's “RMS” is the root mean square "
    "of its gradients. Weights may move along their gradient: the optimizer follows the running mean of the gradients, m, "
    "and weight decay pulls towards 0.\n\n"
    "**AdamW**: v is the running mean of the squares; dividing by 1 − β^t corrects for the start of both at 0. The ratio is "
    "near ±1 where the gradients agreed from step to step, near 0 where they did not. **Muon** takes roughly the nearest "
    "orthogonal matrix of m; o is this weight's entry, so that it depends on the whole matrix. 0.2·√n makes the step as "
    "large as AdamW's. In bf16 losses and probabilities are shown of a forward pass in fp32, without its rounding."
)


class StageList(ForwardPassList):
    """The stages of a step, drawn as the forward pass of Inspect."""

    TITLE = "one step"
    HELP = (
        "**Stages.** `j` forward and `k` back: the backward pass, the batch, the loss of each token, the gradient of the logits, "
        "the gradient of each part, the largest weight updates, one weight in full, and the loss after the step."
    )

    def on_mount(self) -> None:
        self.steps = tuple(StageEntry(stage, title, title) for stage, title in STAGES.items())


FIRST = "loss"
"""Beneath the first token, which nothing predicts: the name of the row."""


def loss_of(token: Token) -> str:
    """The token's loss as it stands beneath it; two figures are enough to compare."""
    if token.probability is None:
        return FIRST
    return (
        "∞" if token.probability == 0.0 else fixed(-math.log(token.probability), 1 if token.probability < math.exp(-9.95) else 2)
    )


class LossStrip(TokenStrip):
    """Inspect's strip with losses as numbers. The paper of a label is its loss; with too few colours for paper, the ink."""

    FILLS_BOX = True
    _highest = 1.0

    def _place(self) -> None:
        given = [token.probability for token in self.tokens if token.probability]
        self._highest = max((-math.log(p) for p in given), default=0.0) or 1.0
        super()._place()

    def _room_below(self, index: int) -> int:
        return cell_len(loss_of(self.tokens[index]))

    def _below(self, index: int) -> list[Segment]:
        name = None if palette_of(self).paints else self._class_of(index)
        style = self.get_component_rich_style(f"tokens--{name or 'id'}")
        return [Segment(fit(loss_of(self.tokens[index]), self._boxes[index].width + 1), style)]

    def _style(self, index: int) -> Style:
        palette, token = palette_of(self), self.tokens[index]
        if index == self.chosen or token.probability is None or not palette.paints:
            return super()._style(index)
        loss = float("inf") if token.probability == 0.0 else -math.log(token.probability)
        return palette.style(heat("sequential", min(1.0, loss / self._highest)))

    def _class_of(self, index: int) -> str | None:
        p = self.tokens[index].probability
        return None if p is None else next(name for least, name in CLASSES if p >= least)


DRAWING_SHARE = 0.5
DRAWING_WIDTHS = (26, 52)
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
    errors: int

    def stage_at(self, x: int, y: int) -> str:
        """The stage with the numbers of the part at this place."""
        return "gradients" if x < self.left else "logits_gradient" if y < self.errors else "weight"


def lay_backward(picture: BackwardPass, target: str, sentence: str, width: int, height: int) -> LaidPicture:
    """The picture in so many columns and lines, with layers collapsed if they must be, and the sentence if there is room."""
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
    """The model's parts in backward order, by gradient norm; boxes have a scale without the embedding, which would leave them
    dark."""
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
    widest = max((part.stream or 0.0 for part in picture.parts), default=0.0)
    most = max((part.weights for part in picture.parts if part.layer is not None), default=0.0)
    return f"gradient norms: box █ {significant(most)} · rail █ {significant(widest)}"


def error_lines(picture: BackwardPass, target: str, width: int, room: int) -> list[PictureLine]:
    """p − one-hot as bars about an axis, the target's first; those that do not fit go into the rest."""
    full = max((abs(error.value) for error in picture.errors), default=0.0) or 1.0
    title = f"p − {picture.target} at {target}"
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
    if at is None or not min(at, start) <= line <= max(at, start):
        return " " * GAP
    if at == start:
        return "──▸ "
    if line == at:
        return "─╮  " if start > at else "─╯  "
    if line == start:
        return " ╰▸ " if start > at else " ╭▸ "
    return " │  "


class BackwardView(PieceView):
    """The model with the gradient of each part, p − one-hot at the chosen token, and the weight that moves most."""

    PREFIX = "backward--"
    KINDS = ("text", "title", "dim", "strong", "rail", "branch", "frame", "number", "name", "current", "stage", "note", "link")
    COMPONENT_CLASSES = {f"backward--{kind}" for kind in (*KINDS, "positive", "negative")}
    DEFAULT_CSS = """
    BackwardView {
        & > .backward--title { text-style: bold; }
        & > .backward--dim { color: $foreground 60%; }
        & > .backward--strong { text-style: bold; }
        & > .backward--rail { color: $primary; }
        & > .backward--branch { color: $primary; }
        & > .backward--frame { color: $foreground 50%; }
        & > .backward--number { color: $foreground 80%; }
        & > .backward--stage { color: $foreground 70%; }
        & > .backward--current { color: $accent; text-style: bold; }
        & > .backward--link { color: $accent; }
        & > .backward--positive { color: $primary; }
        & > .backward--negative { color: $warning; }
    }
    """
    HELP = (
        "**Backward pass.** The loss at the top, the embeddings at the bottom. The rail is the residual stream, as wide as the "
        "norm of the loss's gradient there. A box is as bright, and its branch as thick, as the norm of the gradient of its "
        "weights; `enter` opens the table, which has the two norms of a layer, too. Beside it is p − one-hot, the error at the "
        "logits of the chosen token, and the weight that the step changes most. A click opens the numbers of a part."
    )

    @dataclass
    class PartClicked(Message):
        """A part of the picture was clicked, whose numbers are in this stage."""

        stage: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._picture: BackwardPass | None = None
        self._target = self._sentence = ""
        self.laid = LaidPicture([], 0, 0)

    def show(self, picture: BackwardPass, target: str, sentence: str) -> None:
        """Draw the picture for the chosen token, `target`."""
        self._picture, self._target, self._sentence = picture, target, sentence
        self.lay_out()

    def lay_out(self) -> None:
        self.border_title = "backward pass"
        if self._picture is not None:
            self.laid = lay_backward(self._picture, self._target, self._sentence, self.room, self.window)
            self.set_lines(self.laid.lines)

    def unpainted_style(self, kind: Heat) -> Style:
        return self.style_of("backward--current" if kind.role == "selected" else "backward--name")

    def border_words(self, above: int, below: int) -> str:
        words = super().border_words(above, below)
        return " · ".join(part for part in (legend(self._picture) if self._picture is not None else "", words) if part)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None:
            self.post_message(self.PartClicked(self.laid.stage_at(offset.x, offset.y + self.top)))
