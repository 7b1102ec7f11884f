"""The app: six modes that stay alive side by side, and the state that they share."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast
from weakref import ref

from textual import events, on, work
from textual.binding import Binding
from textual.driver import Driver
from textual.reactive import Reactive
from textual.screen import Screen

from lab.core.config_file import read_config
from lab.core.errors import UserError
from lab.core.preferences import AnimationSpeed, read_preferences
from lab.core.unfinished_folder import remove_abandoned
from lab.core.visible_text import visible
from lab.lessons.translation import asked_language, language, use_language
from lab.runs.home_folder import home
from screens.about_key import EVERYWHERE, KEYLESS
from screens.app_state import AppState
from screens.background import is_working, return_freed_memory
from screens.base_screen import HoldsWork, LabScreen
from screens.dialogs.theme_picker import DEFAULT_THEME, ThemePicker, default_theme, is_legible, legible_variables
from screens.end_notices import ends_of_runs, going_on, jobs_under_way, terminal_notice
from screens.messages import ActOnRun, Arrived, CompareRuns, FineTune, ModeChosen, OpenState, RunsChanged
from screens.terminal.terminal_cells import forget_cells
from screens.terminal.terminal_driver import KeyQueue, adapt_input, all_handled, write_to_stdout
from screens.terminal.textual_internals import adapt_textual, begin_with_theme, keep_parsed_styles, own_keys, write_beside
from screens.widgets.top_bars import MODES as MODE_NAMES

if TYPE_CHECKING:
    from textual.command import Provider

    from lab.runs.run_summary import RunSummary, RunsWatcher


SECONDS_BETWEEN_READINGS = 1.0
"""Interval of reading the runs from disk; a trainer writes its status about as often."""

WARM_UP = "LLMLAB_WARM_UP"
"""Environment variable that keeps an idle machine from loading PyTorch before Inspect is opened, where it is 0."""

RARE_COLLECTIONS = (10_000, 20, 50)
"""Thresholds of the garbage collection: beside a training a pass over everything takes 125 ms, and by default comes once a
second while keys are pressed; with these none came in two minutes, at the same size of memory."""

SECONDS_OF_PATIENCE = 0.5
"""Longest time that the first keys wait for the runs, which most of Home's keys are about."""

SECONDS_UNTIL_IDLE = 0.4
"""Delay after the first paint before the other screens' modules are imported, so that a first visit does not wait."""

LATER_IMPORTS = (
    *("screens.command_palette", "screens.run_actions", "screens.help_screen", "plotext"),
    *("models.tokenizers.tokenizer", "lab.data.default_prompts", "lab.runs.run_control"),
)
"""Modules that the first use of a key would wait for, imported with the screens' own."""

adapt_textual()


def _screen_of(mode: str) -> Callable[[], Screen[Any]]:
    """A factory that imports a mode's module on the first visit and makes its screen."""

    def make() -> Screen[Any]:
        module = import_module(f"screens.{mode}.{mode}_screen")
        return cast(Screen[Any], getattr(module, f"{mode.title()}Screen")())

    return make


def _commands() -> type[Provider]:
    """The class of the palette's commands, imported when it is opened first."""
    from screens.command_palette import LabCommands

    return LabCommands


class LabApp(AppState):
    """llmlab's terminal interface: shows the modes, keeps the shared state up to date, and handles the screens' messages."""

    TITLE = "llmlab"
    CSS_PATH = Path(__file__).with_name("styles") / "first_paint.tcss"
    COMMANDS = {_commands}
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {mode: _screen_of(mode) for mode in MODE_NAMES}
    DEFAULT_MODE = "home"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (34, "-tall")]
    BINDINGS = EVERYWHERE

    theme: Reactive[str] = Reactive(DEFAULT_THEME)
    """Set on the class: setting it on the app would parse all styles again before the first paint."""

    def __init__(self, run: str = "", text: str = "", *, preload: bool = True, warms_engine: bool = False) -> None:
        """`run` and `text` are chosen from the start; `preload` imports the other screens while the app is idle.

        With `warms_engine`, an idle machine loads PyTorch before Inspect is opened.
        """
        # Textual decides about colour while it is set up: the theme alone would come too late.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        keep_parsed_styles(self)
        self.run_is_chosen = bool(run)
        self.set_reactive(LabApp.run_name, run or "demo")
        self.set_reactive(LabApp.text_source, text)
        self._preload, self._warms_engine = preload, warms_engine
        self._watcher: RunsWatcher | None = None
        self._jobs: dict[Path, str] = {}
        """The long jobs that had a process at the last reading."""
        self._focus_is_reported = False
        """True once the terminal has said whether it is in front; until then a notice too many is better than none."""
        self._keys = KeyQueue(self)
        self._open_screen: Callable[[], Screen[Any] | None] = lambda: None
        """The screen that the last key was handed to."""
        self._quit_question: Screen[Any] | None = None
        """The dialog that was opened last to ask about quitting."""
        self._preferences_problem = ""
        # Read the preferences, and begin with the kept theme where it is legible: the first paint has it.
        preferences, self._preferences_problem = read_preferences(home())
        self.set_reactive(LabApp.preferences, preferences)
        self._config = config = read_config(home())
        own_keys.clear()
        use_language(asked_language(os.environ) or config.settings.get("language", preferences.language))
        self.set_reactive(LabApp.language, language())
        wanted = config.settings.get("theme", preferences.theme)
        chosen = self.available_themes.get(wanted)
        name = wanted if chosen is not None and is_legible(chosen, self) else default_theme(self)
        if name != self.theme:
            begin_with_theme(self, name)

    def get_css_variables(self) -> dict[str, str]:
        self.theme_variables = legible_variables(self, super().get_css_variables())
        return self.theme_variables

    def get_driver_class(self) -> type[Driver]:
        found = super().get_driver_class()
        adapt_input(found)
        return write_to_stdout(found)

    async def on_event(self, event: events.Event) -> None:
        """Hand on one key at a time: one typed right after another goes where that has led."""
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            if not isinstance(event, events.Key) or self.screen_stack:  # else the lab is closing
                await super().on_event(event)
            return
        if self._keys.holds(event) or not self.screen_stack:
            return
        if self.screen is not self._open_screen():
            await all_handled(self.screen)  # it was just shown, and may have neither widgets nor focus yet
            self._open_screen = ref(self.screen)
        target = self.focused or self.screen
        await super().on_event(event)
        self._keys.handed_on(target if event.is_forwarded else self)

    def on_ready(self) -> None:
        """Begin with what the first paint does without: what reads files in threads would hold it up."""
        if not gc.isenabled():  # since the imports, whose results are kept anyway: a full pass takes a quarter less time
            gc.freeze()
            gc.enable()
            gc.set_threshold(*RARE_COLLECTIONS)
        self.take_styles("lab.tcss")
        for problem in filter(None, (self._preferences_problem, *self._config.problems)):
            self.notify(problem, severity="warning", markup=False)
        self.set_keymap(self._config.keys)  # as they stand, until all bindings are known
        self.read_runs()
        self.set_timer(SECONDS_OF_PATIENCE, self._keys.open)
        self.set_interval(SECONDS_BETWEEN_READINGS, self.read_runs)
        if self._preload or self._config.text:
            self.set_timer(SECONDS_UNTIL_IDLE, self._import_screens)

    @work(thread=True, group="import", exclusive=True, exit_on_error=True)
    def _import_screens(self) -> None:
        remove_abandoned(home())
        for mode in MODE_NAMES:
            import_module(f"screens.{mode}.{mode}_screen")
        for module in LATER_IMPORTS:
            import_module(module)
        if self._config.text:
            self.call_from_thread(self._check_keys)
        if self._warms_engine:
            self.call_from_thread(self._warm_engine)

    def _check_keys(self) -> None:
        """Use the user's own keys that can be used, and say which cannot, and which clash."""
        from screens.action_index import all_actions
        from screens.own_keys import checked

        keymap, problems = checked(self._config)
        own_keys.update(keymap)
        all_actions.cache_clear()
        self.set_keymap(keymap)
        for problem in problems:
            self.notify(problem, severity="warning", markup=False)

    def _warm_engine(self) -> None:
        from screens.engine_client import EngineWarmUp

        if self._engine is None:
            self.engine_warm_up = EngineWarmUp(self._is_idle)
            self.run_worker(self.engine_warm_up.run(), group="warm up", exit_on_error=True)

    def _is_idle(self) -> bool:
        """True while no run is known to train here, and Train is not open to start one."""
        return self.runs_known and not self.active_runs() and self.current_mode != "train"

    async def on_unmount(self) -> None:
        self._keys.close()
        if self.engine_warm_up is not None:
            await self.engine_warm_up.end()

    @on(RunsChanged)
    def read_runs(self) -> None:
        """Read the runs now, unless a reading is under way."""
        if not is_working(self, "runs"):
            self._read_runs()

    @work(group="runs")
    async def _read_runs(self) -> None:
        def read() -> tuple[list[RunSummary], dict[Path, str]]:
            from lab.runs.run_summary import RunsWatcher

            if self._watcher is None:
                self._watcher = RunsWatcher()
            return self._watcher.read(), jobs_under_way(home()) if self.preferences.notifications else {}

        token = self.reading_token
        runs, jobs = await asyncio.to_thread(read)
        if token is None or token != self.reading_token:
            return
        if not self.run_is_chosen and runs:
            self.run_is_chosen = True
            own = (run for run in runs if not (run.is_posttrained or run.is_of_scaling))
            self.run_name = next(own, runs[0]).name
        self.runs_known = True
        is_in_front = self._focus_is_reported and self.app_focus
        if self.preferences.notifications and not is_in_front:
            ended_jobs = (f"{self._jobs[job]} ended" for job in self._jobs.keys() - jobs.keys())
            for words in (*ends_of_runs(self.runs, runs), *ended_jobs):
                write_beside(self, terminal_notice(words))
        self.runs, self._jobs = tuple(runs), jobs
        self._keys.open()

    @on(events.AppFocus)
    @on(events.AppBlur)
    def _focus_reported(self) -> None:
        self._focus_is_reported = True

    def delay_update(self, delay: float = 0.0) -> None:
        """Do nothing: Textual would hold the picture for 50 ms while modes change, as long as a key may take here."""

    async def action_mode(self, mode: str) -> None:
        """Show a mode. Keys typed meanwhile wait, and go where the mode wants them."""
        self.opened_from = ""
        while mode == self.current_mode and len(self.screen_stack) > 1:
            self.pop_screen()  # a screen over the mode, such as the comparison of runs
        await self.switch_mode(mode)
        self.screen_stack[0].post_message(Arrived("mode"))

    def action_change_theme(self) -> None:
        """Choose a theme with a live preview, and keep the choice."""
        if not isinstance(self.screen, ThemePicker):
            self.push_screen(ThemePicker())

    def action_note(self) -> None:
        """Ask for a note about the state in view."""
        from screens.dialogs.glossary_dialog import describe_place

        if isinstance(self.screen, LabScreen):
            self._ask_note(describe_place(self.screen.screen_state()))

    def _ask_note(self, place: str, text: str = "", problem: str = "") -> None:
        from screens.dialogs.ask import AskText

        def typed(answer: str | None) -> None:
            if answer and answer.strip():
                self._add_note(place, answer)

        words = "\n".join(filter(None, (problem, place)))
        self.push_screen(AskText("note", visible(words, keep="\n"), draft=text), typed)

    @work(group="note", exit_on_error=True)
    async def _add_note(self, place: str, text: str) -> None:
        """Write the note; where that is impossible, the dialog opens again with what was typed."""
        from lab.lessons.learner_notes import add_note

        try:
            await asyncio.to_thread(add_note, home(), place, text)
        except UserError as error:
            self._ask_note(place, text, str(error))
        else:
            self.notes_version += 1
            self.notify("Written to your notes: 6 Learn shows them.", markup=False)

    def action_glossary(self, query: str = "") -> None:
        """Show the terms that answer a query, or all, those on the screen first."""
        from screens.dialogs.glossary_dialog import GlossaryDialog, terms_in_sight

        if isinstance(self.screen, LabScreen):
            self.push_screen(GlossaryDialog(query, terms_in_sight(self.screen)))

    def get_key_display(self, binding: Binding) -> str:
        """The key as it is shown; "" for an action without one."""
        return "" if binding.key.startswith(KEYLESS) else super().get_key_display(binding)

    def action_redraw(self) -> None:
        """Send every cell again: another program may have written on the terminal."""
        forget_cells()
        self.screen.refresh()

    def action_animation(self, speed: AnimationSpeed) -> None:
        self.change_preferences(animation=speed)

    def action_help(self) -> None:
        from screens.help_screen import HelpScreen

        screen = self.screen
        if not isinstance(screen, LabScreen):
            return
        if not self.is_screen_installed("help"):
            self.install_screen(HelpScreen(), "help")
        shown = cast(HelpScreen, self.get_screen("help"))
        shown.explain(screen)
        self.push_screen(shown)

    async def action_quit(self) -> None:
        """Quit at once, or ask first where something would be lost. A run that is training needs no terminal: it is not."""
        from screens.dialogs.ask import ConfirmDialog

        lost = self._would_be_lost()
        if not lost or self.screen is self._quit_question:
            self._leave()
            return
        others = (f" {each}." for each in going_on(self.active_runs(), home()))
        words = f"This would be lost: {', '.join(lost)}.{''.join(others)}"
        self._quit_question = question = ConfirmDialog("Quit?", words, key="q", yes="quit")
        self.push_screen(question, self._leave_if)

    def _would_be_lost(self) -> list[str]:
        """Work of all screens, in words, that quitting now would lose."""
        screens: list[Screen[Any]] = []
        for mode in self.MODES:
            with suppress(KeyError):  # not visited yet
                screens += self.get_screen_stack(mode)
        found = (screen.would_be_lost() for screen in screens if isinstance(screen, HoldsWork))
        return [words for words in dict.fromkeys(found) if words]

    def _leave_if(self, yes: bool | None) -> None:
        if yes:
            self._leave()

    def _leave(self) -> None:
        """Quit now; the terminal names what goes on."""
        others = going_on(self.active_runs(), home())
        self.exit(message="\n".join(f"{each}; run llmlab to watch it." for each in others) or None)

    @on(ModeChosen)
    async def _mode_chosen(self, message: ModeChosen) -> None:
        await self.action_mode(message.mode)
        await self._turn_to(message.page)

    async def _turn_to(self, page: str) -> None:
        pages = [each.LINK.name for each in self.screen.PAGES] if isinstance(self.screen, LabScreen) else []
        if page in pages and getattr(self.screen, "page", page) != page:
            await self.run_action(f"page('{page}')", self.screen)

    @on(OpenState)
    async def _open_state(self, message: OpenState) -> None:
        here, run = self.current_mode, self.run_name
        if not await self.choose(message.state):
            return
        await self.show_mode(message.state.mode)
        await self._turn_to(message.state.page)
        while len(self.screen_stack) > 1:
            self.pop_screen()
        if here != message.state.mode:
            self.opened_from, self.run_before = here, run
        if isinstance(self.screen, LabScreen):
            self.screen.restore_state(message.state)

    @on(ActOnRun)
    @on(FineTune)
    @on(CompareRuns)
    async def _act_on_run(self, message: ActOnRun | FineTune | CompareRuns) -> None:
        """Begin an action on a run. A question that it asks first is shown before the next key is handled.

        The form of a new run is filled by the newest of the two actions that do it.
        """
        from screens.run_actions import act

        fills_form = isinstance(message, FineTune) or (isinstance(message, ActOnRun) and message.action == "clone")
        self.run_worker(act(self, message), group="new run" if fills_form else "manage", exclusive=fills_form, exit_on_error=True)
        await asyncio.sleep(0)


def run() -> int:
    """Open the lab and stay until the user leaves; returns the exit code, 1 after a fault of the lab."""
    return_freed_memory()
    app = LabApp(warms_engine=os.environ.get(WARM_UP, "1") != "0")
    app.run()
    return app.return_code or 0
