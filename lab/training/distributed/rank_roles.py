"""Rank 0 of several: it trains as one process does, and before each thing that all ranks do together it sends an order.

So whatever it alone can know, such as commands, the clock, a full disk or the result of an evaluation, needs no agreement: the
others do nothing without an order, and wait for the next one for as long as it takes.
"""

import os
import shlex
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec
import torch
from torch.optim import Optimizer

from lab.core.errors import UserError, name_error
from lab.runs.run_folder import Run
from lab.training.checkpoint import optimizer_tensors
from lab.training.compute_setup import ComputeSetup
from lab.training.distributed.launcher import RankEnvironment
from lab.training.distributed.one_rank import LossFunction, RankLostError
from lab.training.distributed.rank_group import (
    JOIN_SECONDS,
    Kind,
    Order,
    RankGroup,
    SharedStep,
    broken_connection,
    connect_store,
    rank_device,
)
from lab.training.distributed.rank_watch import EndedEarlyError, RankWatch, join_all
from lab.training.distributed.shared_state import ShardedOptimizer, is_sharded, receive_state, send_state
from lab.training.gradient_accumulation import GradientAccumulator
from lab.training.loss_scaling import LossScaler
from lab.training.model_as_trained import ModelAsTrained, is_compiled
from lab.training.start_trainer import log
from lab.training.status_file import StatusBoard
from lab.training.stop_signals import StopSignals
from lab.training.trainer_state import TrainerState
from lab.training.training_setup import batches_of, load_tokens, telling_out_of_memory
from models.gpt import GPT

EXPLAIN_SECONDS = 5.0
"""Time to find out which rank is gone, once a collective has failed."""
END_SECONDS = 5.0
"""Time for the others to take the order to end; those that cannot find out by themselves that rank 0 is gone."""
RETRYABLE_STEPS = 3
"""Steps that add up the gradients only after all ranks have computed theirs, so that one which runs out of memory can be tried
again in smaller micro-batches: at the start, after that has happened, and once more memory is taken."""


class RankZero(SharedStep):
    """The ranks of a training, as the training loop of rank 0 sees them; see `lab.training.distributed.one_rank`."""

    def __init__(self, group: RankGroup, watch: RankWatch, *, sharded: bool) -> None:
        super().__init__(group)
        self._watch, self._sharded = watch, sharded
        self._retryable = RETRYABLE_STEPS
        self._failed: RankLostError | None = None

    def device(self, setting: str) -> torch.device:
        return self._group.device

    def shard(self, optimizer: Optimizer, model: GPT) -> Optimizer:
        if not self._sharded:
            return optimizer
        return ShardedOptimizer(optimizer, model, self._group, lambda: self._send(Order(Kind.GATHER)), self._together)

    def loss_function(self, model: GPT) -> LossFunction:
        with self._together():  # the ranks compare and send their weights here
            return super().loss_function(model)

    def share_state(self, model: GPT, optimizer: Optimizer, state: TrainerState) -> None:
        self._send(Order(Kind.SHARE))
        with self._together():
            send_state(self._group, model, optimizer, state)
            self._group.synchronize()

    def begin_step(self, step: int, micro_batches: int, lr: float) -> None:
        if self._failed is not None:
            raise self._failed
        self.overlap = self._retryable == 0
        self._send(Order(Kind.STEP, step, micro_batches, lr, self.overlap))
        self._watch.waits = True  # the backward pass may wait for the others, until `total`

    def total(self, loss: float | None) -> float | None:
        with self._together():
            total = super().total(loss)
            if not self.overlap:
                self._group.synchronize()
        self._retryable = RETRYABLE_STEPS if total is None else max(0, self._retryable - 1)
        return total

    def explain(self, error: BaseException) -> None:
        self._watch.waits = False
        if lost := self._watch.lost(EXPLAIN_SECONDS) or broken_connection(error):
            raise RankLostError(lost, not self._sharded) from error

    def update(self, apply: bool) -> None:
        try:
            self._send(Order(Kind.UPDATE if apply else Kind.SKIP))
        except RankLostError as error:
            if self._sharded:
                raise
            self._failed = error  # this step is completed here, so that it can be saved

    def make_retryable(self) -> None:
        self._retryable = RETRYABLE_STEPS

    def lost(self) -> str:
        return self._watch.lost()

    def _send(self, order: Order) -> None:
        if self._watch.known_loss:
            raise RankLostError(self._watch.known_loss, not self._sharded)
        with self._together():
            self._group.send(order)

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Context of what needs the others. Raises RankLostError if they do not take part."""
        self._watch.waits = True
        try:
            yield
        except RuntimeError as error:
            self.explain(error)
            raise
        finally:
            self._watch.waits = False


@contextmanager
def leading(run: Run, environment: RankEnvironment, board: StatusBoard, signals: StopSignals) -> Iterator[RankZero]:
    """Join the ranks as rank 0, and have the others end at the end.

    Raises:
        UserError: if the ranks cannot be joined.
    """
    store = connect_store(environment, serve=True)
    watch = RankWatch(environment, connect_store(environment, serve=False), signals)

    def give_up(sentence: str) -> None:
        log(sentence)
        with suppress(OSError):
            board.update(
                "failed", message=f"{sentence} `llmlab resume {shlex.quote(run.name)}` goes on from the last checkpoint."
            )
        os._exit(1)

    def waiting(missing: int) -> None:
        board.update(message=f"Waiting for {missing} of {environment.count} ranks.")

    group = None
    failure = ""
    watch.start(give_up, lambda: board.update(ranks=watch.heartbeats()))
    try:
        device = rank_device(environment, run.config.train.device)
        join_all(watch, signals, JOIN_SECONDS, waiting)
        board.update(message="")
        watch.waits = True
        sharded = is_sharded(run.config, environment, device)
        try:
            group = RankGroup(environment, device, store)
            group.send_json({"sharded": sharded})
        except RuntimeError as error:
            if lost := broken_connection(error):
                raise UserError(lost) from error
            raise
        watch.waits = False
        yield RankZero(group, watch, sharded=sharded)
    except BaseException as error:
        failure = str(error) if isinstance(error, UserError) else name_error(error)
        raise
    finally:
        watch.end(failure)
        if group is not None:
            group.send_end(END_SECONDS)


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
    """A rank other than 0: it computes its part of each step, as rank 0 orders, and writes nothing into the run's folder."""

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
            elif order.kind in (Kind.UPDATE, Kind.SKIP):
                self._end_step(applied=order.kind is Kind.UPDATE)
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

    def _end_step(self, *, applied: bool) -> None:
        """Apply an update, or leave it out and adapt the scale of the loss as rank 0 does."""
        assert self._scaler is not None
        self._scaler.unscale()
        if applied:
            self._trained.clip_gradients()
            self._trained.optimizer.step()
        self._scaler.end_step(skipped=not applied, applied=applied)


def _give_up(sentence: str) -> None:
    log(sentence)
    os._exit(1)
