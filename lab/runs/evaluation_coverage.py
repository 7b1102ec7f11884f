"""Evaluation coverage: the share of the validation part that an evaluation uses."""

from typing import NamedTuple

from lab.core.number_format import probability, whole
from lab.runs.run_schema import DataConfig, FinalEvaluation, Status


class EvaluatedShare(NamedTuple):
    """A share of the validation part, in bytes or tokens."""

    part: int
    total: int
    unit: str

    @property
    def is_whole(self) -> bool:
        return self.part >= self.total

    @property
    def in_words(self) -> str:
        """`all 111,540 bytes`, `32,841 of 111,540 bytes`."""
        share = f"all {whole(self.part)}" if self.is_whole else f"{whole(self.part)} of {whole(self.total)}"
        return f"{share} {self.unit}"

    @property
    def loss_suffix(self) -> str:
        """` (on 29%)` behind the name of a loss that is measured on it; empty where it is all."""
        return "" if self.is_whole else f" (on {self.percent})"

    @property
    def percent(self) -> str:
        """`29%`, or `all`."""
        return "all" if self.is_whole else probability(self.part / self.total, 0)

    @property
    def in_short(self) -> str:
        """The share for a narrow column: `29%, 32,841 bytes`."""
        return f"{self.percent}{'' if self.is_whole else ','} {whole(self.part)} {self.unit}"


def during_training(data: DataConfig, status: Status) -> EvaluatedShare | None:
    """Share that evaluations during training use; None where it is not known yet. In runs from before it was kept in bytes, in
    tokens."""
    if data.evaluated is not None:
        return EvaluatedShare(data.evaluated.bytes, data.val_bytes, "bytes")
    return EvaluatedShare(status.eval_tokens, data.tokens - data.split, "tokens") if status.eval_tokens else None


def at_the_end(data: DataConfig, found: FinalEvaluation) -> EvaluatedShare:
    """Share that an evaluation at the end uses."""
    return EvaluatedShare(found.bytes, data.val_bytes, "bytes")
