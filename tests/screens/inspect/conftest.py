"""Inspect over an engine made of hand-written answers: no torch, no process, the same picture every time."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import asdict
from textual.pilot import Pilot

from lab.engine.client import EngineDied, EngineError
from lab.engine.method_registry import EngineMethod
from lab.experiments.experiment_result import ExperimentResult
from lab.inspect.intervention_effect import Change, Cost, Effect
from lab.inspect.interventions import Interventions, describe_interventions
from lab.inspect.stages.attention_scores_stage import WIDE
from lab.inspect.stages.stage_registry import IN_LAYERS, stage_entries
from lab.views.blocks import (
    Array,
    Block,
    Cell,
    Column,
    Destination,
    Gallery,
    GuessChoice,
    GuessQuestion,
    HeadAttention,
    LensPath,
    Matrix,
    MatrixPanels,
    ModelFacts,
    Paragraph,
    Parity,
    Prediction,
    StageEntry,
    Strip,
    Table,
    Thumbnail,
    Token,
    View,
)
from lab.views.softmax_table import softmax_table
from models.config import SamplingSettings
from screens.action_index import bindings_of
from screens.app import LabApp
from screens.blocks.block_view import BlockView
from screens.inspect.inspect_screen import InspectScreen
from screens.widgets.status_line import StatusLine
from screens.widgets.token_strip import TokenStrip
from tests.screens.fake_wire import received_params, received_result
from tests.screens.mode_app import ModeApp
from tests.screens.pilot_waits import handled, keys_to, poll, rows_of, settle, type_key, wait_until

LAYERS, HEADS, WIDTH, CONTEXT = 2, 4, 32, 8
WORDS = {464: "The", 1263: " big", 3290: " dog", 4966: " ran", 3049: " fast", 13: ".", 220: "␊", 50000: "\\xe2"}
IDS = {word: id for id, word in WORDS.items()}

SHOWN = {
    *("tokens", "embed", "ln1", "qkv", "matrix", "scores", "heads", "thumbnails", "values", "attn_out", "resid_mid"),
    *("ln2", "mlp", "neurons", "resid_post", "ln_final", "logits", "sample"),
}
"""Stages of the fake model: what these tests see changes only with the screen."""


def size_of(name: str) -> tuple[int, int]:
    """The size of the terminal at the end of a picture's name."""
    width, _, height = name.rpartition("-")[2].partition("x")
    return int(width), int(height)


def way_through() -> list[StageEntry]:
    """The steps of the fake model."""
    return [step for step in stage_entries(LAYERS) if step.stage in SHOWN]


def to_stage(stage: str, start: str = "tokens") -> list[str]:
    """Keys that lead from one stage to another; within the layers, in the first."""
    return keys_to(stage, [step.stage for step in way_through()], start)


def ids_of(text: str) -> list[int]:
    """Ids of a text made of the known words; every other character is a token whose id is its code point."""
    ids: list[int] = []
    while text:
        word = next((word for word in sorted(IDS, key=len, reverse=True) if text.startswith(word)), text[0])
        ids.append(IDS.get(word, ord(word[0])))
        text = text[len(word) :]
    return ids


def label_of(id: int) -> str:
    return WORDS.get(id) or chr(id)


class FakeEngine:
    """Answers as the real one does, in shapes and words. `calls` lists what was asked; a `gate` that is set holds views back."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.gate: asyncio.Event | None = None
        self.partial: list[str] = []
        """Sentences of views of every patch on their way, the last one first."""
        self.dies = False
        self.opens: asyncio.Event | None = None
        """Holds the opening of a model back."""
        self.is_halted = False
        """With a `gate`: what waits there is answered by nothing but the engine's end."""
        self.refuses: dict[str, str] = {}
        """Method: the sentence with which it refuses."""
        self.step = 2000
        self.steps: dict[str, int] = {}
        """Step of each checkpoint that has another."""
        self.note = ""
        """Why these are other weights than were asked for."""
        self.tells_steps = False
        """True to say with each answer of which step's weights it is."""
        self.origin = self.val_on = ""
        self.worth_a_look: dict[int, tuple[int, int]] = {}
        """Layer and head that the view of all heads recommends, by position."""
        self.starts = 1
        self.pid: int | None = 1

    async def call(self, method: EngineMethod[Any, Any], params: Any) -> Any:
        name, given = method.name, asdict(received_params(method, params))
        self.calls.append((name, given))
        self.pid = 1
        if self.dies:
            self.dies = False
            raise EngineDied("The engine was killed by SIGKILL.")
        if name in self.refuses:
            raise EngineError(self.refuses[name])
        if name == "open" and self.opens is not None:
            await self.opens.wait()
        if name == "view" and self.gate is not None:
            await self.gate.wait()
            if self.is_halted:
                self.gate, self.is_halted = None, False
                raise EngineDied("The engine was killed by SIGKILL.")
        answer = getattr(self, name)(**given)
        if self.tells_steps and name in ("lens", "view"):
            answer.step = self.step_of(given["checkpoint"])
        return received_result(method, answer)

    def step_of(self, checkpoint: str) -> int:
        return self.steps.get(checkpoint, self.step)

    async def kill(self) -> None:
        self.pid = None
        self.calls.append(("kill", {}))
        if self.gate is not None:
            self.gate.set()

    async def close(self) -> None:
        self.calls.append(("close", {}))

    def asked(self, method: str) -> list[dict[str, Any]]:
        return [params for name, params in self.calls if name == method]

    def open(self, run: str, checkpoint: str) -> ModelFacts:
        if checkpoint == "last" and "last" not in self.steps:
            raise EngineError(f"{run} has no last checkpoint; its best one can be opened.")
        return ModelFacts(
            run=run,
            checkpoint=checkpoint,
            step=self.step_of(checkpoint),
            layers=LAYERS,
            heads=HEADS,
            width=WIDTH,
            context=CONTEXT,
            vocab_size=50257,
            parameters=100_000,
            tokenizer="bpe",
            origin=self.origin,
            val_loss=1.234,
            val_on=self.val_on,
            note=self.note,
        )

    def _window(self, text: str, ids: tuple[int, ...] | None) -> tuple[list[int], int]:
        everything = list(ids) if ids is not None else ids_of(text)
        if not everything:
            raise EngineError("The prompt is empty: type some text for the model to go on with.")
        return everything[-CONTEXT:], max(0, len(everything) - CONTEXT)

    def lens(self, text: str, ids: tuple[int, ...] | None, position: int | None, **_: Any) -> LensPath:
        window, dropped = self._window(text, ids)
        at = len(window) - 1 if position is None else min(position, len(window) - 1)
        walked: list[StageEntry] = []
        for step in way_through():
            if step.stage in ("embed", "resid_mid", "resid_post", "ln_final"):
                depth = 1.0 if step.layer is None else (step.layer + 1) / LAYERS
                sure = step.layer == LAYERS - 1 or step.stage == "ln_final"
                guess = Prediction(3049, " fast", 0.4 * depth) if sure else Prediction(4966, " ran", 0.3 * depth)
                step.lens, step.rank = guess, 1 if sure else 7
                step.stream = 1.0 + (step.layer or 0) * 8.0 + (3.0 if step.stage == "resid_post" else 0.0)
                step.added = None if step.stage == "ln_final" else step.stream * 0.8
            walked.append(step)
        tokens = [Token(id, label_of(id), None if index == 0 else 0.1) for index, id in enumerate(window)]
        top = (
            [Prediction(3049, " fast", 0.412), Prediction(13, ".", 0.2)]
            if at == len(window) - 1
            else [Prediction(1263, " big", 0.6)]
        )
        return LensPath(tokens, walked, at, dropped, top)

    def view(
        self,
        text: str,
        ids: tuple[int, ...] | None,
        stage: str,
        layer: int,
        head: int,
        position: int | None,
        width_hint: int | None = None,
        **_: Any,
    ) -> View:
        window, _dropped = self._window(text, ids)
        at = len(window) - 1 if position is None else min(position, len(window) - 1)
        labels = [label_of(id) for id in window]
        place = f"layer {layer + 1} · {stage} · head {head + 1}" if stage in IN_LAYERS else stage
        blocks = self._blocks(stage, layer, head, at, labels)
        if stage == "matrix" and (width_hint or 0) >= WIDE:
            blocks.append(self._row_as_bars(layer, head, at, labels))
        sentence = f"Seen from{labels[at]} at position {at + 1}."
        view = View(stage, place, sentence, blocks, Parity(stage, 2.4e-7, 1024), self._attention(layer, head, at, len(labels)))
        if stage == "thumbnails" and (look := self.worth_a_look.get(at)) is not None:
            view.worth_a_look = Destination(stage, look[0], None, look[1])
        return view

    def _attention(self, layer: int, head: int, at: int, size: int) -> HeadAttention:
        raw = np.exp([[math.sin(1.7 * j + head + layer) * 1.2 for j in range(size)] for _ in range(size)])
        raw[np.triu_indices(size, 1)] = np.nan
        pattern = raw / np.nansum(raw, axis=1, keepdims=True)
        return HeadAttention(layer, head, at, Array.of(pattern[at]), Array.of(pattern[:, at]))

    def _blocks(self, stage: str, layer: int, head: int, at: int, labels: list[str]) -> list[Block]:
        name = f"blocks.{layer}.attn"
        scores = np.array([math.sin(1.7 * i + head + layer) * 1.2 for i in range(at + 1)])
        if stage == "scores":
            rest = tuple(labels[at + 1 :])

            def ref(column: str, row: int | None) -> str:
                return f"{name}.{column}[{head},{at},{row}]"

            table = softmax_table(labels[: at + 1], scores, raw=scores * 4, subtract_max=True, percent=True, masked=rest, ref=ref)
            return [table, Paragraph(f"{labels[at]} looks back at {at + 1} tokens.")]
        if stage == "matrix":
            raw = np.array([[math.sin(1.7 * j + i) for j in range(len(labels))] for i in range(len(labels))])
            masked = np.where(np.triu(np.ones_like(raw), 1) > 0, np.nan, raw)
            pattern = np.exp(masked) / np.nansum(np.exp(masked), axis=1, keepdims=True)
            numbered = [f"{index + 1} {label}" for index, label in enumerate(labels)]
            matrices = [
                Matrix("q·k", numbered, labels, Array.of(raw * 4), "", f"{name}.scores_raw[{head}]", (at, 0)),
                Matrix("÷√d + mask", numbered, labels, Array.of(masked), "", f"{name}.attn_scores[{head}]", (at, 0)),
                Matrix("softmax", numbered, labels, Array.of(pattern), "", f"{name}.pattern[{head}]", (at, 0), "sequential", 1.0),
            ]
            return [MatrixPanels(matrices, largest=2)]
        if stage == "thumbnails":
            return [self._gallery(layer, head, len(labels))]
        if stage in ("embed", "qkv"):
            wave = np.array([math.sin(0.37 * i * (i + 1)) for i in range(WIDTH)])
            return [
                Strip("token embedding", Array.of(wave), "embed[3]"),
                Strip("position", Array.of(wave[::-1] * 0.2), "pos_embed[3]"),
            ]
        return [Paragraph(f"What happens in {stage}.")]

    def _row_as_bars(self, layer: int, head: int, at: int, labels: list[str]) -> Table:
        row = np.exp([math.sin(1.7 * j + at) for j in range(at + 1)])
        row /= row.sum()
        rows = [
            [Cell(f"{key + 1} {labels[key]}"), Cell(f"{p:.1%}", p, f"blocks.{layer}.attn.pattern[{head},{at},{key}]", p)]
            for key, p in sorted(enumerate(row.tolist()), key=lambda each: -each[1])
        ]
        return Table([Column("", align="left"), Column("")], rows, title=f"{labels[at]}: full bar 100%")

    def _gallery(self, layer: int, head: int, size: int) -> Gallery:
        raw = np.array([[[math.sin(1.7 * j + i + n) for j in range(size)] for i in range(size)] for n in range(LAYERS * HEADS)])
        pattern = np.where(np.triu(np.ones((size, size)), 1) > 0, np.nan, np.abs(raw))
        places = [(i, h) for i in range(LAYERS) for h in range(HEADS)]
        thumbnails = [
            Thumbnail(
                f"{i + 1}.{h + 1}",
                Array.of(pattern[n]),
                "sink 80%" if h == 1 else "",
                f"Head {i + 1}.{h + 1} does this.",
                1.0 + n,
                f"blocks.{i}.attn.entropy[{h},{size - 1}]",
                Destination("matrix", i, None, h),
            )
            for n, (i, h) in enumerate(places)
        ]
        return Gallery("every head's pattern", "every query and key", thumbnails, HEADS, layer * HEADS + head)

    def effect(self, position: int | None, interventions: Interventions, **_: Any) -> Effect:
        changes = [
            Change(3049, " fast", 0.412, 0.12, 1, 3),
            Change(13, ".", 0.2, 0.3, 2, 1),
            Change(1263, " big", 0.05, 0.25, 4, 2),
            Change(220, "␊", 0.03, 0.0004, 5, 40),
        ]
        words = describe_interventions(interventions)
        return Effect(words, "“ ran”", 3 if position is None else position, 50257, 0.734, changes, 0.308, 0.3296)

    def cost(self, interventions: Interventions, **_: Any) -> Cost:
        return Cost("validation text", 0.5, 0.5 + abs(interventions[0].factor), 0.01, 1.5, 2.5, self.step)

    def compare(self, second_text: str, layer: int, head: int, **_: Any) -> View:
        rows = [[Cell("embed + position"), Cell(" big"), Cell(" big"), Cell("=")]]
        columns = [Column("after", align="left"), Column("prompt 1 says"), Column("prompt 2 says"), Column("")]
        table = Table(columns, rows, title="if the model stopped there")
        return View("compare", f"prompt 1 | prompt 2 · head {layer + 1}.{head + 1}", f"Beside it: {second_text}", [table])

    def patches(self, second_text: str, candidate: int | None, **_: Any) -> View:
        title = "every patch from prompt 2 into prompt 1"
        if self.partial:
            return View("patches", title, self.partial.pop(), [], is_partial=True)
        return View("patches", title, f"From {second_text}, for {candidate}", [])

    def experiment(self, name: str, inputs: dict[str, str], **_: Any) -> ExperimentResult:
        return ExperimentResult(View(name, "a head built by hand", f"Built: {inputs['head']}.", []), {})

    def guess(self, text: str, ids: tuple[int, ...] | None, position: int | None, **place: Any) -> GuessQuestion:
        window, _dropped = self._window(text, ids)
        at = len(window) - 1 if position is None else min(position, len(window) - 1)
        labels, about = [label_of(id) for id in window[: at + 1]], place["about"]
        named = f"head {place['layer'] + 1}.{place['head'] + 1} from" if about == "attention" else "the next token after"
        choices = tuple(
            GuessChoice(label, share, f"{share:.1%}") for label, share in ((" up", 0.1), (" fast", 0.6), (" in", 0.2))
        )
        return GuessQuestion(
            about,
            f"Which is {named} {labels[at]} ({at + 1})?",
            choices=choices,
            right=(1,),
            tokens=tuple(labels),
            asks_next=about == "next token",
            answer="It is “ fast” with 60.0%.",
            why="That is why.",
            others=GuessChoice("all others", 0.1, "10.0%"),
            position=at,
            run=place["run"],
            identity=f"{named} {window[: at + 1]}",
        )

    def sample(self, text: str, ids: tuple[int, ...] | None, sampling: SamplingSettings, **_: Any) -> Token:
        drawn_with = 0.412 if sampling == SamplingSettings(seed=sampling.seed) else 1.0 if sampling.greedy else 0.58
        return Token(3049, " fast", 0.412, drawn_with)


@pytest.fixture
def steps() -> list[StageEntry]:
    return way_through()


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


class InspectPilot(Pilot[None]):
    """A pilot of Inspect, with what it shows."""

    @property
    def screen(self) -> InspectScreen:
        screen = self.app.screen
        assert isinstance(screen, InspectScreen), screen
        return screen

    @property
    def view(self) -> BlockView:
        return self.screen.view

    @property
    def title(self) -> str:
        """Title of the view."""
        assert self.view.view is not None
        return self.view.view.title

    @property
    def strip(self) -> TokenStrip:
        return self.screen.query_one("#prompt-tokens", TokenStrip)

    @property
    def labels(self) -> list[str]:
        return [token.label for token in self.strip.tokens]

    @property
    def status(self) -> str:
        return self.screen.query_one("#inspect-status", StatusLine).left

    @property
    def facts(self) -> str:
        line = self.screen.query_one("#prompt-facts", StatusLine)
        return f"{line.left} {'  '.join(line.right)}"

    @property
    def text(self) -> str:
        """Everything on screen."""
        return "\n".join(rows_of(self))

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until this holds."""
        await wait_until(self, condition)

    @property
    def is_settled(self) -> bool:
        """True once the selection is shown: the engine has answered, and the answer is drawn."""
        screen = self.app.screen
        lists_stops = any(worker.group == "stops" for worker in self.app.workers)
        return not isinstance(screen, InspectScreen) or (screen.is_settled and not lists_stops)

    async def settle(self) -> None:
        """Wait until it is."""
        await self.until(lambda: self.is_settled)

    async def press(self, *keys: str) -> None:
        """Press the keys; the id of an action, such as `inspect.scale`, stands for choosing it in the palette."""
        for key in keys:
            await self._press_one(key)
        await settle(self)

    async def _press_one(self, key: str) -> None:
        if key.startswith("inspect."):
            await self.app.run_action(bindings_of(InspectScreen)[key][0].action, self.app.screen)
            await handled(self)
        else:
            await type_key(self, key)

    async def go(self, *keys: str) -> None:
        """Press the keys, each once what the one before leads to is there, and wait until the last one's is shown.

        Only that is drawn.
        """
        with self.app.batch_update():
            for key in keys[:-1]:
                await self._press_one(key)
                await poll(self, lambda: self.is_settled, pause=0.002)
        await self.press(*keys[-1:])
        if not self.is_settled:
            await self.settle()


Open = Callable[..., AbstractAsyncContextManager[InspectPilot]]
"""Opens Inspect."""


@pytest.fixture
def app(engine: FakeEngine, make_run: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> LabApp:
    """The lab with Inspect in front, over the fake engine and a run of files alone."""
    make_run("tale")
    monkeypatch.setattr("lab.data.default_prompts.first_prompt", lambda run: "The big dog ran")

    class InspectApp(ModeApp):
        MODES = {**LabApp.MODES, "inspect": lambda: InspectScreen(engine)}
        FIRST_MODE = "inspect"

    return InspectApp(run="tale", preload=False)


@pytest.fixture
def inspect(app: LabApp, monkeypatch: pytest.MonkeyPatch) -> Open:
    @asynccontextmanager
    async def open_it(
        prompt: str = "The big dog ran", size: tuple[int, int] = (80, 24), settles: bool = True
    ) -> AsyncIterator[InspectPilot]:
        monkeypatch.setattr("lab.data.default_prompts.first_prompt", lambda run: prompt)
        async with app.run_test(size=size):
            pilot = InspectPilot(app)
            if settles:
                await pilot.settle()
            yield pilot

    return open_it


@pytest.fixture
def picture(request: pytest.FixtureRequest, home: Path, snap_compare: Any) -> Callable[..., None]:
    """Compares the screen after these keys with its picture. The app is made when it is called, in the test's environment."""

    def compare(keys: Sequence[str], size: tuple[int, int], then: Callable[[LabApp], None] = lambda app: None) -> None:
        app: LabApp = request.getfixturevalue("app")

        async def go(_: Pilot[None]) -> None:
            pilot = InspectPilot(app)
            await pilot.settle()
            for key in keys:
                await pilot.go(key)
            then(app)

        assert snap_compare(app, terminal_size=size, run_before=go)

    return compare
