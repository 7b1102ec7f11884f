"""Evaluation schedule: every `eval_every` steps and at the last."""

from lab.runs.run_schema import TrainConfig


def is_evaluation_due(train: TrainConfig, step: int) -> bool:
    """True if an evaluation follows this step. The one at the end of a run limited by minutes is not known beforehand."""
    return step % train.eval_every == 0 or step == train.steps
