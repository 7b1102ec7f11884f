"""A number field of one line; `up` and `down` change it by 0.1."""

import math

from textual import events
from textual.binding import Binding
from textual.widgets import Input
from textual.widgets.input import Selection

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
        try:
            number = float(self.value.strip().replace(",", ".").replace("−", "-"))
        except ValueError:
            return None
        return number if math.isfinite(number) and abs(number) <= self.most else None

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


def in_figures(number: float) -> str:
    """A number in `DIGITS` significant figures and without an exponent, which could not be edited in a field."""
    text = f"{float(f'{number:.{DIGITS}g}'):.12f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
