"""A new run, from its settings to its first step: the form, then the preparation, then the trainer."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from textual import on, work
from textual.app import ComposeResult
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Button, Static

from lab.core.errors import UserError
from lab.core.machine import machine
from lab.data.builtin_texts import is_builtin
from lab.data.cleaning.rule_registry import typed_rules
from lab.data.corpus import shown_source
from lab.data.statistics.text_statistics import CountRequest, count_tokens, count_tokens_of, read_facts
from lab.data.text_source import open_corpus
from lab.planning.fine_tuning import BaseRun, base_run, fine_tuning_facts
from lab.planning.plan_for_minutes import MinutesPlan, plan_facts, shape_in_words
from lab.planning.prepare_run import prepare_run
from lab.planning.prepare_text import PrepareProgress
from lab.planning.resolve_run import ResolvedRun, TextSize
from lab.planning.run_cost import describe_text, run_cost
from lab.planning.sequence_preview import SplitRequest, run_split_process
from lab.planning.settings_form import LOCKED, Plan, defaults, make_plan, parse_settings, settings_of_base
from lab.planning.settings_table import AUTO, RunRequest, Settings
from lab.planning.step_time import TIMES, StepTimer, step_key
from lab.planning.text_difficulty import OUTCOMES, Pilot, PilotTrainer
from lab.runs.find_runs import open_run
from lab.runs.home_folder import home
from lab.runs.rename_delete import delete_run
from lab.runs.run_folder import Run, tokenizer_of
from lab.runs.run_summary import RunSummary
from lab.training.start_trainer import start_trainer
from models.config import TokenizerError
from models.tokenizers.gpt2_vocabulary_files import VocabularyError
from screens.background import DelayedCall, in_thread, latest, still_wanted
from screens.dialogs.ask import RunChooser
from screens.messages import SettingsCopied
from screens.train.planned_run import FIRST_TEXT, Preparation, model_picture, suggested_text, text_ends
from screens.train.run_form import RunForm
from screens.train.run_header import without_options
from screens.widgets.piece_lines import Fact

SECONDS_BETWEEN_PROGRESS = 0.1
SECONDS_BEFORE_COUNTING = 0.3
SECONDS_BEFORE_TIMING = 2.0
"""Delay after the last change before the text's pilot is trained, and before a step of the planned run is timed."""

TextKey = tuple[str, str | None, tuple[str, ...]]
"""Source, encoding and cleaning rules."""


def _text_key(request: RunRequest) -> TextKey:
    return request.text, request.encoding, request.clean


class CancelledError(Exception):
    """The user has cancelled the preparation."""


@dataclass(frozen=True)
class CountKey:
    """Everything that a text's number of tokens depends on."""

    text: SplitRequest
    tokenizer: str
    vocab: str
    base: Path | None = None
    """Folder of the run whose tokenizer it is, for one that begins with the weights of another."""


def count_text(key: CountKey) -> tuple[TextSize, str, tuple[str, str] | None]:
    """The size and the name of a text, and the field and the sentence of a problem."""
    source, encoding, cleaning = key.text.source, key.text.encoding, key.text.rules
    text, name = TextSize(source, encoding), shown_source(source)
    try:
        facts = read_facts(source, encoding, cleaning)
        text, name = replace(text, bytes=facts.bytes), facts.name
        if key.base is not None:
            count = count_tokens_of(tokenizer_of(Run(key.base)), source, encoding, cleaning)
        else:
            request = CountRequest(source, encoding, key.tokenizer, int(key.vocab), cleaning)  # type: ignore[arg-type]
            count = count_tokens(request)
    except UserError as error:
        return text, name, ("", str(error))
    except (TokenizerError, VocabularyError) as error:
        return text, name, ("tokenizer", str(error))
    most = count.vocab_size if key.base is None and count.vocab_size < int(key.vocab) else None
    return replace(text, tokens=count.tokens, counted_with=count.vocab_size, most_vocab=most), name, None


class NewRun(Widget):
    """The form, then the preparation. Posts `Begun` when the trainer runs. `runs` give the speed of this machine."""

    is_suggested: bool = True
    """True while no text has been chosen."""
    base: BaseRun | None = None
    """The run whose weights it begins with; None for random ones."""
    preparing: reactive[bool] = reactive(False)
    runs: reactive[tuple[RunSummary, ...]] = reactive(())

    @dataclass
    class Begun(Message):
        """The run exists and its trainer runs."""

        name: str

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
        self._machine = machine()
        self._cancel = threading.Event()
        self._shown: Plan | None = None
        self._planned_for: tuple[Settings, TextSize, str] | None = None
        self._was = ""
        """Shape of the plan before it changed by itself; empty if it did not."""
        self._counted: CountKey | None = None
        self._counting = DelayedCall(self)
        self.opened = asyncio.Event()
        """Set while the form is in view: a text is not read in a process of its own for one that nobody looks at."""
        self._step_seconds: dict[str, tuple[float, ...]] = {}
        """Empty where they could not be measured."""
        self._step_timer: StepTimer | None = None
        self._timing_key = ""
        self._pilots: dict[TextKey, Pilot | None] = {}
        """None where there can be no pilot."""
        self._pilot_key: TextKey | None = None
        """The text whose pilot is in training."""
        self._pilot_trainer: PilotTrainer | None = None

    def compose(self) -> ComposeResult:
        yield RunForm(id="form")
        yield Preparation(id="preparation")

    @property
    def form(self) -> RunForm:
        return self.query_one(RunForm)

    def fill(self, copied: SettingsCopied) -> None:
        """Fill in the settings of a run whose text is chosen already. They hold until another text is chosen."""
        self._hidden = {name: value for name, value in copied.hidden.items() if name != "start"}
        self.workers.cancel_group(self, "read base")
        self._set_base(None, copied.settings)
        if start := copied.hidden.get("start"):
            self.read_base(start, copied.settings)
        self._kept = copied.settings
        words = f"The settings of {copied.name}, and its text."
        if copied.problem:
            self._preparation_problem = ("", copied.problem)
            self.plan_again()
            words = f"The settings of {copied.name}."
        if start:
            words += f" It begins with the weights of {start}, too."
        self.notify(words, markup=False)

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
        settings = self.form.settings
        if problem:
            self._preparation_problem = ("", problem)
            self.plan_again()
        elif base is None and self.base is not None:
            usual = {name: getattr(Settings(), name) for name in (*LOCKED, "optimizer", "lr", "context")}
            self._set_base(None, replace(settings, **usual))
        elif base is not None:
            self._preparation_problem = None if copied is None else self._preparation_problem
            self._set_base(base, copied or settings_of_base(settings, base))
            self._kept = self.form.settings

    def _set_base(self, base: BaseRun | None, settings: Settings) -> None:
        self.base = base
        self.form.base = base.name if base is not None else ""
        self.form.fill(settings)
        self._text = replace(self._text, tokens=None, most_vocab=None)
        self._count_anew()

    def choose_text(self, source: str, encoding: str, cleaning: tuple[str, ...]) -> None:
        """Train on this text, cleaned by these rules; an empty source stands for the suggestion."""
        self._hidden = {}
        self._preparation_problem = None
        self.is_suggested = not source
        self._set_text(source or FIRST_TEXT, encoding)
        self.choose_cleaning(cleaning)

    def _set_text(self, source: str, encoding: str) -> None:
        self._text = TextSize(source, encoding or None)
        self._text_name = shown_source(source)
        self._text_problem = None
        self._count_anew()

    @latest("suggest")
    async def suggest_text_of(self, run_name: str) -> None:
        if not self.is_suggested:
            return
        source, encoding, cleaning = await in_thread(suggested_text, run_name)
        if self.is_suggested and not self.preparing:
            if (source, encoding or None) != (self._text.source, self._text.encoding):
                self._set_text(source, encoding)
            if self.form.settings.clean == self._kept.clean:  # else the user has typed rules
                self.choose_cleaning(cleaning)

    def choose_encoding(self, encoding: str) -> None:
        """Read the chosen text in this encoding, if it is not the one that it was chosen with."""
        if not self.is_suggested and (encoding or None) != self._text.encoding:
            self._preparation_problem = None
            self._set_text(self._text.source, encoding)

    def choose_cleaning(self, rules: tuple[str, ...]) -> None:
        typed = typed_rules(rules)
        if typed != self.form.settings.clean:
            self._kept = replace(self._kept, clean=typed)
            self.form.fill(replace(self.form.settings, clean=typed))
            self.plan_again()
            self._count()

    def would_be_lost(self) -> str:
        """The preparation of a run, whose trainer does not run yet, or settings that were changed and not used."""
        if self.preparing:
            return "the run being prepared, which does not train yet"
        return "the changed settings of a new run" if self.form.settings != self._kept else ""

    def watch_preparing(self, preparing: bool) -> None:
        if preparing:
            self.screen.set_focus(None)  # else it would jump to another field as the form is hidden
        self.form.display = not preparing
        self.query_one(Preparation).display = preparing

    def cancel(self) -> None:
        """Cancel the preparation; nothing of the run remains."""
        self._cancel.set()

    def on_unmount(self) -> None:
        self.cancel()
        self.cancel_timing()

    @on(Button.Pressed, "#start")
    def start(self) -> None:
        """Make the run and start its trainer, or go to the first field that is wrong."""
        self._preparation_problem = None
        plan = self._shown if self._shown is not None and self._planned_for == self._asked() else self.plan_again()
        if plan.request is None or self._text_problem is not None:
            wrong = next((name for name in plan.problems if name), None)
            if wrong is not None:
                self.form.focus_field(wrong)
            return
        self._cancel.clear()
        self.cancel_timing()
        self.workers.cancel_group(self, "search")
        self.query_one(Preparation).stages = ()
        self.preparing = True
        request, planned = plan.request, plan.minutes_plan
        if planned is not None and planned.best.run.text.pilot is None:
            # Every setting as shown; the preparation trains the pilot, which says what to expect, and when the run ends.
            request = msgspec.structs.replace(request, preset=AUTO, minutes=planned.minutes, steps=None)
        self._make(request)

    @on(RunForm.Changed)
    def _settings_changed(self) -> None:
        self._preparation_problem = None
        self.plan_again()
        self._counting.start(SECONDS_BEFORE_COUNTING, self._count)

    def plan_again(self) -> Plan:
        form, base = self.form, self.base
        request, _ = parse_settings(form.settings, self._text)
        text = replace(self._text, pilot=self._pilots.get(_text_key(request)) if base is None else None)
        times = dict(TIMES.known(home())) | {key: times[0] for key, times in self._step_seconds.items() if times}
        plan = make_plan(form.settings, text, self._machine, self._hidden, base, times, OUTCOMES.known(home()))
        run, step_seconds = plan.run, self.known_step_seconds(plan)
        form.defaults = defaults(form.settings, self._text, self._machine, run, base)
        form.query_one("#form-model", Static).update("" if run is None else model_picture(run))
        form.reasons = {} if run is None else run.reasons
        name = self._text_name + " (built in)" * (self.is_suggested and is_builtin(self._text.source))
        form.text = describe_text(self._text if run is None or plan.minutes_plan is None else run.text, name)
        form.text += " · 2 changes it" if self.is_suggested else ""
        form.cost = () if run is None else self._cost(run, plan.minutes_plan, step_seconds)
        first = (problem for problem in (self._preparation_problem, self._text_problem) if problem)
        form.problems = tuple((name, without_options(words)) for name, words in (*first, *plan.problems.items()))
        self._shown, self._planned_for = plan, self._asked()
        return plan

    def _cost(self, run: ResolvedRun, planned: MinutesPlan | None, step_seconds: tuple[float, ...]) -> tuple[Fact, ...]:
        timing = self.is_timing and not step_seconds
        if planned is None:
            cost = run_cost(run, self.runs, self._machine, step_seconds, is_timing=timing)
            if self.base is None:
                return cost
            return fine_tuning_facts(self.base, run.train.optimizer, run.train.lr, is_default_lr=not self.form.settings.lr) + cost
        best = planned.best
        cost = run_cost(run, self.runs, self._machine, step_seconds or (best.step_seconds,), is_timing=timing, steps=best.steps)
        is_sure = best.is_measured and best.run.text.pilot is not None  # which may end it early
        unknown = ("time",) if is_sure else ("time", "in all")
        return (*plan_facts(planned), *self._change(planned), *(fact for fact in cost if fact[0] not in unknown))

    def _asked(self) -> tuple[Settings, TextSize, str]:
        """Everything about a plan that the user decides; what is counted and measured in the text is not."""
        text = TextSize(self._text.source, self._text.encoding, self._text.bytes)
        return self.form.settings, text, str(self.base.path) if self.base is not None else ""

    def _change(self, planned: MinutesPlan) -> tuple[tuple[str, str], ...]:
        """A word on a plan that has become another, though the user has changed nothing: its steps have been timed meanwhile."""
        before = self._shown.minutes_plan if self._shown is not None and self._planned_for == self._asked() else None
        now = shape_in_words(planned.best.run.model)
        if before is None:
            self._was = ""
        elif (shape := shape_in_words(before.best.run.model)) != now:
            self._was = shape
        words = f"from {self._was} to {now}, by what was measured here meanwhile"
        return (("changed", words),) if self._was not in ("", now) else ()

    on_show = plan_again

    def watch_runs(self, before: tuple[RunSummary, ...], after: tuple[RunSummary, ...]) -> None:
        """Plan again where a run has begun or ended: its speed is known, and the machine is busy or free."""
        was_active, is_active = ({run.name for run in runs if run.is_active} for runs in (before, after))
        if was_active != is_active and not self.preparing and self.is_on_screen:
            self.plan_again()

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

    on_hide = cancel_timing

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

    def _count_anew(self) -> None:
        """Plan without the number of tokens, and count even what was counted last: its answer is not kept."""
        if self.is_on_screen:  # else it is planned as soon as it is shown
            self.plan_again()
        self.workers.cancel_group(self, "count")
        self.workers.cancel_group(self, "search")
        self._counted = None
        self._count()

    def _count(self) -> None:
        settings = self.form.settings
        vocab = settings.vocab or defaults(settings, self._text, self._machine, base=self.base)["vocab"]
        request, problems = parse_settings(settings, self._text)
        if {"clean", "val_share", "split_seed"} & problems.keys():
            return  # the field is marked as wrong
        base = self.base.path if self.base is not None else None
        text = SplitRequest(self._text.source, self._text.encoding, request.clean, request.holdout, low_priority=True)
        key = CountKey(text, settings.tokenizer, vocab, base)
        if key != self._counted and vocab.isdecimal() and "vocab" not in dict(self.form.problems):
            self._counted = key
            self._count_tokens(key)

    @latest("count")
    async def _count_tokens(self, key: CountKey) -> None:
        self.workers.cancel_group(self, "search")
        self.query_one("#form-ends", Static).update("")
        text, name, problem = await in_thread(count_text, key)
        first_time = self._text.bytes is None
        self._text, self._text_name, self._text_problem = text, name, problem
        if self.is_on_screen:
            self.plan_again()
        if problem is None:
            self._search(key)
        if first_time:
            self.call_next(self._count)  # a short text has a smaller vocabulary by default than was assumed

    @latest("search")
    async def _search(self, key: CountKey) -> None:
        try:
            await asyncio.sleep(SECONDS_BEFORE_COUNTING)
            await self.opened.wait()
            split = await still_wanted(run_split_process(key.text, lambda done, total: None))
            self._text = replace(self._text, copied=split.copied)
            self.query_one("#form-ends", Static).update(text_ends(split))
        except UserError as error:
            self._text_problem = ("validation" if key.text.holdout.source else "", str(error))
        self.plan_again()

    @work(group="make", exclusive=True, exit_on_error=True)
    async def _make(self, request: RunRequest) -> None:
        last, stage = 0.0, ""

        def report(progress: PrepareProgress) -> None:
            nonlocal last, stage
            if self._cancel.is_set():
                raise CancelledError
            if progress.stage != stage or time.monotonic() - last > SECONDS_BETWEEN_PROGRESS:
                last, stage = time.monotonic(), progress.stage
                self.call_later(self._show_progress, progress)

        def waiting() -> None:
            report(PrepareProgress("encoding", "starting the trainer", 0.0))

        def make() -> str:
            run = prepare_run(request, report)
            try:
                waiting()
                start_trainer(run, waiting=waiting)
            except CancelledError:
                delete_run(run)
                raise
            return run.name

        try:
            name = await in_thread(make)
        except CancelledError:
            self._refuse("The preparation was cancelled; there is no new run.")
        except UserError as error:
            self._refuse(str(error))
        else:
            self.preparing, self._kept = False, self.form.settings
            self.post_message(self.Begun(name))

    def _show_progress(self, progress: PrepareProgress) -> None:
        preparation = self.query_one(Preparation)
        before = [stage for stage in preparation.stages if stage[0] != progress.words]
        preparation.stages = (*before, (progress.words, progress.fraction))

    def _refuse(self, sentence: str) -> None:
        self.preparing = False
        self._preparation_problem = ("", sentence)
        self.plan_again()
        if self.screen.focused is None and self.display:
            self.form.focus_start()
