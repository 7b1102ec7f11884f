"""Gradient accumulation: one step's gradient in as many micro-batches as memory needs, its batches on the device, and what is
prepared before the first step: the micro-batch that fits into the GPU, and compilation. The latter is not counted as training."""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor

from lab.core.errors import UserError, free_memory, is_out_of_memory
from lab.data.token_file import Ids
from lab.planning.device import ROLLBACK_COPIES
from lab.training.distributed.one_rank import OneRank
from lab.training.model_as_trained import ModelAsTrained, compile_parts, fall_back, is_compiled
from lab.training.run_length import Clock
from lab.training.run_logs import RunLogs
from lab.training.trainer_state import TrainerState
from lab.training.training_setup import TrainingSetup
from models.config import ModelConfig
from models.parameter_count import BYTES, parameter_count

Batch = tuple[Tensor, Tensor]
"""Inputs (B, T) and targets (B, T)."""


class Batches(Protocol):
    """The batch of a step follows from its number, as in `lab.data.data_order.TrainingBatches`."""

    batch: int
    """Windows of a step, of `context` tokens each."""
    context: int

    def at(self, step: int) -> tuple[Ids, Ids]: ...


class BatchFeed:
    """Batches of a run's steps, on its device."""

    def __init__(self, batches: Batches, device: torch.device) -> None:
        self._batches, self._device = batches, device
        self.reads_ahead = device.type == "cuda"
        """True if `prepare` is of use: while a GPU computes, the processor is free."""
        self._next: tuple[int, Batch] | None = None

    def at(self, step: int) -> Batch:
        ahead, self._next = self._next, None
        return self._read(step) if ahead is None or ahead[0] != step else ahead[1]

    def prepare(self, step: int) -> None:
        """Gather a step's batch, and begin to copy it, on a GPU, where the present step is still computed; else do nothing."""
        if self.reads_ahead and (self._next is None or self._next[0] != step):
            self._next = step, self._read(step)

    def _read(self, step: int) -> Batch:
        """The batch. Its copy to a GPU begins behind what is computed there, some microseconds of a step."""
        to_card = self._device.type == "cuda"
        ids, targets = (part.pin_memory() if to_card else part for part in map(torch.from_numpy, self._batches.at(step)))
        return ids.to(self._device, non_blocking=to_card), targets.to(self._device, non_blocking=to_card)


class GradientAccumulator:
    """Loss and gradient of a step's whole batch, summed up over micro-batches of about the same size.

    Each micro-batch's mean loss is weighted by its fraction of the windows, so that the sum is the batch's gradient but for
    rounding. Dropout masks depend on the number of micro-batches: they are drawn one micro-batch after the other.

    Of several ranks each computes its own windows of the batch, with dropout masks of its own, and the gradients of all are added
    up: see `lab.training.distributed`.
    """

    def __init__(
        self,
        trained: ModelAsTrained,
        batches: Batches,
        state: TrainerState,
        autocast: Callable[[], AbstractContextManager[None]],
        ranks: OneRank | None = None,
    ) -> None:
        """`autocast` gives the context of a forward pass."""
        self.micro_batches = state.micro_batches or trained.train.accumulate
        """Micro-batches of a step, on all ranks together."""
        self._ranks = ranks or OneRank()
        self._model = trained.model
        self._loss = self._ranks.loss_function(self._model)
        self._batches = batches
        self._seed = trained.train.seed
        self._device = self._model.wte.weight.device
        self._autocast = autocast
        self._state = state
        self.report_fall_back: Callable[[str], None] = lambda sentence: None
        """Called with a sentence if compiled code fails."""
        self._feed = BatchFeed(batches, self._device)

    def compute(self, step: int, lr: float = 0.0) -> float:
        """Compute the gradient of a step into the weights, and return the loss in nats per token. `lr` is for the other ranks.

        Where memory does not suffice, `micro_batches` is doubled, up to one window each, and the step begun anew; each rank
        computes at least one, so that twice their number is the least that helps. Where compiled code fails, the step is begun
        anew without it.

        Raises:
            UserError: if memory does not suffice for one window.
        """
        while True:
            self._ranks.begin_step(step, self.micro_batches, lr)
            loss = self.attempt(step)
            if loss is not None:
                return loss
            if self.micro_batches >= self._batches.batch:
                raise UserError(
                    f"There is not enough memory for even one window of {self._batches.context} tokens; "
                    "start a new run with a smaller --context or a smaller model."
                )
            self.micro_batches = min(2 * max(self.micro_batches, self._ranks.count), self._batches.batch)

    def attempt(self, step: int) -> float | None:
        """Compute the gradient of a step into the weights, and return the loss; None where the memory of some rank ran out."""
        own = None
        while own is None:
            try:
                own = self._compute(step)
            except Exception as error:
                if is_out_of_memory(error):
                    break
                if self._ranks.count > 1 or not self._fall_back(error):
                    self._ranks.explain(error)
                    raise
        # Only here the exception, and with it what the attempt had allocated, is gone.
        loss = self._ranks.total(own)
        if loss is None:
            self._model.zero_grad(set_to_none=True)
            free_memory(self._device)
        return loss

    def _compute(self, step: int) -> float:
        ids, targets = self._feed.at(step)
        if self._model.config.dropout:
            seed_dropout(self._device, dropout_seed(self._seed, step, self._ranks.rank))
        self._model.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self._device)
        count = self._parts()
        parts = zip(ids.tensor_split(count), targets.tensor_split(count), strict=True)
        for number, (part_ids, part_targets) in enumerate(parts, 1):
            share = len(part_ids) / self._batches.batch
            with self._ranks.accumulating(last=number == count):
                with self._autocast():
                    loss = self._loss(part_ids, part_targets)
                (loss if share == 1.0 else loss * share).backward()  # type: ignore[no-untyped-call]
            total += loss.detach() * share
        self._feed.prepare(step + 1)  # a GPU is still computing: reading the loss waits for it
        return float(total)

    def _parts(self) -> int:
        """Micro-batches of this rank."""
        rows = self._ranks.rows(self._batches.batch)
        own: int = rows.stop - rows.start
        return min(-(-self.micro_batches // self._ranks.count), own)

    def describe_parts(self) -> str:
        """`4 parts of 2 windows`, those of the largest micro-batch."""
        windows = -(-self._batches.batch // self.micro_batches)
        return f"{self.micro_batches} parts of {windows} window{'s' if windows > 1 else ''}"

    def compile(self) -> None:
        """Compile a step's parts now, for each size of its micro-batches. If that fails, the steps are computed without."""
        try:
            compile_parts(self._model)  # which torch refuses at once on a Python that it does not know
            for windows in sorted({len(part) for part in self._feed.at(0)[0].tensor_split(self._parts())}):
                self.try_out(windows)
        except Exception as error:
            if not is_out_of_memory(error):  # which is left to the first step: it splits its batch
                self._fall_back(error, is_compiling=True)
        free_memory(self._device)

    def _fall_back(self, error: Exception, *, is_compiling: bool = False) -> bool:
        """Compute without compiled code from now on; False if there is none."""
        sentence = fall_back(self._model, self._state, error, is_compiling=is_compiling)
        if sentence:
            self.report_fall_back(sentence)
        return bool(sentence)

    def fits(self, windows: int) -> bool:
        """Try so many windows. True if memory suffices for them and, on a card, for what later steps hold and a margin, too."""
        is_on_card = self._device.type == "cuda"
        if is_on_card:
            torch.cuda.reset_peak_memory_stats(self._device)
        try:
            self.try_out(windows)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            if not is_on_card:
                return True
            available = torch.cuda.memory_reserved(self._device) + torch.cuda.mem_get_info(self._device)[0]
            return has_room(torch.cuda.max_memory_allocated(self._device), available, later_bytes(self._model.config))
        free_memory(self._device)  # only here the exception, and with it what the attempt had allocated, is gone
        return False

    def try_out(self, windows: int) -> None:
        """Compute the gradient of so many windows of the first step, and forget it."""
        ids, targets = (part[:windows] for part in self._feed.at(0))
        try:
            with self._autocast():
                loss = self._model.loss(ids, targets)
            loss.backward()  # type: ignore[no-untyped-call]
        finally:
            self._model.zero_grad(set_to_none=True)

    def split_message(self, step: int) -> str:
        """A sentence about the micro-batches that memory made necessary at this step."""
        masks = "which draw other dropout masks than the whole would"
        result = masks if self._model.config.dropout else "with the same result but for rounding"
        return (
            f"A step of {self._batches.batch} windows did not fit into memory; since step {step} it is computed in "
            f"{self.describe_parts()}, {result}."
        )


def dropout_seed(seed: int, step: int, rank: int = 0) -> int:
    """Seed of a step's dropout on a rank, hashed: on the CPU torch uses only the low 32 bits of a seed."""
    words = f"{seed} {step} {rank}" if rank else f"{seed} {step}"
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=4).digest(), "little")


def seed_dropout(device: torch.device, seed: int) -> None:
    """Seed the generator of dropout on this device.

    `torch.manual_seed` seeds the generators of all kinds of devices, and for each that is not in use it records the call stack,
    which takes longer than a step of a small model.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


MARGIN = 0.1
"""Share of the memory that is left free: for what other programs take, and for gaps between tensors."""
OPTIMIZER_COPIES = 2
"""Numbers that AdamW keeps for each weight; Muon keeps one."""


def micro_batches_that_fit(batch: int, fits: Callable[[int], bool]) -> int:
    """Micro-batches of a step of so many windows: the largest micro-batch is found by doubling. Where not even one window fits,
    as many as windows."""
    windows = 0
    following = 1
    while windows < batch and fits(following):
        windows, following = following, min(2 * following, batch)
    return -(-batch // max(1, windows))


def later_bytes(model: ModelConfig) -> int:
    """Bytes that a run's later steps hold beside those of the first gradient: the optimizer's state, and the rollback state."""
    return (OPTIMIZER_COPIES + ROLLBACK_COPIES) * BYTES * parameter_count(model)


def has_room(peak: int, available: int, later: int) -> bool:
    """True if the peak of this process and so many bytes more leave the margin of the memory that it holds or nobody holds."""
    return peak + later <= (1 - MARGIN) * available


def prepare_steps(setup: TrainingSetup, gradient: GradientAccumulator, clock: Clock, logs: RunLogs, *, alone: bool) -> None:
    """Find the micro-batches of a run that begins on a CUDA card, and compile a run that is to be compiled.

    Only a rank that is `alone` searches: of several each must compute as many micro-batches as the others.
    """
    searching = setup.device.type == "cuda" and setup.loaded is None and alone
    compiling = is_compiled(setup.state, setup.run.config.train.compile, setup.device)
    if not searching and not compiling:
        return
    clock.stop()
    if searching:
        find_micro_batches(setup, gradient, logs)
    if compiling:
        gradient.compile()
    clock.start()


def find_micro_batches(setup: TrainingSetup, gradient: GradientAccumulator, logs: RunLogs) -> None:
    """Compute a step in as many micro-batches as memory makes necessary, if those are more than were asked for; report it."""
    found = micro_batches_that_fit(setup.batches.batch, gradient.fits)
    if found <= gradient.micro_batches:
        return
    gradient.micro_batches = setup.state.micro_batches = found
    logs.event(
        "micro_batch",
        f"A step of {setup.batches.batch} windows is computed in {gradient.describe_parts()}: more would not fit into the GPU's "
        "memory with room to spare.",
    )
