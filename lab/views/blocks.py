"""Views as plain data: a view is a list of blocks, a block is made of cells, a cell names the number that it shows.

The engine builds these from a trace (`lab.inspect.stages`) and sends them over the pipe; the screen draws them and knows
nothing of them. A cell's `ref` names the quantity in the trace's own names, with its indices: `blocks.0.attn.pattern[2,3,1]`.
"""

import msgspec
import numpy as np

from lab.core.colour_scales import Scale

FEATURE, NO_FEATURES = "feature", "no features"
"""Name of the numbers that lead to the card of a feature, and the stage of the view of a run that has none."""


class GuessChoice(msgspec.Struct, frozen=True, omit_defaults=True):
    label: str
    value: float | None = None
    """Its share, 0 to 1, drawn as a bar at the reveal; None where the choices are sentences."""
    text: str = ""
    """The share as it is printed."""


class GuessQuestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """A question and its choices. Without choices there is nothing to guess, and `question` says why."""

    kind: str
    """"next token", "attention" or "experiment"."""
    question: str
    choices: tuple[GuessChoice, ...] = ()
    right: tuple[int, ...] = ()
    """Indices of the right choices: several where they are tied."""
    tokens: tuple[str, ...] = ()
    """Labels of the prompt's tokens up to the position, the last ones if there are many."""
    asks_next: bool = False
    """True where the token after `tokens` is asked for."""
    answer: str = ""
    """The answer with its numbers, in one sentence."""
    why: str = ""
    """One or two sentences on the meaning of the answer."""
    others: GuessChoice | None = None
    """All that is not among the choices, together."""
    position: int = 0
    """0-based position of the prompt, within the window."""
    run: str = ""
    identity: str = ""
    """The same for the same question on the same weights, however often it is asked."""
    is_lottery: bool = False
    """True where the two largest shares are close, or all are: it had better be asked about another place."""


class Array(msgspec.Struct, frozen=True):
    """A float32 array on the wire: raw little-endian bytes, no JSON of numbers. NaN stands for a masked place."""

    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, values: np.ndarray) -> "Array":
        return cls(values.shape, np.ascontiguousarray(values, dtype="<f4").tobytes())

    def numpy(self) -> np.ndarray:
        return np.frombuffer(self.data, dtype="<f4").reshape(self.shape)


class Cell(msgspec.Struct, omit_defaults=True):
    """One place of a table: its text as shown, and where it is a number, the value and its name."""

    text: str
    value: float | None = None
    ref: str = ""
    bar: float | None = None
    """Length of a bar drawn in the cell, 0 to 1; `text` then stands before it. Where a column has negative ones, down to −1, its
    bars grow to both sides of an axis."""
    note: str = ""
    """The explanation of a number without a name: of a count, what was counted."""
    style: str = ""
    """"", "dim", "strong", "masked" or "struck" (crossed out); never a colour."""


class Column(msgspec.Struct, omit_defaults=True):
    title: str
    align: str = "right"
    optional: int = 0
    """Order in which columns are left out where the screen is narrow: 1 first, of equals the last column; 0 stays."""


class Table(msgspec.Struct, tag=True, omit_defaults=True):
    """Rows of cells under titled columns. `total` is set apart below (a sum, an `others` row)."""

    columns: list[Column]
    rows: list[list[Cell]]
    title: str = ""
    total: list[Cell] | None = None
    selected: int | None = None
    """The selected row, such as the most attended key."""


class Strip(msgspec.Struct, tag=True, omit_defaults=True):
    """One vector as a strip of shades, strongest at the largest magnitude, sign by hue and glyph."""

    title: str
    values: Array
    ref: str = ""
    never_negative: bool = False
    """True: the scale begins at 0, as that of losses."""
    first: int = 1
    """Number of the first value."""


class StackedStrips(msgspec.Struct, tag=True, omit_defaults=True):
    """Vectors of one size as strips under each other on one scale, so that their columns compare: the terms of a sum and it."""

    title: str
    labels: list[str]
    """Of each vector, with its sign in the sum: `token`, `+ position`, `= residual stream`."""
    values: Array
    """(vectors, size)"""
    refs: list[str]
    legend: str = ""


class Matrix(msgspec.Struct, tag=True, omit_defaults=True):
    """A matrix as a heatmap, with a label for each row and column. NaN is drawn as masked."""

    title: str
    row_labels: list[str]
    column_labels: list[str]
    values: Array
    legend: str = ""
    ref: str = ""
    selected: tuple[int, int] | None = None
    scale: Scale | None = None
    """None: diverging where a number is negative, else sequential."""
    limit: float | None = None
    """The number at the end of the scale; None: the largest magnitude."""
    stride: int = 1
    """Number of one column minus that of the one before: more than 1 where columns are left out."""
    masked: str = "masked"
    """The word for NaN."""


class MatrixPanels(msgspec.Struct, tag=True, omit_defaults=True):
    """Matrices of one shape side by side under one cursor, such as before, after and their difference; one at a time where the
    screen is narrow."""

    matrices: list[Matrix]
    """In the order of the computation. They share their labels and their selected cell."""
    largest: int
    """The one drawn largest, and first where there is room for one alone."""
    columns: str = "key"
    """Name of what a column stands for: a key is the token of the row of its index."""


class Destination(msgspec.Struct, frozen=True):
    """A place of the forward pass that a cell leads to. None keeps the selected one."""

    stage: str
    layer: int | None
    """0-based."""
    position: int | None
    """0-based within the window."""
    head: int | None = None
    """0-based."""


class Thumbnail(msgspec.Struct, omit_defaults=True):
    """A small picture of a matrix of values from 0 to 1, one of many side by side."""

    label: str
    """`2.3`: layer and head as they are shown."""
    values: Array
    """(rows, columns); NaN is masked."""
    caption: str = ""
    """A word or two beside the label."""
    summary: str = ""
    """Its content in one line."""
    value: float | None = None
    """The one number that stands for it, called `ref`."""
    ref: str = ""
    destination: Destination | None = None
    """The place that it leads to."""
    is_off: bool = False
    """True where an intervention has switched off what it shows: the picture is crossed out."""


class Gallery(msgspec.Struct, tag=True, omit_defaults=True):
    """Thumbnails side by side, `group` of which belong together: a group begins a new line."""

    title: str
    legend: str
    thumbnails: list[Thumbnail]
    group: int
    selected: int = 0


class TextGrid(msgspec.Struct, tag=True, omit_defaults=True):
    """Tokens by position (rows) and place of the forward pass (columns), each on the colour of its probability."""

    title: str
    row_labels: list[str]
    column_labels: list[str]
    texts: list[list[str]]
    values: Array
    """(rows, columns), 0 to 1."""
    destinations: list[Destination]
    """Of each column; the position is that of the row."""
    legend: str = ""
    marked: list[list[bool]] = []
    """Cells that stand out."""
    marked_legend: str = ""
    first_position: int = 0
    """0-based position of the first row."""
    selected: tuple[int, int] | None = None


class IntervalPart(msgspec.Struct, omit_defaults=True):
    """A part of the interval from 0 to 1: from `low` to below `high`."""

    label: str
    low: float
    high: float
    ref: str = ""
    """Name of its length, high − low."""


class IntervalBar(msgspec.Struct, tag=True, omit_defaults=True):
    """Intervals from 0 to 1, and a caret at `mark`, which falls on the part `selected`."""

    title: str
    parts: list[IntervalPart]
    mark: float
    mark_label: str
    selected: int


class Paragraph(msgspec.Struct, tag=True):
    text: str


Block = Table | Strip | StackedStrips | Matrix | MatrixPanels | Gallery | TextGrid | IntervalBar | Paragraph


class Parity(msgspec.Struct):
    """Displayed numbers against the model's own tensor: the largest absolute difference over `count` numbers."""

    name: str
    max_delta: float
    count: int
    largest: float = 1.0
    """Largest magnitude among the numbers compared, which sets how exact fp32 can be."""


class HeadAttention(msgspec.Struct, omit_defaults=True):
    """The attention of one head between one token and all others."""

    layer: int
    head: int
    position: int
    paid: Array
    """(T,) from the token as a query to each key; NaN where masked."""
    received: Array
    """(T,) by the token as a key from each query; NaN where masked."""


class View(msgspec.Struct, omit_defaults=True):
    """One stage of the forward pass, for one layer, head and position."""

    stage: str
    title: str
    sentence: str
    """One or two sentences on the numbers of the view."""
    blocks: list[Block]
    parity: Parity | None = None
    attention: HeadAttention | None = None
    """Attention of the chosen head at the position, for the tokens above the view."""
    step: int | None = None
    """Training step of the weights that it was computed with; None where no model was needed."""
    fill: Table | None = None
    """A table below the blocks, of which as many rows are shown as a window has room for."""
    is_partial: bool = False
    """True for the progress of a slow view, which is to be asked for again."""
    is_elsewhere: bool = False
    """True for features after another layer than the chosen one, where none were fitted."""
    worth_a_look: Destination | None = None
    """The head that the sentence recommends, as a place of this view."""


class Token(msgspec.Struct, omit_defaults=True):
    """One token of the prompt. `label` is printable whatever its bytes are."""

    id: int
    label: str
    probability: float | None = None
    """Probability that the model gave this token at its position; None for the first."""
    drawn_with: float | None = None
    """Probability after penalty, temperature and filters, of a token that was drawn."""


class Prediction(msgspec.Struct):
    """A next token that the model considers, with its probability over the whole vocabulary."""

    id: int
    label: str
    probability: float


class StageEntry(msgspec.Struct, omit_defaults=True):
    """One stage of the forward pass with its logit lens: the prediction if the model stopped there."""

    stage: str
    """Name of the stage, the same for every layer: `tokens`, `embed`, `scores`, `mlp` ..."""
    title: str
    group: str
    """The line of the left column it belongs to: `tokens`, `embed`, `1 attention`, `1 mlp`, `final norm` ..."""
    layer: int | None = None
    """0-based; shown 1-based."""
    lens: Prediction | None = None
    """Top prediction of the logit lens at the chosen position, on the last stage of a group that changes the residual stream."""
    rank: int | None = None
    """Rank of the model's final prediction in this stage's lens, 1 being the top."""
    stream: float | None = None
    """Norm of the residual stream at the chosen position after this stage, where there is a lens."""
    added: float | None = None
    """Norm of what its group has added to that stream, where the group changes it."""


class LensPath(msgspec.Struct):
    """The prompt and every stage of its forward pass, for one position."""

    tokens: list[Token]
    steps: list[StageEntry]
    position: int
    dropped: int
    """Number of the prompt's tokens before the context window, which a longer prompt exceeds."""
    top: list[Prediction]
    step: int | None = None
    """Training step of the weights; None where no model was needed."""


class SavedTrace(msgspec.Struct):
    """Sizes of an exported trace."""

    arrays: int
    """Number of arrays; 0 for a summary."""
    bytes: int


class ModelFacts(msgspec.Struct, kw_only=True):
    """Facts about an opened model: its run, checkpoint and shape."""

    run: str
    checkpoint: str
    """"best", "last" or a snapshot's step."""
    step: int
    layers: int
    heads: int
    width: int
    context: int
    vocab_size: int
    parameters: int
    tokenizer: str
    origin: str = ""
    """Where its weights come from, in a few words; empty where they began as random ones."""
    val_loss: float | None = None
    """Of an evaluation during training."""
    val_on: str = ""
    """The share of the validation part that it was measured on, as in ` (on 29%)`; empty for all."""
    note: str = ""
    """A sentence where these are other weights than were asked for, with the reason."""
