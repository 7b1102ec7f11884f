"""Verdicts of the diagnosis, and the diagnosis as plain data."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal[
    "waiting",
    "losses missing",
    "fine-tuned",
    "imported",
    "too early to tell",
    "too short to say",
    "nothing learned",
    "little learned",
    "warming up",
    "rolled back",
    "learning",
    "learned",
    "overfitting",
    "text too small",
    "validation text differs",
    "validation text copied",
    "plateau",
    "diverged",
]


@dataclass(frozen=True)
class Diagnosis:
    """A verdict, the numbers that it rests on, and what to do; `advice` may be empty."""

    verdict: Verdict
    evidence: str
    advice: str = ""

    @property
    def sentences(self) -> str:
        """All of it, the verdict first."""
        return " ".join(part for part in (f"{self.verdict.capitalize()}: {self.evidence}", self.advice) if part)
