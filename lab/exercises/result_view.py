"""Views of the exercises: the words of one with its hints and what its check found, and the model that uses what passes."""

import re

import numpy as np

from lab.core.number_format import fixed
from lab.exercises.check_result import CheckResult
from lab.exercises.comparison import Apart
from lab.exercises.exercise import YOUR_MODEL, Words
from lab.exercises.your_model import BATCH, COMPARED, CONTEXT, YourModel
from lab.lessons.lesson import FOLDER, titles
from lab.views.blocks import Array, Block, Cell, Column, Matrix, MatrixPanels, Paragraph, Table, View

INDENT = re.compile(r"(?m)^ +")
MARKED = "In Inspect ✓ marks what it computes. "
EVERY = 10
"""Steps of the training between two rows."""
BEFORE = (
    "Enter puts what passes into a model, with the lab's functions where yours do not pass. It predicts beside the model itself, "
    "trains a small one beside the lab's, and writes."
)


def exercise_view(words: Words, result: CheckResult | None, hints: int) -> View:
    """An exercise, above it what its check found, and so many of its hints."""
    said = [
        INDENT.sub(lambda spaces: "\u00a0" * len(spaces[0]), f"Hint {at} of 3: {hint}")
        for at, hint in enumerate(words.hints[:hints], 1)
    ]
    blocks: list[Block] = [Paragraph(hint) for hint in reversed(said)]
    sentence = ""
    if result is not None:
        sentence = (
            " ".join(filter(None, (result.mistake, result.problem)))
            or f"✓ It passes. {MARKED if words.stages else ''}“{YOUR_MODEL}”, last in the list, uses what passes."
        )
        blocks += _found(result)
    blocks += [Paragraph(f"{words.text} (Lesson: {titles(FOLDER)[words.lesson]}.)"), Paragraph(words.asked)]
    return View(stage=words.name, title=f"{words.number}. {words.title}", sentence=sentence, blocks=blocks)


def _found(result: CheckResult) -> list[Block]:
    blocks: list[Block] = [_panels(result.apart)] if result.apart is not None else []
    blocks += [Paragraph("\n".join(result.traceback))] if result.traceback else []
    blocks += map(Paragraph, result.output)
    if len(result.cases) > 1:
        rows = [[Cell(case.mark), Cell(case.name, note=case.sentence)] for case in result.cases]
        blocks.append(Table([Column("", "left"), Column("checked on", "left")], rows))
    return blocks


def _panels(apart: Apart) -> MatrixPanels:
    yours, right = (np.where(np.isfinite(each.numpy()), each.numpy(), np.nan) for each in (apart.yours, apart.right))
    top, left = apart.first
    rows, columns = ([f"{first + at:>4}" for at in range(count)] for first, count in zip((top, left), yours.shape, strict=True))
    named = {"yours": yours, "right": right, "yours − right": yours - right}
    matrices = [
        Matrix(name, rows, columns, Array.of(each), selected=apart.at, masked="NaN or infinite") for name, each in named.items()
    ]
    return MatrixPanels(matrices, largest=2, columns="col")


def model_view(result: CheckResult | None) -> View:
    """The model that uses what passes; None before it was put together."""
    view = View(stage=YOUR_MODEL, title=YOUR_MODEL, sentence="", blocks=[])
    if result is None or result.model is None:
        view.sentence = BEFORE if result is None else result.problem
        view.blocks = _found(result) if result is not None else []
        return view
    model = result.model
    what = f"its logits, the text that it writes{f', its first {COMPARED} losses' if model.losses else ''}"
    view.sentence = f"✓ As the lab's: {what}." if model.is_equal else f"Not as the lab's is one of these: {what}."
    view.blocks = [*map(Paragraph, model.in_words()), *([_curves(model)] if model.losses else []), *_found(result)]
    view.parity = model.parity
    return view


def _curves(model: YourModel) -> Table:
    most = max(max(each) for each in model.losses)
    steps = [0, *range(EVERY - 1, len(model.losses), EVERY)]
    rows = [[Cell(str(step + 1)), *(Cell(fixed(loss), loss, bar=loss / most) for loss in model.losses[step])] for step in steps]
    title = f"loss of each step of {BATCH} windows of {CONTEXT} tokens, from the same weights"
    return Table([Column("step"), Column("yours"), Column("the lab's")], rows, title=title)
