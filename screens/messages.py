"""Messages from screens to the app, which acts or changes its shared state, and from the app to the screen in view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from textual.message import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.planning.settings_table import Settings
    from lab.runs.run_summary import RunSummary


@dataclass
class TextChosen(Message):
    """The user has chosen the text to train on: a path or the name of a built-in text; `open_mode` as in `RunChosen`."""

    source: str
    encoding: str = ""
    open_mode: str | None = None


@dataclass
class RunChosen(Message):
    """The user has chosen a run, by name or path; `open_mode` says which mode to show with it, if any."""

    name: str
    open_mode: str | None = None


@dataclass
class Arrived(Message):
    """To a screen: the user has come here with this, a text to train on or a run to look at."""

    what: Literal["text", "run"]


@dataclass
class SettingsCopied(Message):
    """To Train: fill the form of a new run with these, which are those of the run called `name`."""

    name: str
    settings: Settings
    hidden: dict[str, Any]
    """Fields of a `RunRequest` that the form does not show."""
    problem: str
    """The problem with the run's text, in a sentence; empty if there is none."""


@dataclass
class ModeChosen(Message):
    """The user wants to see another mode."""

    mode: str


@dataclass
class RenameRun(Message):
    """Ask for another name of this run, and give it."""

    run: RunSummary


@dataclass
class RunRenamed(Message):
    """To the screen in view: a run has another name now."""

    before: str
    now: str


@dataclass
class DeleteRun(Message):
    """Ask whether this run may go, and delete it."""

    run: RunSummary


@dataclass
class CloneSettings(Message):
    """Fill the form of a new run with the settings and the text of this one."""

    run: RunSummary


@dataclass
class CompareRuns(Message):
    """Show these runs beside each other."""

    names: Sequence[str]


@dataclass
class CompareWith(Message):
    """Ask with which other run to compare this one, and show both."""

    name: str


@dataclass
class RunsChanged(Message):
    """Something was done to a run: read the runs now."""
