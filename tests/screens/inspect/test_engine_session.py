"""Only the newest question counts, and what is at hand is not asked again."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from lab.views.blocks import LensPath, ModelFacts, StageEntry, View
from screens.inspect.engine_session import Callbacks, EngineSession
from screens.inspect.selection import Prompt, Selection, at_position, at_step, in_layer, index_of, with_token
from tests.screens.inspect.conftest import way_through

SELECTED = Selection("tale", prompt=Prompt("The big dog ran"), stage="scores")
AFAR = replace(SELECTED, layer=1, head=1)
"""No neighbour of it: nobody has fetched it ahead."""
STAGES = [step.stage for step in way_through()]
BEFORE, AFTER, LATER = (STAGES[STAGES.index("scores") + by] for by in (-1, 1, 2))
BEFORE_LAST = 2
"""Position of the third of the prompt's four tokens."""


class Record:
    """Answers of the session, as the screen gets them."""

    def __init__(self, engine: Any) -> None:
        self.facts: list[ModelFacts] = []
        self.paths: list[Selection] = []
        self.views: list[Selection] = []
        self.sentences: list[tuple[str, bool]] = []
        to = Callbacks(
            self.facts.append,
            lambda selection, path: self.paths.append(selection),
            lambda selection, view: self.views.append(selection),
            lambda sentence, died: self.sentences.append((sentence, died)),
        )
        self.is_left = False
        self.session = EngineSession(engine, to, lambda: self.is_left)

    async def select(self, selection: Selection) -> View | None:
        """Select, and wait for what comes of it; what was at hand."""
        view = self.session.select(selection)
        await self.settle()
        return view

    async def settle(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)


@pytest.fixture
async def record(engine: Any) -> Any:
    record = Record(engine)
    serving = asyncio.create_task(record.session.serve())
    yield record
    serving.cancel()


async def test_an_answer_that_comes_while_the_screen_is_being_removed_is_dropped(record: Record, engine: Any) -> None:
    """Its parts are gone by then, and the lab would end with a fault instead of leaving."""
    engine.opens = asyncio.Event()
    record.session.select(SELECTED)
    await record.settle()
    record.is_left = True
    engine.opens.set()
    await record.settle()
    assert [record.facts, record.paths, record.views, record.sentences] == [[], [], [], []]
    record.is_left = False
    await record.select(SELECTED)
    assert record.views == [SELECTED]


async def test_a_selection_brings_facts_path_and_view_and_fetches_the_neighbours_which_are_there_at_once(
    record: Record, engine: Any
) -> None:
    assert await record.select(SELECTED) is None
    assert [facts.layers for facts in record.facts] == [2]
    assert (record.paths, record.views) == ([SELECTED], [SELECTED])
    assert record.session.is_idle
    view = record.session.select(replace(SELECTED, stage="matrix"))
    assert view is not None
    assert view.stage == "matrix"
    neighbours: tuple[dict[str, Any], ...] = ({"head": 1}, {"head": 3}, {"layer": 1}, {"position": BEFORE_LAST})
    assert all(record.session.select(replace(SELECTED, **to)) is not None for to in neighbours)
    before = len(record.paths)
    await record.settle()
    assert len(record.paths) == before + 1


async def test_a_late_answer_does_not_replace_a_newer_one(record: Record, engine: Any) -> None:
    await record.select(SELECTED)
    engine.gate = asyncio.Event()
    assert await record.select(AFAR) is None
    assert record.session.select(SELECTED) is not None
    engine.gate.set()
    await record.settle()
    assert record.views == [SELECTED]


async def test_a_selection_made_while_the_model_opens_is_the_one_shown_in_the_end(record: Record, engine: Any) -> None:
    engine.opens = asyncio.Event()
    await record.select(SELECTED)
    record.session.select(replace(SELECTED, head=1))
    engine.opens.set()
    await record.settle()
    assert record.views[-1].head == 1


async def test_an_answer_with_other_weights_than_those_opened_has_them_opened_again(record: Record, engine: Any) -> None:
    """A trainer has replaced the file, and the engine has read it again for another request."""
    engine.tells_steps = True
    await record.select(SELECTED)
    engine.step = 3000
    assert await record.select(AFAR) is None
    assert [facts.step for facts in record.facts] == [2000, 3000]
    assert record.views == [SELECTED, AFAR], "what was computed with other weights than those told is not shown"
    assert not record.sentences


async def test_a_view_that_came_before_the_newer_path_is_shown_anew(
    record: Record, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file was replaced between the two answers: the view is of the opened weights, the path of the newer ones."""
    engine.tells_steps = True
    call = engine.call
    steps: list[int | None] = []

    async def slowly(method: Any, params: Any, **options: Any) -> Any:
        if method.name == "lens":
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            engine.step = 3000
        return await call(method, params, **options)

    monkeypatch.setattr(engine, "call", slowly)
    monkeypatch.setattr(record.session._to, "view", lambda selection, shown: steps.append(shown.step))
    await record.select(SELECTED)
    assert [facts.step for facts in record.facts] == [2000, 3000]
    assert steps[-1] == 3000


async def test_a_layer_that_the_model_has_not_is_not_asked_for(record: Record, engine: Any) -> None:
    await record.select(replace(SELECTED, layer=11, head=11))
    assert (engine.asked("view")[0]["layer"], engine.asked("view")[0]["head"]) == (1, 3)


@pytest.mark.parametrize(("name", "value", "asked"), [("TOKENS", 4, 7), ("TOKENS", 3, 1), ("PARAMETERS", 99_999, 1)])
async def test_nothing_is_fetched_ahead_for_a_long_prompt_or_a_large_model(
    name: str, value: int, asked: int, record: Record, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prompt has four tokens and the model 100,000 parameters."""
    monkeypatch.setattr(f"screens.inspect.engine_session.LOOK_AHEAD_{name}", value)
    await record.select(SELECTED)
    assert len(engine.asked("view")) == asked


def test_every_step_of_every_layer_is_found_again(steps: list[StageEntry]) -> None:
    path = steps
    selection = at_step(SELECTED, path[0])
    for index in range(len(path)):
        selection = at_step(selection, path[index])
        assert index_of(selection, path) == index
    assert len(path) == 2 + 2 * 13 + 3


def test_a_layer_key_keeps_the_stage_and_enters_the_layers_from_outside(steps: list[StageEntry]) -> None:
    path = steps
    assert in_layer(SELECTED, path, 1) == replace(SELECTED, layer=1)
    assert in_layer(replace(SELECTED, layer=1), path, 1).layer == 1
    assert in_layer(replace(SELECTED, stage="embed"), path, 1).stage == "ln1"
    last = in_layer(replace(SELECTED, stage="logits"), path, -1)
    assert (last.stage, last.layer) == ("resid_post", 1)


def test_the_last_position_stays_the_last_when_the_prompt_grows(engine: Any) -> None:
    path: LensPath = engine.lens("The big dog ran", None, None)
    assert at_position(SELECTED, path, 1).position == 1
    assert at_position(SELECTED, path, 3).position is None
    assert at_position(SELECTED, path, -1).position == 0
    grown = with_token(with_token(SELECTED.prompt, path, 3049), path, 13)
    assert grown == Prompt("The big dog ran", (464, 1263, 3290, 4966, 3049, 13), 0, 2)
