"""Comparable runs: which losses may stand side by side, and whether in nats per token or in bits per byte."""

from collections.abc import Sequence

from lab.analysis.compared_run import ComparedRun
from lab.runs.run_in_words import EvaluatedShare, at_the_end, during_training
from lab.runs.run_schema import FinalEvaluation, Metric


def same_tokens(runs: Sequence[ComparedRun]) -> bool:
    """Check that their losses per token compare."""
    return len({run.vocabulary for run in runs}) <= 1


def same_text(runs: Sequence[ComparedRun]) -> bool:
    """Check that their validation parts are from the same text."""
    return len({run.validated_on for run in runs}) <= 1


def in_bits(runs: Sequence[ComparedRun]) -> bool:
    """Check that they have to be compared in bits per byte."""
    return not (same_tokens(runs) and same_text(runs))


Figures = Metric | FinalEvaluation
"""Both have a step, a validation loss, and bits per byte."""


def comparable(runs: Sequence[ComparedRun]) -> tuple[list[ComparedRun], bool]:
    """The runs whose results are of the same bytes, and True if these are the results at the end.

    Runs on different texts have a validation part each: they count as comparable, and the verdict says so.
    Results at the end are taken where all have them, else those of the evaluations during training.
    """
    learned = [run for run in runs if run.has_learned]
    for final in (True, False):
        if final and not all(run.final for run in learned):
            continue
        if not same_text(learned):
            return learned, final
        same: dict[str, list[ComparedRun]] = {}
        for run in learned:
            same.setdefault(run.final_evaluated_on if final else run.evaluated_on, []).append(run)
        largest = max(same.values(), key=len, default=[])
        if not final or len(largest) == len(learned):
            return largest, final
    return [], False


def figures_of(run: ComparedRun, final: bool) -> Figures | None:
    """The best results of the run: at the end, or of its evaluations during training."""
    return run.final if final else run.best


def score(figures: Figures | None, bits: bool) -> float | None:
    """Bits per byte, or nats per token."""
    return None if figures is None else figures.bits_per_byte if bits else figures.val_loss


def share_of(run: ComparedRun, final: bool) -> EvaluatedShare | None:
    """The share of its validation part that these are measured on; None if unknown."""
    data = run.config.data
    return at_the_end(data, run.final) if final and run.final else during_training(data, run.status)
