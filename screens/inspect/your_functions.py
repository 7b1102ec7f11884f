"""The learner's functions in Inspect: stages that they compute are marked, and a forward pass by them is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.core.errors import UserError
from lab.core.visible_text import visible
from lab.views.blocks import View
from screens.about_key import About, described, keyless
from screens.background import ends_with_worker, in_thread
from screens.blocks.view_layout import parity_badge
from screens.inspect.inspect_part import Actions, InspectHost, InspectPart, Ready
from screens.inspect.selection import Selection
from screens.widgets.forward_pass_list import ForwardPassList

if TYPE_CHECKING:
    from lab.exercises.check_result import CheckResult
    from lab.exercises.your_model import ForwardPass

LOOK_SECONDS = 2.0
"""Seconds between two looks at the learner's files: one that was changed is no longer marked."""

Question = tuple[str, str, int, tuple[int, ...], frozenset[tuple[str, str]]]
"""Run, checkpoint, step, tokens, and the checksums of the files that pass."""


def passing_now() -> tuple[dict[str, str], frozenset[str]]:
    """Checksums of the learner's files that pass, and the stages that their functions compute."""
    from lab.exercises.exercise import words_of
    from lab.exercises.learner_files import checksums, write_folder

    found = checksums(write_folder())
    return found, frozenset(stage for name in found for stage in words_of(name).stages)


class YourFunctions(InspectPart):
    """Runs them in the process of a check, where the user asks for it."""

    BINDINGS = described(
        keyless("do('yours')", "inspect.yours", "Your functions: a forward pass by those that pass, beside the model's", "Yours"),
        About(synonyms="write exercises own code parity", needs="a function of yours that passes, in Learn, and no intervention"),
    )

    def __init__(self, host: InspectHost, steps: ForwardPassList) -> None:
        super().__init__(host)
        self._list = steps
        self._passing: dict[str, str] = {}
        self._found: dict[Question, ForwardPass] = {}
        self._is_watching = False

    def actions(self) -> Actions:
        return (self.do_yours,)

    def is_enabled(self, action: str) -> bool:
        return bool(self._list.yours) and self._question() is not None

    def _question(self) -> Question | None:
        """The forward pass in view; None where there is none, or an intervention changes it."""
        model = self._host.model
        if not isinstance(model, Ready) or model.answered.interventions:
            return None
        ids = tuple(token.id for token in model.path.tokens)
        return *model.answered.model, model.facts.step, ids, frozenset(self._passing.items())

    def view_shown(self, selection: Selection, view: View) -> None:
        if not self._is_watching:
            self._is_watching = True
            self._look()
            self._host.set_interval(LOOK_SECONDS, self._look)
        self._mark()

    def _look(self) -> None:
        if self._host.is_current:
            self._host.start(self._read(), "your files")

    async def _read(self) -> None:
        self._passing, self._list.yours = await in_thread(passing_now)
        self._mark()

    def _mark(self) -> None:
        """Say in the border of the view that its stage is theirs, and how far a forward pass by them is from the model's."""
        question, view = self._question(), self._host.view
        found = self._found.get(question) if question is not None else None
        if found is not None:
            view.remark = f"logits by yours: {parity_badge(found.parity, short=True)}"
        else:
            view.remark = "yours" if view.view is not None and view.view.stage in self._list.yours else ""

    def do_yours(self) -> None:
        self._host.start(self._compare(), "your functions")

    async def _compare(self) -> None:
        await self._read()
        if (question := self._question()) is None:
            return
        run, checkpoint, step, ids, _ = question
        waiting = ends_with_worker()

        def by_yours() -> CheckResult:
            from lab.exercises.check import use_passing
            from lab.exercises.learner_files import passing, write_folder
            from lab.runs.find_runs import open_run

            path = open_run(run).path
            return use_passing(passing(write_folder()), path, "", waiting=waiting, checkpoint=checkpoint, ids=ids)

        self._host.say("Your functions compute the forward pass …")
        try:
            result = await in_thread(by_yours)
        except UserError as error:
            self._host.say(visible(str(error)), error=True)
            return
        before = self._passing
        await self._read()
        found = result.forward_pass
        if found is None:
            self._host.say(f"By your functions: {visible(result.problem)}", error=True)
        elif self._passing != before or found.step != step:
            self._host.say("Your functions or the weights have changed meanwhile; ask again.")
        elif not found.used:
            self._host.say("None of your functions that pass is called in a forward pass.")
        else:
            self._found[question] = found
            self._mark()
            self._host.say(f"A forward pass by your {', '.join(found.used)}: {parity_badge(found.parity)}.")
