"""One training step of a run, taken apart: with the model, loss, clipping and optimizer that its trainer uses.

The run on disk is only read. What the step is computed from is a model and an optimizer of its own, in this process.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from lab.core.errors import UserError
from lab.core.machine import cores
from lab.core.uniform_baseline import uniform_baseline
from lab.one_step.step_batch import StepBatch
from lab.one_step.step_state import Gradients, Moved, Moves, StepSnapshot, StepState
from lab.runs.run_folder import Run
from lab.training.gradient_accumulation import dropout_seed
from lab.training.run_length import lr_of_next_step
from lab.training.trainer_state import TrainerState
from models.gpt import GPT
from models.unembed import Slices

UNDO_BYTES = 512 << 20
"""Room for the states of before that are held, so that a step is undone at once. The first is held in any case, and where another
does not fit, undoing takes the steps anew from there."""
LOGITS_AT_ONCE = 1 << 24
NO_NUMBER = "With these weights the loss or its gradient is no number, so there is nothing to look at: the training diverged."
NO_NUMBER_AFTER = "After this step the loss or its gradient would be no number; the trainer would not go on from there either."
LARGEST = 16
"""Weights that are listed as those that move most."""


@dataclass
class OneStep:
    """A run's model, its optimizer, and what it learns from. `applied` counts the steps that have been taken on the batch."""

    run: Run
    model: GPT
    optimizer: torch.optim.Optimizer
    state: TrainerState
    checkpoint: str
    is_fresh: bool
    """Whether there is no optimizer state of the run, so that it begins anew."""
    batch: StepBatch | None = None
    applied: int = 0
    moments: list[StepSnapshot] = field(default_factory=list)
    """What was found after 0, 1, … steps; the last is of the present weights, unless it is still to be found."""
    gradients: Gradients | None = None
    """Of the present weights, which then hold the clipped gradients."""
    moves: Moves | None = None
    _looking: Slices[None] | None = None
    """The looking ahead that has begun."""
    _random: Tensor | None = None
    """State of the generator of dropout's masks after the part of the batch that was computed last."""

    @property
    def names(self) -> dict[str, Tensor]:
        return dict(self.model.named_parameters())

    @property
    def now(self) -> StepSnapshot:
        return self.moments[self.applied]

    @property
    def rate(self) -> float:
        """Learning rate of the next step, as the run's schedule has it: after its end, the one that it ended with."""
        state, applied = self.state, self.applied
        seconds = state.seconds + applied * state.step_seconds
        return lr_of_next_step(self.run.config.train, state, state.step + applied, seconds, state.step_seconds)

    @property
    def would_be_passed_over(self) -> bool:
        """Whether the trainer would find the step bad and not apply it."""
        assert self.gradients is not None
        watch = copy.deepcopy(self.state.spike_detector)
        return watch.is_bad(self.now.loss, self.gradients.total, uniform_baseline(self.run.config.model.vocab_size))

    def learn_from(self, batch: StepBatch) -> None:
        """Another batch, from the weights of the checkpoint."""
        if self.moments and self.applied:
            self._restore(0)
        self.batch, self.applied, self.moments = batch, 0, []
        self._forget()

    def go_to(self, applied: int) -> Slices[None]:
        """Takes steps, or undoes them, until so many have been taken; then finds losses and gradients there.

        Raises:
            UserError: if loss or gradient is no number; the trainer would not take this step either.
        """
        if applied < self.applied:
            self._restore(max(index for index in range(applied + 1) if self.moments[index].state is not None))
        yield from self.evaluate()
        while self.applied < applied:
            yield from self.look_ahead()
            self._take()
            yield from self.evaluate()

    def evaluate(self) -> Slices[None]:
        """Loss of every token and gradients with the present weights, as in the trainer: clipped, and the learning rate set."""
        if self.gradients is not None:
            return
        assert self.batch is not None
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        self.model.zero_grad(set_to_none=True)
        ids, targets = (torch.from_numpy(part).tensor_split(self.batch.parts) for part in (self.batch.ids, self.batch.targets))
        hidden: list[Tensor] = []
        loss = 0.0
        for index, (part_ids, part_targets) in enumerate(zip(ids, targets, strict=True)):
            share = len(part_ids) / len(self.batch.ids)
            with self._as_trained(index, hidden):
                part_loss = self.model.loss(part_ids, part_targets)
                (part_loss if share == 1.0 else part_loss * share).backward()  # type: ignore[no-untyped-call]
            loss += float(part_loss.detach()) * share
            yield
        if self.state.precision == "bf16":
            hidden = yield from self._in_fp32(ids)
        norms = {name: float(weight.grad.norm()) for name, weight in self.names.items() if weight.grad is not None}
        clip = self.run.config.train.clip
        total = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), clip))
        if not (abs(loss) < float("inf") and total < float("inf")):
            raise UserError(NO_NUMBER_AFTER if self.applied else NO_NUMBER)
        whole = torch.cat(hidden)
        moment = StepSnapshot(loss, self.losses_of(whole, self.model.wte.weight.detach()), whole, rate=self.rate)
        self.moments[self.applied :] = [moment]
        self.gradients = Gradients(norms, total, clip, min(1.0, clip / (total + 1e-6)))

    def look_ahead(self) -> Slices[None]:
        """Finds out what the next step does to every weight, without taking it. Given up, it goes on from there the next time."""
        if self.moves is not None:
            return
        self._looking = self._looking or self._look_ahead()
        for _ in self._looking:
            yield
        self._looking = None

    def _look_ahead(self) -> Slices[None]:
        assert self.gradients is not None
        largest: list[Moved] = []
        predicted = squared = weights_squared = 0.0
        changed = against = at_least_half = 0
        for name, weight in self.names.items():
            before, after = self.tried(weight)
            assert weight.grad is not None
            step = after - before
            changed += int(step.count_nonzero())
            against += int(((step * weight.grad.sign()) < 0).sum())
            at_least_half += int((step.abs() >= self.rate / 2).sum())
            predicted += float(torch.sum(weight.grad * step, dtype=torch.float64)) / self.gradients.factor
            squared += float(step.norm()) ** 2
            weights_squared += float(before.norm()) ** 2
            largest += [
                Moved(name, index, float(before[index]), float(after[index]), float(weight.grad[index]))
                for index in largest_places(step, LARGEST)
            ]
            largest = sorted(largest, key=lambda each: -abs(each.after - each.before))[:LARGEST]
            yield
        self.moves = Moves(largest, predicted, squared**0.5, weights_squared**0.5, changed, against, at_least_half)

    def _in_fp32(self, ids: Sequence[Tensor]) -> Slices[list[Tensor]]:
        """What the head is applied to, part by part, with the dropout masks of the step and without its rounding.

        bf16 keeps 8 bits of a logit, so that two probabilities differ by a factor of e^(1/32) or not at all.
        """
        hidden: list[Tensor] = []
        for index, part in enumerate(ids):
            with self._as_trained(index, hidden, fp32=True), torch.no_grad():
                self.model.hidden(part)
            yield
        return hidden

    @torch.no_grad()
    def tried(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The weight before and after the optimizer's next step, which is not taken."""
        state, groups = self.optimizer.state, self.optimizer.param_groups
        kept = _copied(state[weight]) if weight in state else None
        before = weight.detach().clone()
        own = next(group for group in groups if any(each is weight for each in group["params"]))
        self.optimizer.param_groups = [{**own, "params": [weight]}]
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
        """The optimizer's settings for a weight."""
        groups: list[dict[str, Any]] = self.optimizer.param_groups
        return next(group for group in groups if any(each is weight for each in group["params"]))

    def losses_of(self, hidden: Tensor, head: Tensor) -> Tensor:
        """−ln p of every target, (B·T,)."""
        assert self.batch is not None
        targets = torch.from_numpy(self.batch.targets).flatten()
        rows = max(1, LOGITS_AT_ONCE // len(head))
        parts = []
        for start in range(0, len(hidden), rows):
            logits = self.logits_of(hidden[start : start + rows], head)
            target = targets[start : start + rows, None]
            parts.append(logits.logsumexp(-1) - logits.gather(-1, target)[:, 0])
        return torch.cat(parts)

    def logits_of(self, hidden: Tensor, head: Tensor) -> Tensor:
        """Logits (n, V) of what the head is applied to, (n, C), in fp32."""
        return F.linear(hidden.to(head.dtype), head)

    def head_at(self, applied: int) -> Tensor:
        """The head's weights after so many steps."""
        head = self.moments[applied].head
        return self.model.wte.weight.detach() if head is None else head

    def bytes_held(self) -> int:
        """What weights, gradients, optimizer state and the states of before take, in bytes."""
        present = [*self.names.values(), *self.names.values(), *_tensors(self._optimizer_state())]
        held = [each for moment in self.moments if moment.state is not None for each in _all_of(moment.state)]
        return sum(each.numel() * each.element_size() for each in (*present, *held))

    @property
    def has_dropout(self) -> bool:
        """Whether the step is computed with dropout, which a typed sentence is not."""
        return self.batch is not None and self.batch.step is not None and self.run.config.model.dropout > 0

    @contextmanager
    def _as_trained(self, part: int, hidden: list[Tensor], *, fp32: bool = False) -> Iterator[None]:
        """Gradients, dropout and, unless `fp32`, arithmetic as in the trainer; `hidden` gets what the head is applied to."""
        assert self.batch is not None
        precision = torch.get_float32_matmul_precision()
        watched = self.model.ln_f.register_forward_hook(lambda _, __, out: hidden.append(out.detach().flatten(0, 1)))
        self.model.train(self.batch.step is not None)
        try:
            torch.set_float32_matmul_precision("highest" if fp32 else "high")
            with self._threads(), torch.random.fork_rng(devices=[]), torch.enable_grad():
                if self.has_dropout:
                    assert self.batch.step is not None
                    if part == 0 or self._random is None:
                        torch.manual_seed(dropout_seed(self.run.config.train.seed, self.batch.step))
                    else:
                        torch.set_rng_state(self._random)
                with torch.autocast("cpu", torch.bfloat16, enabled=self.state.precision == "bf16" and not fp32):
                    yield
                self._random = torch.get_rng_state()
        finally:
            torch.set_float32_matmul_precision(precision)
            watched.remove()

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """As many threads as the trainer has, for the order in which numbers are added depends on them."""
        before, train = torch.get_num_threads(), self.run.config.train
        torch.set_num_threads(min(train.threads or self.state.threads_now or self.state.threads or before, cores()))
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def _take(self) -> None:
        moment = self.now
        assert self.moves is not None
        moment.predicted = self.moves.predicted
        size = sum(weight.numel() * 4 for weight in self.names.values()) * 3
        if self.applied == 0 or size * (self.applied + 1) <= UNDO_BYTES:
            moment.state = StepState(
                {name: w.detach().clone() for name, w in self.names.items()}, self._optimizer_state(copy=True)
            )
            moment.head = moment.state.weights["wte.weight"]
        else:
            moment.head = self.model.wte.weight.detach().clone()
            before = self.moments[self.applied - 1]
            if before.state is None:
                before.hidden = before.head = None
        with self._threads():
            self.optimizer.step()
        self.applied += 1
        self._forget()

    def _forget(self) -> None:
        """What was found with weights that are no longer the present ones."""
        self.gradients = self.moves = self._looking = None

    @torch.no_grad()
    def _restore(self, applied: int) -> None:
        state = self.moments[applied].state
        assert state is not None
        names = self.names
        for name, weight in names.items():
            weight.copy_(state.weights[name])
        self.optimizer.state.clear()
        for name, kept in state.optimizer.items():
            self.optimizer.state[names[name]] = _copied(kept)
        del self.moments[applied:]
        self.applied = applied
        self._forget()

    def _optimizer_state(self, copy: bool = False) -> dict[str, dict[str, Any]]:
        state = self.optimizer.state
        return {name: _copied(state[w]) if copy else state[w] for name, w in self.names.items() if w in state}


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value.clone() if isinstance(value, Tensor) else value for key, value in state.items()}


def _tensors(state: dict[str, dict[str, Any]]) -> list[Tensor]:
    return [value for each in state.values() for value in each.values() if isinstance(value, Tensor)]


def _all_of(state: StepState) -> list[Tensor]:
    return [*state.weights.values(), *_tensors(state.optimizer)]


def largest_places(values: Tensor, count: int) -> list[tuple[int, ...]]:
    """Where the `count` largest magnitudes of a vector or matrix are, the largest first.

    They lie in the `count` rows whose own largest are largest, which is found in a fifth of the time of sorting all.
    """
    rows = values.abs().reshape(len(values), -1)  # (R, C)
    best = rows.amax(1).topk(min(count, len(rows))).indices
    inside = rows[best].flatten()
    places = inside.topk(min(count, len(inside))).indices.tolist()
    width = rows.shape[1]
    found = [(int(best[place // width]), place % width) for place in places]
    return [index if values.dim() == 2 else index[:1] for index in found]
