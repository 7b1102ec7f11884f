"""The starting point of a training step: the run's checkpoint, and a batch of its own data or a typed sentence."""

from dataclasses import dataclass

import numpy as np
import torch

from lab.core.errors import UserError
from lab.data.data_order import TrainingBatches
from lab.data.token_file import Ids, TokenFile, token_dtype
from lab.planning.device import choose_precision
from lab.runs.run_folder import Run
from lab.runs.weights_file import load_weights
from lab.training.checkpoint import load_readable
from lab.training.model_as_trained import ModelAsTrained
from lab.training.trainer_state import TrainerState
from models.parameter_count import parameter_count
from models.tokenizers.tokenizer import Tokenizer


@dataclass
class OpenCheckpoint:
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
    trained = ModelAsTrained(config.model, config.train)
    if found := load_readable(run, trained.model, trained.optimizer):
        state, name = found
    else:
        name = "best"
        weights, step = load_weights(run, name)
        trained.model.load_state_dict(weights)
        state = TrainerState(step=step, precision=choose_precision(config.train.precision, torch.device("cpu")))
    trained.set_arithmetic(state.precision, state.attention)
    return OpenCheckpoint(run, trained, state, name, not trained.optimizer.state)


MOST_FLOPS = 1e12
"""A batch that needs more is cut to as many of its windows as need less, but at least one: some ten seconds on a laptop."""


@dataclass(frozen=True)
class StepBatch:
    """Windows of tokens, and their targets: the same windows one token later."""

    ids: Ids
    """(B, T)"""
    targets: Ids
    """(B, T)"""
    step: int | None = None
    """Step of the run that takes this batch, 0-based; None: a typed sentence."""
    left_out: int = 0
    """Windows of the run's batch, or tokens of the sentence, that are not used."""
    micro_batches: int = 1

    @property
    def predictions(self) -> int:
        return int(self.targets.size)

    def window(self, index: int) -> list[int]:
        """The T + 1 tokens of a window."""
        return [int(self.ids[index, 0]), *self.targets[index].tolist()]


def own_batch(run: Run, step: int, micro_batches: int) -> StepBatch:
    """The batch of the run's step `step`, 0-based, in a number of micro-batches.

    Raises:
        UserError: if the run's tokens cannot be read, or there is no such step.
    """
    config = run.config
    if step < 0:
        raise UserError("There is no earlier batch: this is the one of the run's first step.")
    if not config.has_text:
        raise UserError(f"{run.name} was imported, and its training text is not here; e types a sentence instead.")
    tokens = TokenFile(run.tokens_path, token_dtype(config.tokenizer.vocab_size))
    if len(tokens) != config.data.tokens:
        raise UserError(f"{run.tokens_path} is not the text that {run.name} was trained on; e types a sentence instead.")
    batches = TrainingBatches(tokens, 0, config.data.split, config.model.context, config.train.batch, config.train.seed)
    ids, targets = batches.at(step)
    flops = 6 * parameter_count(config.model) * config.model.context  # of one window, forward and back
    windows = max(1, min(len(ids), int(MOST_FLOPS / flops)))
    return StepBatch(ids[:windows], targets[:windows], step, len(ids) - windows, min(windows, micro_batches))


def sentence_batch(tokenizer: Tokenizer, text: str, context: int) -> StepBatch:
    """The sentence as one window, whose every token but the first is predicted; what does not fit into the context is left out.

    Raises:
        UserError: if nothing is predicted.
    """
    ids = tokenizer.encode(text)
    if not ids:
        raise UserError("The sentence is empty, so there is nothing to learn from; type two words or more.")
    if len(ids) == 1:
        raise UserError(
            f"“{tokenizer.label(ids[0])}” is one token, so nothing is predicted: a loss needs a token and the one after it. "
            "Type more."
        )
    kept = np.array([ids[: context + 1]], np.int64)
    return StepBatch(kept[:, :-1], kept[:, 1:], left_out=len(ids) - kept.size)
