"""Learn: the pages of lessons, checked claims, notes, a chat, exercises and the quiz."""

from __future__ import annotations

from typing import cast

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.reactive import var
from textual.widget import Widget

from lab.views.screen_state import ScreenState
from screens.base_screen import PagedScreen, page_bindings, turn_bindings
from screens.dialogs.ask import RunChooser
from screens.engine_client import Engine
from screens.learn.chat_page import ChatPage
from screens.learn.claims_page import ClaimsPage
from screens.learn.learn_page import LearnEngine, LearnPage
from screens.learn.lessons_page import LessonsPage
from screens.learn.notes_page import NotesPage
from screens.learn.quiz_page import QuizPage
from screens.learn.write_page import WritePage
from screens.widgets.line_scroll_view import LineScrollView

DEMO = "demo"


class LearnScreen(PagedScreen):
    """One page at a time, all over one engine."""

    MODE = "learn"
    STYLES = ("lab.tcss", "learn.tcss")
    PAGES = (LessonsPage, ClaimsPage, NotesPage, ChatPage, WritePage, QuizPage)
    HEADINGS = ("Lessons", "Live view")
    HELP = "How a GPT is made and run, a step at a time: short lessons, each computed on a real model."
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide"), (160, "-large")]
    BINDINGS = [
        *page_bindings("learn", PAGES),
        *turn_bindings("learn"),
        Binding("m", "model", "Model", id="learn.model", show=False, tooltip="Choose the model that the lessons compute on"),
        Binding("pagedown,ctrl+d", "leaf(1)", "Page down", id="learn.page_down", show=False, tooltip="Scroll the picture down"),
        Binding("pageup,ctrl+u", "leaf(-1)", "Page up", id="learn.page_up", show=False, tooltip="Scroll the picture up"),
    ]

    page: var[str] = var(LessonsPage.LINK.name)
    model: var[str] = var(DEMO)
    """The run that lessons and claims compute on, whatever the other modes show."""

    def __init__(self, engine: Engine | None = None, model: str = DEMO) -> None:
        super().__init__()
        self.set_reactive(LearnScreen.model, model)
        self._engine = LearnEngine(engine or self.lab.shared_engine())

    def compose_body(self) -> ComposeResult:
        yield self.page_bar()
        for page_class in self.PAGES:
            page = page_class()
            page.engine = self._engine
            page.run = self.model
            yield page

    @property
    def current(self) -> LearnPage:
        return cast(LearnPage, super().current)

    @property
    def is_settled(self) -> bool:
        """True if everything asked for has been answered."""
        return self.is_mounted and self.current.is_settled and self._engine.is_idle

    def on_mount(self) -> None:
        self.show_page()
        self.current.take_focus()
        self.lab.release_run.append(self._engine.release)
        self.watch(self.app, "runs", self._leave_missing_model)

    def _leave_missing_model(self) -> None:
        """Go on with the demo where the chosen run is no longer there; one given by its path is in no list."""
        if self.lab.runs_known and self.model != DEMO and "/" not in self.model and self.lab.run_summary(self.model) is None:
            self.notify(f"{self.model} is gone: lessons go on with {DEMO}; m chooses another.", severity="warning", markup=False)
            self.model = DEMO

    def watch_model(self, model: str) -> None:
        for page in self.query(LearnPage):
            page.run = model

    def on_screen_resume(self) -> None:
        for page in self.query(LearnPage):
            page.screen_resumed()

    async def on_unmount(self) -> None:
        await self._engine.close()

    def action_page(self, name: str) -> None:
        super().action_page(name)
        self.current.take_focus()

    @work(exclusive=True, group="model")
    async def action_model(self) -> None:
        runs = [(run.name, f"{run.text}, {run.phase}") for run in self.lab.runs]
        name = await self.app.push_screen_wait(RunChooser(runs, self.model, title="the model of the lessons"))
        if name:
            self.model = name

    def action_leaf(self, by: int) -> None:
        """Scroll what is in sight by a window: the focused part, else a picture with more lines, else the text."""
        if isinstance(self.focused, LineScrollView | VerticalScroll):
            part: Widget | None = self.focused
        else:
            shown = [
                each for each in self.current.query("LineScrollView, VerticalScroll") if each.size.height and each.is_on_screen
            ]
            part = min(shown, key=lambda one: not isinstance(one, LineScrollView) or one.extent[0] <= one.window, default=None)
        if isinstance(part, LineScrollView):
            part.page(by)
        elif part is not None:
            part.scroll_page_down(animate=False) if by > 0 else part.scroll_page_up(animate=False)

    def watch_page(self) -> None:
        if self.is_mounted:
            self.show_page()

    def screen_state(self) -> ScreenState:
        return self.current.screen_state()

    def restore_state(self, state: ScreenState) -> None:
        self.model = state.run or self.model
        self.current.restore_state(state)
