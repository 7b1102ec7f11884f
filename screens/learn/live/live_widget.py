"""The base classes of live widgets, parts of a lesson's step that compute on the model at hand; and their field for a number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input
from textual.widgets.input import Selection

from lab.core.errors import UserError
from lab.data.default_prompts import first_prompt
from lab.runs.find_runs import open_run
from lab.views.screen_state import ScreenState
from screens.app_state import AppState
from screens.blocks.block_view import BlockView
from screens.learn.learn_page import LearnEngine

STEP = 0.1
NUMBER = r"[-−+]?\d*[.,]?\d*"
"""What a number field takes: all that may become a number, and nothing else that a key might type."""
DIGITS = 4
"""Significant figures of a number that is written into a field: with its sign and point they fit the narrowest one."""


class NumberInput(Input):
    """Field of a number of at most `most` in magnitude. Its beginning, and so its sign, is in sight until the cursor is moved."""

    DEFAULT_CSS = """
    NumberInput { width: 1fr; height: 1; border: none; padding: 0; background: $foreground 10%; text-style: underline; }
    NumberInput:focus { background: $accent 30%; border: none; }
    """
    BINDINGS = [
        Binding("up", "nudge(1)", "+0.1", id="number.up", key_display="↑/↓", tooltip="Add 0.1 to the number"),
        Binding("down", "nudge(-1)", "−0.1", id="number.down", show=False, tooltip="Subtract 0.1 from the number"),
    ]

    def __init__(self, number: float, *, most: float, id: str) -> None:
        super().__init__(in_figures(number), select_on_focus=False, restrict=NUMBER, id=id)
        self.cursor_position = 0
        self.most = most

    @property
    def number(self) -> float | None:
        """The number in the field; None if it is none, or too large."""
        return number_in(self.value, self.most)

    def write(self, number: float) -> None:
        """Put a number into the field, with its beginning in sight."""
        self.value = in_figures(number)
        self.cursor_position = 0

    def on_focus(self, event: events.Focus) -> None:
        """Select all, so that typing replaces it; the cursor at the beginning keeps the sign in sight."""
        if not event.from_app_focus:
            self.selection = Selection(len(self.value), 0)

    def action_nudge(self, by: int) -> None:
        if self.number is not None:
            self.write(round(self.number + by * STEP, 6))


def number_in(text: str, most: float) -> float | None:
    """The number that is typed; None if it is none, or beyond `most` in magnitude."""
    try:
        number = float(text.strip().replace(",", ".").replace("−", "-"))
    except ValueError:
        return None
    return number if math.isfinite(number) and abs(number) <= most else None


def in_figures(number: float) -> str:
    """A number in `DIGITS` significant figures and without an exponent, which could not be edited in a field."""
    text = f"{float(f'{number:.{DIGITS}g}'):.12f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


MOST_DIGITS = 9
"""Digits of an option that is a number."""


@dataclass(frozen=True)
class ModelAtHand:
    """The run that a lesson computes on, and the prompt to begin with."""

    run: str
    prompt: str


def model_of(run: str) -> ModelAtHand:
    """The run of this name, with its own prompt where it has one. Reads files."""
    try:
        return ModelAtHand(run, first_prompt(open_run(run)))
    except UserError:
        return ModelAtHand(run, "The")  # the engine says what is wrong with the run


class LiveWidget(Vertical):
    """Filled by `show_model` once it is mounted, and again when the user chooses another run.

    Options come from the lesson's file. Two are known to all: `run` (such as `demo`, in place of the user's run) and `prompt`.
    """

    OPTIONS: ClassVar[tuple[str, ...]] = ()
    """Names of the options that it takes beside `run` and `prompt`."""
    TAKES_ANY_OPTION: ClassVar[bool] = False
    """True for a widget to which an unknown option is a value to compute on."""
    USES_MODEL: ClassVar[bool] = True
    """False for a widget that needs no run."""
    REST: ClassVar[str] = ""
    """Selector of the part that takes the keys after escape has left a text field of its own; "" for the lesson's text."""
    ASKS_GUESS: ClassVar[bool] = False
    """True for a widget that posts `Answered` once its guess is made."""
    DEFAULT_CSS = "LiveWidget { height: 1fr; }"

    @dataclass
    class Said(Message):
        """A sentence for the status line below the lesson; "" to take it away."""

        widget: LiveWidget
        words: str
        is_error: bool = False

    @dataclass
    class Answered(Message):
        """The guess of the step was made, or there is none to make on this model."""

        widget: LiveWidget

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        """Raises: UserError for an option that it does not have."""
        super().__init__()
        unknown = set(options) - {"run", "prompt", *self.OPTIONS}
        if unknown and not self.TAKES_ANY_OPTION:
            raise UserError(f"The live widget {type(self).__name__} has no option {sorted(unknown)[0]}.")
        self.options = dict(options)
        self.own_words: Mapping[str, str] = {}
        """The options in the language in use; empty where that is English."""
        self.engine = engine
        self.lesson = ""
        """Name of the lesson that it stands in."""
        self.stand_in = ""
        """The run in the picture where it is another than the one that was asked for; else ""."""
        self.weights_step: int | None = None
        """Training step of the weights in the picture; None where there are none, or it is not known yet."""
        self.model: ModelAtHand | None = None
        """The model that `show_model` got last, in a widget that asks about it again."""
        self._is_answered = True
        """False while something is asked for and not answered."""

    @property
    def lab(self) -> AppState:
        return cast(AppState, self.app)

    @property
    def is_settled(self) -> bool:
        """True if everything asked for has been answered."""
        return self._is_answered

    def show_model(self, model: ModelAtHand) -> None:
        """Compute on this model from now on."""

    def take_focus(self) -> bool:
        """Focus the part that takes keys. False if none should have them at once, such as a text field."""
        return False

    def leave(self) -> bool:
        """Leave an inner place, at escape. False if there is none."""
        return False

    def full_screen(self) -> ScreenState | None:
        """The same in its own mode, for `lesson.open`; None if there is no such place."""
        return None

    def say(self, words: str, *, error: bool = False) -> None:
        self.post_message(self.Said(self, words, error))

    def integer(self, name: str, default: int) -> int:
        """An option that is a number. Raises: UserError if it is none."""
        text = self.options.get(name, str(default))
        if not (text.isdecimal() and len(text) <= MOST_DIGITS and int(text)):
            raise UserError(f"The option {name} of a live widget must be a number from 1, not {text!r}.")
        return int(text)


class ViewWidget(LiveWidget):
    """A live widget that shows one view, which takes the keys; some have a text to edit above it."""

    REST = "ViewWidget > BlockView"
    DEFAULT_CSS = """
    ViewWidget {
        & > BlockView { height: 1fr; }
        & > Input { height: 3; padding: 0 1; border: round $foreground 30%; background: $background; }
        & > Input { border-title-color: $foreground 90%; }
        & > Input:focus { border: round $accent; }
    }
    """

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.view = BlockView()

    def compose(self) -> ComposeResult:
        yield self.view

    def action_edit(self) -> None:
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def _end_editing(self, event: Input.Submitted) -> None:
        event.stop()
        self.view.focus()

    def take_focus(self) -> bool:
        self.view.focus()
        return True
