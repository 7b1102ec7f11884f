"""The table of a comparison: results of each run, and the settings in which they differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lab.analysis.comparison.compared_run import ComparedRun, comparable, figures_of, same_text, same_tokens, score, share_of
from lab.core.number_format import count, duration, fixed, probability, whole
from lab.data.statistics.copied_share import copied_error
from lab.runs.run_in_words import label, value_in_words
from lab.runs.run_schema import TrainConfig
from models.config import ModelConfig
from models.parameter_count import parameter_count

NONE = "·"


@dataclass(frozen=True)
class ComparisonRow:
    """A line of the table: one value for each run. `winner` is the index of the best, where one is."""

    label: str
    values: tuple[str, ...]
    winner: int | None = None


def results(runs: Sequence[ComparedRun]) -> list[ComparisonRow]:
    """Results of each run. The best is marked where all compare."""
    ranked, final = comparable(runs)
    all_compare = len(ranked) == sum(run.has_learned for run in runs)
    ends = [final or (not all_compare and run.final is not None) for run in runs]
    best = [figures_of(run, end) for run, end in zip(runs, ends, strict=True)]

    def row(label: str, values: Sequence[float | None], write: Any, best: bool = False) -> ComparisonRow:
        known = [value for value in values if value is not None]
        winner = values.index(min(known)) if best and len(known) > 1 and len(set(known)) > 1 else None
        return ComparisonRow(label, tuple(NONE if value is None else write(value) for value in values), winner)

    latest = [run.history.latest for run in runs]
    rows = [ComparisonRow("state", tuple(run.phase for run in runs))]
    losses = row("best val loss", [score(each, bits=False) for each in best], fixed, best=all_compare and same_tokens(runs))
    rows.append(losses)
    rows.append(row("… in bits/byte", [score(each, bits=True) for each in best], fixed, best=all_compare))
    rows.append(row("… at step", [each.step if each else None for each in best], whole))
    shares = [share_of(run, end) for run, end in zip(runs, ends, strict=True)]
    rows.append(ComparisonRow("… evaluated on", tuple(share.in_short if share else NONE for share in shares)))
    copied = [f"{probability(found.share)}{copied_error(found)}" if (found := run.copied) else NONE for run in runs]
    rows += [ComparisonRow("… in training", tuple(copied))] * any(run.copied for run in runs)
    rows.append(row("steps done", [run.status.step for run in runs], whole))
    rows.append(row("tokens seen", [metric.tokens if metric else None for metric in latest], count))
    rows.append(row("time training", [run.status.seconds or None for run in runs], duration))
    rows.append(row("parameters", [parameter_count(run.config.model) for run in runs], count))
    return rows


def differences(runs: Sequence[ComparedRun]) -> list[ComparisonRow]:
    """The settings in which they differ."""
    texts = [run.config.data.name for run in runs]
    if not same_text(runs) and len(set(texts)) < len(texts):
        texts = [f"{run.config.data.name}, {whole(run.config.data.bytes)} bytes, {run.config.data.sha256[:6]}" for run in runs]
    rows = [ComparisonRow("text", tuple(texts))]
    rows.append(ComparisonRow("tokenizer", tuple(run.config.tokenizer.kind for run in runs)))
    if not same_tokens(runs) and len(set(rows[-1].values)) == 1:
        rows[-1] = ComparisonRow("tokenizer", tuple(f"{run.config.tokenizer.kind} of {run.name}" for run in runs))
    rows += [_setting(name, [getattr(run.config.model, name) for run in runs]) for name in ModelConfig.__dataclass_fields__]
    rows.append(ComparisonRow("validation", tuple(run.config.data.holdout.in_words for run in runs)))
    rows = [row for row in rows if len(set(row.values)) > 1]
    for name in TrainConfig.__struct_fields__:
        row = _setting(name, [None if run.config.imported is not None else getattr(run.config.train, name) for run in runs])
        here = {value for run, value in zip(runs, row.values, strict=True) if run.config.imported is None}
        rows += [row] * (len(here) > 1)
    return rows


def _setting(name: str, values: Sequence[object]) -> ComparisonRow:
    return ComparisonRow(label(name), tuple(value_in_words(name, value) or NONE for value in values))
