"""One-step session: the screen's questions to the engine on a training step, the newest only, and the answers at hand."""

from collections.abc import Callable

from msgspec.structs import replace

from lab.engine.client import EngineError
from lab.engine.method_registry import ONE_STEP, OneStepParams
from lab.training.one_step.step_stages import STAGES, StepAnswer
from screens.engine_client import Engine, NewestOnly


class OneStepSession:
    """`select` says what to show next; `serve` runs for ever, answers it, and fetches the stages before and after."""

    def __init__(
        self, engine: Engine, answered: Callable[[OneStepParams, StepAnswer], None], failed: Callable[[str, bool], None]
    ) -> None:
        """`failed` takes an error's sentence, and whether the engine died of it."""
        self._engine, self._answered = engine, answered
        self._newest = NewestOnly(self._answer, self._look_ahead, failed, patience=0)
        self.serve = self._newest.serve
        self._known: dict[OneStepParams, StepAnswer] = {}
        """Answers that differ from the newest in the stage alone."""
        self._changes_found: OneStepParams | None = None
        self._selected = 0
        self._shown = 0
        """Number of the selection whose answer was given last: an older one that comes late is dropped."""

    @property
    def is_idle(self) -> bool:
        """True when the newest question has been answered, or refused, and the stages beside it are at hand."""
        return self._newest.is_idle

    def select(self, params: OneStepParams) -> StepAnswer | None:
        """Select something else. The answer at once if it is at hand; otherwise None, and it comes later."""
        self._selected += 1
        self._newest.ask((self._selected, params))
        answer = self._known.get(params)
        if answer is not None:
            self._shown = self._selected
        return answer

    def forget_changes(self) -> None:
        """Have the largest weight changes found again: another engine holds none."""
        self._changes_found = None

    async def _answer(self, question: tuple[int, OneStepParams]) -> None:
        number, params = question
        answer = self._known.get(params) or await self._ask(params)
        if number > self._shown:
            self._shown = number
            self._answered(params, answer)

    async def _ask(self, params: OneStepParams) -> StepAnswer:
        answer = await self._engine.call(ONE_STEP, params)
        self._known = {known: other for known, other in self._known.items() if replace(known, stage=params.stage) == params}
        self._known[params] = answer
        return answer

    async def _look_ahead(self, question: tuple[int, OneStepParams]) -> None:
        """Have the engine find the largest weight changes, which take longest, and answer for the stages on both sides."""
        number, params = question
        changes = replace(params, stage="changes", window=0, position=None, weight="")
        names = list(STAGES)
        place = names.index(params.stage)
        try:
            if changes != self._changes_found:
                await self._engine.call(ONE_STEP, changes)
                self._changes_found = changes
            answer = self._known.get(params)
            if answer is not None and answer.backward is not None and answer.backward.weight is None:
                complete = await self._ask(params)  # with the weight that moves most, which the engine has found now
                if number == self._shown == self._selected:
                    self._answered(params, complete)
            for stage in (*names[place + 1 : place + 2], *names[:place][-1:]):
                beside = replace(params, stage=stage)
                if beside not in self._known:
                    await self._ask(beside)
        except EngineError:
            return  # the user's own question goes first, and is told what is wrong
