"""What one training step under the microscope begins with, read from a run that stays as it is."""

import torch
from torch.optim import Optimizer

from lab.core.errors import DamagedFileError
from lab.one_step.training_step import OneStep
from lab.planning.device import choose_precision
from lab.runs.checkpoint import GOOD, TrainerState, load_model, put_training, read_training
from lab.runs.run_folder import Run
from models.gpt import GPT
from models.optimizer import compute_in, make_optimizer


def open_step(run: Run) -> OneStep:
    """A run's last good checkpoint as its trainer would resume it; its best weights and a fresh optimizer where there is none.

    Raises:
        UserError: if the run has no weights that can be read.
    """
    for name in ("last", "previous"):
        path = run.path / f"{name}.safetensors"
        try:
            cursor, tensors = read_training(run, path, without=(GOOD,))
        except (FileNotFoundError, DamagedFileError):
            continue
        model = GPT(run.config.model, seed=None)
        optimizer = _optimizer(run, model)
        put_training(run, path, model, optimizer, tensors)
        model.set_attention_kernel(cursor.attention)
        compute_in(optimizer, torch.bfloat16 if cursor.precision == "bf16" else torch.float32)
        return OneStep(run, model, optimizer, cursor, name, not optimizer.state)
    model, step = load_model(run, "best")
    precision = choose_precision(run.config.train.precision, torch.device("cpu"))
    return OneStep(run, model, _optimizer(run, model), TrainerState(step=step, precision=precision), "best", True)


def _optimizer(run: Run, model: GPT) -> Optimizer:
    train = run.config.train
    return make_optimizer(model, train.lr, train.weight_decay, (train.beta1, train.beta2), train.optimizer)
