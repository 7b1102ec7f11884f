"""Runs made of files alone, so that the screens are tested without torch and without training."""

import asyncio
import fcntl
import importlib
import math
import os
import pkgutil
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input, TextArea
from textual.worker import NoActiveWorker, Worker, get_current_worker

import screens
from lab.core.machine import Machine
from lab.data.cleaning import measure_funnel
from lab.data.statistics.text_statistics import CountRequest, TokenCount, count_tokens
from lab.lessons.translation import use_language
from lab.planning.sequence_preview import SplitRequest, TextSplit, read_split
from lab.runs.run_folder import Run
from lab.runs.run_schema import (
    HEAD_SCORES,
    DataConfig,
    Event,
    EventKind,
    Insight,
    Metric,
    PartUpdate,
    Phase,
    Place,
    RunConfig,
    Sample,
    Status,
    TokenizerConfig,
    TrainConfig,
    ValidationSegments,
)
from lab.runs.schema_parts import CopiedShare
from models.config import PRESETS
from screens.app import LabApp
from tests.fixture_types import Open, Until
from tests.screens.pilot_waits import poll, settle, wait_until

# A module that is first imported while a test has replaced a function that it takes over would keep the replacement.
for found in pkgutil.walk_packages(screens.__path__, "screens."):
    importlib.import_module(found.name)

NOW = 1_760_000_000.0
"""The time at which every screen test happens."""

SAMPLES = (
    ("The big dog", " xqv ee oth a rmd  nn te"),
    ("The big dog", " ran the the dog and ran."),
    ("The big dog", " ran fast. The old cat sat on the mat."),
)


def loss_at(step: int) -> float:
    """A loss that falls as a real one does, from ln 1024 to 1.9, with a ripple instead of noise."""
    return 1.9 + (math.log(1024) - 1.9) * math.exp(-step / 150) + 0.15 * math.sin(step * 1.7)


def metric_at(step: int, evaluate_every: int) -> Metric:
    """A line of the metrics, as the trainer writes it."""
    trained = {"loss": loss_at(step), "lr": 0.002, "grad_norm": 1.0, "tokens_per_second": 8310.0} if step else {}
    val_loss = None if step % evaluate_every else loss_at(step) + 0.1
    bits = None if val_loss is None else val_loss / math.log(2) * 43_000 / 111_539
    done = {"tokens": step * 2048, "epoch": step * 2048 / 387_000, "seconds": step * 0.25}
    return Metric(step=step, **done, **trained, val_loss=val_loss, bits_per_byte=bits)


def write_run(
    home: Path,
    name: str,
    *,
    phase: Phase = "finished",
    step: int = 2000,
    steps: int = 2000,
    created: float = NOW - 3600,
    text: str = "tinyshakespeare.txt",
    evaluate_every: int = 100,
    message: str = "",
    entropy: float | None = None,
) -> Run:
    """A run's folder as it is after `step` of `steps` updates, with the files that a screen reads."""
    folder = home / name
    folder.mkdir(parents=True)
    model = PRESETS["micro"].config(1024)
    config = RunConfig(
        name=name,
        created=created,
        model=model,
        tokenizer=TokenizerConfig(kind="bpe", vocab_size=1024),
        data=DataConfig(
            name=text,
            source=f"/texts/{text}",
            encoding="utf-8",
            sha256="0" * 64,
            bytes=1_115_394,
            characters=1_115_394,
            tokens=430_000,
            split=387_000,
            train_bytes=1_003_855,
            val_bytes=111_539,
            copied=CopiedShare(0.0),
            evaluated=ValidationSegments(((387_000, 399_600),), 32_800, "e" * 64),
            final=ValidationSegments(((387_000, 430_000),), 111_539, "f" * 64),
            entropy_bits_per_byte=entropy,
        ),
        train=TrainConfig(steps=steps, eval_every=evaluate_every, prompts=("The big dog",)),
    )
    (folder / "config.json").write_bytes(msgspec.json.encode(config))
    status = Status(
        phase=phase,
        step=step,
        steps=steps,
        pid=os.getpid(),
        heartbeat=NOW - (0 if phase in ("starting", "training", "paused") else 600),
        seconds=step * 0.25,
        device="cpu",
        message=message,
    )
    (folder / "status.json").write_bytes(msgspec.json.encode(status))
    with (folder / "metrics.jsonl").open("wb") as file:
        for at in range(step + 1 if step else 0):
            file.write(msgspec.json.encode(metric_at(at, evaluate_every)) + b"\n")
    written = zip(range(0, step + 1, evaluate_every), SAMPLES, strict=False)
    samples = (msgspec.json.encode(Sample(step=at, prompt=prompt, text=text)) for at, (prompt, text) in written)
    (folder / "samples.jsonl").write_bytes(b"".join(line + b"\n" for line in samples))
    (folder / "lock").touch()
    return Run(folder)


BOTH: tuple[EventKind, ...] = ("pause", "resume")
PROBE = (" The", " big", " dog", " ran", " home", ".", "␊", " The", " old", " cat", " saw", " big")


def write_insights(run: Run, steps: range) -> None:
    """What is measured inside a run in which a previous-token head, 1.4, appears at first, and an induction head, 3.2, in the
    second; with a checkpoint at every evaluation and a pause in the middle."""
    encode = msgspec.json.Encoder().encode
    layers, heads = run.config.model.layers, run.config.model.heads
    lines = []
    for step in steps:
        done = step / steps[-1] if steps[-1] else 0.0
        scores: dict[str, list[list[float]]] = {
            name: [[0.06 if name == "previous" else 0.02] * heads for _ in range(layers)] for name in HEAD_SCORES
        }
        scores["previous"][0][3] = round(0.06 + 0.8 * min(1.0, 2 * done), 4)
        scores["induction"][2][1] = round(0.02 + 0.7 * max(0.0, 2 * done - 1), 4)
        row = [0.02] * (len(PROBE) - 1) + [0.05]
        row[2] = round(0.02 + 0.6 * max(0.0, 2 * done - 1), 4)
        parts = ["embedding", "positions", *(f"{layer + 1} {kind}" for layer in range(layers) for kind in ("attention", "MLP"))]
        lines.append(
            Insight(
                step=step,
                took=0.02,
                repeated=32,
                previous=scores["previous"],
                duplicate=scores["duplicate"],
                induction=scores["induction"],
                probe=list(PROBE),
                truth=" dog",
                truth_probability=round(0.01 + 0.6 * done, 4),
                top=[(" cat", 0.3), (" dog", round(0.01 + 0.6 * done, 4)), (" tree", 0.05), ("␊", 0.01)],
                pattern=[[row if (layer, head) == (2, 1) else [1 / 12] * 12 for head in range(heads)] for layer in range(layers)],
                places=[
                    Place([" He", " saw"], " her", ["."], 0.5, [(" her", 0.5), (" me", 0.25)]),
                    Place(
                        [" Then", " it"],
                        " flew",
                        [" home", "."],
                        round(0.01 + 0.9 * done, 4),
                        sorted([(" ran", 0.3), (" flew", round(0.01 + 0.9 * done, 4))], key=lambda each: -each[1]),
                    ),
                ],
                parts=[PartUpdate(part, 0.1 + at / 10, 2e-2 * 0.01**done) for at, part in enumerate(parts)] if step else [],
            )
        )
    run.insights_path.write_bytes(b"".join(encode(line) + b"\n" for line in lines))
    events = [Event(step=step, seconds=step * 0.25, kind="checkpoint") for step in steps]
    middle = steps[len(steps) // 2]
    events += [Event(step=middle, seconds=middle * 0.25, kind=kind) for kind in BOTH]
    events.sort(key=lambda event: event.step)
    run.events_path.write_bytes(b"".join(encode(event) + b"\n" for event in events))


@pytest.fixture
def measured() -> Callable[[Run, range], None]:
    """Writes insights and events into a run's folder."""
    return write_insights


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, without the bundled runs, in a working directory with one text in it, on a terminal of all colours."""
    place = tmp_path / "runs"
    place.mkdir()
    monkeypatch.setenv("LLMLAB_HOME", str(place))
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    # The function itself last: a module that is imported while it is replaced would keep the replacement.
    for module in ("find_runs", "run_summary", "rename_delete"):
        monkeypatch.setattr(f"lab.runs.{module}.bundled", lambda name: tmp_path / f"no-{name}")
    monkeypatch.setattr("lab.runs.home_folder.demo", lambda: tmp_path / "no-demo")
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "fable.txt").write_text("The big dog ran fast. The old cat sat.\n" * 50)
    monkeypatch.chdir(texts)
    return place


MakeRun = Callable[..., Run]
MACHINE = Machine(processor="a processor", cores=2, memory=8_000_000_000, gpu=None)


@pytest.fixture
def fixed_machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The same machine and the same terminal everywhere."""
    monkeypatch.setattr("lab.core.machine.machine", lambda: MACHINE)
    monkeypatch.setattr("screens.train.new_run.machine", lambda: MACHINE)
    monkeypatch.setattr("lab.planning.settings_form.no_cuda_reason", lambda: "this machine shows no NVIDIA GPU")
    monkeypatch.setattr("lab.planning.settings_form.has_mps", lambda: False)
    for name, value in (("TERM", "xterm-256color"), ("COLORTERM", "truecolor")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return MACHINE


@pytest.fixture
def until() -> Until:
    """Waits until a condition holds."""
    return wait_until


@pytest.fixture
def listed(app: LabApp, until: Until) -> Open:
    """Opens the test's app, and waits until so many runs are listed."""

    @asynccontextmanager
    async def open_it(runs: int = 1, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Pilot[None]]:
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: len(app.runs) == runs)
            yield pilot

    return open_it


class LateAnswer:
    """A function in place of another. The first call that `is_late` holds of is answered when `come` lets it, others at once."""

    def __init__(self, function: Callable[..., Any], is_late: Callable[..., bool]) -> None:
        self.asked = threading.Event()
        self._function, self._is_late = function, is_late
        self._released, self._answered = threading.Event(), threading.Event()
        self._worker: Worker[Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        if self.asked.is_set() or not self._is_late(*arguments):
            return self._function(*arguments)
        with suppress(NoActiveWorker):
            self._worker = get_current_worker()
        self.asked.set()
        try:
            return self._function(*arguments)
        finally:
            self._released.wait(60)
            self._answered.set()

    async def come(self, pilot: Pilot[None]) -> None:
        """Give the answer, and wait until the worker that asked has ended and what it changes is seen."""
        self._released.set()
        await poll(pilot, lambda: self._answered.is_set() and (self._worker is None or self._worker.is_finished))
        await settle(pilot)


@pytest.fixture
def late_answer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., LateAnswer]:
    """Replaces a function, named by module and name, by a `LateAnswer` of it, or of the one given."""

    def replace(where: str, is_late: Callable[..., bool], function: Callable[..., Any] | None = None) -> LateAnswer:
        module, _, name = where.rpartition(".")
        late = LateAnswer(function or getattr(importlib.import_module(module), name), is_late)
        monkeypatch.setattr(where, late)
        return late

    return replace


@pytest.fixture
def make_run(home: Path) -> Iterator[MakeRun]:
    """Makes a run in `home`; one that is going on has its lock held, as if its trainer were there."""
    held: list[int] = []

    def make(name: str, **facts: object) -> Run:
        run = write_run(home, name, **facts)  # type: ignore[arg-type]
        if facts.get("phase") in ("starting", "training", "paused"):
            descriptor = os.open(run.lock_path, os.O_RDWR)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            held.append(descriptor)
        return run

    yield make
    for descriptor in held:
        os.close(descriptor)


@pytest.fixture(autouse=True)
async def _tasks_as_users_have_them() -> None:
    """Have eager tasks from Python 3.12 on: the app sets them where it is run, not where it is tested."""
    if sys.version_info >= (3, 12):
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)


@pytest.fixture(autouse=True)
def time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Freeze the clock, which changes pictures."""
    monkeypatch.setattr("time.time", lambda: NOW)


@pytest.fixture
def snap_compare(snap_compare: Callable[..., bool]) -> Callable[..., bool]:
    """As the plugin's, with text cursors that do not blink."""

    def compare(app: App[None], *, terminal_size: tuple[int, int], run_before: Callable[[Pilot[None]], Awaitable[None]]) -> bool:
        async def go(pilot: Pilot[None]) -> None:
            await run_before(pilot)
            for field in app.screen.query("Input, TextArea").results(Input | TextArea):
                field.cursor_blink = False

        return snap_compare(app, terminal_size=terminal_size, run_before=go)

    return compare


@pytest.fixture(autouse=True)
def _english_at_first() -> None:
    """Read English lessons, whatever the lab of the test before read."""
    use_language("en")


@pytest.fixture(autouse=True)
def _texts_are_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count, measure and split in threads: each text that comes into view would start a process or two. Some tests have those."""

    async def count(request: CountRequest) -> TokenCount:
        return await asyncio.to_thread(count_tokens, request)

    async def measure(request: measure_funnel.FunnelRequest, progress: object) -> measure_funnel.FunnelReply:
        return await asyncio.to_thread(measure_funnel._work, request, lambda done, total: None)

    async def split(request: SplitRequest, progress: object) -> TextSplit:
        words = {"cleaning": request.rules, "holdout": request.holdout}
        return await asyncio.to_thread(read_split, request.source, request.encoding, **words)

    monkeypatch.setattr("screens.data.choose_page.run_count_process", count)
    monkeypatch.setattr("screens.data.clean_page.run_funnel_process", measure)
    for module in ("data.split_page", "train.new_run"):
        monkeypatch.setattr(f"screens.{module}.run_split_process", split)


@pytest.fixture(autouse=True)
def _no_steps_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planned run's steps would be taken in a process of their own, whose time no picture should show."""
    monkeypatch.setattr("screens.train.new_run.SECONDS_BEFORE_TIMING", 1e6)
