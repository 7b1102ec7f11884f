"""The size of the vocabulary, counted from loaded tokenizers: this run's and GPT-2's."""

from typing import TYPE_CHECKING

from lab.core.number_format import whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.experiments.tokens import gpt2_tokenizer as gpt2
from lab.views.blocks import Cell, Column, Table, View
from models.tokenizers.tokenizer_kinds import TokenizerError

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer

PARTS = ("single bytes", "merges", "special tokens")


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
    """Counts of single bytes, of merges and of special tokens, one token after the other."""
    found = [0, 0, 0]
    for id_ in range(tokenizer.vocab_size):
        if tokenizer.merge_rank(id_) is not None:
            found[1] += 1
        else:
            found[2 if id_ in tokenizer.special.values() else 0] += 1
    return found


def _measures(prefix: str, counts: list[int]) -> dict[str, Measure]:
    names = ("vocabulary", "single_bytes", "merges", "special")
    return {prefix + name: count for name, count in zip(names, (sum(counts), *counts), strict=True)}


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
        for row, part in enumerate(PARTS)
    ]
    total = [Cell("vocabulary"), *(Cell(whole(sum(counts)), value=float(sum(counts))) for counts in counted.values())]
    return Table(columns, rows, title="tokens, counted", total=total)
