"""The context of a view of the training step: a window of the batch, and a token in it that is predicted."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from lab.training.one_step.training_step import TrainingStep
from lab.views.blocks import Parity
from lab.views.number_tables import Numbers
from models.tokenizers.tokenizer import Tokenizer

ROWS = 9
"""Tokens listed around the chosen one, for 24 lines."""
TOP = 6
"""Most probable tokens listed."""


@dataclass(frozen=True)
class StepContext:
    """A training step, a window of its batch, and a token of the window that is predicted."""

    step: TrainingStep
    tokenizer: Tokenizer
    window: int
    position: int
    """1 to T: index of the predicted token in the window's T + 1 tokens."""
    inspect_hidden: Tensor | None = None
    """(T, C) final hidden states of Inspect's trace with the present weights, without dropout; None: not asked for."""

    @cached_property
    def ids(self) -> list[int]:
        return self.step.batch.window(self.window)

    @property
    def width(self) -> int:
        """Predictions in a window."""
        return len(self.ids) - 1

    @property
    def count(self) -> int:
        """Predictions in the whole batch."""
        return self.step.batch.predictions

    @property
    def is_sentence(self) -> bool:
        return self.step.batch.step is None

    @property
    def row(self) -> int:
        """Index of the chosen prediction in the flattened batch."""
        return self.window * self.width + self.position - 1

    @property
    def target(self) -> int:
        return self.ids[self.position]

    def label(self, index: int) -> str:
        return self.tokenizer.label(self.ids[index])

    def name(self, index: int) -> str:
        """A token as the label of a row: its number, 1-based, and the token."""
        return f"{index + 1:>{len(str(len(self.ids)))}} {self.label(index)}"

    def losses(self, applied: int | None = None) -> Numbers:
        """Losses of the window's predictions, (T,), float64."""
        return self._window_of(self.step.snapshots[self.step.applied if applied is None else applied].losses)

    def given(self) -> Numbers:
        """Probabilities that the window's targets had, (T,), float64."""
        return np.exp(-self._window_of(self.step.current.surprises))

    def _window_of(self, predictions: Tensor) -> Numbers:
        return predictions[self.window * self.width :][: self.width].double().numpy()

    def probabilities(self, applied: int | None = None) -> Numbers:
        """Probabilities of the vocabulary at the chosen position, (V,), float64."""
        return torch.softmax(self._logits(applied), -1).numpy()

    def _logits(self, applied: int | None = None) -> Tensor:
        at = self.step.applied if applied is None else applied
        hidden = self.step.snapshots[at].hidden
        assert hidden is not None
        return self.step.logits_of(hidden[self.row : self.row + 1], self.step.head_at(at))[0].double()

    def towards(self) -> Numbers:
        """The distribution that the prediction at the chosen position is trained towards, (V,), float64."""
        return self.step.trained.loss.target(self._logits(), self.target)

    def at_logits(self, top: list[int]) -> list[tuple[float, float, float]]:
        """p, target and p − target, the gradient of the prediction's own loss, for these tokens, then for all others together."""
        both = (self.probabilities(), self.towards())
        p, target = ([*each[top].tolist(), float(each.sum() - each[top].sum())] for each in both)
        return [(own, towards, own - towards) for own, towards in zip(p, target, strict=True)]

    def in_inspect(self) -> Numbers:
        """Inspect's probabilities for the chosen position, (V,), float64."""
        assert self.inspect_hidden is not None
        logits = self.step.logits_of(
            self.inspect_hidden[self.position - 1 : self.position], self.step.head_at(self.step.applied)
        )[0]
        return torch.softmax(logits.double(), -1).numpy()

    def parity(self) -> Parity | None:
        """The shown probabilities against Inspect's; None where dropout makes them differ."""
        if self.step.has_dropout:
            return None
        shown = self.probabilities()
        return Parity("p · Inspect", float(np.abs(shown - self.in_inspect()).max()), len(shown))

    def logit(self, applied: int) -> float:
        """Logit of the chosen token after a number of steps."""
        return float(self._logits(applied)[self.target])

    @cached_property
    def text_before(self) -> str:
        """The end of the text before the chosen token, quoted."""
        text = "".join(self.tokenizer.label(id_) for id_ in self.ids[: self.position])
        return f"“{'…' if len(text) > 24 else ''}{text[-24:]}”"

    @property
    def next_step(self) -> str:
        return f"step {self.step.applied + 1}" if self.step.applied else "the next step"

    @property
    def steps_so_far(self) -> str:
        taken = self.step.applied
        return "" if not taken else f" after {taken} step{'s' if taken > 1 else ''}"
