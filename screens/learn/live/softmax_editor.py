"""Live widget `softmax`: scores to change, and their softmax computed as they change."""

from collections.abc import Mapping

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widgets import Input

from lab.core.errors import UserError
from lab.views.blocks import Block, Paragraph, Table, View
from screens.blocks.block_view import BlockView
from screens.learn.learn_page import LearnEngine
from screens.learn.live.live_widget import NUMBER, STEP, LiveWidget, number_in
from screens.widgets.choice import Choice

LABELS = ("The", "big", "dog", "ran")
SCORES = (0.3, 0.8, 1.2, 0.5)
PLAIN, SHIFTED = "exp of each score", "exp of score − largest"
MAX, SHARES, TEMPERATURE = EXTRAS = ("max", "shares", "temperature")
T = "T"
"""Title of the field of the temperature."""
LOWEST_TEMPERATURE = 0.01
FARTHEST = 1e6
"""Largest score: beyond it exp has no digits left to show."""


class ScoreInput(Input):
    """A number field; `up` and `down` change it by 0.1."""

    BINDINGS = [
        Binding("up", "nudge(1)", "+0.1", id="score.up", key_display="↑/↓", tooltip="Add 0.1 to the score"),
        Binding("down", "nudge(-1)", "−0.1", id="score.down", show=False, tooltip="Subtract 0.1 from the score"),
    ]

    @property
    def score(self) -> float | None:
        """The number in the field; None if it is not a valid score."""
        return number_in(self.value, FARTHEST)

    def action_nudge(self, by: int) -> None:
        if self.score is not None:
            self.value = f"{round(self.score + by * STEP, 6):.12g}"
            self.cursor_position = len(self.value)


class SoftmaxEditor(LiveWidget):
    """Four score fields, and the table of exp, Σ and softmax below.

    Option `with`: `max` to subtract the largest score or not, `shares` to compare with the plain share score ÷ Σ, `temperature`
    to divide the scores by a number to change.
    """

    USES_MODEL = False
    OPTIONS = ("with",)

    DEFAULT_CSS = """
    SoftmaxEditor {
        height: 1fr;
        & > Horizontal { height: 3; }
        & ScoreInput { width: 1fr; min-width: 9; padding: 0 1; border: round $foreground 30%; }
        & ScoreInput { border-title-color: $foreground 90%; background: $background; }
        & ScoreInput:focus { border: round $accent; }
        & Choice { margin: 0 1; }
        & BlockView { height: 1fr; }
    }
    """

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.extra = self.options.get("with", "")
        if self.extra not in ("", *EXTRAS):
            raise UserError(f"The option with of the live widget softmax is {', '.join(EXTRAS)}, not {self.extra!r}.")

    def compose(self) -> ComposeResult:
        with Horizontal():
            for label, score in zip(LABELS, SCORES, strict=True):
                yield self._field(label, score)
            if self.extra == TEMPERATURE:
                yield self._field(T, 1.0)
        if self.extra == MAX:
            yield Choice((PLAIN, SHIFTED), PLAIN, id="softmax-shift", tooltip="Subtract the largest score before exp, or not")
        yield BlockView(id="softmax-table")

    def _field(self, label: str, number: float) -> ScoreInput:
        field = ScoreInput(f"{number:g}", restrict=NUMBER)
        field.border_title = Text(label)
        return field

    def on_mount(self) -> None:
        self.query_one(BlockView).can_focus = False
        self._compute()

    @on(Input.Changed)
    @on(Choice.Changed)
    def _compute(self) -> None:
        fields = list(self.query(ScoreInput))
        numbers = [field.score for field in fields]
        known = [number for number in numbers if number is not None]
        if not fields:
            return  # the editor is being removed
        if len(known) < len(numbers):
            bad = next(field for field in fields if field.score is None)
            what = "temperature" if bad.border_title == T else f"score of {bad.border_title}"
            self._show([Paragraph(f"The {what} must be a number, not {bad.value!r}.")])
        elif self.extra == TEMPERATURE and known[-1] < LOWEST_TEMPERATURE:
            self._show([Paragraph(f"The temperature must be at least {LOWEST_TEMPERATURE:g}, not {fields[-1].value!r}.")])
        else:
            table = self._table(known)
            self._show([table, Paragraph(worked(table))] if self.extra != SHARES else [table])

    def _table(self, numbers: list[float]) -> Table:
        from lab.views.softmax_table import Titles, softmax_table, with_shares

        if self.extra == TEMPERATURE:
            *scores, temperature = numbers
            titles = Titles(raw="score", score="score ÷ T")
            return softmax_table(LABELS, [score / temperature for score in scores], raw=scores, titles=titles)
        if self.extra == SHARES:
            return with_shares(softmax_table(LABELS, numbers), numbers)
        return softmax_table(LABELS, numbers, subtract_max=self.extra == MAX and self.query_one(Choice).value == SHIFTED)

    def _show(self, blocks: list[Block]) -> None:
        self.query_one(BlockView).show(View("softmax", "softmax of these scores", "", blocks))


def worked(table: Table) -> str:
    """The largest row of a softmax table as arithmetic, in the printed numbers."""
    assert table.selected is not None
    assert table.total is not None
    label, *_, before, exp, share = (cell.text for cell in table.rows[table.selected])
    return f"{label}: exp({before}) = {exp}, and {exp} ÷ {table.total[-2].text} = {share}."
