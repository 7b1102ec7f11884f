"""What one training step under the microscope begins with, read from a run that stays as it is."""

import torch
from torch.optim import Optimizer

from lab.core.errors import DamagedFileError
from lab.one_step.training_step import OneStep
from lab.planning.device import choose_precision
from lab.runs.run_folder import Run
from lab.runs.weights_file import ROLLBACK_PREFIX, load_model
from lab.training.checkpoint import load_tensors, read_checkpoint
from lab.training.trainer_state import TrainerState
from models.gpt import GPT
from models.optimizer import make_optimizer, set_muon_dtype


def open_step(run: Run) -> OneStep:
    """A run's last good checkpoint as its trainer would resume it; its best weights and a fresh optimizer where there is none.

    Raises:
        UserError: if the run has no weights that can be read.
    """
    for name in ("last", "previous"):
        path = run.path / f"{name}.safetensors"
        try:
            state, tensors = read_checkpoint(run, path, without=(ROLLBACK_PREFIX,))
        except (FileNotFoundError, DamagedFileError):
            continue
        model = GPT(run.config.model, seed=None)
        optimizer = _optimizer(run, model)
        load_tensors(run, path, model, optimizer, tensors)
        model.set_attention_kernel(state.attention)
        set_muon_dtype(optimizer, torch.bfloat16 if state.precision == "bf16" else torch.float32)
        return OneStep(run, model, optimizer, state, name, not optimizer.state)
    model, step = load_model(run, "best")
    precision = choose_precision(run.config.train.precision, torch.device("cpu"))
    return OneStep(run, model, _optimizer(run, model), TrainerState(step=step, precision=precision), "best", True)


def _optimizer(run: Run, model: GPT) -> Optimizer:
    train = run.config.train
    return make_optimizer(model, train.lr, train.weight_decay, (train.beta1, train.beta2), train.optimizer)
