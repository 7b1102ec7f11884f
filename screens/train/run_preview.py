"""Pictures of a planned run: its model with the parameters of each part, its learning rate, and the two ends of its text."""

from rich.text import Text

from lab.core.number_format import count, counted, whole
from lab.planning.resolve_run import ResolvedRun
from lab.planning.sequence_preview import TextSplit
from models.config import schedule_factor
from models.parameter_count import by_part
from screens.blocks.bars_and_shades import EIGHTHS_UP
from screens.widgets.forward_pass_layout import ModelPart, drawing_of
from screens.widgets.text_fitting import printable

WIDTH, LINES, CURVE, CHARACTERS = 74, 22, 40, 4000
"""Columns and lines of the model, for which 120x40 has room; columns of the learning rate; most characters of the text."""


def model_picture(run: ResolvedRun) -> Text:
    """The model as Inspect draws it, with the shape and the parameters of each part; below it the learning rate over the run."""
    model, train, of = run.model, run.train, by_part(run.model)
    width, vocabulary = model.width, whole(model.vocab_size)
    embedded = f"{vocabulary} tokens, {model.context} positions × {width}"
    sizes = [of["token embedding"] + of["position embedding"], of["attention"] // model.layers, of["mlp"] // model.layers]
    shapes = [embedded, f"{counted(model.heads, 'head')} × {model.head_width}", f"{width} → {4 * width} → {width}"]
    embed, *notes = (f"{shape}: {count(size)} parameters" for shape, size in zip(shapes, sizes, strict=True))
    layer = dict(zip(("attention", "mlp"), notes, strict=True))
    boxes = [(f"{at + 1} {part}", at, note) for at in range(model.layers) for part, note in layer.items()]
    norms, head = f"all norms: {count(of['norms'])} parameters", f"{width} → {vocabulary}, by the token embedding"
    rows = [("tokens", None, ""), ("embed + position", None, embed), *boxes, ("final norm", None, norms), ("logits", None, head)]
    parts = [ModelPart(name, (index,), (), at, notes=(note,)) for index, (name, at, note) in enumerate(rows)]
    rates = (schedule_factor(train.schedule, (at + 1) / CURVE, train.warmup, train.final_lr) for at in range(CURVE))
    curve = "".join(EIGHTHS_UP[max(1, round(8 * rate))] for rate in rates)
    lines = ["".join(text for text, _ in line.pieces) for line in drawing_of(parts, -1, WIDTH, LINES).lines]
    return Text("\n".join([*lines, "", f" learning rate {curve} up to {train.lr:g}"]))


def text_ends(split: TextSplit) -> Text:
    """The end of the training text where the validation text begins, then the training text from its beginning on."""
    start = "".join(piece[:CHARACTERS] for piece, _ in split.sample)[:CHARACTERS]
    before, after, start = (printable(text) for text in (split.before, split.after, start))
    return Text.assemble("…", before, ("┃ validation from here ┃", "bold"), after, "…\n\n", ("The text begins:\n", "bold"), start)
