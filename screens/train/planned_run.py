"""Parts of a new run's form beside its fields: the text suggested for it, its preparation and its preview."""

from __future__ import annotations

from rich.text import Text
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.core.errors import UserError
from lab.core.number_format import count, counted, whole
from lab.core.visible_text import visible
from lab.data.source_files import can_be_read_again, file_size
from lab.data.text_source import open_corpus
from lab.planning.resolve_run import ResolvedRun
from lab.planning.sequence_preview import TextSplit
from lab.runs.find_runs import open_run
from lab.runs.run_schema import DEFAULT_RULES
from models.learning_rate import schedule_factor
from models.parameter_count import by_part
from screens.blocks.block_layout import EIGHTHS_UP
from screens.widgets.forward_pass_layout import ModelPart, drawing_of
from screens.widgets.text_fitting import Piece, painted_line, printable

BAR = 30
CANCEL = "escape cancels it: no new run, and the settings as they were"


class Preparation(Widget):
    """A line for each stage so far: finished ones with a `✓`, the last with a progress bar; below them the key that cancels."""

    COMPONENT_CLASSES = {f"preparation--{role}" for role in ("done", "now", "bar", "key")}
    DEFAULT_CSS = """
    Preparation {
        & > .preparation--done { color: $text-success; }
        & > .preparation--now { text-style: bold; }
        & > .preparation--bar { color: $primary; }
        & > .preparation--key { color: $text-muted; }
    }
    """
    stages: reactive[tuple[tuple[str, float], ...]] = reactive(())
    """Each stage in words, and the share of it that is done, 0 to 1."""

    def render_line(self, y: int) -> Strip:
        pieces: list[Piece] = []
        if y < len(self.stages):
            words, fraction = visible(self.stages[y][0]), self.stages[y][1]
            filled = round(BAR * fraction)
            bar = "━" * filled + "╌" * (BAR - filled)
            pieces = [(f"▸ {words}  ", "now"), (bar, "bar"), (f" {fraction:.0%}", "")]
            if y < len(self.stages) - 1:
                pieces = [(f"✓ {words}", "done")]
        elif y == len(self.stages) + 1:
            pieces = [(CANCEL, "key")]
        return painted_line(self, "preparation", pieces)


FIRST_TEXT = "stories"
"""The suggestion where no run has a text: it needs no file, and its true entropy is known."""
MOST_BYTES = 50_000_000
"""Largest file that is suggested: its tokens are counted although the user has not chosen it."""


def suggested_text(run_name: str) -> tuple[str, str, tuple[str, ...]]:
    """Source, encoding and cleaning rules of a run's text; `FIRST_TEXT` where there is none that can be read again soon."""
    try:
        config = open_run(run_name).config
        source, encoding = config.data.source, config.data.encoding
        if config.has_text and can_be_read_again(source) and (file_size(source) or 0) <= MOST_BYTES:
            open_corpus(source, encoding)
            return source, encoding, config.data.cleaning
    except UserError:
        pass  # no run yet, or its text is gone: a suggestion less
    return FIRST_TEXT, "", DEFAULT_RULES


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
