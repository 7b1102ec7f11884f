"""The context of a view of the training step: a window of the batch, and a token in it that is predicted."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from lab.one_step.training_step import TrainingStep
from lab.views.blocks import Parity
from lab.views.number_tables import Numbers
from models.tokenizers.tokenizer import Tokenizer

ROWS = 9
"""Tokens listed around the chosen one: with the sentence above them they fit into 24 lines."""
TOP = 6
"""Tokens that are listed as the model's most probable ones."""


@dataclass(frozen=True)
class StepContext:
    """What of the step is looked at: a window of the batch, and in it a token that is predicted."""

    step: TrainingStep
    tokenizer: Tokenizer
    window: int
    position: int
    """From 1 to T: the token that is predicted, at its place in the window's T + 1 tokens."""
    inspect_hidden: Tensor | None = None
    """(T, C) what the head is applied to in Inspect's trace with the present weights, without dropout; None: not asked for."""

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
        return self.step.batch is not None and self.step.batch.step is None

    @property
    def row(self) -> int:
        """Where in the batch, flattened, the chosen prediction is."""
        return self.window * self.width + self.position - 1

    @property
    def target(self) -> int:
        return self.ids[self.position]

    def label(self, place: int) -> str:
        return self.tokenizer.label(self.ids[place])

    def name(self, place: int) -> str:
        """A token as the label of a row: its number, counted from 1, and the token."""
        return f"{place + 1:>{len(str(len(self.ids)))}} {self.label(place)}"

    def losses(self, applied: int | None = None) -> Numbers:
        """−ln p of the window's predictions, (T,), float64."""
        snapshot = self.step.snapshots[self.step.applied if applied is None else applied]
        found: Numbers = snapshot.losses[self.window * self.width :][: self.width].double().numpy()
        return found

    def probabilities(self, applied: int | None = None) -> Numbers:
        """Of every token of the vocabulary to be the chosen one, (V,), float64."""
        at = self.step.applied if applied is None else applied
        hidden = self.step.snapshots[at].hidden
        assert hidden is not None
        logits = self.step.logits_of(hidden[self.row : self.row + 1], self.step.head_at(at))[0]
        found: Numbers = torch.softmax(logits.double(), -1).numpy()
        return found

    def in_inspect(self) -> Numbers:
        """What Inspect shows for the chosen token: the probabilities of the whole vocabulary, (V,), float64."""
        assert self.inspect_hidden is not None
        logits = self.step.logits_of(
            self.inspect_hidden[self.position - 1 : self.position], self.step.head_at(self.step.applied)
        )[0]
        found: Numbers = torch.softmax(logits.double(), -1).numpy()
        return found

    def parity(self) -> Parity | None:
        """The probabilities that are shown against those of Inspect; None where dropout sets them apart."""
        if self.step.has_dropout:
            return None
        shown = self.probabilities()
        return Parity("p · Inspect", float(np.abs(shown - self.in_inspect()).max()), len(shown))

    def logit(self, applied: int) -> float:
        """Of the chosen token, after so many steps."""
        hidden = self.step.snapshots[applied].hidden
        assert hidden is not None
        vector = self.step.head_at(applied)[self.target : self.target + 1]
        return float(self.step.logits_of(hidden[self.row : self.row + 1], vector))

    @cached_property
    def after_what(self) -> str:
        """The tokens before the chosen one as they end, in a sentence."""
        text = "".join(self.tokenizer.label(id_) for id_ in self.ids[: self.position])
        return f"“{'…' if len(text) > 24 else ''}{text[-24:]}”"

    @property
    def next_step(self) -> str:
        return f"step {self.step.applied + 1}" if self.step.applied else "the next step"

    @property
    def steps_so_far(self) -> str:
        taken = self.step.applied
        return "" if not taken else f" after {taken} step{'s' if taken > 1 else ''}"
