"""A new run, from its settings to its first step: the form, then the preparation, then the trainer."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import Any

from textual import on, work
from textual.app import ComposeResult
from textual.message import Message
from textual.reactive import reactive
from textual.timer import Timer
from textual.widget import Widget

from lab.core.errors import UserError
from lab.core.machine import machine
from lab.data.cleaning.rule_registry import parse_rules, typed_rules
from lab.data.corpus import shown_source
from lab.data.statistics.text_statistics import count_tokens, read_facts
from lab.planning.estimates.measure_step_time import StepTimer, step_key
from lab.planning.estimates.run_cost import run_cost, text_in_words
from lab.planning.preparation.prepare_text import PrepareProgress
from lab.planning.prepare_run import prepare_run
from lab.planning.resolve_run import TextSize
from lab.planning.run_request import RunRequest
from lab.planning.settings_form import Plan, defaults, fit_plan, make_plan
from lab.planning.settings_table import Settings
from lab.runs.home_folder import home
from lab.runs.run_summary import RunSummary
from lab.training.start_trainer import start_trainer
from models.tokenizers.gpt2_vocabulary_files import VocabularyError
from models.tokenizers.tokenizer_kinds import TokenizerError
from screens.messages import SettingsCopied
from screens.train.preparation_view import Preparation
from screens.train.run_form import RunForm

SECONDS_BETWEEN_PROGRESS = 0.1
SECONDS_BEFORE_TIMING = 2.0
"""Delay after the last change before a step of the planned run is timed."""
SECONDS_BEFORE_COUNTING = 0.3
"""Delay after the last key before the text's tokens are counted again."""

FIRST_TEXT = "stories"
"""The suggestion before any text is chosen: it needs no file, and its true entropy is known."""


class CancelledError(Exception):
    """The user has cancelled the preparation."""


@dataclass(frozen=True)
class CountKey:
    """Everything that a text's number of tokens depends on."""

    source: str
    encoding: str | None
    cleaning: tuple[str, ...]
    tokenizer: str
    vocab: str


class NewRun(Widget):
    """The form, then the preparation. Posts `Begun` when the trainer runs. `runs` give the speed of this machine."""

    preparing: reactive[bool] = reactive(False)
    runs: reactive[tuple[RunSummary, ...]] = reactive(())

    @dataclass
    class Counted(Message):
        """The text's size in bytes and tokens, or the reason why it could not be counted."""

        key: CountKey
        text: TextSize
        name: str
        problem: tuple[str, str] | None = None

    @dataclass
    class Timed(Message):
        """The measured time of a step of the planned run, or the reason why it cannot be measured."""

        key: str
        seconds: float | None
        problem: str = ""

    @dataclass
    class Prepared(Message):
        """Progress of the preparation."""

        progress: PrepareProgress

    @dataclass
    class Begun(Message):
        """The run exists and its trainer runs."""

        name: str

    @dataclass
    class Refused(Message):
        """The run could not be prepared, or not started; `name` is that of a run which exists all the same."""

        sentence: str
        name: str | None = None

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._text = TextSize(FIRST_TEXT)
        self._text_name = FIRST_TEXT
        self._text_problem: tuple[str, str] | None = None
        self._preparation_problem: tuple[str, str] | None = None
        """The problem that the preparation found, until a setting is changed."""
        self._hidden: dict[str, Any] = {}
        """Fields of the request that the form does not show, copied from another run."""
        self._kept = Settings()
        """The settings as they were before the user changed any."""
        self._machine = machine()
        self._cancel = threading.Event()
        self._counted: CountKey | None = None
        self._count_timer: Timer | None = None
        self._step_seconds: dict[str, float | None] = {}
        self._step_timer: StepTimer | None = None
        self._timing_key = ""
        """Key of the step that is being timed."""

    def compose(self) -> ComposeResult:
        yield RunForm(id="form")
        yield Preparation(id="preparation")

    def on_mount(self) -> None:
        self.query_one(Preparation).display = False
        self._plan()

    def on_show(self) -> None:
        self._plan()

    def on_hide(self) -> None:
        self._cancel_timing()

    def on_unmount(self) -> None:
        self._cancel_timing()

    @property
    def form(self) -> RunForm:
        """The settings."""
        return self.query_one(RunForm)

    def fill(self, copied: SettingsCopied) -> None:
        """Fill in the settings of a run whose text is chosen already. They hold until another text is chosen."""
        self._hidden = copied.hidden
        self.form.fill(copied.settings)
        self._kept = copied.settings
        self._plan()
        self._count()
        words = f"The settings of {copied.name}, and its text."
        if copied.problem:
            self._preparation_problem = ("", copied.problem)
            self._plan()
            words = f"The settings of {copied.name}."
        if base := copied.hidden.get("start"):
            words += f" It begins with the weights of {base}, too."
        self.notify(words, markup=False)

    def choose_text(self, source: str, encoding: str) -> None:
        """Train on this text; an empty source stands for the suggestion."""
        self._hidden = {}
        self._preparation_problem = None
        self._text = TextSize(source or FIRST_TEXT, encoding or None)
        self._text_name = shown_source(self._text.source)
        self._text_problem = None
        self._plan()
        self._count()

    def choose_cleaning(self, rules: tuple[str, ...]) -> None:
        """Clean the text by the rules that were chosen with it."""
        typed = typed_rules(rules)
        if typed != self.form.settings.clean:
            self._kept = replace(self._kept, clean=typed)
            self.form.fill(replace(self.form.settings, clean=typed))
            self._plan()
            self._count()

    def would_be_lost(self) -> str:
        """The preparation of a run, whose trainer does not run yet, or settings that were changed and not used."""
        if self.preparing:
            return "the run being prepared, which does not train yet"
        return "the changed settings of a new run" if self.form.settings != self._kept else ""

    def watch_preparing(self, preparing: bool) -> None:
        self.form.display = not preparing
        self.query_one(Preparation).display = preparing

    def cancel(self) -> None:
        """Cancel the preparation; nothing of the run remains."""
        self._cancel.set()

    def start(self) -> None:
        """Make the run and start its trainer, or go to the first field that is wrong."""
        self._preparation_problem = None
        plan = self._plan()
        if plan.request is None or self._text_problem is not None:
            wrong = next((name for name in plan.problems if name), None)
            if wrong is not None:
                self.form.focus_field(wrong)
            return
        self._cancel.clear()
        self._cancel_timing()
        self.query_one(Preparation).stages = ()
        self.preparing = True
        self._make(plan.request)

    @on(RunForm.Started)
    def _start_wanted(self) -> None:
        self.start()

    @on(RunForm.Changed)
    def _settings_changed(self) -> None:
        self._preparation_problem = None
        self._plan()
        if self._count_timer is not None:
            self._count_timer.stop()
        self._count_timer = self.set_timer(SECONDS_BEFORE_COUNTING, self._count)

    def _plan(self) -> Plan:
        form = self.form
        plan = make_plan(form.settings, self._text, self._machine, self._hidden)
        step_seconds = self._known_step_seconds(plan)
        plan = fit_plan(plan, self.runs, self._machine, step_seconds)
        form.defaults = defaults(form.settings, self._text, self._machine, plan.run)
        form.reasons = plan.run.reasons if plan.run is not None else {}
        form.text = text_in_words(self._text, self._text_name)
        form.cost = run_cost(plan.run, self.runs, self._machine, step_seconds) if plan.run is not None else ()
        form.problems = (
            *(problem for problem in (self._preparation_problem, self._text_problem) if problem),
            *plan.problems.items(),
        )
        return plan

    def _known_step_seconds(self, plan: Plan) -> float | None:
        """Seconds, if known. Else it will be measured, unless another run keeps the machine busy."""
        if plan.run is None or plan.problems or self._text.tokens is None:
            self._cancel_timing()
            return None
        key = step_key(plan.run.model, plan.run.train)
        if key not in self._step_seconds and key != self._timing_key:
            self._cancel_timing()
            busy = any(run.is_active for run in self.runs)
            if self.is_on_screen and not self.preparing and not busy:
                self._timing_key = key
                self._step_timer = StepTimer(plan.run.model, plan.run.train, home())
                self._time_steps(self._step_timer, key)
        return self._step_seconds.get(key)

    def _cancel_timing(self) -> None:
        if self._step_timer is not None:
            self._step_timer.cancel()
        self._step_timer, self._timing_key = None, ""

    @work(thread=True, group="time", exit_on_error=True)
    def _time_steps(self, timer: StepTimer, key: str) -> None:
        try:
            seconds = timer.measure(SECONDS_BEFORE_TIMING)
        except UserError as error:
            self.post_message(self.Timed(key, None, str(error)))
        else:
            if seconds is not None:
                self.post_message(self.Timed(key, seconds))

    @on(Timed)
    def _show_time(self, message: Timed) -> None:
        self._step_seconds[message.key] = message.seconds
        if message.problem:
            self.notify(message.problem, severity="warning", markup=False)
        if not self.preparing:
            self._plan()

    def _count(self) -> None:
        settings = self.form.settings
        vocab = settings.vocab or defaults(settings, self._text, self._machine)["vocab"]
        try:
            cleaning = parse_rules(settings.clean)
        except UserError:
            return  # the field is marked as wrong
        key = CountKey(self._text.source, self._text.encoding, cleaning, settings.tokenizer, vocab)
        if key != self._counted and vocab.isdecimal():
            self._counted = key
            self._count_tokens(key, settings.preset)

    @work(thread=True, group="count", exclusive=True, exit_on_error=True)
    def _count_tokens(self, key: CountKey, preset: str) -> None:
        text = TextSize(key.source, key.encoding)
        name = shown_source(key.source)
        try:
            facts = read_facts(key.source, key.encoding, key.cleaning)
            text, name = replace(text, bytes=facts.bytes), facts.name
            count = count_tokens(key.source, key.encoding, key.tokenizer, int(key.vocab), key.cleaning)  # type: ignore[arg-type]
        except UserError as error:
            self.post_message(self.Counted(key, text, name, ("", str(error))))
        except (TokenizerError, VocabularyError) as error:
            self.post_message(self.Counted(key, text, name, ("tokenizer", str(error))))
        else:
            most = count.vocab_size if count.vocab_size < int(key.vocab) else None
            self.post_message(self.Counted(key, replace(text, tokens=count.tokens, most_vocab=most), name))

    @on(Counted)
    def _show_count(self, message: Counted) -> None:
        if message.key != self._counted:
            return
        first_time = self._text.bytes is None
        self._text, self._text_name, self._text_problem = message.text, message.name, message.problem
        self._plan()
        if first_time:
            self._count()  # a short text has a smaller vocabulary by default than was assumed

    @work(thread=True, group="make", exclusive=True, exit_on_error=True)
    def _make(self, request: RunRequest) -> None:
        last = 0.0
        stage = ""

        def report(progress: PrepareProgress) -> None:
            nonlocal last, stage
            if self._cancel.is_set():
                raise CancelledError
            if progress.stage != stage or time.monotonic() - last > SECONDS_BETWEEN_PROGRESS:
                last, stage = time.monotonic(), progress.stage
                self.post_message(self.Prepared(progress))

        name = None
        try:
            run = prepare_run(request, report)
            name = run.name
            self.post_message(self.Prepared(PrepareProgress("encoding", "starting the trainer", 0.0)))
            start_trainer(run)
        except CancelledError:
            self.post_message(self.Refused("The preparation was cancelled; there is no new run."))
        except UserError as error:
            self.post_message(self.Refused(str(error), name))
        else:
            self.post_message(self.Begun(name))

    @on(Prepared)
    def _show_progress(self, message: Prepared) -> None:
        preparation = self.query_one(Preparation)
        words, fraction = message.progress.words, message.progress.fraction
        before = [stage for stage in preparation.stages if stage[0] != words]
        preparation.stages = (*before, (words, fraction))

    @on(Refused)
    def _refused(self, message: Refused) -> None:
        self.preparing = False
        self._preparation_problem = ("", message.sentence)
        self._plan()

    @on(Begun)
    def _begun(self) -> None:
        self.preparing = False
        self._kept = self.form.settings
