"""Parts of a new run's form beside its fields: what it begins with, the time of its steps, its preparation and preview."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual import on, work
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Button

from lab.core.errors import UserError
from lab.core.number_format import count, counted, whole
from lab.core.visible_text import visible
from lab.data.source_files import can_be_read_again, file_size
from lab.data.text_source import open_corpus
from lab.planning.fine_tuning import BaseRun, base_run
from lab.planning.resolve_run import ResolvedRun
from lab.planning.sequence_preview import TextSplit
from lab.planning.settings_form import Plan
from lab.planning.settings_table import RunRequest, Settings
from lab.planning.step_time import StepTimer, known_times, step_key
from lab.planning.text_difficulty import Pilot, PilotTrainer
from lab.runs.find_runs import open_run
from lab.runs.home_folder import home
from lab.runs.run_schema import DEFAULT_RULES
from lab.runs.run_summary import RunSummary
from models.learning_rate import schedule_factor
from models.parameter_count import by_part
from screens.background import in_thread, latest
from screens.blocks.block_layout import EIGHTHS_UP
from screens.dialogs.ask import RunChooser
from screens.widgets.forward_pass_layout import ModelPart, drawing_of
from screens.widgets.text_fitting import Piece, painted_line, printable

BAR = 30
CANCEL = "escape cancels it: no new run, and the settings as they were"


class Preparation(Widget):
    """A line for each stage so far: finished ones with a `✓`, the last with a progress bar; below them the key that cancels."""

    COMPONENT_CLASSES = {f"preparation--{role}" for role in ("done", "now", "bar", "key")}
    DEFAULT_CSS = """
    Preparation {
        & > .preparation--done { color: $text-success; }
        & > .preparation--now { text-style: bold; }
        & > .preparation--bar { color: $primary; }
        & > .preparation--key { color: $text-muted; }
    }
    """
    stages: reactive[tuple[tuple[str, float], ...]] = reactive(())
    """Each stage in words, and the share of it that is done, 0 to 1."""

    def render_line(self, y: int) -> Strip:
        pieces: list[Piece] = []
        if y < len(self.stages):
            words, fraction = visible(self.stages[y][0]), self.stages[y][1]
            filled = round(BAR * fraction)
            bar = "━" * filled + "╌" * (BAR - filled)
            pieces = [(f"▸ {words}  ", "now"), (bar, "bar"), (f" {fraction:.0%}", "")]
            if y < len(self.stages) - 1:
                pieces = [(f"✓ {words}", "done")]
        elif y == len(self.stages) + 1:
            pieces = [(CANCEL, "key")]
        return painted_line(self, "preparation", pieces)


FIRST_TEXT = "stories"
"""The suggestion where no run has a text: it needs no file, and its true entropy is known."""
MOST_BYTES = 50_000_000
"""Largest file that is suggested: its tokens are counted although the user has not chosen it."""


def suggested_text(run_name: str) -> tuple[str, str, tuple[str, ...]]:
    """Source, encoding and cleaning rules of a run's text; `FIRST_TEXT` where there is none that can be read again soon."""
    try:
        config = open_run(run_name).config
        source, encoding = config.data.source, config.data.encoding
        if config.has_text and can_be_read_again(source) and (file_size(source) or 0) <= MOST_BYTES:
            open_corpus(source, encoding)
            return source, encoding, config.data.cleaning
    except UserError:
        pass  # no run yet, or its text is gone: a suggestion less
    return FIRST_TEXT, "", DEFAULT_RULES


TextKey = tuple[str, str | None, tuple[str, ...]]
"""Source, encoding and cleaning rules."""


def _text_key(request: RunRequest) -> TextKey:
    return request.text, request.encoding, request.clean


SECONDS_BEFORE_TIMING = 2.0
"""Delay after the last change before the text's pilot is trained, and before a step of the planned run is timed."""


class PlannedRun(Widget):
    """A widget with the plan of a run, which calls `plan_again` when the time of a step is known."""

    base: BaseRun | None = None
    """The run whose weights it begins with; None for random ones."""
    preparing: reactive[bool] = reactive(False)
    runs: reactive[tuple[RunSummary, ...]] = reactive(())

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._step_seconds: dict[str, tuple[float, ...]] = {}
        """Empty where they could not be measured."""
        self._step_timer: StepTimer | None = None
        self._timing_key = ""
        self._pilots: dict[TextKey, Pilot | None] = {}
        """None where there can be no pilot."""
        self._pilot_key: TextKey | None = None
        """The text whose pilot is in training."""
        self._pilot_trainer: PilotTrainer | None = None

    def watch_runs(self, before: tuple[RunSummary, ...], after: tuple[RunSummary, ...]) -> None:
        """Plan again where a run has begun or ended: its speed is known, and the machine is busy or free."""
        was_active, is_active = ({run.name for run in runs if run.is_active} for runs in (before, after))
        if was_active != is_active and not self.preparing:
            self.plan_again()

    def plan_again(self) -> Plan:
        raise NotImplementedError

    def known_times(self) -> dict[str, float]:
        """Seconds of the steps that were timed on this machine, by their key."""
        return known_times(home()) | {key: times[0] for key, times in self._step_seconds.items() if times}

    def known_step_seconds(self, plan: Plan) -> tuple[float, ...]:
        """Seconds, if known. Else it will be measured while the form is in view, unless another run keeps the machine busy."""
        if plan.run is None or plan.problems or plan.run.text.tokens is None:
            self.cancel_timing()
            return ()
        if plan.minutes_plan is not None and self.train_pilot(plan.run.request):
            return ()
        key = step_key(plan.run.model, plan.run.train)
        if key not in self._step_seconds and key != self._timing_key:
            self.cancel_timing()
            busy = any(run.is_active for run in self.runs)
            if self.is_on_screen and self.screen.is_current and not self.preparing and not busy:
                self._timing_key = key
                self._step_timer = StepTimer(plan.run.model, plan.run.train, home())
                self._time_steps(self._step_timer, key)
        return self._step_seconds.get(key, ())

    def pilot_of(self, request: RunRequest) -> Pilot | None:
        """The pilot of the request's text, where it is known."""
        return self._pilots.get(_text_key(request))

    def train_pilot(self, request: RunRequest) -> bool:
        """Train the pilot of the request's text while the form is in view, unless that was tried; True while it trains."""
        key = _text_key(request)
        if key in self._pilots:
            return False
        if key != self._pilot_key and self.is_on_screen and self.screen.is_current and not self.preparing:
            self._cancel_pilot()
            self._pilot_key = key
            self._measure_pilot(key)
        return key == self._pilot_key

    @latest("pilot")
    async def _measure_pilot(self, key: TextKey) -> None:
        self._pilot_trainer = trainer = PilotTrainer(home())

        def measure() -> Pilot | None:
            source, encoding, rules = key
            return trainer.measure(open_corpus(source, encoding, cleaning=rules), after=SECONDS_BEFORE_TIMING)

        pilot = None
        try:
            pilot = await in_thread(measure)
        except UserError as error:
            self.notify(str(error), severity="warning", markup=False)
        if trainer is not self._pilot_trainer:
            return  # cancelled
        self._pilots[key], self._pilot_key, self._pilot_trainer = pilot, None, None
        if not self.preparing:
            self.plan_again()

    @property
    def is_timing(self) -> bool:
        """True while the text's pilot is trained or the step of the planned run timed, which may change the plan."""
        return self._pilot_key is not None or (bool(self._timing_key) and self._timing_key not in self._step_seconds)

    def cancel_timing(self) -> None:
        """End the measurement, if there is one, and forget those that other programs held up."""
        self._step_seconds = {key: times for key, times in self._step_seconds.items() if len(times) < 2}
        if self._step_timer is not None:
            self._step_timer.cancel()
        self._step_timer, self._timing_key = None, ""
        self._cancel_pilot()

    def _cancel_pilot(self) -> None:
        if self._pilot_trainer is not None:
            self._pilot_trainer.cancel()
        self._pilot_trainer = self._pilot_key = None

    on_hide = on_unmount = cancel_timing

    @work(group="time")
    async def _time_steps(self, timer: StepTimer, key: str) -> None:
        try:
            seconds = await in_thread(timer.measure, SECONDS_BEFORE_TIMING)
            if seconds is None:
                return
            self._step_seconds[key] = (seconds * (1 - timer.held_up), seconds) if timer.held_up else (seconds,)
        except UserError as error:
            self._step_seconds[key] = ()
            self.notify(str(error), severity="warning", markup=False)
        if not self.preparing:
            self.plan_again()

    @on(Button.Pressed, "#base")
    @work(group="base", exclusive=True, exit_on_error=True)
    async def choose_base(self) -> None:
        runs = [run for run in self.runs if run.model is not None and (run.step or run.is_imported or run.is_posttrained)]
        names = [("", "random weights"), *((run.name, run.origin or f"{run.text}, {run.phase}") for run in runs)]
        now = self.base.name if self.base is not None else ""
        name = await self.app.push_screen_wait(RunChooser(names, now, title="begin with the weights of"))
        if name:
            self.read_base(name)
        elif name is not None:
            self.workers.cancel_group(self, "read base")
            self.take_base(None)

    @latest("read base")
    async def read_base(self, name: str, copied: Settings | None = None) -> None:
        """Begin with the weights of the run of this name, by default with the settings for trained weights."""
        try:
            self.take_base(await in_thread(lambda: base_run(open_run(name))), copied=copied)
        except UserError as error:
            self.take_base(None, str(error))

    def take_base(self, base: BaseRun | None, problem: str = "", copied: Settings | None = None) -> None:
        """Begin with this run, None for random weights, and the settings `copied` from another; or say why that cannot be."""
        raise NotImplementedError


WIDTH, LINES, CURVE, CHARACTERS = 74, 22, 40, 4000
"""Columns and lines of the model, for which 120x40 has room; columns of the learning rate; most characters of the text."""


def model_picture(run: ResolvedRun) -> Text:
    """The model as Inspect draws it, with the shape and the parameters of each part; below it the learning rate over the run."""
    model, train, of = run.model, run.train, by_part(run.model)
    width, vocabulary = model.width, whole(model.vocab_size)
    embedded = f"{vocabulary} tokens, {model.context} positions × {width}"
    sizes = [of["token embedding"] + of["position embedding"], of["attention"] // model.layers, of["mlp"] // model.layers]
    shapes = [embedded, f"{counted(model.heads, 'head')} × {model.head_width}", f"{width} → {4 * width} → {width}"]
    embed, *notes = (f"{shape}: {count(size)} parameters" for shape, size in zip(shapes, sizes, strict=True))
    layer = dict(zip(("attention", "mlp"), notes, strict=True))
    boxes = [(f"{at + 1} {part}", at, note) for at in range(model.layers) for part, note in layer.items()]
    norms, head = f"all norms: {count(of['norms'])} parameters", f"{width} → {vocabulary}, by the token embedding"
    rows = [("tokens", None, ""), ("embed + position", None, embed), *boxes, ("final norm", None, norms), ("logits", None, head)]
    parts = [ModelPart(name, (index,), (), at, notes=(note,)) for index, (name, at, note) in enumerate(rows)]
    rates = (schedule_factor(train.schedule, (at + 1) / CURVE, train.warmup, train.final_lr) for at in range(CURVE))
    curve = "".join(EIGHTHS_UP[max(1, round(8 * rate))] for rate in rates)
    lines = ["".join(text for text, _ in line.pieces) for line in drawing_of(parts, -1, WIDTH, LINES).lines]
    return Text("\n".join([*lines, "", f" learning rate {curve} up to {train.lr:g}"]))


def text_ends(split: TextSplit) -> Text:
    """The end of the training text where the validation text begins, then the training text from its beginning on."""
    start = "".join(piece[:CHARACTERS] for piece, _ in split.sample)[:CHARACTERS]
    before, after, start = (printable(text) for text in (split.before, split.after, start))
    return Text.assemble("…", before, ("┃ validation from here ┃", "bold"), after, "…\n\n", ("The text begins:\n", "bold"), start)
