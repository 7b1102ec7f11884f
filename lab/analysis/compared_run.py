"""A run of a comparison, and its samples by the share of training done."""

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.core.atomic_io import os_error_in_words
from lab.core.safe_open import LARGEST_TOKENIZER, read_regular
from lab.runs.run_folder import ACTIVE, Run
from lab.runs.run_history import LossHistory, RunUpdate
from lab.runs.run_schema import FinalEvaluation, Metric, RunConfig, Sample, Status
from lab.runs.schema_parts import CopiedShare

LETTERS = "ABCDE"
"""Letters of the runs in a plot and a table; more could not be told apart."""


@dataclass
class ComparedRun:
    """A run of a comparison. `letter` stands for it in the plot; `vocabulary` is equal for runs with the same tokens."""

    letter: str
    name: str
    vocabulary: str
    config: RunConfig
    status: Status
    phase: str
    history: LossHistory
    samples: list[Sample] = field(default_factory=list)
    copied: CopiedShare | None = None
    """The share of its validation text that also stands in its training text; None if unknown."""

    @property
    def title(self) -> str:
        """`A shakespeare`: the letter and the name."""
        return f"{self.letter} {self.name}"

    @property
    def best(self) -> Metric | None:
        """The evaluation with the lowest validation loss."""
        return self.history.best_evaluation

    @property
    def has_learned(self) -> bool:
        """True once it was evaluated after a step."""
        return len(self.history.eval_steps) > 0 and self.history.eval_steps[-1] > 0

    @property
    def validated_on(self) -> str:
        """A key that is equal for runs with the validation text from the same text: their own, or the one they train on."""
        return self.config.data.holdout.sha256 or self.config.data.sha256

    @property
    def tokens_per_step(self) -> int:
        return self.config.train.batch * self.config.model.context

    @property
    def is_active(self) -> bool:
        """True while a trainer works on it."""
        return self.phase in ACTIVE

    def apply(self, update: RunUpdate) -> None:
        """Add what was read from its files."""
        self.status, self.phase = update.status, update.phase
        if update.history is not None:
            self.history = update.history
        self.history.add(update.metrics)
        self.samples = ([] if update.samples_restarted else self.samples) + update.samples

    @property
    def final(self) -> FinalEvaluation | None:
        """The best weights on the whole validation part, once the run has ended."""
        found = self.status.final_best
        if found is not None and found.val_loss is not None:
            return found
        best = self.best
        if best is None or self.is_active or not self._evaluates_all:
            return None
        return FinalEvaluation(
            step=best.step,
            tokens=self.status.eval_tokens,
            bytes=self.config.data.val_bytes,
            val_loss=best.val_loss,
            bits_per_byte=best.bits_per_byte,
        )

    @property
    def _evaluates_all(self) -> bool:
        """True of an older run whose evaluations during training are on the whole validation part, as those of the demo are."""
        data = self.config.data
        return data.final is None and self.status.eval_tokens >= data.tokens - data.split

    @property
    def evaluated_on(self) -> str:
        """A key that is equal for runs whose evaluations during training are on the same bytes; in older runs, on the first
        tokens."""
        data = self.config.data
        if data.evaluated is not None:
            return data.evaluated.sha256
        return f"{data.sha256} {self.vocabulary} {data.split} {self.status.eval_tokens}"

    @property
    def final_evaluated_on(self) -> str:
        """A key that is equal for runs whose evaluations at the end are on the same bytes, but for where the validation part
        begins if they use all of it: in older runs that depends on the tokens, by a hundredth of the text at most."""
        data = self.config.data
        is_end = not data.holdout.source and data.holdout.seed is None
        if is_end and (self._evaluates_all or (data.final is not None and data.final.bytes == data.val_bytes)):
            return f"{data.sha256} all of the last {data.val_bytes / data.bytes:.2f}"
        return data.final.sha256 if data.final is not None else f"{data.sha256} {self.vocabulary} {data.split}"

    def share(self, step: int) -> float:
        """Share of its planned training done at an evaluation's step, 0 to 1; 1 at the last step of a finished run."""
        train = self.config.train
        if self.phase == "finished" and step >= self.status.step > 0:
            return 1.0  # the clock goes on a little after it
        if train.minutes is not None:
            at = bisect_right(self.history.eval_steps, step) - 1
            seconds = self.history.eval_seconds[at] if at >= 0 else 0.0
            whole_time = self.status.seconds if self.phase == "finished" else train.minutes * 60
            return min(1.0, seconds / whole_time) if whole_time else 0.0
        steps = self.status.steps or train.steps
        return min(1.0, step / steps) if steps else 0.0


def vocabulary_of(run: Run) -> str:
    """A key that is equal for two runs if and only if they cut a text into the same tokens. Raises: UserError."""
    kind = run.config.tokenizer.kind
    if kind != "bpe":
        return kind
    try:
        return hashlib.sha256(read_regular(run.tokenizer_path, LARGEST_TOKENIZER)).hexdigest()
    except OSError as error:
        raise os_error_in_words(error, f"read the tokenizer of {run.name}") from error


def stops(runs: Sequence[ComparedRun]) -> list[float]:
    """The shares of training at which any of them wrote samples, in order."""
    return sorted({round(run.share(step), 3) for run in runs for step in {sample.step for sample in run.samples}})


def furthest_common(runs: Sequence[ComparedRun]) -> int:
    """Index of the last of `stops` that every run which has written anything has reached."""
    reached = [max(run.share(sample.step) for sample in run.samples) for run in runs if run.samples]
    return max(0, bisect_right(stops(runs), round(min(reached, default=0.0), 3)) - 1)


def written_at(run: ComparedRun, stop: float) -> list[Sample]:
    """The latest samples of the run at this share of its training; empty if it has not come so far."""
    steps = sorted({sample.step for sample in run.samples})
    shares = [round(run.share(step), 3) for step in steps]
    at = bisect_right(shares, stop) - 1
    if at < 0 or (at == len(shares) - 1 and run.is_active and shares[at] < stop):
        return []
    return [sample for sample in run.samples if sample.step == steps[at]]
