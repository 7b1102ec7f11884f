"""The checkpoint that a training step starts from, loaded from a run whose files stay as they are."""

from dataclasses import dataclass

import torch
from torch.optim import Optimizer

from lab.core.errors import DamagedFileError, UserError
from lab.planning.device import choose_precision
from lab.runs.run_folder import Run
from lab.runs.weights_file import ROLLBACK_PREFIX, load_model
from lab.training.checkpoint import load_tensors, read_checkpoint
from lab.training.trainer_state import TrainerState
from lab.training.training_setup import optimizer_of, set_arithmetic
from models.gpt import GPT


@dataclass
class OpenCheckpoint:
    """A run's model, optimizer and trainer state."""

    run: Run
    model: GPT
    optimizer: Optimizer
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
    for name in ("last", "previous"):
        path = run.path / f"{name}.safetensors"
        try:
            state, tensors = read_checkpoint(run, path, without=(ROLLBACK_PREFIX,))
        except (FileNotFoundError, DamagedFileError):
            continue
        model = GPT(run.config.model, seed=None)
        optimizer = optimizer_of(run.config.train, model)
        load_tensors(run, path, model, optimizer, tensors)
        set_arithmetic(state, model, optimizer)
        return OpenCheckpoint(run, model, optimizer, state, name, not optimizer.state)
    model, step = load_model(run, "best")
    precision = choose_precision(run.config.train.precision, torch.device("cpu"))
    return OpenCheckpoint(
        run, model, optimizer_of(run.config.train, model), TrainerState(step=step, precision=precision), "best", True
    )
