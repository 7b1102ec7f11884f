"""Checks of the claims on the model at hand, one after the other, the claim in view first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.core.errors import UserError
from lab.engine.method_registry import EXPERIMENT, ExperimentParams
from lab.experiments.experiment_result import ExperimentResult
from lab.lessons.claim import CheckedClaim, Claim, check_claim, unchecked
from lab.views.blocks import View
from models.sampling_settings import SamplingSettings
from screens.learn.learn_engine import LearnEngine, Refused
from screens.learn.live.live_widget import ModelAtHand


@dataclass(frozen=True)
class Checked:
    """A claim's verdict, and the picture of its experiment; none if that was refused."""

    checked: CheckedClaim
    view: View | None


class ClaimChecks:
    """Asks for the missing experiments while it may go on. `changed` is called whenever a result or what runs changes."""

    def __init__(self, engine: LearnEngine, claims: Sequence[Claim], changed: Callable[[], None]) -> None:
        self._engine, self._changed = engine, changed
        self.claims = list(claims)
        self.results: dict[str, Checked] = {}
        """By the claim's name."""
        self.running = ""
        """The name of the claim whose experiment runs; "" while none does."""
        self.problem = ""
        """The sentence with which the engine ended; nothing more is asked until another claim is looked at."""
        self.model: ModelAtHand | None = None
        self._goes_on = False
        self._in_view = self.claims[0].name if self.claims else ""
        self._runs: dict[str, int] = {}
        """Number of times that a claim was checked again."""

    @property
    def is_idle(self) -> bool:
        """True if nothing is asked, and nothing will be."""
        return not self.running and (self.model is None or not self._goes_on or self._next() is None or bool(self.problem))

    @property
    def due(self) -> int:
        """Number of claims without a verdict."""
        return len(self.claims) - len(self.results)

    def use_model(self, model: ModelAtHand) -> None:
        """Check on this model from now on; verdicts on another one are forgotten."""
        if model != self.model:
            self._stop()
            self.model, self.problem = model, ""
            self.results.clear()
            self._advance()

    def go_on(self, goes_on: bool) -> None:
        """Check what is missing, or finish what runs and ask for nothing more."""
        self._goes_on = goes_on
        self._advance()

    def look_at(self, name: str) -> None:
        """Check this claim before the others."""
        if name != self._in_view:
            self._in_view, self.problem = name, ""
        if self.running != name and name not in self.results:
            self._stop()
            self._advance()

    def check_again(self, name: str) -> None:
        """Run a claim's experiment anew, with other random numbers."""
        self._stop()
        self.results.pop(name, None)
        self._runs[name] = self._runs.get(name, 0) + 1
        self._in_view, self.problem = name, ""
        self._advance()

    def _next(self) -> Claim | None:
        """The claim in view if it was not checked, else the first after it, else the first of all."""
        at = next((at for at, claim in enumerate(self.claims) if claim.name == self._in_view), 0)
        waiting = (claim for claim in (*self.claims[at:], *self.claims[:at]) if claim.name not in self.results)
        return next(waiting, None)

    def _stop(self) -> None:
        self.running = ""
        self._engine.forget("claims")

    def _advance(self) -> None:
        claim = self._next()
        if self._goes_on and self.model is not None and not self.running and not self.problem and claim is not None:
            self._ask(claim, self.model)
        self._changed()

    def _ask(self, claim: Claim, model: ModelAtHand) -> None:
        self.running = claim.name
        params = ExperimentParams(
            run=model.run,
            text=claim.prompt or model.prompt,
            name=claim.experiment,
            sampling=SamplingSettings(seed=self._runs.get(claim.name, 0)),
            inputs=dict(claim.inputs),
        )

        def answered(result: ExperimentResult) -> None:
            try:
                checked = check_claim(claim, result)
            except UserError as error:  # a condition of a claim that was added compares a number with a text
                checked = unchecked(claim, str(error))
            self._finish(claim, Checked(checked, result.view))

        def refused(refusal: Refused) -> None:
            if refusal.engine_died:
                self.running, self.problem = "", refusal.sentence
                self._changed()
            else:
                self._finish(claim, Checked(unchecked(claim, refusal.sentence), None))

        self._engine.ask("claims", EXPERIMENT, params, answered, refused)

    def _finish(self, claim: Claim, checked: Checked) -> None:
        self.results[claim.name] = checked
        self.running = ""
        self._advance()
