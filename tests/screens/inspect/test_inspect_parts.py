"""Parts of Inspect without a screen: what each does to the selection, given a model's state and an engine session."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from lab.engine.client import EngineError
from lab.inspect.interventions import Intervention
from lab.views.blocks import LensPath, ModelFacts, StageEntry, Token
from screens.blocks.block_view import BlockView
from screens.inspect.explanations import Explanations
from screens.inspect.inspect_part import InspectPart, Loading, ModelState, Opened, Ready, Starting, bind_actions
from screens.inspect.intervention_keys import NOTHING_HERE, NOTHING_ON, InterventionKeys
from screens.inspect.navigation import Navigation
from screens.inspect.selection import Prompt, Selection
from screens.inspect.token_sampling import TokenSampling
from screens.inspect.widgets.inspect_columns import InspectColumns
from screens.widgets.forward_pass_list import ForwardPassList
from screens.widgets.token_strip import TokenStrip

SELECTED = Selection("tale", prompt=Prompt("The big dog ran"), stage="scores")
HEAD = Intervention(part="attn.z", how="off", layer=0, head=0)


class Session:
    """An engine session that draws one token, or refuses."""

    def __init__(self) -> None:
        self.asked: list[Selection] = []
        self.refusal = ""
        self.gate = asyncio.Event()
        self.gate.set()

    async def sample(self, selection: Selection) -> Token:
        self.asked.append(selection)
        await self.gate.wait()
        if self.refusal:
            raise EngineError(self.refusal)
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

    def fail(self, sentence: str, died: bool) -> None:
        self.said.append(sentence)

    def start(self, work: Coroutine[Any, Any, None], group: str) -> None:
        self.work.append(work)

    def focus_steps(self) -> None: ...

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


def test_all_heads_lead_to_the_pattern_of_the_chosen_one(host: Any, navigation: Navigation) -> None:
    navigation.action_all_heads()
    assert host.selection.stage == "thumbnails"
    navigation.action_head(2)
    navigation.action_all_heads()
    assert (host.selection.stage, host.selection.head) == ("matrix", 2)


def test_the_checkpoint_key_goes_from_best_to_last_and_back(host: Any, navigation: Navigation) -> None:
    for checkpoint in ("last", "best"):
        navigation.action_checkpoint()
        assert host.selection.checkpoint == checkpoint


async def test_a_sampled_token_is_appended_and_undone(host: Any) -> None:
    sampling = TokenSampling(host)
    assert not sampling.is_enabled("undo")
    sampling.action_sample(2)
    await host.work.pop()
    assert host.session.asked[0].sampling.seed == 2
    assert host.selection.prompt.ids == (464, 1263, 3290, 4966, 3049)
    assert host.selection.sampling.seed == 2
    assert sampling.is_enabled("undo")
    sampling.action_undo()
    assert host.selection.prompt == SELECTED.prompt
    assert not sampling.is_enabled("undo")


async def test_a_token_is_dropped_when_the_prompt_has_changed_meanwhile_or_its_path_has_not_come(host: Any) -> None:
    sampling = TokenSampling(host)
    host.session.gate.clear()
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


async def test_a_refused_token_is_told_of(host: Any) -> None:
    host.session.refusal = "The logits are not numbers."
    sampling = TokenSampling(host)
    sampling.action_sample()
    await host.work.pop()
    assert host.said == ["The logits are not numbers."]
    assert host.selection == SELECTED


def test_a_refused_prompt_is_not_undone_to(host: Any) -> None:
    sampling = TokenSampling(host)
    sampling.change_prompt(Prompt(""))
    sampling.prompt_refused(SELECTED.prompt)
    assert not sampling.is_enabled("undo")


@pytest.fixture
def interventions(host: Any) -> InterventionKeys:
    return InterventionKeys(host, InspectColumns(), TokenStrip())


def test_x_ablates_and_restores(host: Any, interventions: InterventionKeys) -> None:
    assert interventions.hint == "x ablates head 1.1"
    interventions.action_switch()
    assert host.selection.interventions == (HEAD,)
    assert interventions.hint == "x restores head 1.1 · b effect"
    interventions.action_effect()
    assert host.selection.aside == "effect"
    interventions.action_switch()
    assert host.selection.interventions == ()


def test_interventions_say_where_they_are_not_possible(host: Any, interventions: InterventionKeys) -> None:
    interventions.action_effect()
    host.selection = replace(SELECTED, stage="sample")
    interventions.action_switch()
    assert host.said == [NOTHING_ON, NOTHING_HERE]
    assert not interventions.is_enabled("all_on")
    assert not interventions.is_enabled("patch")


def test_a_window_that_slides_undoes_what_names_a_position(host: Any, interventions: InterventionKeys, path: LensPath) -> None:
    hidden = Intervention(part="tokens", how="hide", position=1)
    host.selection = replace(SELECTED, interventions=(HEAD, hidden))
    interventions.take_path(SELECTED, path)
    assert host.selection.interventions == (HEAD, hidden)
    path.dropped = 1
    interventions.take_path(SELECTED, path)
    assert host.selection.interventions == (HEAD,)


def test_explanations_are_left_one_level_at_a_time(host: Any) -> None:
    explanations = Explanations(host)
    host.selection = replace(SELECTED, aside="attribution", trail=("logits[3,7]", "b[1]"))
    assert explanations.is_enabled("climb")
    assert not explanations.is_enabled("order")
    explanations.action_climb()
    assert host.selection.trail == ("logits[3,7]",)
    assert explanations.leave_one_level()
    assert (host.selection.trail, host.selection.aside) == ((), "attribution")
    assert explanations.is_enabled("order")
    assert explanations.leave_one_level()
    assert host.selection.aside == ""
    assert not explanations.leave_one_level()


def test_versus_takes_the_next_most_probable_token_then_none(host: Any) -> None:
    explanations = Explanations(host)
    for against in (13, None):
        explanations.action_against()
        assert host.selection.against == against


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
