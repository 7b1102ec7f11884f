"""A rank other than 0: it computes its part of each step, as rank 0 orders, and writes nothing into the run's folder."""

import os
import traceback

import msgspec
import torch

from lab.core.errors import UserError, name_error
from lab.runs.run_folder import Run
from lab.training.acceleration.compilation import is_compiled
from lab.training.acceleration.loss_scaling import LossScaler
from lab.training.checkpoint import optimizer_tensors
from lab.training.command_inbox import StopSignals
from lab.training.distributed.rank_environment import RankEnvironment
from lab.training.distributed.rank_group import (
    JOIN_SECONDS,
    Kind,
    Order,
    RankGroup,
    broken_connection,
    connect_store,
    rank_device,
)
from lab.training.distributed.rank_watch import EndedEarlyError, RankWatch, join_all
from lab.training.distributed.shared_state import ShardedOptimizer, receive_state
from lab.training.distributed.shared_step import SharedStep
from lab.training.gradient_accumulation import GradientAccumulator
from lab.training.model_as_trained import ModelAsTrained
from lab.training.start_trainer import log
from lab.training.training_setup import (
    ComputeSetup,
    batches_of,
    load_tokens,
    telling_out_of_memory,
)


def train_with_rank_0(run: Run, environment: RankEnvironment, signals: StopSignals) -> int:
    """Do what rank 0 orders until it says that this is the end. Returns the exit code.

    Raises:
        UserError: if rank 0 cannot be reached.
    """
    store = connect_store(environment, serve=True)
    watch = RankWatch(environment, connect_store(environment, serve=False), signals)
    watch.start(_give_up)
    watch.waits = True
    failure = ""
    try:
        device = rank_device(environment, run.config.train.device)
        join_all(watch, signals, JOIN_SECONDS, lambda missing: None)
        with telling_out_of_memory(run.config):
            group = RankGroup(environment, device, store)
            OtherRank(run, group, watch).train()
        group.leave()
    except EndedEarlyError:
        return 1  # rank 0 or the launcher has said why
    except UserError as error:
        failure = str(error)
    except Exception as error:
        lost = watch.lost(1.0) or broken_connection(error)
        if not lost:
            traceback.print_exc()
        failure = lost or name_error(error)
    finally:
        watch.end(failure)
    if failure:
        log(f"Rank {environment.rank} ended: {failure.rstrip('.')}.")
    return 1 if failure else 0


class OtherRank:
    """The part of a rank in a training."""

    def __init__(self, run: Run, group: RankGroup, watch: RankWatch) -> None:
        """Load the data and make the model, without weights. Raises UserError if a file of the run cannot be used."""
        self._run, self._group, self._watch = run, group, watch
        self._step = SharedStep(group)
        sharded = msgspec.json.decode(group.send_json(None), type=dict[str, bool])["sharded"]
        torch.set_float32_matmul_precision("high")
        self._tokens = load_tokens(run)
        self._trained = trained = ModelAsTrained(run.config.model, run.config.train, group.device)
        if sharded:
            trained.optimizer = ShardedOptimizer(trained.optimizer, trained.model, group)
        self._gradient: GradientAccumulator | None = None
        self._scaler: LossScaler | None = None

    def train(self) -> None:
        """Carry out orders until the end."""
        while (order := self._group.receive(self._check)).kind is not Kind.END:
            if order.kind is Kind.STEP:
                self._compute(order)
            elif order.kind is Kind.UPDATE:
                self._update()
            elif order.kind is Kind.SKIP:
                self._skip()
            elif order.kind is Kind.SHARE:
                self._receive_state()
            elif order.kind is Kind.GATHER:
                optimizer_tensors(self._trained.model, self._trained.optimizer)

    def _check(self) -> None:
        """Raise UserError if rank 0 is lost."""
        if self._watch.known_loss:
            raise UserError(self._watch.known_loss)

    def _receive_state(self) -> None:
        trained = self._trained
        state = receive_state(self._group, trained.model, trained.optimizer)
        trained.set_arithmetic(state.precision, state.attention)
        if self._gradient is not None:
            return
        run, device = self._run, self._group.device
        batches = batches_of(run, self._tokens, self._step)
        compute = ComputeSetup(run.config.train, state, device, self._step.local_count)
        self._scaler = LossScaler(state, trained.model, trained.optimizer)
        self._gradient = GradientAccumulator(trained, batches, state, compute.autocast, self._step)
        self._gradient.report_fall_back = log
        if is_compiled(state, run.config.train.compile, device):
            self._gradient.compile()

    def _compute(self, order: Order) -> None:
        assert self._gradient is not None
        self._step.overlap = order.overlap
        self._gradient.micro_batches = order.micro_batches
        self._trained.set_lr(order.lr)
        self._gradient.attempt(order.step)

    def _update(self) -> None:
        assert self._scaler is not None
        self._scaler.unscale()
        self._trained.clip_gradients()
        self._trained.optimizer.step()
        self._scaler.end_step(skipped=False, applied=True)

    def _skip(self) -> None:
        """Leave out an update, and adapt the scale of the loss as rank 0 does."""
        assert self._scaler is not None
        self._scaler.unscale()
        self._scaler.end_step(skipped=True, applied=False)


def _give_up(sentence: str) -> None:
    log(sentence)
    os._exit(1)
