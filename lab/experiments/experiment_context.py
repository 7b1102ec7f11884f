"""The context of an experiment: the opened model, its tokenizer, the prompt, and the run's text where it can be read."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.core.errors import UserError
from lab.core.number_format import whole
from lab.data.token_file import TokenFile, token_dtype
from lab.inspect.model_cache import CachedTrace, OpenModel, TraceCache
from lab.inspect.stages.stage_context import StageContext
from models.config import ModelConfig, SamplingSettings
from models.trace_edits import Edit

if TYPE_CHECKING:
    from torch import Tensor

    from models.gpt import GPT
    from models.tokenizers.tokenizer import Tokenizer

Ids = np.ndarray[Any, np.dtype[np.int64]]

VALIDATION, TRAINING = "validation text", "training text"

FLOPS = 4e10
"""Floating-point operations that two cores do in about a second or two."""
LEAST_TOKENS = 32
"""Tokens that an experiment gets from any model."""

NO_PROMPT = "This experiment needs a prompt: type a word."
NO_TOKENS = "{run} has no {file} in its folder, so its text cannot be read; use a run whose folder still holds it."


def doubling(most: int) -> list[int]:
    """The powers of two below `most`, and `most`."""
    return [*(1 << power for power in range(most.bit_length()) if 1 << power < most), most]


@dataclass(frozen=True)
class ExperimentContext:
    opened: OpenModel
    traces: TraceCache
    prompt: list[int] = field(default_factory=list)
    """All token ids of the prompt; empty where there is none."""
    position: int | None = None
    """0-based within the window; None or one past the end means the last token."""
    layer: int = 0
    head: int = 0
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    edits: tuple[Edit, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Texts typed for the experiment, by name."""
    width: int = 0
    """Width of the view on screen in columns; 0 where it is not known."""

    @property
    def model(self) -> "GPT":
        return self.opened.model

    @property
    def config(self) -> ModelConfig:
        return self.opened.model.config

    @property
    def tokenizer(self) -> "Tokenizer":
        return self.opened.tokenizer

    @property
    def run_name(self) -> str:
        return self.opened.run.name

    def fresh_model(self) -> "GPT":
        """A model of the same shape with the random weights that the run's seed gives."""
        from models.gpt import GPT

        return GPT(self.config, seed=self.opened.run.config.train.seed).eval()

    @property
    def ids(self) -> list[int]:
        """The end of the prompt that fits into the context. Raises: UserError: if there is no prompt."""
        if not self.prompt:
            raise UserError(NO_PROMPT)
        return self.prompt[-self.config.context :]

    def encode(self, text: str) -> list[int]:
        """The last tokens of a text that fit into the context. Raises: UserError: if there are none."""
        ids = self.tokenizer.encode(text)[-self.config.context :]
        if not ids:
            raise UserError(NO_PROMPT)
        return ids

    def trace(self, ids: Sequence[int] | None = None, edits: Sequence[Edit] | None = None) -> CachedTrace:
        """The cached trace of `ids` (None: the prompt's window) with `edits` (None: those of the request)."""
        chosen = self.ids if ids is None else list(ids)
        return self.traces.trace(self.opened, chosen, self.edits if edits is None else tuple(edits))

    def stage_context(self) -> StageContext:
        """The context with which the views of Inspect are made: `stage_view(name, context)`."""
        traced = self.trace()
        last = len(traced.trace.ids) - 1
        return StageContext(
            opened=self.opened,
            traced=traced,
            prompt=self.prompt,
            earlier=0,
            position=last if self.position is None else max(0, min(self.position, last)),
            sampling=self.sampling,
            layer=self.layer,
            head=self.head,
        )

    def number(self, name: str, default: float, least: float, most: float) -> float:
        """Number typed under this name, or the default. Raises: UserError: if it is no number from `least` to `most`."""
        typed = self.inputs.get(name)
        if typed is None:
            return default
        try:
            value = float(typed.strip().replace("−", "-"))
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise UserError(f"{name} must be a number from {least:g} to {most:g}, not {typed!r}.")
        return value

    def affordable(self, most: int, passes: float = 1.0) -> int:
        """Number of tokens, at most `most`, for which so many forward passes take about a second or two on two cores."""
        from models.parameter_count import parameter_count

        each = 2 * parameter_count(self.config) * passes  # a multiplication and an addition for each weight
        return max(LEAST_TOKENS, min(most, int(FLOPS / each)))

    def tokens(self) -> tuple[Ids, Ids]:
        """The ids of the run's training part and of its validation part, mapped from its folder.

        Raises: UserError: if the run's tokens are not in its folder, or damaged.
        """
        run = self.opened.run
        if not run.config.has_text:
            raise UserError(f"{run.name} was imported: the text that it was trained on is not here; use a run with a text.")
        if not os.path.lexists(run.tokens_path):
            raise UserError(NO_TOKENS.format(run=run.name, file=run.tokens_path.name))
        ids = TokenFile(run.tokens_path, token_dtype(run.config.tokenizer.vocab_size)).ids
        data = run.config.data
        if len(ids) != data.tokens:
            raise UserError(f"{run.tokens_path} holds {whole(len(ids))} tokens instead of {whole(data.tokens)}.")
        return ids[: data.split], ids[data.split :]

    def sample_text(self, tokens: int) -> str:
        """The beginning of the run's training text, at most so many tokens of it, without the borders between documents.

        Raises: UserError: if the run's tokens cannot be read, or there are none.
        """
        ids = self.tokens()[0][:tokens]
        if not len(ids):
            raise UserError(f"The training text of {self.run_name} is empty.")
        self._check_vocabulary(ids)
        border = self.tokenizer.end_of_text
        return self.tokenizer.decode([id_ for id_ in ids.tolist() if id_ != border])

    def windows(self, count: int, length: int | None = None, *, training: bool = False) -> tuple[Ids, str]:
        """Evenly spaced windows of the run's own text, (n, length + 1) with at most `count` rows, and the part they come from:
        "validation text"; with `training`, or where the validation part is shorter than a window, "training text".

        `length` is at most the context, which is its default; the last column is only predicted.

        Raises: UserError: if the run's tokens cannot be read, or are fewer than two.
        """
        train, val = self.tokens()
        length = min(length or self.config.context, self.config.context)
        part, name = (val, VALIDATION) if len(val) > length and not training else (train, TRAINING)
        length = min(length, len(part) - 1)
        if length < 1:
            raise UserError(f"The text of {self.run_name} has {whole(len(part))} tokens; an experiment needs at least two.")
        return self.spaced(part, count, length + 1), name

    def ids_and_targets(self, most: int, passes: float = 1.0) -> tuple["Tensor", "Tensor", str]:
        """Windows of the run's own text (B, T), at most so many tokens and no more than so many passes can afford; what follows
        each of them (B, T), and the part that they come from. Raises as `windows`."""
        import torch

        tokens = self.affordable(most, passes)
        rows, part = self.windows(max(1, tokens // self.config.context), tokens)
        return torch.from_numpy(rows[:, :-1]), torch.from_numpy(rows[:, 1:]), part

    def spaced(self, part: Ids, count: int, length: int) -> Ids:
        """At most `count` evenly spaced pieces of a part of the run's text, (n, length)."""
        starts = np.unique(np.linspace(0, len(part) - length, count).astype(np.int64))
        rows = np.stack([part[start : start + length] for start in starts.tolist()]).astype(np.int64)
        self._check_vocabulary(rows)
        return rows

    def occurring(self, most: int = 1_000_000) -> Ids:
        """The ids that occur in the first `most` tokens of the run's training text; all of the vocabulary where it has none."""
        run = self.opened.run
        if not run.config.has_text or not os.path.lexists(run.tokens_path):
            return np.arange(self.config.vocab_size)
        found = np.unique(self.tokens()[0][:most]).astype(np.int64)
        self._check_vocabulary(found)
        return found

    def _check_vocabulary(self, ids: Ids) -> None:
        if int(ids.max()) >= self.config.vocab_size:
            raise UserError(f"{self.opened.run.tokens_path} holds tokens that are not in the vocabulary of {self.run_name}.")
