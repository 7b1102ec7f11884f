"""Numbers on the command line as click types, checked against the limits that hold everywhere."""

from typing import TYPE_CHECKING, Any

import click

from lab.core.limits import LIMITS, Limit
from lab.core.visible_text import shortened

if TYPE_CHECKING:
    NumberType = click.ParamType[int | float]
else:
    NumberType = click.ParamType  # not generic in older versions


class Within(NumberType):
    """A number within a limit; an integer where `whole` is set."""

    name = "number"

    def __init__(self, limit: Limit, *, whole: bool = True) -> None:
        self.limit = limit
        self.whole = whole

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        """Parse the number; click shows the message of `fail`."""
        typed = shortened(str(value), 40)
        try:
            number: float = int(value) if self.whole else float(value)
        except ValueError:
            is_long = self.whole and str(value).isdecimal()  # Python reads no more than 4,300 digits
            number = float("inf") if is_long else float("nan")
        if number != number:
            kind = "a whole number" if self.whole else "a number"
            self.fail(f"it must be {kind} {'of ' if self.whole else ''}{self.limit.lowest}, not {typed!r}.", param, ctx)
        if problem := self.limit.problem(number):
            self.fail(f"it must {problem}, not {typed}.", param, ctx)
        return number


def whole(name: str) -> Within:
    """The type of the run setting of this name."""
    return Within(LIMITS[name])
