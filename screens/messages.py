"""What screens ask of the app: a screen posts a message, the app changes its shared state, and whoever watches it follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from textual.message import Message

if TYPE_CHECKING:
    from lab.planning.settings_form import Settings


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
    trouble: str
    """What is wrong with the run's text, in a sentence; empty if nothing is."""


@dataclass
class ModeChosen(Message):
    """The user wants to see another mode."""

    mode: str
