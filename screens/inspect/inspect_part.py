"""Part of Inspect: the calls that it gets from the screen, and the states of the model in view."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from textual.binding import BindingType

from lab.views.blocks import LensPath, ModelFacts, View
from screens.inspect.selection import Selection

if TYPE_CHECKING:
    from screens.inspect.inspect_screen import InspectScreen

InspectHost: TypeAlias = "InspectScreen"
"""The screen as its parts see it: they replace its `selection`, and it follows."""

Actions = tuple[Callable[..., Any], ...]
"""Methods of a part: `do('switch')` is the action of the screen that calls `switch`."""


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


class InspectPart:
    """A part with keys of its own, whose actions the screen runs once something is selected."""

    BINDINGS: ClassVar[Sequence[BindingType]] = ()

    def __init__(self, host: InspectHost) -> None:
        self._host = host

    def actions(self) -> Actions:
        """The part's actions; none by default."""
        return ()

    @property
    def _ref(self) -> str:
        """Name of the number under the cursor; "" where there is none."""
        spot = self._host.view.spot
        return spot.ref if spot is not None else ""

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
