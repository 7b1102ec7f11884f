"""Asks the engine for what Inspect is aimed at, and only for the newest aim: the screen sets one and never waits.

Nothing of Textual in here. Answers go to the callbacks that the screen gives.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from lab.engine.client import EngineDied, EngineError, Superseded
from lab.engine.method_table import (
    ATTRIBUTION,
    COMPARE,
    EFFECT,
    EVIDENCE,
    EXPLAIN,
    LENS,
    OPEN,
    SAMPLE,
    SAVE_TRACE,
    VIEW,
    EffectParams,
    EngineMethod,
    OpenParams,
    SampleParams,
    SaveTraceParams,
)
from lab.inspect.intervention_effect import Effect, effect_view
from lab.views.blocks import LensPath, ModelFacts, SavedTrace, Token, View
from lab.views.number_explanation import explanation_view
from screens.inspect.selection import Selection, alone, at_step, beside, extended, index_of, within

P = TypeVar("P")
R = TypeVar("R")

VIEWS_KEPT = 48
"""Views held so that a step back is drawn at once."""

PATIENCE = 0.2
"""Seconds that an answer is still waited for when something else is aimed at: a held key shows what it passes, and a long piece
of work is given up."""


class Engine(Protocol):
    """What the microscope needs of `lab.engine.client.EngineClient`."""

    starts: int

    @property
    def pid(self) -> int | None: ...

    async def call(self, method: EngineMethod[P, R], params: P, *, group: str | None = None) -> R: ...

    async def kill(self) -> None: ...

    async def close(self) -> None: ...


@dataclass
class Callbacks:
    """Where answers go. Each is called in the event loop of `Microscope.serve`."""

    facts: Callable[[ModelFacts], None]
    way: Callable[[Selection, LensPath], None]
    view: Callable[[Selection, View], None]
    trouble: Callable[[str, bool], None]
    """A sentence, and whether the engine died of it."""
    effect: Callable[[Selection, Effect], None] = lambda aim, effect: None
    """What the interventions do, where there are any."""
    second: Callable[[Selection, LensPath, View | None], None] = lambda aim, way, view: None
    """The second prompt's way, where there is one, and its view of the step unless something else is in view."""


class Microscope:
    """`look` says what to show next; `serve` runs for ever and answers the newest look."""

    def __init__(self, engine: Engine, callbacks: Callbacks) -> None:
        self.engine = engine
        self._to = callbacks
        self._aim: Selection | None = None
        self._wake = asyncio.Event()
        self.expected: tuple[str, ...] = ()
        """Checkpoints that may be aimed at next, all else being the same: fetched while nobody asks for anything."""
        self._known: dict[tuple[str, str], ModelFacts] = {}
        self._fresh: set[tuple[str, str]] = set()
        """Models whose weights on disk were looked at since the last `forget`."""
        self._facts_for: tuple[str, str] | None = None
        self._way_for: tuple[Any, ...] | None = None
        self._ways: OrderedDict[tuple[Any, ...], LensPath] = OrderedDict()
        self._views: OrderedDict[Selection, View] = OrderedDict()
        self._effects: OrderedDict[tuple[Any, ...], Effect] = OrderedDict()
        self._answering = False
        self._unanswered_since: float | None = None
        self._looks = 0
        self._shown = 0
        """Number of the look whose view was shown last: an older one that comes late is not shown any more."""

    @property
    def has_ended(self) -> bool:
        """Whether an engine was there and is not any more; the next look starts another."""
        return self.engine.starts > 0 and self.engine.pid is None

    @property
    def is_idle(self) -> bool:
        """Whether the newest look has been answered, or refused."""
        return not self._answering and not self._wake.is_set()

    def look(self, aim: Selection) -> View | None:
        """Aim at something else. The view at once if it is at hand; otherwise None, and it comes through the callbacks."""
        self._aim = aim
        self._looks += 1
        self._wake.set()
        view = self._views.get(aim) if aim.model in self._fresh else None
        if view is not None:
            self._shown = self._looks
            self._unanswered_since = None
        elif self._unanswered_since is None:
            self._unanswered_since = time.monotonic()
        return view

    @property
    def waited(self) -> float:
        """Seconds since the first look that neither a view nor a refusal has answered; 0 where nothing is waited for."""
        return 0.0 if self._unanswered_since is None else time.monotonic() - self._unanswered_since

    def forget(self) -> None:
        """Ask again for everything at the next look: the weights on disk may be newer than what is held."""
        self._facts_for = self._way_for = None
        self._fresh.clear()

    async def serve(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._answering = True
            aim = self._aim
            assert aim is not None
            try:
                await self._unless_newer(self._answer(aim), PATIENCE)
                await self._unless_newer(self._look_ahead(aim), 0)
            except Superseded:
                continue
            except EngineDied as died:
                self._unanswered_since = None
                self.forget()
                self._to.trouble(str(died), True)
            except EngineError as error:
                self._unanswered_since = None
                self._to.trouble(str(error), False)
            finally:
                self._answering = False

    async def _unless_newer(self, work: Coroutine[Any, Any, None], patience: float) -> None:
        """Do the work, but give it up where it is not done `patience` seconds after something newer is aimed at."""
        task, newer = asyncio.create_task(work), asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait({task, newer}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({task}, timeout=patience)
        finally:
            newer.cancel()
            task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            if (current := asyncio.current_task()) is not None and current.cancelling():
                raise

    async def sample(self, aim: Selection) -> Token:
        """The token drawn for the place after the prompt. Raises: EngineError."""
        params = extended(SampleParams, aim.prompt_params, sampling=aim.sampling)
        return await self.engine.call(SAMPLE, params, group="sample")

    async def save_trace(self, aim: Selection, path: str, kind: str) -> SavedTrace:
        """Has the engine write the trace that is aimed at. Raises: EngineError."""
        params = extended(SaveTraceParams, aim.prompt_params, path=path, kind=kind)
        return await self.engine.call(SAVE_TRACE, params, group="save")

    async def _answer(self, aim: Selection) -> None:
        facts = await self._open(aim.model, "open")
        if self._facts_for != aim.model:
            self._facts_for = aim.model
            self._to.facts(facts)
        aim = within(aim, facts)
        await asyncio.gather(self._answer_view(aim), self._answer_way(aim))
        await asyncio.gather(self._answer_effect(aim), self._answer_second(aim))

    async def _open(self, model: tuple[str, str], group: str) -> ModelFacts:
        """The model's facts; where its weights are others than before, what was held of it is dropped."""
        if model not in self._fresh:
            run, checkpoint = model
            facts = await self.engine.call(OPEN, OpenParams(run=run, checkpoint=checkpoint), group=group)
            if facts != self._known.get(model):
                for held in (self._ways, self._effects):
                    for way in [way for way in held if way[:2] == model]:
                        del held[way]
                for aim in [aim for aim in self._views if aim.model == model]:
                    del self._views[aim]
            self._known[model] = facts
            self._fresh.add(model)
        return self._known[model]

    async def _answer_view(self, aim: Selection) -> None:
        look = self._looks
        view = await self._view(aim, "view")
        if look > self._shown:
            self._shown = look
            self._unanswered_since = None
            self._to.view(aim, view)

    async def _answer_way(self, aim: Selection) -> None:
        if self._way_for == aim.way:
            return
        way = await self._way(aim, "way")
        self._way_for = aim.way
        self._to.way(aim, way)

    async def _way(self, aim: Selection, group: str) -> LensPath:
        way = self._ways.get(aim.way)
        if way is None:
            way = await self.engine.call(LENS, aim.lens_params, group=group)
        _keep(self._ways, aim.way, way)
        return way

    async def _answer_effect(self, aim: Selection) -> None:
        if aim.interventions:
            self._to.effect(aim, await self._effect(aim))

    async def _effect(self, aim: Selection) -> Effect:
        effect = self._effects.get(aim.way)
        if effect is None:
            effect = await self.engine.call(EFFECT, extended(EffectParams, aim.lens_params), group="effect")
        _keep(self._effects, aim.way, effect)
        return effect

    async def _answer_second(self, aim: Selection) -> None:
        if aim.second is None:
            return
        second = beside(aim, await self._way(aim, "way"), await self._way(alone(aim), "second"))
        way = await self._way(second, "second")
        view = None if aim.aside or aim.trail else await self._view(second, "second view")
        self._to.second(aim, way, view)

    async def _view(self, aim: Selection, group: str) -> View:
        view = self._views.get(aim)
        if view is None:
            view = await self._ask(aim, group)
        _keep(self._views, aim, view)
        return view

    async def _ask(self, aim: Selection, group: str) -> View:
        ask = self.engine.call
        if aim.trail:
            return explanation_view(await ask(EXPLAIN, aim.explain_params, group=group), aim.trail)
        match aim.aside:
            case "effect":
                return effect_view(await self._effect(aim), aim.interventions)
            case "attribution":
                return await ask(ATTRIBUTION, aim.attribution_params, group=group)
            case "evidence":
                return await ask(EVIDENCE, aim.evidence_params, group=group)
            case "compare":
                return await ask(COMPARE, aim.compare_params, group=group)
            case _:
                return await ask(VIEW, aim.view_params, group=group)

    async def _look_ahead(self, aim: Selection) -> None:
        """Fetch what the next key may lead to while nobody asks for anything, so that it is answered at once: the same place with
        the checkpoints that are expected, else the next step and the one before."""
        for checkpoint in self.expected:
            await self._look_ahead_to(replace(aim, checkpoint=checkpoint))
        if self.expected:
            return
        way = self._ways.get(aim.way)
        if way is None:
            return
        here = index_of(aim, way.steps)
        for index in (here + 1, here - 1):
            if self._wake.is_set() or not 0 <= index < len(way.steps):
                continue
            try:
                await self._view(at_step(aim, way.steps[index]), "ahead")
            except EngineDied:
                raise
            except EngineError:
                return  # Nobody is looking there yet; whoever goes there gets the sentence.

    async def _look_ahead_to(self, aim: Selection) -> None:
        if self._wake.is_set():
            return
        try:
            aim = within(aim, await self._open(aim.model, "open ahead"))
            await asyncio.gather(self._view(aim, "ahead"), self._way(aim, "way ahead"))
        except EngineDied:
            raise
        except EngineError:
            return  # Nobody is looking there yet; whoever goes there gets the sentence.


def _keep(cache: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    cache[key] = value
    cache.move_to_end(key)
    while len(cache) > VIEWS_KEPT:
        cache.popitem(last=False)
