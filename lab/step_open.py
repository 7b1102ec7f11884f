"""What one training step under the microscope begins with, read from a run that stays as it is."""

from pathlib import Path

import msgspec
import torch
from safetensors import safe_open
from torch.optim import Optimizer

from lab.checkpoint import MODEL, OPTIMIZER, Cursor, load_model, load_optimizer
from lab.device import choose_precision
from lab.errors import UserError
from lab.one_step import OneStep
from lab.run_folder import Run
from lab.tensor_file import is_whole
from models.gpt import GPT
from models.optim import compute_in, make_optimizer


def open_step(run: Run) -> OneStep:
    """A run's last good checkpoint as its trainer would resume it; its best weights and a fresh optimizer where there is none.

    Raises:
        UserError: if the run has no weights that can be read.
    """
    for name in ("last", "previous"):
        path = run.path / f"{name}.safetensors"
        if is_whole(path):
            model = GPT(run.config.model, seed=None)
            optimizer = _optimizer(run, model)
            cursor = _read(run, path, model, optimizer)
            model.attend_by(cursor.attention)
            compute_in(optimizer, torch.bfloat16 if cursor.precision == "bf16" else torch.float32)
            return OneStep(run, model, optimizer, cursor, name, not optimizer.state)
    model, step = load_model(run, "best")
    precision = choose_precision(run.config.train.precision, torch.device("cpu"))
    return OneStep(run, model, _optimizer(run, model), Cursor(step=step, precision=precision), "best", True)


def _optimizer(run: Run, model: GPT) -> Optimizer:
    train = run.config.train
    return make_optimizer(model, train.lr, train.weight_decay, (train.beta1, train.beta2), train.optimizer)


def _read(run: Run, path: Path, model: GPT, optimizer: Optimizer) -> Cursor:
    """Puts a checkpoint that training goes on from into model and optimizer, and changes no file."""
    try:
        with safe_open(path, framework="pt") as file:
            cursor = msgspec.json.decode((file.metadata() or {})["cursor"], type=Cursor)
            names = list(file.keys())
            weights = {name.removeprefix(MODEL): file.get_tensor(name) for name in names if name.startswith(MODEL)}
            model.load_state_dict(weights)
            del weights
            state = {name.removeprefix(OPTIMIZER): file.get_tensor(name) for name in names if name.startswith(OPTIMIZER)}
            load_optimizer(model, optimizer, state)
    except (KeyError, msgspec.DecodeError, RuntimeError) as error:
        raise UserError(f"{path} does not fit the model of {run.name}; was its config.json changed?") from error
    return cursor
