"""The page of the quiz: its questions one after the other, then the scores before the lessons and after them, with the gain."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding

from lab.core.errors import UserError
from lab.lessons.guess_score import read_predictions
from lab.lessons.lesson import lessons_and_problems
from lab.lessons.quiz import QuizResults, quiz, quiz_view, results_of, source_of
from lab.runs.home_folder import home
from screens.about_key import About, described
from screens.background import in_thread, latest
from screens.blocks.block_view import BlockView
from screens.learn.learn_page import LearnPage
from screens.widgets.guess_view import GuessView
from screens.widgets.top_bars import PageLink


class QuizQuestionView(GuessView):
    """A question of the quiz; the next one follows it in place of its answer."""

    HELP = "**The quiz.** The arrows lead to a choice, `enter` takes it. The answers are shown after the second time."
    TITLE = "quiz"
    BINDINGS = described(
        Binding("enter", "choose", "Answer", id="quiz.choose", tooltip="Answer this, and go on to the next question"),
        Binding("d", "dont_know", "Don't know", id="quiz.dont_know", tooltip="Answer that you don't know, and go on"),
        About(rank=90),
    )

    def action_dont_know(self) -> None:
        if self.state is not None:
            self.action_choose(len(self.state.question.choices) - 1)


class QuizPage(LearnPage):
    """Shows the question of the round that was begun, else the results."""

    LINK = PageLink("quiz", "quiz", "A question on each lesson, before them and after: the gain", "test exam score gain")
    PARTS = (QuizQuestionView,)
    BINDINGS = described(
        Binding("enter", "begin", "Begin", id="quiz.begin", tooltip="Answer all questions; again where you have"),
        About("Lessons", words="begin the quiz"),
        Binding("backspace", "back", "Back", id="quiz.back", tooltip="The question before, to change its answer"),
        About(rank=90),
    )

    def compose(self) -> ComposeResult:
        self.results: QuizResults | None = None
        self._asked: tuple[int, int] | None = None
        """Round and index of the question in view; None while there is none."""
        yield BlockView(id="quiz-results")

    @property
    def is_settled(self) -> bool:
        return not self.is_shown or self.results is not None

    def watch_is_shown(self) -> None:
        if self.is_shown:
            self._read()

    def on_mount(self) -> None:
        self.watch(self.app, "language", self.watch_is_shown, init=False)

    @latest("quiz")
    async def _read(self) -> None:
        try:
            self.results = await in_thread(lambda: results_of(read_predictions(home())[0], quiz()))
        except UserError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        titles = {each.name: f"{each.number}. {each.title}" for each in lessons_and_problems()[0]}
        self.query_one(BlockView).show(quiz_view(self.results, titles))
        await self._ask(self.results.next_question())

    async def _ask(self, place: tuple[int, int] | None) -> None:
        """Ask the question of this round at this index; None for the results."""
        self._asked = place
        self.set_class(place is not None, "-asking")
        if place is None:
            await self.query(GuessView).remove()
        elif self.results is not None:
            number, at = place
            questions = self.results.questions
            if not self.query(GuessView):
                await self.mount(QuizQuestionView(id="quiz-question"))
            before = self.results.rounds.get(number, {}).get(questions[at], 0)
            asked = questions[at].ask(at + 1, len(questions))
            self.query_one(GuessView).show(asked, source_of(number, len(questions)), cursor=before)
        self.refresh_bindings()
        if self.is_shown:
            self.take_focus()

    @on(GuessView.Scored)
    def _answered(self, message: GuessView.Scored) -> None:
        """Go on once the answer is kept; where it could not be, the same question comes again."""
        message.stop()
        self._read()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "back":
            return self._asked is not None and self._asked[1] > 0 and self.query_one(GuessView).is_open
        return action != "begin" or (self.results is not None and not self.has_class("-asking"))

    async def action_begin(self) -> None:
        """Begin a round, or go on with the one that escape has left."""
        assert self.results is not None
        await self._ask(self.results.next_question() or (max(self.results.rounds, default=0) + 1, 0))

    async def action_back(self) -> None:
        """Ask the question before again; its new answer takes the place of the old one, and the quiz goes on where it was."""
        assert self._asked is not None
        number, at = self._asked
        await self._ask((number, at - 1))

    def go_back(self) -> bool:
        """Leave the questions, at escape; the answers that were given are kept."""
        was_asking = self.has_class("-asking")
        if was_asking:
            self.run_worker(self._ask(None), exit_on_error=True)
        return was_asking

    def take_focus(self) -> None:
        self.query_one(GuessView if self.has_class("-asking") else BlockView).focus()

    def resting_focus(self) -> str | None:
        return "#quiz-question" if self.has_class("-asking") else "#quiz-results"
