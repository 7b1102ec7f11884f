"""The checkpoint that a training step starts from, loaded from a run whose files stay as they are."""

from dataclasses import dataclass

import torch

from lab.core.errors import DamagedFileError, UserError
from lab.planning.device import choose_precision
from lab.runs.run_folder import Run
from lab.runs.weights_file import ROLLBACK_PREFIX, load_weights
from lab.training.checkpoint import load_tensors, read_checkpoint
from lab.training.model_as_trained import ModelAsTrained
from lab.training.trainer_state import TrainerState


@dataclass
class OpenCheckpoint:
    """A run's model, optimizer and trainer state."""

    run: Run
    trained: ModelAsTrained
    state: TrainerState
    name: str
    """Weights file: last, previous or best."""
    has_fresh_optimizer: bool
    """Set where the run has no optimizer state, so that the optimizer starts anew."""


def open_checkpoint(run: Run) -> OpenCheckpoint:
    """The run's last good checkpoint as its trainer would resume it; its best weights and a fresh optimizer where there is none.

    Raises:
        UserError: if the run has no weights that can be read, or was post-trained.
    """
    if run.config.tuning is not None:
        raise UserError(
            f"{run.name} was post-trained on questions and answers, and these steps are not shown here. "
            f"One step of its base, {run.config.tuning.base}, can be watched."
        )
    config = run.config
    for name in ("last", "previous"):
        path = run.path / f"{name}.safetensors"
        try:
            state, tensors = read_checkpoint(run, path, without=(ROLLBACK_PREFIX,))
        except (FileNotFoundError, DamagedFileError):
            continue
        trained = ModelAsTrained(config.model, config.train)
        load_tensors(run, path, trained.model, trained.optimizer, tensors)
        break
    else:
        name = "best"
        weights, step = load_weights(run, name)
        trained = ModelAsTrained(config.model, config.train)
        trained.model.load_state_dict(weights)
        state = TrainerState(step=step, precision=choose_precision(config.train.precision, torch.device("cpu")))
    trained.set_arithmetic(state.precision, state.attention)
    return OpenCheckpoint(run, trained, state, name, not trained.optimizer.state)
