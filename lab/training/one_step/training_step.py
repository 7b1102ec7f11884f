"""One training step of a run, taken apart: with the model, loss, clipping and optimizer that its trainer uses.

The run on disk is only read: the step is computed with a copy of its model and optimizer.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from lab.core.errors import UserError
from lab.core.machine import cores
from lab.training.gradient_accumulation import dropout_seed
from lab.training.one_step.starting_point import OpenCheckpoint, StepBatch
from lab.training.one_step.weight_changes import WeightChange, WeightChanges, largest_indices
from lab.training.run_length import lr_of_next_step
from models.check import check
from models.config import Precision
from models.gpt import GPT, autocast


@contextmanager
def stream_gradients(model: GPT, squares: dict[str, float]) -> Iterator[None]:
    """Add the squared norm of the gradient at every residual stream to `squares`, by the stream's name in the trace.

    A stream is the input of a norm, which branches off there, so that its gradient holds both ways back. Nothing is changed.
    """

    def watch(name: str) -> Callable[[Any, tuple[Tensor]], None]:
        def keep(gradient: Tensor) -> None:
            squares[name] = squares.get(name, 0.0) + float(gradient.double().square().sum())

        def before_norm(_: Any, inputs: tuple[Tensor]) -> None:
            if torch.is_grad_enabled() and inputs[0].requires_grad:
                inputs[0].register_hook(keep)  # type: ignore[no-untyped-call]

        return before_norm

    last = len(model.blocks) - 1
    hooks = [model.ln_f.register_forward_pre_hook(watch(f"blocks.{last}.resid_post"))]
    for layer, block in enumerate(model.blocks):
        hooks.append(block.ln_1.register_forward_pre_hook(watch(f"blocks.{layer}.resid_pre")))
        hooks.append(block.ln_2.register_forward_pre_hook(watch(f"blocks.{layer}.resid_mid")))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


UNDO_BYTES = 512 << 20
"""Limit of the undo states that are held. The first is held in any case; where another does not fit, an undo takes the steps anew
from there."""
LOGITS_AT_ONCE = 1 << 24
NOT_FINITE = "With these weights the loss or its gradient is NaN or inf, so the training diverged."
NOT_FINITE_AFTER = "After this step the loss or its gradient would be NaN or inf; the trainer would not take it either."
LARGEST = 16
"""Weights listed as those that change most."""


class UndoState(NamedTuple):
    """Copies from before a step, to undo it bit for bit."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    """Its `state_dict`."""


@dataclass
class StepSnapshot:
    """Losses with the weights after a number of steps, and the undo state of the step taken from there."""

    loss: float
    """The trainer's own loss in the precision of training, as in its metrics; the gradients are of this one."""
    losses: Tensor
    """(B·T,) losses of every token that is predicted, of a forward pass in fp32; the views show these."""
    surprises: Tensor
    """(B·T,) −ln p of the same tokens."""
    hidden: Tensor | None
    """(B·T, C) hidden states after the final norm; None where they were dropped."""
    head: Tensor | None = None
    """The head's weights (V, C), once they are not the model's own any more."""
    undo: UndoState | None = None
    predicted: float | None = None
    """First-order prediction of the change of the loss by the step that was taken from here."""
    lr: float = 0.0

    @property
    def mean(self) -> float:
        """Mean of the losses that are shown."""
        return float(self.losses.double().mean())


@dataclass
class GradientNorms:
    norms: dict[str, float]
    """By weight."""
    stream: dict[str, float]
    """Norm of the loss's gradient at each residual stream, (B·T, C), by the stream's name in the trace."""
    total: float
    clip: float
    factor: float
    """Factor by which clipping multiplies every gradient; 1 where it changes nothing."""


@dataclass
class TrainingStep:
    """The next steps of a run's trainer on one batch. `applied` counts those that have been taken."""

    checkpoint: OpenCheckpoint
    batch: StepBatch
    applied: int = 0
    snapshots: list[StepSnapshot] = field(default_factory=list)
    """Found after 0, 1, … steps; the last is of the present weights, unless it is still to be found."""
    found_gradients: GradientNorms | None = None
    """Norms with the present weights, which then hold the clipped gradients."""
    found_changes: WeightChanges | None = None
    _preview: WeightChanges | None = None
    """The preview that has begun."""
    _random: Tensor | None = None
    """State of the generator of dropout's masks after the part of the batch that was computed last."""

    def __post_init__(self) -> None:
        self.run, self.trained, self.state = self.checkpoint.run, self.checkpoint.trained, self.checkpoint.state
        self.model, self.optimizer = self.trained.model, self.trained.optimizer

    @property
    def parameters(self) -> dict[str, Tensor]:
        return dict(self.model.named_parameters())

    @property
    def current(self) -> StepSnapshot:
        return self.snapshots[self.applied]

    @property
    def gradients(self) -> GradientNorms:
        """Gradient norms with the present weights, once `evaluate` has found them."""
        assert self.found_gradients is not None
        return self.found_gradients

    @property
    def changes(self) -> WeightChanges:
        """The next step's changes, once `preview` has found them."""
        assert self.found_changes is not None
        return self.found_changes

    @property
    def lr(self) -> float:
        """Learning rate of the next step by the run's schedule; after the schedule's end, its last."""
        state, applied = self.state, self.applied
        seconds = state.seconds + applied * state.step_seconds
        return lr_of_next_step(self.run.config, state, state.step + applied, seconds, state.step_seconds)

    @property
    def would_be_skipped(self) -> bool:
        """True if the trainer's spike detector would skip the step."""
        detector = copy.deepcopy(self.state.spike_detector)
        return detector.is_bad(self.current.loss, self.gradients.total, self.trained.loss_of_uniform(self.run.config))

    def go_to(self, applied: int) -> None:
        """Take steps, or undo them, until so many have been taken; then find losses and gradients there.

        Raises:
            UserError: if loss or gradient is NaN or infinite; the trainer would not take this step either.
        """
        if applied < self.applied:
            self._restore(max(index for index in range(applied + 1) if self.snapshots[index].undo is not None))
        self.evaluate()
        while self.applied < applied:
            self.preview()
            self._take()
            self.evaluate()

    def evaluate(self) -> None:
        """Find the loss of every token and the gradients of the present weights as the trainer does: clipped, with its lr."""
        if self.found_gradients is not None:
            return
        self.trained.set_lr(self.lr)
        self.model.zero_grad(set_to_none=True)
        ids, targets = (
            torch.from_numpy(part).tensor_split(self.batch.micro_batches) for part in (self.batch.ids, self.batch.targets)
        )
        hidden: list[Tensor] = []
        squares: dict[str, float] = {}
        loss = 0.0
        for index, (part_ids, part_targets) in enumerate(zip(ids, targets, strict=True)):
            share = len(part_ids) / len(self.batch.ids)
            with self._as_trained(index, hidden), stream_gradients(self.model, squares):
                part_loss = self.model.loss(part_ids, part_targets)
                (part_loss if share == 1.0 else part_loss * share).backward()  # type: ignore[no-untyped-call]
            loss += float(part_loss.detach()) * share
            check()
        if self.precision == "bf16":
            hidden = self._in_fp32(ids)
        norms = {name: float(weight.grad.norm()) for name, weight in self.parameters.items() if weight.grad is not None}
        clip, total = self.trained.train.clip, float(self.trained.clip_gradients())
        if not (abs(loss) < float("inf") and total < float("inf")):
            raise UserError(NOT_FINITE_AFTER if self.applied else NOT_FINITE)
        whole = torch.cat(hidden)
        losses, surprises = self._losses_of(whole)
        self.snapshots[self.applied :] = [StepSnapshot(loss, losses, surprises, whole, lr=self.lr)]
        stream = {name: square**0.5 for name, square in squares.items()}
        self.found_gradients = GradientNorms(norms, stream, total, clip, min(1.0, clip / (total + 1e-6)))

    def preview(self) -> None:
        """Find the next step's change of every weight without taking it. Given up, it resumes there the next time."""
        if self.found_changes is not None:
            return
        sums = self._preview = self._preview or WeightChanges()
        for name, weight in list(self.parameters.items())[sums.weights :]:
            before, after = self.before_and_after(weight)
            assert weight.grad is not None
            step = after - before
            sums.weights += 1
            sums.changed += int(step.count_nonzero())
            sums.against += int(((step * weight.grad.sign()) < 0).sum())
            sums.at_least_half += int((step.abs() >= self.lr / 2).sum())
            sums.predicted += float(torch.sum(weight.grad * step, dtype=torch.float64)) / self.gradients.factor
            sums.squared += float(step.norm()) ** 2
            sums.weights_squared += float(before.norm()) ** 2
            sums.largest += [
                WeightChange(name, index, float(before[index]), float(after[index]), float(weight.grad[index]))
                for index in largest_indices(step, LARGEST)
            ]
            sums.largest = sorted(sums.largest, key=lambda each: -abs(each.after - each.before))[:LARGEST]
            check()
        self.found_changes, self._preview = sums, None

    def _in_fp32(self, ids: Sequence[Tensor]) -> list[Tensor]:
        """The final hidden states, part by part, with the dropout masks of the step and without its rounding.

        bf16 keeps 8 bits of a logit, so that two probabilities differ by a factor of e^(1/32) or not at all.
        """
        hidden: list[Tensor] = []
        for index, part in enumerate(ids):
            with self._as_trained(index, hidden, fp32=True), torch.no_grad():
                self.model.hidden(part)
            check()
        return hidden

    @torch.no_grad()
    def before_and_after(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The weight before and after the optimizer's next step, which is not taken."""
        state, groups = self.optimizer.state, self.optimizer.param_groups
        kept = copy.deepcopy(state[weight]) if weight in state else None
        before = weight.detach().clone()
        self.optimizer.param_groups = [{**self.group_of(weight), "params": [weight]}]
        try:
            with self._threads():
                self.optimizer.step()
        finally:
            self.optimizer.param_groups = groups
        after = weight.detach().clone()
        state.pop(weight, None)
        weight.copy_(before)
        if kept is not None:
            state[weight] = kept
        return before, after

    def group_of(self, weight: Tensor) -> dict[str, Any]:
        groups: list[dict[str, Any]] = self.optimizer.param_groups
        return next(group for group in groups if any(each is weight for each in group["params"]))

    def _losses_of(self, hidden: Tensor) -> Iterator[Tensor]:
        """Loss of every prediction, and −ln p of every target, (B·T,)."""
        targets, head = torch.from_numpy(self.batch.targets).flatten(), self.model.wte.weight.detach()
        rows = max(1, LOGITS_AT_ONCE // len(head))
        parts = (
            self.trained.loss.losses(self.logits_of(hidden[start : start + rows], head), targets[start : start + rows])
            for start in range(0, len(hidden), rows)
        )
        return map(torch.cat, zip(*parts, strict=True))

    def logits_of(self, hidden: Tensor, head: Tensor) -> Tensor:
        """Logits (n, V) of hidden states (n, C), in fp32."""
        return F.linear(hidden.to(head.dtype), head)

    def head_at(self, applied: int) -> Tensor:
        """The head's weights after so many steps."""
        head = self.snapshots[applied].head
        return self.model.wte.weight.detach() if head is None else head

    def bytes_held(self) -> int:
        """Bytes of weights, gradients, optimizer state and undo states."""
        held, states = [*self.parameters.values(), *self.parameters.values()], list(self.optimizer.state.values())
        for undo in (snapshot.undo for snapshot in self.snapshots if snapshot.undo is not None):
            held += undo.weights.values()
            states += undo.optimizer["state"].values()
        held += [value for state in states for value in state.values() if isinstance(value, Tensor)]
        return sum(each.nbytes for each in held)

    @property
    def precision(self) -> Precision:
        """That of the run; for fp16 it is fp32, whose gradients need no scaled loss."""
        return "fp32" if self.state.precision == "fp16" else self.state.precision

    @property
    def has_dropout(self) -> bool:
        """True if the step is computed with dropout; a typed sentence is not."""
        return self.batch.step is not None and self.run.config.model.dropout > 0

    @contextmanager
    def _as_trained(self, part: int, hidden: list[Tensor], *, fp32: bool = False) -> Iterator[None]:
        """Gradients, dropout and, unless `fp32`, arithmetic as in the trainer; `hidden` gets the final hidden states."""
        precision = torch.get_float32_matmul_precision()
        watched = self.model.ln_f.register_forward_hook(lambda _, __, out: hidden.append(out.detach().flatten(0, 1)))
        self.model.train(self.has_dropout)
        self.model.training = True  # so that the loss of a sentence is the trainer's, too
        try:
            torch.set_float32_matmul_precision("highest" if fp32 else "high")
            with self._threads(), torch.random.fork_rng(devices=[]), torch.enable_grad():
                if self.has_dropout:
                    assert self.batch.step is not None
                    if part == 0 or self._random is None:
                        torch.manual_seed(dropout_seed(self.run.config.train.seed, self.batch.step))
                    else:
                        torch.set_rng_state(self._random)
                with autocast("fp32" if fp32 else self.precision, "cpu"):
                    yield
                self._random = torch.get_rng_state()
        finally:
            torch.set_float32_matmul_precision(precision)
            watched.remove()

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """The trainer's number of threads: the order of summation depends on it."""
        before, train = torch.get_num_threads(), self.run.config.train
        torch.set_num_threads(min(train.threads or self.state.threads_now or self.state.threads or before, cores()))
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def undo_all(self) -> None:
        """Back to the weights and the optimizer state of the checkpoint."""
        if self.applied:
            self._restore(0)

    def _take(self) -> None:
        snapshot = self.current
        snapshot.predicted = self.changes.predicted
        size = sum(weight.numel() * 4 for weight in self.parameters.values()) * 3
        if self.applied == 0 or size * (self.applied + 1) <= UNDO_BYTES:
            snapshot.undo = UndoState(*copy.deepcopy((self.model.state_dict(), self.optimizer.state_dict())))
            snapshot.head = snapshot.undo.weights["wte.weight"]
        else:
            snapshot.head = self.model.wte.weight.detach().clone()
            before = self.snapshots[self.applied - 1]
            if before.undo is None:
                before.hidden = before.head = None
        with self._threads():
            self.optimizer.step()
        self.applied += 1
        self._forget()

    def _restore(self, applied: int) -> None:
        undo = self.snapshots[applied].undo
        assert undo is not None
        self.model.load_state_dict(undo.weights)
        self.optimizer.load_state_dict(undo.optimizer)
        del self.snapshots[applied:]
        self.applied = applied
        self._forget()

    def _forget(self) -> None:
        """Drop what was found with weights that are no longer the present ones."""
        self.found_gradients = self.found_changes = self._preview = None
