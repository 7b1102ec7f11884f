"""The verdict on a run in one line: the diagnosis, overfitting, and the distance to the nearest baseline."""

from dataclasses import dataclass
from typing import Literal

from lab.core.number_format import fixed, probability
from lab.data.statistics.copied_share import copied_error
from lab.reports.baselines import baselines
from lab.reports.diagnosis.diagnosed_run import (
    RISE,
    DiagnosedRun,
    Diagnosis,
    Evaluation,
    Verdict,
    differs_visibly,
    rollbacks_text,
    step_text,
)
from lab.runs.run_folder import ACTIVE

Tone = Literal["good", "wait", "warn", "bad"]
TONES: dict[Verdict, Tone] = {
    "waiting": "wait",
    "losses missing": "bad",
    "fine-tuned": "good",
    "imported": "good",
    "too early to tell": "wait",
    "too short to say": "wait",
    "nothing learned": "warn",
    "little learned": "warn",
    "warming up": "wait",
    "rolled back": "warn",
    "learning": "good",
    "learned": "good",
    "overfitting": "warn",
    "text too small": "warn",
    "validation text differs": "warn",
    "validation text copied": "warn",
    "plateau": "warn",
    "diverged": "bad",
}
SIGNS: dict[Tone, str] = {"good": "✓", "wait": "…", "warn": "!", "bad": "✗"}
"""Sign of each tone, so that it is told without colour."""
JUDGED: tuple[Verdict, ...] = ("learning", "learned", "plateau", "overfitting", "text too small")
"""Verdicts of runs whose validation loss says whether they overfit."""
NO_LEVEL: tuple[Verdict, ...] = (
    "waiting",
    "losses missing",
    "fine-tuned",
    "imported",
    "too early to tell",
    "warming up",
    "rolled back",
    "diverged",
)
"""Verdicts of runs without losses, or whose validation loss still changes too fast to compare it with a baseline."""


@dataclass(frozen=True)
class VerdictLine:
    """Its parts, the verdict first, and their tone."""

    tone: Tone
    parts: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"{SIGNS[self.tone]} {' · '.join(self.parts)}"


def verdict_line(run: DiagnosedRun, found: Diagnosis) -> VerdictLine:
    """The line of a run and its diagnosis."""
    if run.phase == "failed":
        return VerdictLine("bad", tuple(dict.fromkeys(("failed", found.verdict))) if found.verdict == "diverged" else ("failed",))
    parts: list[str] = [found.verdict]
    if run.rollbacks:
        parts.append(rollbacks_text(len(run.rollbacks)))
    if found.verdict in JUDGED:
        parts.append(_overfitting(run))
    if found.verdict not in NO_LEVEL:
        parts.append(_level(run))
    tone = TONES[found.verdict]
    if tone == "good" and (run.level or run.rollbacks):
        tone = "wait" if run.phase in ACTIVE and not run.rollbacks else "warn"
    return VerdictLine(tone, tuple(part for part in parts if part))


def _overfitting(run: DiagnosedRun) -> str:
    """The change of the validation loss since its lowest, with both evaluations' steps, or the copied share where the text is not
    new, so that this says nothing; empty before the second evaluation, and where that share is not known."""
    if len(run.evaluations) < 2:
        return ""
    best, last = min(run.evaluations, key=lambda evaluation: evaluation.loss), run.evaluations[-1]
    if last.loss <= best.loss * (1 + RISE):
        if not run.shows_new_text:
            return f"{probability(run.copied.share)}{copied_error(run.copied)} of validation copied" if run.copied else ""
        return "no overfitting" + (" yet" if run.phase in ACTIVE else "")
    return f"val {_change(best, last)}"


def _change(first: Evaluation, last: Evaluation) -> str:
    """`3.46 → 3.64, steps 400 → 1,200`."""
    decimals = 2 if fixed(first.loss, 2) != fixed(last.loss, 2) or not differs_visibly(first.loss, last.loss) else 4
    steps = f"steps {step_text(first.step)} → {step_text(last.step)}"
    return f"{fixed(first.loss, decimals)} → {fixed(last.loss, decimals)}, {steps}"


def _level(run: DiagnosedRun) -> str:
    """The measured loss beside the baseline that it is at, else beside the source's entropy or the lowest baseline."""
    if run.measured is None:
        return ""
    known = baselines(run.config.model.vocab_size, run.config.data, run.history, run.entropy, run.final)
    source = next((each for each in known if each.short == "source"), None)
    level = run.level or source or known[-1]
    apart, name = run.measured.loss - level.loss, "the source's entropy" if level is source else level.short
    return f"{fixed(abs(apart), 2)} nats {'above' if apart >= 0 else 'below'} {name}"
