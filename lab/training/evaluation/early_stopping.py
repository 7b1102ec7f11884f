"""Early stopping: end a run after `patience` evaluations in a row without a lower validation loss."""

from lab.training.trainer_state import TrainerState


def is_stopped_early(patience: int | None, state: TrainerState) -> bool:
    """True if the validation loss has not improved for `patience` evaluations."""
    return patience is not None and state.evals_without_improvement >= patience


def early_stop_message(patience: int | None, state: TrainerState) -> str:
    """The reason for an early end; empty if there is none."""
    if not is_stopped_early(patience, state):
        return ""
    best = f"; the best weights are those of step {state.best_step}" if state.best_step is not None else ""
    return f"Ended early: no better validation loss in {state.evals_without_improvement} evaluations in a row{best}."
