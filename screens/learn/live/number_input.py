"""A number field of one line; `up` and `down` change it by 0.1."""

import math

from textual.binding import Binding
from textual.widgets import Input

STEP = 0.1


class NumberInput(Input):
    """Field of a number of at most `most` in magnitude."""

    DEFAULT_CSS = """
    NumberInput { width: 1fr; height: 1; border: none; padding: 0 1; background: $foreground 10%; text-style: underline; }
    NumberInput:focus { background: $accent 30%; border: none; }
    """
    BINDINGS = [
        Binding("up", "nudge(1)", "+0.1", id="number.up", key_display="↑/↓", tooltip="Add 0.1 to the number"),
        Binding("down", "nudge(-1)", "−0.1", id="number.down", show=False, tooltip="Subtract 0.1 from the number"),
    ]

    def __init__(self, number: float, *, most: float, id: str) -> None:
        super().__init__(f"{number:g}", select_on_focus=False, id=id)
        self.most = most

    @property
    def number(self) -> float | None:
        """The number in the field; None if it is none, or too large."""
        try:
            number = float(self.value.strip().replace(",", ".").replace("−", "-"))
        except ValueError:
            return None
        return number if math.isfinite(number) and abs(number) <= self.most else None

    def action_nudge(self, by: int) -> None:
        if self.number is not None:
            self.value = f"{round(self.number + by * STEP, 6):g}"
            self.cursor_position = len(self.value)
