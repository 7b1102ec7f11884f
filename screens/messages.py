"""Messages from screens to the app, which acts or changes its shared state, and from the app to the screen in view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from textual.message import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.planning.settings_table import Settings
    from lab.runs.run_summary import RunSummary
    from lab.views.screen_state import ScreenState


class ToApp(Message):
    """A message that the app alone handles, before the next key: it may show another screen, which that key is for."""


@dataclass(eq=False, repr=False)
class TextChosen(ToApp):
    """The user has chosen a text, to train on and for Tokens: a source; `open_mode` as in `RunChosen`."""

    source: str
    encoding: str = ""
    open_mode: str | None = None
    cleaning: tuple[str, ...] = ("line-endings",)
    """Names of the cleaning rules."""


@dataclass(eq=False, repr=False)
class RunChosen(ToApp):
    """The user has chosen a run, by name or path; `open_mode` says which mode to show with it, if any."""

    name: str
    open_mode: str | None = None


@dataclass(eq=False, repr=False)
class Arrived(Message):
    """To a screen: the user has come here with this, a text to train on or a run to look at, or by the mode's own key."""

    what: Literal["text", "run", "mode"]


@dataclass(eq=False, repr=False)
class SettingsCopied(Message):
    """To Train: fill the form of a new run with these, which are those of the run called `name`."""

    name: str
    settings: Settings
    hidden: dict[str, Any]
    """Fields of a `RunRequest` that the form does not show."""
    problem: str
    """The problem with the run's text, in a sentence; empty if there is none."""


@dataclass(eq=False, repr=False)
class ModeChosen(ToApp):
    """The user wants to see another mode, and in it the page of this name, if one is named."""

    mode: str
    page: str = ""


@dataclass(eq=False, repr=False)
class OpenState(ToApp):
    """Show a mode as it was: its page, the run and the place in it."""

    state: ScreenState


@dataclass(eq=False, repr=False)
class ActOnRun(ToApp):
    """Ask for a new name and rename this run; ask for confirmation and delete it; or fill the form of a new run with its settings
    and text."""

    action: Literal["rename", "delete", "clone"]
    run: RunSummary


@dataclass(eq=False, repr=False)
class RunRenamed(Message):
    """To the screen in view: a run was renamed."""

    before: str
    now: str


@dataclass(eq=False, repr=False)
class FineTune(ToApp):
    """Fill the form of a new run so that it begins with the weights of the run of this name."""

    name: str


@dataclass(eq=False, repr=False)
class BaseChosen(Message):
    """To Train: begin a new run with the weights of the run of this name; an empty name stands for random ones."""

    name: str


@dataclass(eq=False, repr=False)
class CompareRuns(ToApp):
    """Show these runs side by side; with one, ask for another."""

    names: Sequence[str]


class RunsChanged(ToApp):
    """A run was changed: read the runs now."""
