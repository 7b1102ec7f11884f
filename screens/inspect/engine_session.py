"""Engine session: what Inspect asks the engine for its selection, the newest one only, and what it keeps of the answers.

Nothing of Textual in here. Answers go to the callbacks that the screen gives.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from lab.engine import method_registry as methods
from lab.engine.client import EngineDied, EngineError
from lab.engine.method_registry import EngineMethod
from lab.inspect.intervention_effect import Cost, Effect, effect_view
from lab.inspect.interventions import Interventions
from lab.views.blocks import FEATURE, NO_FEATURES, LensPath, ModelFacts, View
from lab.views.number_explanation import explanation_view
from screens.engine_client import Engine, NewestOnly
from screens.inspect.selection import Selection, alone, at_position, at_step, beside, in_head, in_layer, index_of, within

P = TypeVar("P")
A = TypeVar("A", LensPath, View, Effect, Cost)

ANSWERS_KEPT = 48
"""Views, lens paths and effects held, so that a step back is drawn at once."""

PATIENCE = 0.2
"""Seconds that an answer is still waited for when something else is selected: a held key shows what it passes, and a long piece
of work is given up."""

SECONDS_BETWEEN_CHECKS, SECONDS_BETWEEN_LOOKS = 0.01, 0.5  # the second: at how far a fit of features is

LOOK_AHEAD_PARAMETERS, LOOK_AHEAD_TOKENS = 20_000_000, 256
"""Most parameters of a model, and most tokens of a prompt, of which something is fetched before it is asked for."""


class OutdatedWeightsError(EngineError):
    """An answer with other weights than those that were opened, whose file was replaced meanwhile by the run's trainer."""


@dataclass
class Callbacks:
    """Receivers of the answers. Each is called in the event loop of `EngineSession.serve`."""

    facts: Callable[[ModelFacts], None]
    lens_path: Callable[[Selection, LensPath], None]
    view: Callable[[Selection, View], None]
    failed: Callable[[str, bool], None]
    """A sentence, and whether the engine died of it."""
    effect: Callable[[Selection, Effect], None] = lambda selection, effect: None
    """Effect of the interventions, where there are any."""
    second: Callable[[Selection, LensPath, View | None], None] = lambda selection, path, view: None
    """The second prompt's lens path, where there is one, and its view of the step unless something else is in view."""
    cost: Callable[[Interventions, Cost], None] = lambda made, cost: None
    """What interventions along directions cost on ordinary text."""
    partial: Callable[[View], None] = lambda view: None
    """Takes the progress of a slow view."""


class EngineSession:
    """`select` says what to show next; `serve` runs for ever and answers the newest selection."""

    def __init__(self, engine: Engine, callbacks: Callbacks, is_left: Callable[[], bool] = lambda: False) -> None:
        """`is_left` tells that who takes the answers is being removed."""
        self.engine = engine
        self._callbacks, self._is_left = callbacks, is_left
        self._newest = NewestOnly(self._answer, self._look_ahead, self._failed, PATIENCE)
        self.serve = self._newest.serve
        self.expected_checkpoints: tuple[str, ...] = ()
        """Checkpoints that may be selected next, all else being the same: fetched while nobody asks for anything."""
        self._known: dict[tuple[str, str], ModelFacts] = {}
        self._fresh: set[tuple[str, str]] = set()
        """Models whose weights on disk were checked since the last `forget`."""
        self._facts_for: tuple[str, str] | None = None
        self._path_for: tuple[Any, ...] | None = None
        self._paths: OrderedDict[tuple[Any, ...], LensPath] = OrderedDict()
        self._views: OrderedDict[Selection, View] = OrderedDict()
        self._effects: OrderedDict[tuple[Any, ...], Effect] = OrderedDict()
        self._costs: OrderedDict[tuple[Any, ...], Cost] = OrderedDict()
        self._selected = 0
        self._shown = 0
        """Number of the selection whose view was shown last: an older one that comes late is not shown any more."""

    @property
    def _to(self) -> Callbacks:
        """The takers of answers. Where they are being removed, and have lost their parts, the work ends."""
        if self._is_left():
            raise asyncio.CancelledError
        return self._callbacks

    @property
    def is_idle(self) -> bool:
        """True when the newest selection has been answered, or refused."""
        return self._newest.is_idle

    async def settle(self, since: float, seconds: Callable[[], float]) -> None:
        """Wait until the newest selection is answered, and until so many `seconds` after `since`, in monotonic time."""
        while not self.is_idle or time.monotonic() < since + seconds():
            await asyncio.sleep(SECONDS_BETWEEN_CHECKS)

    def select(self, selection: Selection) -> View | None:
        """Select something else. The view at once if it is at hand; otherwise None, and it comes through the callbacks."""
        self._selected += 1
        self._newest.ask((self._selected, selection))
        view = self._views.get(selection) if selection.model in self._fresh else None
        if view is not None:
            self._shown = self._selected
        return view

    def forget(self) -> None:
        """Ask again for everything at the next selection: the weights on disk may be newer than what is held."""
        self._facts_for = self._path_for = None
        self._fresh.clear()

    def _failed(self, sentence: str, died: bool) -> None:
        if died:
            self.forget()
        self._to.failed(sentence, died)

    async def _answer(self, question: tuple[int, Selection]) -> None:
        while True:
            try:
                return await self._answer_all(*question)
            except OutdatedWeightsError:
                self._facts_for = self._path_for = None
                self._shown = min(self._shown, question[0] - 1)  # a view of the other weights may have been shown

    async def _answer_all(self, number: int, selection: Selection) -> None:
        facts = await self._open(selection.model)
        if self._facts_for != selection.model:
            self._facts_for = selection.model
            self._to.facts(facts)
        selection = within(selection, facts)
        await _together(self._answer_view(number, selection), self._answer_path(selection))
        await _together(self._answer_effect(selection), self._answer_second(selection))

    async def _open(self, model: tuple[str, str]) -> ModelFacts:
        """The model's facts; where its weights are others than before, what was held of it is dropped."""
        if model not in self._fresh:
            run, checkpoint = model
            params = methods.OpenParams(run=run, checkpoint=checkpoint)
            facts = await self.engine.call(methods.OPEN, params)
            if facts != self._known.get(model):
                for held in (self._paths, self._effects, self._costs):
                    for key in [key for key in held if key[:2] == model]:
                        del held[key]
                for selection in [selection for selection in self._views if selection.model == model]:
                    del self._views[selection]
            self._known[model] = facts
            self._fresh.add(model)
        return self._known[model]

    async def _held(self, cache: OrderedDict[Any, A], key: Any, model: tuple[str, str], ask: Callable[[], Awaitable[A]]) -> A:
        """The answer that is held, else the engine's, held from then on.

        Raises: OutdatedWeightsError: if it is of another step than the opened model, which is then opened again.
        """
        answer = cache.get(key)
        if answer is None:
            answer = await ask()
            if answer.step is not None and answer.step != self._known[model].step:
                self._fresh.discard(model)
                raise OutdatedWeightsError(f"{model[0]} has newer weights now.")
        cache[key] = answer
        cache.move_to_end(key)
        while len(cache) > ANSWERS_KEPT:
            cache.popitem(last=False)
        return answer

    async def _answer_view(self, number: int, selection: Selection) -> None:
        view = await self._view(selection)
        if number > self._shown:
            self._shown = number
            self._to.view(selection, view)

    async def _answer_path(self, selection: Selection) -> None:
        if self._path_for == selection.path_key:
            return
        path = await self._path(selection)
        self._path_for = selection.path_key
        self._to.lens_path(selection, path)

    async def _path(self, selection: Selection) -> LensPath:
        ask = partial(self.engine.call, methods.LENS, selection.params(methods.LensParams))
        return await self._held(self._paths, selection.path_key, selection.model, ask)

    async def _answer_effect(self, selection: Selection) -> None:
        if selection.interventions:
            self._to.effect(selection, await self._effect(selection))

    async def _effect(self, selection: Selection) -> Effect:
        ask = partial(self.engine.call, methods.EFFECT, selection.params(methods.LensParams))
        return await self._held(self._effects, selection.path_key, selection.model, ask)

    async def _answer_second(self, selection: Selection) -> None:
        if selection.second is None:
            return
        lone = alone(selection, selection.second)
        second = beside(selection, await self._path(selection), lone, await self._path(lone))
        path = await self._path(second)
        view = None if selection.aside or selection.trail else await self._view(second)
        self._to.second(selection, path, view)

    async def _view(self, selection: Selection, *, ahead: bool = False) -> View:
        """With `ahead`, nobody has asked for it yet, so that nothing of its progress is shown."""
        view = await self._held(self._views, selection, selection.model, partial(self._ask, selection, ahead))
        if view.stage == NO_FEATURES or view.is_elsewhere:
            del self._views[selection]  # they may be fitted meanwhile
        return view

    async def _ask(self, selection: Selection, ahead: bool) -> View:
        ask = self.engine.call
        if selection.aside == "features" and all(f".{FEATURE}[" in each for each in selection.trail):
            params = selection.params(methods.FeaturesParams, stage="features", ref="".join(selection.trail[-1:]))
            return await self._whole(methods.FEATURES, params, ahead, SECONDS_BETWEEN_LOOKS)
        if selection.trail:
            number = await ask(methods.EXPLAIN, selection.params(methods.ExplainParams, ref=selection.trail[-1]))
            return explanation_view(number, selection.trail)
        match selection.aside:
            case "effect":
                return effect_view(await self._effect(selection), selection.interventions)
            case "attribution":
                return await ask(methods.ATTRIBUTION, selection.params(methods.AttributionParams))
            case "code":
                return await ask(methods.CODE, selection.params(methods.ViewParams))
            case "evidence":
                return await ask(methods.EVIDENCE, selection.params(methods.EvidenceParams))
            case "compare":
                return await ask(methods.COMPARE, selection.params(methods.CompareParams, stage="compare"))
            case "built_head":
                asked = selection.params(methods.ExperimentParams, name="built_head", inputs={"head": selection.built})
                return (await ask(methods.EXPERIMENT, asked)).view
            case "patches":
                return await self._whole(methods.PATCHES, selection.params(methods.PatchesParams, stage="patches"), ahead)
            case _:
                return await ask(methods.VIEW, selection.params(methods.ViewParams))

    async def _whole(self, method: EngineMethod[P, View], params: P, ahead: bool, pause: float = 0.0) -> View:
        """A slow view; until it is whole, its progress is shown, so many seconds apart."""
        while (view := await self.engine.call(method, params)).is_partial:
            if not (ahead or self._newest.has_newer):
                self._to.partial(view)
            await asyncio.sleep(pause)
        return view

    async def _look_ahead(self, question: tuple[int, Selection]) -> None:
        """While nobody asks for anything, find what directions cost; then fetch what the next key may lead to: the same place
        with the checkpoints that are expected, else the steps, heads, positions and layers beside it. Only where each takes the
        engine some milliseconds: it answers one request at a time.

        The lens path of another position takes longest, so it comes last.
        """
        _, selection = question
        made = tuple(each for each in selection.interventions if each.is_along_direction)
        try:
            if made:
                ask = partial(self.engine.call, methods.COST, selection.params(methods.LensParams))
                cost = await self._held(self._costs, (*selection.model, made), selection.model, ask)
                self._to.cost(selection.interventions, cost)
            path, facts = self._paths.get(selection.path_key), self._known.get(selection.model)
            if path is None or facts is None:
                return
            if len(path.tokens) > LOOK_AHEAD_TOKENS or facts.parameters > LOOK_AHEAD_PARAMETERS:
                return
            expected = [replace(selection, checkpoint=checkpoint) for checkpoint in self.expected_checkpoints]
            places = [within(place, await self._open(place.model)) for place in expected] or neighbours(selection, path, facts)
            for place in places:
                await self._view(place, ahead=True)
            for place in places:
                await self._path(place)
        except EngineDied:
            raise
        except EngineError:
            return  # Nobody has asked for it yet; the error is told when somebody does.


async def _together(*answers: Coroutine[Any, Any, None]) -> None:
    """Await all of these; if one is refused, the others are given up before its error is raised."""
    tasks = [asyncio.create_task(answer) for answer in answers]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def neighbours(selection: Selection, path: LensPath, facts: ModelFacts) -> list[Selection]:
    """The next step and the one before; then, unless something else than a step is shown, the same step in the heads, at the
    tokens and in the layers beside."""
    step, position = index_of(selection, path.steps), path.position
    places = [at_step(selection, path.steps[index]) for index in (step + 1, step - 1) if 0 <= index < len(path.steps)]
    if not selection.aside and not selection.trail:
        places += [in_head(selection, facts, by) for by in (1, -1)]
        beside_it = (index for index in (position - 1, position + 1) if 0 <= index < len(path.tokens))
        places += [at_position(selection, path, index) for index in beside_it]
        places += [in_layer(selection, path.steps, by) for by in (1, -1)]
    return [place for place in dict.fromkeys(places) if place != selection]
