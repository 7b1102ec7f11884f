"""The command palette: every action of every mode, in words. An action of another mode shows that mode first."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Protocol, cast, get_args, runtime_checkable

from textual.actions import parse
from textual.app import App
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.fuzzy import Matcher
from textual.message import Message
from textual.screen import ModalScreen, Screen, SystemModalScreen
from textual.types import IgnoreReturnCallbackType
from textual.widget import Widget

from lab.core.preferences import AnimationSpeed
from lab.inspect.stages.stage_registry import STAGES
from lab.lessons.glossary import glossary
from lab.lessons.translation import language, languages
from lab.views.screen_state import ScreenState
from screens.about_key import about, reason, synonyms_of
from screens.action_index import Action, all_actions, asked_for, score_of
from screens.app_state import AppState
from screens.base_screen import LabScreen
from screens.dialogs.glossary_dialog import claims_in, lessons_in
from screens.messages import ActOnRun, CompareRuns, FineTune, OpenState, RunChosen


@dataclass(frozen=True)
class Command:
    """A line of the palette."""

    words: str
    help: str
    callback: IgnoreReturnCallbackType
    synonyms: str = ""
    weight: float = 1.0
    """Below 1 for what is further away than another command of the same words."""
    is_named: bool = False
    """True for a term of the glossary whose whole name was typed."""

    def score(self, query: str, matcher: Matcher) -> float:
        """Score for what was typed; 0 where it does not answer that."""
        return self.weight * score_of(query, self.words, self.synonyms, matcher.match(self.words))


NOT_HERE = {"command_palette", "back", "more_keys", "app.focus_next", "app.focus_previous"}
"""Actions left out of the palette."""

SECONDS_UNTIL_CLOSED = 0.1
"""Delay of a screenshot, after which the palette is no longer on it."""

OTHER_PAGE, ELSEWHERE, NOT_NOW = 0.985, 0.97, 0.8
"""Weights of an action of another page of this screen, of another mode, and of one that is not possible now."""

LESSON = 0.96
"""Weight of a lesson or a stage: behind what can be done."""

TERM = 0.85
"""Weight of a term of the glossary: behind what can be done or read about it, unless its whole name was typed."""

SECONDS_UNTIL_POSSIBLE = 20.0
"""Longest wait for an action of another mode, such as until PyTorch is loaded."""

SECONDS_WHEN_SETTLED = 3.0
"""Longest wait on a screen that waits for nothing itself."""

SECONDS_BETWEEN_LOOKS = 0.05


@runtime_checkable
class TakesFocus(Protocol):
    """A part that knows which widget in it has its keys."""

    def take_focus(self) -> object:
        """Focus it."""


class LabCommands(Provider):
    """Commands from the bindings of the screen in view, the runs on disk, the app, and the screens of all other modes."""

    def _commands(self, query: str = "") -> Iterator[Command]:
        """All commands; the terms of the glossary only where something is typed."""
        yield from self._possible_here()
        yield from self._of_runs()
        yield from self._of_all_modes()
        yield from self._of_lessons()
        if query:
            yield from self._of_stages()
            yield from self._of_claims()
            yield from self._of_glossary(query)

    def _possible_here(self) -> Iterator[Command]:
        app = cast(AppState, self.app)
        seen: set[str] = set()
        for node, binding, enabled, tooltip in self.screen.active_bindings.values():
            words = tooltip or binding.tooltip
            if not enabled or not words or binding.system or binding.action in seen | NOT_HERE:
                continue
            seen.add(binding.action)
            key = app.get_key_display(binding)
            callback = partial(app.run_action, binding.action, node)
            yield Command(words, f"key {key}" if key else "", callback, synonyms_of(binding))

    def _of_all_modes(self) -> Iterator[Command]:
        """Actions of other modes and pages, which lead there, and those of this screen that are not possible now."""
        here, page = type(self.screen).__name__, getattr(self.screen, "page", "")
        bindings = [(each.binding.id, each.enabled) for each in self.screen.active_bindings.values()]
        possible = {id for id, enabled in bindings if enabled}
        later = []
        for action in all_actions():
            if action.screen == here and action.id in possible:
                continue
            go = partial(self._go, action)
            key = self.app.get_key_display(action.binding)
            named = f"key {key}" if key else "no key"
            if action.screen != here or action.page not in ("", page):
                weight = OTHER_PAGE if action.screen == here else ELSEWHERE
                words = f"{action.place}: {action.words}"
                there = f"goes to {action.place}" + (f", {named} there" if key else "")
                yield Command(words, there, go, synonyms_of(action.binding), weight)
            elif _is_possible(self.screen, action):
                yield Command(action.words, f"{named} once escape has freed the keys", go, synonyms_of(action.binding))
            else:
                later.append(
                    Command(action.words, f"{named} · {reason(action.binding)}", go, synonyms_of(action.binding), NOT_NOW)
                )
        yield from later

    def _of_lessons(self) -> Iterator[Command]:
        for lesson in lessons_in(language()):
            open_it = self._post(OpenState(ScreenState(mode="learn", page="lessons", lesson=lesson.name)))
            yield Command(f"Lesson {lesson.number}: {lesson.title}", "opens it in Learn", open_it, weight=LESSON)

    def _of_stages(self) -> Iterator[Command]:
        for stage in STAGES.values():
            open_it = self._post(OpenState(ScreenState(mode="inspect", stage=stage.name)))
            yield Command(f"Stage: {stage.title}", f"shows {stage.name} in Inspect", open_it, stage.name, LESSON)

    def _of_claims(self) -> Iterator[Command]:
        for name, title in claims_in(language()).items():
            open_it = self._post(OpenState(ScreenState(mode="learn", page="claims", claim=name)))
            yield Command(f"Claim: {title}", "shows whether it is so, in Learn", open_it, weight=TERM)

    def _of_glossary(self, query: str) -> Iterator[Command]:
        asked = " ".join(asked_for(query))
        for term in glossary():
            if asked in " ".join(term.names):
                show = partial(self.app.run_action, f"app.glossary({term.name!r})")
                yield Command(f"Glossary: {term.name}", term.text, show, ", ".join(term.also), TERM, asked in term.names)

    def _go(self, action: Action) -> None:
        self.app.run_worker(go_and_do(self.app, action), group="palette", exclusive=True, exit_on_error=True)

    def _of_runs(self) -> Iterator[Command]:
        app = cast(AppState, self.app)
        for run in app.runs:
            facts = f"{run.text}, {run.phase}"
            yield Command(f"Watch the run {run.name}", facts, self._post(RunChosen(run.name, "train")))
            yield Command(f"Inspect the model of {run.name}", facts, self._post(RunChosen(run.name, "inspect")))
            chat = OpenState(ScreenState(mode="learn", page="chat", run=run.name))
            yield Command(f"Chat with {run.name}", facts, self._post(chat))
        current = app.run_summary(app.run_name)
        if current is not None:
            name = current.name
            yield Command(f"Compare {name} with another run", "curves, settings, samples", self._post(CompareRuns((name,))))
            yield Command(f"A new run with the settings of {name}", "fills in the form", self._post(ActOnRun("clone", current)))
            words = f"Fine-tune {name}: a new run that begins with its weights"
            yield Command(words, "fills in the form", self._post(FineTune(name)), "finetune train on pretrained")
            shown = f"llmlab export {shlex.quote(name)} FOLDER"
            tell = partial(self.app.notify, f"In a shell: {shown}", markup=False, timeout=12)
            yield Command(f"Export {name} as a folder for transformers", f"in a shell: {shown}", tell, "hugging face")
            if not current.is_bundled:
                yield Command(f"Rename {name}", "renames its folder", self._post(ActOnRun("rename", current)))
                yield Command(f"Delete {name}", "asks first", self._post(ActOnRun("delete", current)), "remove erase")
        now = app.preferences.animation
        for speed in get_args(AnimationSpeed):
            if speed != now:
                callback = partial(app.change_preferences, animation=speed)
                yield Command(f"Animation: {speed}", f"now {now}", callback, "speed transitions motion")
        for code, name in languages().items():
            if code != language():
                callback = partial(app.choose_language, code)
                yield Command(f"Language: {name}", "of the lessons, claims, quiz and glossary", callback, f"translation {code}")
        on = app.preferences.notifications
        words = f"now {'on' if on else 'off'}: a bell and a desktop notification when a run ends and the lab is not in front"
        toggle = partial(app.change_preferences, notifications=not on)
        yield Command(f"Notifications: {'off' if on else 'on'}", words, toggle, "bell alert notify sound desktop terminal done")
        for kind in ("svg", "png"):
            save = partial(app.set_timer, SECONDS_UNTIL_CLOSED, partial(self._save_screenshot, kind))
            yield Command(f"Save a screenshot ({kind.upper()})", "of any screen, beside the runs", save, "picture export")

    def _save_screenshot(self, kind: str) -> None:
        from screens.dialogs.export_menu import save_screenshot

        self.app.run_worker(save_screenshot(self.app, kind), group="screenshot", exit_on_error=True)

    def _post(self, message: Message) -> Callable[[], object]:
        return partial(self.app.post_message, message)

    async def discover(self) -> Hits:
        for command in self._commands():
            yield DiscoveryHit(Content(command.words), command.callback, text=command.words, help=_plain(command.help))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        found = [(each.score(query, matcher), each) for each in self._commands(query)]
        _, best = max(found, key=itemgetter(0))
        for score, command in found:
            if score > 0:
                lead = 2 if command.is_named else 1 if command is best else 0  # no score is above 1
                shown = _highlighted(command.words, matcher)
                yield Hit(score + lead, shown, command.callback, text=command.words, help=_plain(command.help))


def _lesson_with(holder: str) -> ScreenState | None:
    """The first step of a lesson with the live widget of this class; None if none has it."""
    from screens.learn.lesson_reader import LIVE_WIDGETS

    for lesson in lessons_in(language()):
        for at, step in enumerate(lesson.steps):
            if step.live is not None and step.live.widget in LIVE_WIDGETS and LIVE_WIDGETS[step.live.widget].__name__ == holder:
                return ScreenState(mode="learn", page="lessons", lesson=lesson.name, step=at)
    return None


def _plain(text: str) -> str:
    """Markup that shows the text as it is: Textual takes more in brackets for a tag than `rich.markup.escape` escapes."""
    return text.replace("[", r"\[")


def _highlighted(words: str, matcher: Matcher) -> Content:
    """The words, with the letters marked that were found; `Matcher.highlight` would read them as markup."""
    shown = Content(words)
    for at in matcher.fuzzy_search.match(matcher.query, words)[1]:
        if not words[at].isspace():
            shown = shown.stylize(matcher.match_style, at, at + 1)
    return shown


def _holder_of(screen: Screen[object], action: Action) -> Widget | None:
    """The screen, the page or the part of it that has the action; None while the page has not been opened."""
    if not action.holder:
        return screen
    return next((widget for widget in screen.query("*") if type(widget).__name__ == action.holder), None)


def _is_possible(screen: Screen[object], action: Action) -> bool:
    """True if an action of the place in sight is possible with the focus on its part, where no text field takes its key.

    An action of the screen itself needs no focus on a part, unless a text field has it.
    """
    holder = _holder_of(screen, action)
    if holder is screen and not (isinstance(screen, LabScreen) and isinstance(screen.focused, screen.TEXT_FIELDS)):
        return False
    _, name, parameters = parse(action.binding.action)
    return holder is not None and bool(holder.check_action(name, parameters))


def _focus_holder(screen: Screen[object], action: Action) -> bool:
    """Focus the part that has the action, so that its key works; for an action of a page or a screen, the part for free keys.

    True if the focus was there already: the screen itself, which is just being shown, has left it there.
    """
    holder = _holder_of(screen, action)
    if holder is None or not isinstance(screen, LabScreen):
        return False
    focused = screen.focused
    if focused is not None and holder in focused.ancestors_with_self and not isinstance(focused, screen.TEXT_FIELDS):
        return True
    if holder.focusable and holder is not screen:
        screen.set_focus(holder)
    elif isinstance(holder, TakesFocus):
        holder.take_focus()
    else:
        rest = screen.resting_focus()
        screen.set_focus(screen.query(rest).first() if rest else None)
    return screen.focused is focused


async def go_and_do(app: App[object], action: Action) -> None:
    """Show the screen of an action, wait until the action is possible there, and do it; else say that it is not.

    The screen's opener may ask something first, such as which run to compare with. Without an answer nothing is said.
    """
    lesson = _lesson_with(action.holder) if action.mode == "learn" and _holder_of(app.screen, action) is None else None
    if lesson is not None:
        app.post_message(OpenState(lesson))  # its keys are there only while that step is read
    elif type(app.screen).__name__ != action.screen:
        if action.opener:
            app.post_message(RunChosen(cast(AppState, app).run_name, action.mode))  # the screen is about the run in use
        else:
            await app.run_action(f"app.mode('{action.mode}')")
    if lesson is None and action.page and isinstance(app.screen, LabScreen) and getattr(app.screen, "page", "") != action.page:
        await app.run_action(f"page('{action.page}')", app.screen)
    began, is_opened = time.monotonic(), False
    is_focused, focused = False, app.focused
    while time.monotonic() < began + SECONDS_UNTIL_POSSIBLE:
        screen = app.screen
        is_settled = time.monotonic() > began + SECONDS_WHEN_SETTLED
        is_ready = getattr(screen, "is_ready", getattr(screen, "is_settled", True))
        if type(screen).__name__ == action.screen and is_ready:
            for active in screen.active_bindings.values():
                if active.binding.id == action.id and active.enabled:
                    await app.run_action(active.binding.action, active.node)
                    return
            if not is_focused:
                is_focused, focused = _focus_holder(screen, action), screen.focused
            elif screen.focused is not focused:
                break  # the user has gone elsewhere
            if is_settled:
                break
        elif action.opener and isinstance(screen, LabScreen) and action.mode == screen.MODE and screen.is_mounted:
            is_opened = is_opened or await app.run_action(action.opener, screen)  # impossible until the run has been read
            if is_settled and is_opened:
                return  # the user has left, or has been told
        elif isinstance(screen, ModalScreen) and not isinstance(screen, SystemModalScreen):
            began = time.monotonic()
        await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
    because = f" It needs {about(action.binding).needs}." if about(action.binding).needs else ""
    if action.mode == "learn" and _lesson_with(action.holder):
        because = " The lesson says what comes before."
    app.notify(f"Not possible now: {action.words}.{because}", markup=False)
