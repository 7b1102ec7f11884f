"""The size of the vocabulary, counted from loaded tokenizers: this run's and GPT-2's."""

from collections import Counter
from typing import TYPE_CHECKING

from lab.core.number_format import whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.experiments.tokens import gpt2_tokenizer as gpt2
from lab.views.blocks import Cell, Column, Table, View
from models.tokenizers.tokenizer_kinds import TokenizerError, TokenKind

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer

PARTS: dict[TokenKind, str] = {
    "byte": "single bytes",
    "merge": "merges",
    "special": "special tokens",
    "unused": "ids without a token",
}


def vocabulary(context: ExperimentContext) -> ExperimentResult:
    """Measures `vocabulary`, `single_bytes`, `merges` and `special` of GPT-2, and of the run with the prefix `own_`."""
    counted = {context.run_name: parts(context.tokenizer)}
    measures: dict[str, Measure] = _measures("own_", counted[context.run_name])
    missing = ""
    try:
        counted["GPT-2"] = parts(gpt2.gpt2_tokenizer())
        measures |= _measures("", counted["GPT-2"])
    except TokenizerError as error:
        missing = str(error).rstrip(".") + "."
    view = View("vocabulary", "vocabulary", _sentence(counted), [_table(counted)])
    return ExperimentResult(view, measures, missing)


def parts(tokenizer: "Tokenizer") -> list[int]:
    """Counts of single bytes, merges, special tokens and ids without a token, one id after the other."""
    found = Counter(map(tokenizer.kind_of, range(tokenizer.vocab_size)))
    return [found[kind] for kind in PARTS]


def _measures(prefix: str, counts: list[int]) -> dict[str, Measure]:
    names = ("vocabulary", "single_bytes", "merges", "special")
    return {prefix + name: count for name, count in zip(names, (sum(counts), *counts), strict=False)}


def _sentence(counted: dict[str, list[int]]) -> str:
    sums = []
    for name, counts in counted.items():
        found = [whole(count) for count in counts if count]
        sums.append(f"{name}: {' + '.join(found)} {f'= {whole(sum(counts))} ' if len(found) > 1 else ''}tokens")
    return "; ".join(sums) + "."


def _table(counted: dict[str, list[int]]) -> Table:
    columns = [Column("", "left"), *(Column(name) for name in counted)]
    rows = [
        [Cell(part), *(Cell(whole(n[row]), value=float(n[row]), bar=n[row] / sum(n)) for n in counted.values())]
        for row, part in enumerate(PARTS.values())
        if part != PARTS["unused"] or any(n[row] for n in counted.values())
    ]
    total = [Cell("vocabulary"), *(Cell(whole(sum(counts)), value=float(sum(counts))) for counts in counted.values())]
    return Table(columns, rows, title="tokens, counted", total=total)
