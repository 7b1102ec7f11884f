"""What screens ask of the app: a screen posts a message, the app changes its shared state, and whoever watches it follows."""

from dataclasses import dataclass
from typing import Literal

from textual.message import Message


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
class ModeChosen(Message):
    """The user wants to see another mode."""

    mode: str
