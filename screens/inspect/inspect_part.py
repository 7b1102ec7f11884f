"""Part of Inspect: its view of the screen (`InspectHost`), and the calls it gets from there (`InspectPart`)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from textual.binding import BindingType
from textual.reactive import var
from textual.screen import ModalScreen
from textual.worker import Worker

from lab.views.blocks import LensPath, ModelFacts, View
from screens.base_screen import LabScreen
from screens.blocks.block_view import BlockView
from screens.inspect.engine_session import EngineSession
from screens.inspect.selection import Selection

R = TypeVar("R")

Actions = tuple[Callable[..., Any], ...]
"""Methods of a part: `do('switch')` is the action of the screen that calls `do_switch`."""


@dataclass(frozen=True)
class Starting:
    """Nothing is selected yet: the run's first prompt is being read."""


@dataclass(frozen=True)
class Loading:
    """A prompt is selected, and the engine has not opened a model yet."""

    path: LensPath | None = None
    """The prompt's tokens alone: no stage, no prediction."""


@dataclass(frozen=True)
class Opened:
    """The engine has opened a model; no lens path has come."""

    facts: ModelFacts


@dataclass(frozen=True)
class Ready:
    """Facts of the model that was opened last, and the newest lens path with the selection that it answers."""

    facts: ModelFacts
    answered: Selection
    path: LensPath


ModelState = Starting | Loading | Opened | Ready


class InspectHost(LabScreen):
    """The screen as its parts see it."""

    session: EngineSession
    view: BlockView
    model: ModelState
    selection: var[Selection] = var(Selection(""))
    """Nothing to look at while the model is `Starting`. A part replaces it; the screen follows."""

    @abstractmethod
    def say(self, words: str, *, error: bool = False) -> None:
        """Show a sentence in the status line."""

    @abstractmethod
    def say_location(self) -> None:
        """Show the step in the status line, unless the cursor stands on a number."""

    @abstractmethod
    def fail(self, sentence: str, died: bool) -> None:
        """Show an error; `died` says whether the engine died of it."""

    @property
    @abstractmethod
    def is_free(self) -> bool:
        """True while the screen is in front and no field is edited: a new token would disturb nothing."""

    @abstractmethod
    def ask_again(self) -> None:
        """Ask for what is selected with the weights that are on disk now."""

    @abstractmethod
    def focus_steps(self) -> None:
        """Focus the list of steps."""

    @abstractmethod
    def focus_numbers(self) -> None:
        """Put the cursor into the view of the first prompt."""

    def start(self, work: Coroutine[Any, Any, R], group: str) -> Worker[R]:
        """Run `work` beside the screen; it replaces older work of its group."""
        return self.run_worker(work, group=group, exclusive=True)

    async def ask(self, dialog: ModalScreen[R]) -> R | None:
        """The answer to a dialog; from within started work only."""
        return await self.app.push_screen_wait(dialog)

    @property
    def is_on_numbers(self) -> bool:
        """True while the cursor stands in the view of the first prompt."""
        return self.focused is self.view


class InspectPart:
    """A part with keys of its own."""

    BINDINGS: ClassVar[Sequence[BindingType]] = ()

    def __init__(self, host: InspectHost) -> None:
        self._host = host

    @property
    def _ref(self) -> str:
        """Name of the number under the cursor; "" where there is none."""
        spot = self._host.view.spot
        return spot.ref if spot is not None else ""

    def actions(self) -> Actions:
        """The part's actions; none by default."""
        return ()

    def is_enabled(self, action: str) -> bool:
        """True where one of the part's actions is possible now."""
        return True

    def would_be_lost(self) -> str:
        """The part's work that quitting now would lose; "" if there is none."""
        return ""

    def selection_changed(self, old: Selection, new: Selection) -> None:
        """Follow the selection; the answer is still to come."""

    def take_path(self, selection: Selection, path: LensPath) -> None:
        """Follow a lens path, which answers `selection`."""

    def view_shown(self, selection: Selection, view: View) -> None:
        """Follow a view that has just been drawn, which answers `selection`."""

    async def _offer(self, title: str, lines: Sequence[tuple[str, str, str]]) -> None:
        """Offer actions of Inspect in a menu, each with its name and what it does or has now, and run the chosen one."""
        from screens.dialogs.ask import RunChooser

        chosen = await self._host.ask(RunChooser([(name, words) for name, words, _ in lines], "", title))
        for action in [action for name, _, action in lines if name == chosen]:
            await self._host.run_action(action)

    def before_action(self, name: str) -> None:
        """Follow an action of Inspect before it is run."""

    def key_pressed(self, key: str) -> bool:
        """Follow a key before its binding acts. True keeps it from that."""
        return False
