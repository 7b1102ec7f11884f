"""Parts of Inspect without a screen: what each does to the selection, given a model's state and an engine session."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from lab.inspect.interventions import Intervention
from lab.views.blocks import LensPath, ModelFacts, StageEntry, Token
from screens.blocks.block_view import BlockView
from screens.inspect.inspect_part import InspectPart, Loading, ModelState, Opened, Ready, Starting, bind_actions
from screens.inspect.intervention_keys import InterventionKeys
from screens.inspect.navigation import Navigation
from screens.inspect.selection import Prompt, Selection
from screens.inspect.token_sampling import TokenSampling
from screens.inspect.widgets.inspect_columns import InspectColumns
from screens.widgets.forward_pass_list import ForwardPassList
from screens.widgets.token_strip import TokenStrip

SELECTED = Selection("tale", prompt=Prompt("The big dog ran"), stage="scores")
HEAD = Intervention(part="attn.z", how="off", layer=0, head=0)


class Session:
    """An engine session that draws a token once its gate is open."""

    def __init__(self) -> None:
        self.asked: list[Selection] = []
        self.gate = asyncio.Event()

    async def sample(self, selection: Selection) -> Token:
        self.asked.append(selection)
        await self.gate.wait()
        return Token(3049, " fast", 0.4)


class Host:
    """The screen, as far as a part sees it."""

    def __init__(self, model: ModelState) -> None:
        self.model = model
        self.selection = SELECTED
        self.session = Session()
        self.view = BlockView()
        self.is_on_numbers = False
        self.said: list[str] = []
        self.work: list[Coroutine[Any, Any, None]] = []

    def say(self, words: str, *, error: bool = False) -> None:
        self.said.append(words)

    def say_location(self) -> None: ...

    def start(self, work: Coroutine[Any, Any, None], group: str) -> None:
        self.work.append(work)

    def refresh_bindings(self) -> None: ...


@pytest.fixture
def path(engine: Any) -> LensPath:
    found: LensPath = engine.lens("The big dog ran", None, None)
    return found


@pytest.fixture
def facts(engine: Any) -> ModelFacts:
    found: ModelFacts = engine.open("tale", "best")
    return found


@pytest.fixture
def host(path: LensPath, facts: ModelFacts) -> Any:
    return Host(Ready(facts, SELECTED, path))


@pytest.fixture
def navigation(host: Any, steps: list[StageEntry]) -> Navigation:
    found = ForwardPassList()
    found.set_reactive(ForwardPassList.steps, tuple(steps))
    return Navigation(host, found, BlockView())


def test_navigation_stays_within_the_model(host: Any, navigation: Navigation) -> None:
    navigation.action_head(-1)
    assert host.selection.head == 3
    navigation.action_layer(5)
    assert host.selection.layer == 1
    navigation.action_position(-9)
    assert host.selection.position == 0
    navigation.action_position(9)
    assert host.selection.position is None
    navigation.action_step_end(-1)
    navigation.action_step(1)
    assert host.selection.stage == "sample"


def test_heads_and_positions_wait_for_the_model(host: Any, navigation: Navigation, facts: ModelFacts) -> None:
    host.model = Loading()
    navigation.action_head(1)
    navigation.action_position(-1)
    assert host.selection == SELECTED
    host.model = Opened(facts)
    navigation.action_head(1)
    assert host.selection == replace(SELECTED, head=1)


def test_the_checkpoint_key_goes_from_best_to_last_and_back(host: Any, navigation: Navigation) -> None:
    for checkpoint in ("last", "best"):
        navigation.action_checkpoint()
        assert host.selection.checkpoint == checkpoint


async def test_a_token_is_dropped_when_the_prompt_has_changed_meanwhile_or_its_path_has_not_come(host: Any) -> None:
    sampling = TokenSampling(host)
    sampling.action_sample()
    drawing = asyncio.ensure_future(host.work.pop())
    while not host.session.asked:
        await asyncio.sleep(0)
    host.selection = moved = replace(SELECTED, position=1)
    host.session.gate.set()
    await drawing
    assert host.selection == moved
    host.selection = other = replace(SELECTED, prompt=Prompt("Another"))
    sampling.action_sample()
    await host.work.pop()
    assert host.selection == other
    assert len(host.session.asked) == 1


def test_a_window_that_slides_undoes_what_names_a_position(host: Any, path: LensPath) -> None:
    interventions = InterventionKeys(host, InspectColumns(), TokenStrip(), lambda: None)
    hidden = Intervention(part="tokens", how="hide", position=1)
    host.selection = replace(SELECTED, interventions=(HEAD, hidden))
    interventions.take_path(SELECTED, path)
    assert host.selection.interventions == (HEAD, hidden)
    path.dropped = 1
    interventions.take_path(SELECTED, path)
    assert host.selection.interventions == (HEAD,)


def test_actions_of_parts_wait_until_something_is_selected(host: Any) -> None:
    class Part(InspectPart):
        def action_greet(self, name: str) -> None:
            self._host.say(f"Hello {name}.")

    part = Part(host)
    assert bind_actions(host, [part]) == {"greet": part}
    greet: Callable[[str], None] = host.action_greet
    host.model = Starting()
    greet("you")
    assert host.said == []
    host.model = Loading()
    greet("you")
    assert host.said == ["Hello you."]
