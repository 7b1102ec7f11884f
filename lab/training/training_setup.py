"""Setup of a run's training: device, data, model, optimizer, last checkpoint, and the arithmetic it computes in."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from msgspec import UNSET

from lab.core.errors import UserError, is_out_of_memory
from lab.core.number_format import count, whole
from lab.data.data_order import TrainingBatches
from lab.data.source_files import change_of_text, check_tokens
from lab.data.token_file import TokenFile, token_dtype
from lab.planning.compute_choice import choose_compute
from lab.planning.device import check_memory, choose_compile, planned_seconds, processor_of
from lab.planning.plan_for_minutes import seconds_counted
from lab.runs.run_folder import Run, tokenizer_of
from lab.runs.run_schema import Metric, RunConfig
from lab.runs.weights_file import load_weights
from lab.training import checkpoint
from lab.training.checkpoint import LoadedCheckpoint
from lab.training.distributed.one_rank import OneRank
from lab.training.model_as_trained import ModelAsTrained
from lab.training.trainer_state import TrainerState
from models.parameter_count import parameter_count
from models.tokenizers.tokenizer import Tokenizer


@dataclass
class TrainingSetup:
    """Parts of a run's training, as its last checkpoint left them."""

    run: Run
    device: torch.device
    tokenizer: Tokenizer
    tokens: TokenFile
    batches: TrainingBatches
    trained: ModelAsTrained
    loaded: LoadedCheckpoint | None
    """None before the first checkpoint."""
    state: TrainerState

    def notes(self) -> list[str]:
        """Sentences about a damaged checkpoint and a changed text, in a run that is resumed."""
        if self.loaded is None:
            return []
        return [self.loaded.note, change_of_text(self.run.config.data, self.run.config.created)]


def set_up_training(run: Run, ranks: OneRank | None = None) -> TrainingSetup:
    """Load data and model, and the last checkpoint if there is one, and share it with the other ranks.

    Raises:
        UserError: if the device cannot be used, or a file of the run.
    """
    config = run.config
    ranks = ranks or OneRank()
    device = ranks.device(config.train.device)
    torch.set_float32_matmul_precision("high")
    tokenizer = tokenizer_of(run)
    tokens = load_tokens(run)
    check_tokens(run)
    batches = batches_of(run, tokens, ranks)
    check_memory(config.model, config.train.device)
    trained = ModelAsTrained(config.model, config.train, device, config.train.seed)
    trained.optimizer = ranks.shard(trained.optimizer, trained.model)
    loaded = checkpoint.load_checkpoint(run, trained.model, trained.optimizer)
    if loaded is None and config.start is not None:
        trained.model.load_state_dict(load_weights(run, "0")[0])
    state = loaded.state if loaded else _initial_state(run, device, ranks.count)
    if device.type == "mps" and state.precision == "fp16":
        raise UserError(f"{run.name} computes in fp16 with a scaled loss; resume it on a machine without an Apple GPU.")
    trained.set_arithmetic(state.precision, state.attention)
    ranks.share_state(trained.model, trained.optimizer, state)
    return TrainingSetup(run, device, tokenizer, tokens, batches, trained, loaded, state)


def out_of_memory_message(config: RunConfig) -> str:
    """The reason for an end for lack of memory, and what to do."""
    return (
        f"There is not enough memory for the weights and the optimizer of {count(parameter_count(config.model))} parameters "
        "beside what else uses it; close other programs and resume, or start a new run with a smaller model."
    )


@contextmanager
def telling_out_of_memory(config: RunConfig) -> Iterator[None]:
    """Context in which running out of memory is an error of the user's. Raises UserError then."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(out_of_memory_message(config)) from error


def load_tokens(run: Run) -> TokenFile:
    tokens = TokenFile(run.tokens_path, token_dtype(run.config.tokenizer.vocab_size))
    if len(tokens) != run.config.data.tokens:
        found, known = whole(len(tokens)), whole(run.config.data.tokens)
        raise UserError(f"{run.tokens_path} holds {found} tokens instead of {known}; start a new run.")
    return tokens


def batches_of(run: Run, tokens: TokenFile, ranks: OneRank) -> TrainingBatches:
    """The batches of a run, of which each rank has its windows."""
    model, train = run.config.model, run.config.train
    return TrainingBatches(tokens, 0, run.config.data.split, model.context, train.batch, train.seed, ranks.rows(train.batch))


def seconds_since_asked(config: RunConfig) -> float:
    """Seconds of a run by minutes that count as passed before its training."""
    if config.train.minutes is None or config.train.minutes_of_steps:
        return 0.0
    return seconds_counted(time.time() - config.created, config.train.minutes)


def _initial_state(run: Run, device: torch.device, ranks: int = 1) -> TrainerState:
    """State before the first step, in the fastest arithmetic on this machine of those that the run allows."""
    model, train = run.config.model, run.config.train
    chosen = choose_compute(model, train, device, run.path.parent)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    compiled, why = choose_compile(train.compile, device.type, planned_seconds(model, train, card, ranks))
    before = seconds_since_asked(run.config)
    return TrainerState(
        precision=chosen.precision,
        attention=chosen.attention,
        threads=chosen.threads,
        computed=f"{chosen.reason}, {why}" if why else chosen.reason,
        begun_on=processor_of(device),
        compiled=compiled or UNSET,
        seconds=before,
        seconds_before=before or UNSET,
        pending=Metric(step=0, tokens=0, epoch=0.0, seconds=0.0),  # the initial weights are still to be evaluated
    )
