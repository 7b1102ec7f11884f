"""The verdict on a claim: its conditions applied to the measures of its experiment, and its text with their figures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab.core.errors import UserError
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.lessons.claim_checker.claim import MARKS, TITLES, Claim, Verdict
from lab.lessons.claim_checker.conditions import MissingMeasureError
from lab.lessons.claim_checker.figures import fill, unchanged


@dataclass(frozen=True)
class CheckedClaim:
    claim: Claim
    verdict: Verdict
    reason: str
    """One sentence on why it cannot be checked; "" for the other verdicts."""
    measures: Mapping[str, Measure]

    @property
    def mark(self) -> str:
        return MARKS[self.verdict]

    @property
    def words(self) -> str:
        """The verdict in words, with the reason where it cannot be checked."""
        return f"{TITLES[self.verdict]}: {self.reason}" if self.reason else TITLES[self.verdict]

    def explanation(self, escape: Callable[[str], str] = unchanged) -> str:
        """Markdown, for this verdict and with its figures."""
        parts = (self.claim.by_verdict.get(self.verdict, ""), self.claim.explanation)
        return "\n\n".join(filter(None, (fill(part, self.measures, escape) for part in parts)))

    def instead(self, escape: Callable[[str], str] = unchanged) -> str:
        """Markdown with figures: the note that holds."""
        return fill(self.claim.instead, self.measures, escape)


def check_claim(claim: Claim, result: ExperimentResult) -> CheckedClaim:
    """The verdict on a claim from the result of its experiment.

    Raises:
        UserError: if one of its conditions compares a number with something else.
    """
    verdict: Verdict = "not so"
    reason = ""
    try:
        held = [kind for kind, condition in claim.conditions.items() if condition.holds(result.measures)]
        verdict = held[0] if held else "not so"
    except MissingMeasureError as missing:
        verdict = "unchecked"
        reason = result.missing or f"the experiment {claim.experiment} measured no {missing.name} here."
    except ValueError as error:
        raise UserError(f"The claim {claim.name} cannot be checked: {error}.") from error
    return CheckedClaim(claim, verdict, reason, result.measures)


def unchecked(claim: Claim, reason: str) -> CheckedClaim:
    """The claim of an experiment that was refused, with the sentence that says why."""
    return CheckedClaim(claim, "unchecked", reason, {})
