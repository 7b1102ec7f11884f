"""The whole path of a prompt through the model on one page: text, tokens, ids, vectors, layers, logits, softmax, text."""

from collections.abc import Sequence

from rich.cells import cell_len

from lab.core.number_format import probability, significant, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.inspect.stages.logit_lens import logit_lens, residual_streams
from lab.inspect.stages.logits_stage import largest
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Cell, Column, Table, View
from lab.views.softmax_table import softmax
from models.tokenizers.token_labels import printable
from models.unembed import Slices

WIDTH = 58
"""Character cells of a line beside its label: what there is room for beside the lessons on a screen of 120 columns."""
NUMBERS, TOP = 4, 3
"""Numbers shown of a vector; tokens shown of the logits and of their softmax."""


def whole_path(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures `tokens`, `width`, `layers`, `vocabulary`, and `next` and `probability` of the most probable token.

    Raises: UserError: if there is no prompt.
    """
    at = yield from context.stage_context()
    lenses = yield from logit_lens(at)
    probabilities = softmax(at.logits)
    top = largest(at.logits, TOP)
    streams = residual_streams(at.config.layers)
    before, after = lenses[streams[0]].norm, lenses[streams[-1]].norm
    best = at.tokenizer.label(top[0])
    layers = f"{at.config.layers} layers add" if at.config.layers > 1 else "1 layer adds"
    lines = [
        ("text", _end(printable(at.tokenizer.decode_bytes(at.ids)))),
        ("→ tokens", _count(len(at.ids), "token") + ": " + _last([at.label(i) for i in range(len(at.ids))], "│")),
        ("→ ids", _last([str(id_) for id_ in at.ids], "  ")),
        ("→ vectors", _first(_numbers(at), f" … {whole(at.config.width)} numbers per token")),
        ("→ layers", f"{layers} to the vector: norm (length) {significant(before)} → {significant(after)}"),
        (
            "→ logits",
            _first(
                _named(at, top, [significant(float(at.logits[id_])) for id_ in top]), f" … {whole(len(probabilities))} in all"
            ),
        ),
        (
            "→ softmax",
            _first(_named(at, top, [probability(float(probabilities[id_]), digits=2) for id_ in top]), " … sum 100%"),
        ),
        ("→ next token", f"“{best}”, the most probable one, with id {top[0]}"),
        ("→ text", _end(printable(at.tokenizer.decode_bytes([*at.ids, top[0]])))),
    ]
    table = Table(
        [Column("", "left"), Column("", "left")], [[Cell(name, style="strong"), Cell(_cut(line))] for name, line in lines]
    )
    measures: dict[str, Measure] = {
        "tokens": len(at.ids),
        "width": at.config.width,
        "layers": at.config.layers,
        "vocabulary": len(probabilities),
        "next": best,
        "probability": float(probabilities[top[0]]),
    }
    shown = probability(float(probabilities[top[0]]), digits=2)
    sentence = f"After {at.here} the model gives “{best}” the highest probability: {shown}."
    return ExperimentResult(View("whole_path", "from text to the next token", sentence, [table]), measures)


def _count(number: int, noun: str) -> str:
    return f"{whole(number)} {noun}{'' if number == 1 else 's'}"


def _numbers(at: StageContext) -> list[str]:
    """The first numbers of the last token's vector, before layer 1."""
    return [significant(number) for number in at.row("blocks.0.resid_pre")[:NUMBERS].tolist()]


def _named(at: StageContext, ids: Sequence[int], numbers: Sequence[str]) -> list[str]:
    return [f"“{at.tokenizer.label(id_)}” {number}" for id_, number in zip(ids, numbers, strict=True)]


def _end(text: str) -> str:
    """The end of a text, as much of it as a line holds."""
    kept = text
    while cell_len(kept) > WIDTH - 1:
        kept = kept[1:]
    return kept if kept == text else f"…{kept}"


def _first(words: Sequence[str], end: str) -> str:
    """The first words, as many as a line holds with its `end`."""
    shown = list(words)
    while len(shown) > 1 and cell_len("  ".join(shown) + end) > WIDTH:
        shown.pop()
    return "  ".join(shown) + end


def _last(words: Sequence[str], between: str) -> str:
    """The last words with `between` between them, as many as a line holds."""
    shown = list(words)
    while len(shown) > 1 and cell_len(between.join(shown)) > WIDTH - 14:
        shown.pop(0)
    return ("… " if len(shown) < len(words) else "") + between.join(shown)


def _cut(line: str) -> str:
    kept = line
    while cell_len(kept) > WIDTH - 1:
        kept = kept[:-1]
    return line if cell_len(line) <= WIDTH else f"{kept}…"
