"""The page of the lessons: their list with the progress through each, and the lesson being read."""

from __future__ import annotations

from threading import Lock

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from lab.core.errors import UserError
from lab.lessons.guess_score import read_predictions, score_of, sure_and_wrong
from lab.lessons.learner_progress import Progress, read_progress, write_progress
from lab.lessons.lesson import Lesson, lessons_and_problems
from lab.lessons.quiz import quiz, results_of
from lab.runs.home_folder import home
from lab.views.screen_state import ScreenState
from screens.about_key import About, described, keyless
from screens.background import in_thread, is_working, latest
from screens.learn.learn_page import ReadingPage
from screens.learn.lesson_reader import LessonReader, LessonText, asks_guess
from screens.learn.live.computed_views import ExperimentWidget, OneStepWidget, StageWidget
from screens.learn.live.draw_widgets import DrawWidget
from screens.learn.live.guess_widgets import NextTokenGuess
from screens.learn.live.live_widget import model_of
from screens.learn.live.posttraining_widget import PosttrainingWidget
from screens.learn.live.scaling_widget import ScalingWidget
from screens.learn.live.study_widget import ChooseWidget, StudyWidget
from screens.learn.live.text_widgets import FunnelWidget, MergesWidget
from screens.learn.live.typed_numbers import ThreeWeightsWidget
from screens.widgets.guess_view import GuessView
from screens.widgets.text_fitting import fit
from screens.widgets.top_bars import PageLink


class LessonList(OptionList):
    """The lessons, with a mark for those done and the step reached in those begun."""

    BORDER_TITLE = "lessons"
    HELP = "**The lessons.** Each goes on where you left it."
    BINDINGS = described(
        Binding("j", "cursor_down", "Lesson", id="lessons.next", key_display="j/k", tooltip="The next lesson"),
        About("Lessons", words="another lesson; enter reads it", also=("lessons.previous", "lessons.read"), place=-1),
        Binding("k", "cursor_up", "Previous", id="lessons.previous", show=False, tooltip="The previous lesson"),
        keyless("first", "lessons.first", "The first lesson", "First"),
        keyless("last", "lessons.last", "The last lesson", "Last"),
        Binding("right,l,space", "select", "Read", id="lessons.read", key_display="enter", tooltip="Read the lesson"),
    )


class LessonsPage(ReadingPage):
    """Narrow screens show the list or the lesson, wide ones both."""

    LINK = PageLink("lessons", "lessons")
    LIST, TEXT = "#learn-list", "#learn-lesson"
    PARTS = (
        *(LessonList, LessonReader, LessonText),
        *(StageWidget, ExperimentWidget, ThreeWeightsWidget, OneStepWidget),
        *(NextTokenGuess, DrawWidget, PosttrainingWidget, ScalingWidget, FunnelWidget, MergesWidget, StudyWidget),
        ChooseWidget,
    )

    BINDINGS = [
        Binding("a", "guess_again", "Guess again", id="lessons.again", tooltip="A guess that you were sure of and wrong about"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._again: list[Lesson] = []
        """The lessons with a guess that the learner was sure of and wrong about, the oldest guess first."""
        self.lessons, self._problems = lessons_and_problems()
        self._progress: Progress | None = None
        self._kept: Progress | None = None
        """The progress that was last read or written."""
        self._writing = Lock()
        self._opens: tuple[str, int] | None = None
        """A lesson and step to open once the progress has been read."""

    def compose(self) -> ComposeResult:
        with Horizontal():
            with Vertical(id="learn-list-column"):
                yield LessonList(*(Option(_line(" ", each), each.name) for each in self.lessons), id="learn-list")
                yield Static(id="learn-score")
            yield LessonReader(self.engine)

    @property
    def reader(self) -> LessonReader:
        return self.query_one(LessonReader)

    @property
    def list(self) -> LessonList:
        return self.query_one(LessonList)

    @property
    def is_settled(self) -> bool:
        return self._progress is not None and self.reader.is_settled and not is_working(self, "score")

    def on_mount(self) -> None:
        self._read_progress()
        self.watch(self, "run", self._follow_run)
        self.watch(self.reader, "live_only", self._make_room)
        self.watch(self.app, "language", self._follow_language, init=False)

    def on_resize(self) -> None:
        if self._progress is not None:
            self._mark_all()

    def screen_resumed(self) -> None:
        if self._progress is not None and self._progress is self._kept:
            self._read_progress()  # another lab may have kept more
        self._read_score()  # guesses may have been made in Inspect

    def watch_is_shown(self, is_shown: bool) -> None:
        if is_shown:
            self._read_score()

    @on(GuessView.Scored)
    @latest("score")
    async def _read_score(self) -> None:
        predictions, _ = await in_thread(read_predictions, home())
        rounds = len(results_of(predictions, await in_thread(quiz)).complete)
        is_done = self._progress is not None and all(self._progress.of(each.name).is_done for each in self.lessons)
        first = (
            "take the quiz first: press [" if not rounds else "take the quiz again: press [" if rounds == 1 and is_done else ""
        )
        self.list.border_title = " · ".join(filter(None, (LessonList.BORDER_TITLE, first)))
        titles = {f"lesson {each.name}": each for each in self.lessons}
        self._again = [titles[each.source] for each in sure_and_wrong(predictions) if each.source in titles]
        words = score_of(predictions).text
        if self._again:
            numbers = ", ".join(dict.fromkeys(f"{each.number}" for each in self._again))
            words += f"\nsure and wrong: a guess again in lesson {numbers} · a"
        line = self.query_one("#learn-score", Static)
        line.update(Text(words))
        line.set_class(bool(words), "-known")
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "guess_again" or (bool(self._again) and not self.has_class("-reading"))

    def action_guess_again(self) -> None:
        """Open the lesson of the oldest guess that was sure and wrong, at its guess."""
        lesson = self._again[0]
        self._open(lesson.name, next(at for at, step in enumerate(lesson.steps) if asks_guess(step)))

    @latest("read progress")
    async def _read_progress(self) -> None:
        known = self._progress
        progress, unread = await in_thread(read_progress, home())
        if self._progress is not known:
            return  # a step was read meanwhile
        if known is not None:
            if not unread and progress != known:
                self._progress = self._kept = progress
                self._mark_all()
                self._preview(self.list.highlighted or 0)
            return
        self._progress = self._kept = progress
        for problem in filter(None, (unread, *self._problems)):
            self.notify(problem, severity="warning", markup=False)
        self._mark_all()
        if self._opens is not None:
            self._open(*self._opens)
        else:
            self.list.highlighted = self._next_lesson(progress)
            self._preview(self.list.highlighted)

    def _next_lesson(self, progress: Progress) -> int:
        """Index of the lesson to read on with; that of the last one read where all are done."""
        names = [each.name for each in self.lessons]
        name = progress.ahead(names) or progress.last
        return names.index(name) if name in names else 0

    def _make_room(self, live_only: bool) -> None:
        self.set_class(live_only, "-live-only")

    @latest("model")
    async def _follow_run(self, name: str) -> None:
        self.reader.show_model(await in_thread(model_of, name))

    def _follow_language(self) -> None:
        """Show the lessons in the language in use, at the step that is being read."""
        self.lessons, self._problems = lessons_and_problems()
        self._read_score()
        if self._progress is not None and self.list.highlighted is not None:
            self._mark_all()
            is_preview = not self.has_class("-reading")
            self.reader.show(self.lessons[self.list.highlighted], self.reader.step, is_preview=is_preview)

    def _mark_all(self) -> None:
        assert self._progress is not None
        for at, lesson in enumerate(self.lessons):
            read = self._progress.of(lesson.name)
            is_begun = lesson.name in self._progress.lessons and not read.is_done
            count = len(lesson.steps)
            finished = len(read.finished) if read.finished else min(read.step + 1, count)
            reached = f"  {finished}/{count}" if is_begun else ""
            line = _line("✓" if read.is_done else " ", lesson, reached)
            if self.size.height > 2 * len(self.lessons) + 4:  # room for a line on what is in each
                outline = " · ".join(step.title for step in lesson.steps if step.title and not asks_guess(step))
                line.append(f"\n     {fit(outline, 34)}", "dim")
            self.list.replace_option_prompt_at_index(at, line)
        done = sum(self._progress.of(each.name).is_done for each in self.lessons)
        self.list.border_subtitle = f"{done} of {len(self.lessons)} done"

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        self._preview(event.option_index)

    def _preview(self, at: int) -> None:
        """Show the lesson beside the list, at the step that it was left at."""
        if self._progress is not None and not self.has_class("-reading"):
            self.reader.show(self.lessons[at], self._place_in(self.lessons[at]), is_preview=True)

    def _place_in(self, lesson: Lesson) -> int:
        """The step to read on at: behind the last one the first that is left, or that of a lesson that begins anew."""
        assert self._progress is not None
        read = self._progress.of(lesson.name)
        left = [step for step in read.left(len(lesson.steps)) if read.finished]
        return next(iter(left), 0) if read.step == len(lesson.steps) - 1 else read.step

    @on(OptionList.OptionSelected)
    def _read(self, event: OptionList.OptionSelected) -> None:
        if self._progress is not None:
            lesson = self.lessons[event.option_index]
            self._open(lesson.name, self._place_in(lesson))

    def _open(self, name: str, step: int) -> None:
        self._opens = None
        at = next((at for at, lesson in enumerate(self.lessons) if lesson.name == name), None)
        if at is not None:
            self.add_class("-reading")
            self.list.highlighted = at
            is_last = at == len(self.lessons) - 1
            self.reader.after = "ends, [ asks the quiz" if is_last else f"opens lesson {self.lessons[at + 1].number}"
            self.reader.show(self.lessons[at], step)

    @on(LessonReader.StepShown)
    def _keep_progress(self, message: LessonReader.StepShown) -> None:
        if self._progress is None:
            return
        self.add_class("-reading")
        lesson, steps = message.lesson, len(message.lesson.steps)
        progress = self._progress.at(lesson.name, message.step, steps, is_open=message.is_open)
        self.reader.tell_left(progress.of(lesson.name).left(steps))
        if progress != self._progress:
            self._progress = progress
            self._mark_all()
            self._write_progress(lesson.name)

    @work(thread=True, group="progress", exit_on_error=True)
    def _write_progress(self, lesson: str) -> None:
        def warn(words: str) -> None:
            self.app.call_from_thread(self.notify, words, severity="warning", markup=False)

        try:
            with self._writing:
                assert self._progress is not None
                newest = self._progress
                write_progress(home(), newest, lesson, warn)
                self._kept = newest
        except UserError as error:
            warn(str(error))

    @on(LessonReader.Ended)
    def _turn_lesson(self, message: LessonReader.Ended) -> None:
        names = [each.name for each in self.lessons]
        if self.reader.lesson is None:
            return
        at = names.index(self.reader.lesson.name) + message.by
        if 0 <= at < len(names):
            self._open(names[at], len(self.lessons[at].steps) - 1 if message.by < 0 else 0)
        else:
            self.close_reading()

    def resting_focus(self) -> str | None:
        live = self.reader.live if self.has_class("-reading") else None
        return (live.REST if live is not None else "") or super().resting_focus()

    def screen_state(self) -> ScreenState:
        lesson = self.reader.lesson
        name = lesson.name if lesson is not None else ""
        return ScreenState(mode="learn", page=self.LINK.name, run=self.run, lesson=name, step=self.reader.step)

    def restore_state(self, state: ScreenState) -> None:
        if state.lesson:
            self._opens = (state.lesson, state.step or 0)
            if self._progress is not None:
                self._open(*self._opens)


def _line(mark: str, lesson: Lesson, reached: str = "") -> Text:
    return Text(f"{mark} {lesson.number}. {lesson.title}{reached}")
