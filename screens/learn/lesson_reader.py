"""Lesson reader: one step of a lesson at a time, its text above, its live widget below; and the live widgets by name."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile

from rich.cells import cell_len
from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.message import Message
from textual.reactive import var
from textual.widgets import Input, Markdown

from lab.core.errors import UserError
from lab.core.number_format import counted, whole
from lab.exercises.exercise import now_write
from lab.lessons.lesson import Lesson, LessonStep, Live
from lab.lessons.translation import languages, own_words
from screens.about_key import About, described
from screens.action_index import with_keys
from screens.learn.chat_page import ChatWidget
from screens.learn.learn_page import LearnEngine, ReadingBox, run_in_words
from screens.learn.live.computed_views import ExperimentWidget, OneStepWidget, StageWidget
from screens.learn.live.draw_widgets import DrawAttention, DrawLoss
from screens.learn.live.engine_view import PlaceView
from screens.learn.live.guess_widgets import MeasuredGuess, NextTokenGuess
from screens.learn.live.live_widget import LiveWidget, ModelAtHand
from screens.learn.live.posttraining_widget import PosttrainingWidget
from screens.learn.live.scaling_widget import ScalingWidget
from screens.learn.live.study_widget import ChooseWidget, RecordedGuess, StudyWidget
from screens.learn.live.text_widgets import FunnelWidget, MergesWidget
from screens.learn.live.typed_numbers import SoftmaxEditor, ThreeWeightsWidget
from screens.messages import ModeChosen, OpenState
from screens.widgets.status_line import StatusLine
from screens.widgets.top_bars import MODES

GO_ON = "space goes on"
SECONDS_AT_REST = 0.1
"""Delay until the steps to come are laid out, too: it takes longer than a key may."""
BORDER = 6
"""Cells of a border beside its title."""
MODE_LINK = "mode:"
MODE_KEY = re.compile(r"\b(press|in) `([1-6])`", re.IGNORECASE)
TRIES = "|".join(own_words(code).get("**Try:**", "**Try").strip("*") for code in languages())
KEYS_ACT = r"(^|(?<=[.\n]\s)){key:(?!learn)[^}]*}({[^}]*}|[^.{])*\."
TRY = re.compile(rf"(?s)\*\*({TRIES}|Predict first|Before you).*?(?=\n\n|\Z)|{KEYS_ACT}")
"""What keys do while a step is read: to the end of the paragraph, or a sentence that begins with a key."""
LEAST_ROWS = 12
"""Rows that the live view of a step to come needs, to be shown below the one before it."""
QUESTIONS = ("facts", "path", "live")
"""Keys of what live widgets ask the engine: an answer to one of a step that was left would ask on."""


LIVE_WIDGETS: Mapping[str, type[LiveWidget]] = {
    "stage": StageWidget,
    "experiment": ExperimentWidget,
    "softmax": SoftmaxEditor,
    "posttraining": PosttrainingWidget,
    "predict-next-token": NextTokenGuess,
    "predict-experiment": MeasuredGuess,
    "predict-recorded": RecordedGuess,
    "scaling": ScalingWidget,
    "funnel": FunnelWidget,
    "merges": MergesWidget,
    "three-weights": ThreeWeightsWidget,
    "one-step": OneStepWidget,
    "study": StudyWidget,
    "predict-study": RecordedGuess,
    "choose-study": ChooseWidget,
    "draw-attention": DrawAttention,
    "draw-loss": DrawLoss,
    "chat": ChatWidget,
}
"""By the name that a lesson gives them. To add one, write its class and a line here."""


def asks_guess(step: LessonStep) -> bool:
    """True for a step that asks for a guess: what is shown after it may tell the answer."""
    return step.live is not None and LIVE_WIDGETS.get(step.live.widget, LiveWidget).ASKS_GUESS


def live_widget(live: Live, engine: LearnEngine) -> LiveWidget:
    """The widget that a step of a lesson names. Raises: UserError if there is none, or it does not have these options."""
    kind = LIVE_WIDGETS.get(live.widget)
    if kind is None:
        raise UserError(f"There is no live widget called {live.widget}; there are {', '.join(LIVE_WIDGETS)}.")
    widget = kind(live.options, engine)
    widget.own_words = live.words
    return widget


class LessonText(ReadingBox):
    """The text of a step."""

    further: var[str] = var(GO_ON)


class LessonReader(Vertical):
    """Shows `lesson` at `step`; without a model, only its text."""

    PARTS = (LessonText,)
    BINDINGS = described(
        Binding("space", "step(1)", "Go on", id="lesson.next", key_display="space", tooltip="The next step, or lesson"),
        About("Lessons", words="step of the lesson", also=("lesson.previous",), place=1),
        Binding("backspace", "step(-1)", "Back", id="lesson.previous", tooltip="The step before"),
        Binding("i", "open", "Inspect", id="lesson.open", tooltip="Inspect this: the full screen with the same state"),
        About("Lessons", place=2, synonyms="open whole mode"),
        Binding("j,down", "scroll_text(1)", "Scroll", id="lesson.down", show=False, tooltip="Scroll the text down"),
        Binding("k,up", "scroll_text(-1)", "Up", id="lesson.up", show=False, tooltip="Scroll the text up"),
        Binding("z", "enlarge", "Enlarge", id="lesson.enlarge", tooltip="The live view alone, or with its text and the lessons"),
        About("Lessons", place=3),
    )

    step: var[int] = var(0)
    """0-based step in view."""
    live_only: var[bool] = var(False)
    """True: the live view is shown alone, without its text."""

    @dataclass
    class StepShown(Message):
        """A step is being read."""

        lesson: Lesson
        step: int
        is_open: bool
        """True while its guess is not made."""

    @dataclass
    class Ended(Message):
        """The user went on after the last step, or back before the first (`by` −1)."""

        by: int

    def __init__(self, engine: LearnEngine) -> None:
        super().__init__()
        self._engine = engine
        self.lesson: Lesson | None = None
        self.after = ""
        """Words on what comes after the lesson."""
        self.left: list[int] = []
        """The 0-based steps that are left until the lesson is done."""
        self.live: LiveWidget | None = None
        self._speaker: LiveWidget | None = None
        """The live widget whose sentences are shown, also while it is being mounted; one that was left may still say some."""
        self._model: ModelAtHand | None = None
        self._is_preview = True
        self._is_laying_out = False

    def compose(self) -> ComposeResult:
        with LessonText(id="learn-lesson"):
            yield Markdown(id="learn-text", open_links=False)
        yield Vertical(id="lesson-live")
        yield StatusLine(most_lines=3, id="lesson-status")

    @property
    def is_settled(self) -> bool:
        return not self._is_laying_out and (self.live is None or self.live.is_settled)

    def show(self, lesson: Lesson, step: int, *, is_preview: bool = False) -> None:
        """Show this step of a lesson; its live widget or its text takes the keys.

        `is_preview`: its text and that of the steps after it, with their live views beside them on a large screen, and the keys
        stay where they are. Guesses to come, and what comes after them in the live views, wait until they are read.
        """
        self.lesson, self._is_preview = lesson, is_preview
        self.set_reactive(LessonReader.step, max(0, min(step, len(lesson.steps) - 1)))
        self._is_laying_out = True
        self._lay_out()

    def show_model(self, model: ModelAtHand) -> None:
        """Compute on this model from now on."""
        self._model = model
        if len(self.query(LiveWidget)) > 1:
            self._lay_out()
        elif self.live is not None and self.live.is_mounted:
            self._give_model(self.live)

    def on_mount(self) -> None:
        self.watch(self.app, "runs", self._name_model, init=False)

    def _give_model(self, live: LiveWidget) -> None:
        if self._model is not None:
            own = live.options
            live.show_model(ModelAtHand(own.get("run", self._model.run), own.get("prompt", self._model.prompt)))
            self._name_model()

    def _name_model(self) -> None:
        """The run below the text, and the step of its weights once that is known; for one that is not the learner's, that."""
        words, live, is_chosen = "", self.live, True
        if live is not None and live.USES_MODEL and self._model is not None:
            asked, fixed = self._model.run, live.options.get("run", "")
            words = run = live.stand_in or fixed or asked
            if live.stand_in:
                words += f", not {fixed or asked}"
            elif fixed:
                words += ", fixed here"
            elif (words := run_in_words(run, live.lab)) == run and live.weights_step is not None:
                words += f", step {whole(live.weights_step)}"
            is_chosen = not fixed
        for text in self.query(LessonText):  # it goes first where the lab is closed
            text.is_chosen, text.model = is_chosen, words

    @work(exclusive=True, group="lesson")
    async def _lay_out(self) -> None:
        """Lay out the step; while a key is held, only the last one."""
        assert self.lesson is not None
        lesson, step = self.lesson, self.lesson.steps[self.step]
        text, box = self.query_one(LessonText), self.query_one("#lesson-live")
        text.border_title = Text(self._title(self.size.width - BORDER))
        self._speaker = None
        self.query_one(StatusLine).say("")
        for question in QUESTIONS:
            self._engine.forget(question)
        text.model = ""
        await box.remove_children()
        self.live = None
        markdown = self.query_one(Markdown)
        end = now_write(lesson.name) if step is lesson.steps[-1] else ""
        await markdown.update(lesson_markdown(step.text + end, self._is_preview))
        text.scroll_home(animate=False)
        if self._is_preview and not self.screen.has_class("-narrow"):
            await asyncio.sleep(SECONDS_AT_REST)
            ahead = (f"\n\n### {each.title}\n\n{each.text}" for each in lesson.steps[self.step + 1 :] if not asks_guess(each))
            await markdown.update(lesson_markdown(step.text + "".join(ahead), True))  # append would cut a paragraph
        live = self._live_of(step) if not self._is_preview or self.screen.has_class("-large") else None
        self.set_class(live is None, "-text-only")
        self.set_class(self._is_preview and live is not None, "-beside")
        if live is not None:
            live.lesson = lesson.name
            self._speaker = live
            await box.mount(live)
            self.live = live
            self._give_model(live)
        self._is_laying_out = False
        self.live_only = self.live_only and live is not None
        self._tell_key()
        if not self._is_preview:
            self.take_focus()
            self.post_message(self.StepShown(lesson, self.step, live is not None and asks_guess(step)))
        self.refresh_bindings()
        if self._is_preview:
            await self._show_views_ahead(lesson)

    def _live_of(self, step: LessonStep) -> LiveWidget | None:
        """The live widget of a step; None if it has none, or a wrong one, which the status line tells."""
        try:
            return live_widget(step.live, self._engine) if step.live is not None else None
        except UserError as error:
            self.query_one(StatusLine).say(str(error), error=True)
            return None

    async def _show_views_ahead(self, lesson: Lesson) -> None:
        """Show the live views of the next steps below that of this one, each once the one before is there, until a guess."""
        last = self.live
        for step in takewhile(lambda each: not asks_guess(each), lesson.steps[self.step :]):
            live = self._live_of(step)
            if not isinstance(live, PlaceView) or not isinstance(last, PlaceView) or live.options == last.options:
                continue
            while not (last.is_settled and last.size.height):  # on a busy machine the answer may come before the layout
                await asyncio.sleep(SECONDS_AT_REST)
            spare = last.view.window - last.view.laid.height
            if last.view.view is None or spare < LEAST_ROWS:
                return
            last.styles.height = last.size.height - spare
            live.heading = step.title
            await self.query_one("#lesson-live").mount(live)
            self._give_model(live)
            last = live

    def _title(self, width: int) -> str:
        """Number and title of the lesson, the step, and its title; without the lesson's title where not all fits."""
        assert self.lesson is not None
        lesson, step, count = self.lesson, self.lesson.steps[self.step], len(self.lesson.steps)
        place = "" if count == 1 else f"{count} steps" if self._is_preview else f"step {self.step + 1}/{count}"
        whole = " · ".join(filter(None, (f"{lesson.number}. {lesson.title}", place, step.title)))
        if not step.title or cell_len(whole) <= width:
            return whole
        return " · ".join(filter(None, (f"{lesson.number}. {step.title}", place)))

    @on(LiveWidget.Answered)
    def _guess_made(self, message: LiveWidget.Answered) -> None:
        if message.widget is self.live and self.lesson is not None and not self._is_preview:
            self.post_message(self.StepShown(self.lesson, self.step, False))

    def tell_left(self, left: list[int]) -> None:
        """Say at the last step which ones are left."""
        self.left = left
        self._tell_key()

    @on(events.DescendantFocus)
    @on(events.DescendantBlur)
    def _tell_key(self) -> None:
        """In a field, the key that goes on is typed."""
        is_last = self.lesson is not None and self.step == len(self.lesson.steps) - 1
        left = counted(len(self.left), "step") if len(self.left) > 1 else f"step {self.left[0] + 1}" if self.left else ""
        done = f"not done: {left}" if left else "✓ done"
        words = "enter reads it" if self._is_preview else f"{done} · space {self.after}" if is_last else GO_ON
        for text in self.query(LessonText):  # it goes first where the lab is closed while a step is laid out
            text.further = "" if isinstance(self.screen.focused, Input) else words

    def on_resize(self) -> None:
        """Show the steps to come, too, once there is room beside the list."""
        if self.lesson is not None and self._is_preview:
            self._lay_out()

    def take_focus(self) -> None:
        """Focus the live widget where it wants the keys, else the text."""
        if self.live is None or not self.live.take_focus():
            self.query_one(LessonText).focus()

    def leave(self) -> bool:
        """Leave an inner place of the live widget, or show its text again. False if there is none of both."""
        if self.live is not None and self.live.leave():
            return True
        was_alone, self.live_only = self.live_only, False
        return was_alone

    def action_step(self, by: int) -> None:
        if self.lesson is None:
            return
        to = self.step + by * (not self._is_preview)
        if 0 <= to < len(self.lesson.steps):
            self.show(self.lesson, to)
        else:
            self.post_message(self.Ended(by))

    def action_open(self) -> None:
        state = self.live.full_screen() if self.live is not None else None
        if state is not None:
            self.post_message(OpenState(state))

    def action_scroll_text(self, by: int) -> None:
        """Scroll the text while the live widget has the focus and does not use the key."""
        self.query_one(LessonText).scroll_relative(y=by, animate=False)

    def action_enlarge(self) -> None:
        self.live_only = not self.live_only

    def watch_live_only(self, live_only: bool) -> None:
        self.set_class(live_only, "-live-only")
        if live_only and self.query_one(LessonText).has_focus:
            self.take_focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "open":
            return self.live is not None and self.live.full_screen() is not None
        return action != "enlarge" or self.live is not None

    @on(LiveWidget.Said)
    def _say(self, message: LiveWidget.Said) -> None:
        if message.widget is self._speaker or (message.is_error and self._is_preview and message.widget.is_attached):
            self.query_one(StatusLine).say(message.words, error=message.is_error)
            self._name_model()
            self.refresh_bindings()

    @on(Markdown.LinkClicked)
    def _open_mode(self, event: Markdown.LinkClicked) -> None:
        mode = event.href.removeprefix(MODE_LINK)
        if mode in MODES:
            self.post_message(ModeChosen(mode))


def lesson_markdown(text: str, is_preview: bool = False) -> str:
    """The lesson with its keys named, and "press `5`" as a link to that mode; a preview leaves out what keys do in a step."""
    text = TRY.sub("", text) if is_preview else text
    return MODE_KEY.sub(lambda found: f"[{found[0]}]({MODE_LINK}{MODES[int(found[2]) - 1]})", with_keys(text))
