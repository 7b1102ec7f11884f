"""Live widgets on numbers that are typed: a network of three weights, and a softmax."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widgets import Input, Static

from lab.core.errors import UserError
from lab.training.one_step.three_weights import FARTHEST, ThreeWeights, backward_view, forward_view, steps_view
from lab.views.blocks import Block, Paragraph, Table, View
from lab.views.softmax_table import Titles, softmax_table, with_shares
from screens.blocks.block_view import BlockView
from screens.learn.learn_page import LearnEngine
from screens.learn.live.live_widget import NUMBER, STEP, LiveWidget, NumberInput, ViewWidget, number_in
from screens.widgets.choice import Choice

SHOWS = ("forward", "backward", "steps")
FIELDS = {"w1": "w₁", "w2": "w₂", "w3": "w₃", "x": "x", "target": "target"}
RATE = 0.1
MANY = 100
TOO_LARGE = "A weight is beyond a million: the learning rate is too high. Undo with u, or type a smaller rate."


class ThreeWeightsWidget(ViewWidget):
    """Options: `show`, one of forward, backward and steps."""

    USES_MODEL = False
    OPTIONS = ("show",)
    HELP = (
        "**Three weights.** `shift+tab` leads to the fields: type a number, or change it by 0.1 with `↑` and `↓`; `escape` "
        "leaves them. Computed as you type."
    )
    DEFAULT_CSS = """
    ThreeWeightsWidget {
        height: 1fr;
        & > Horizontal { height: 1; padding: 0 1; }
        & Static { width: auto; padding: 0 1; }
    }
    """
    BINDINGS = [
        Binding("enter", "take(1)", "Take a step", id="weights.step", tooltip="One step of gradient descent"),
        Binding("asterisk", f"take({MANY})", "×100", id="weights.many", tooltip="A hundred steps of gradient descent"),
        Binding("escape", "leave_field", "Leave the field", id="weights.leave", show=False, tooltip="Back to the numbers"),
        Binding("u", "undo", "Undo", id="weights.undo", tooltip="Undo the last step"),
    ]

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.show_part = self.options.get("show", "forward")
        if self.show_part not in SHOWS:
            raise UserError(f"The option show of three-weights is one of {', '.join(SHOWS)}, not {self.show_part!r}.")
        self.history = [ThreeWeights()]
        """The network before the first step and after each."""

    def compose(self) -> ComposeResult:
        with Horizontal():
            for name, label in FIELDS.items():
                yield Static(label, markup=False)
                yield NumberInput(getattr(self.history[0], name), most=FARTHEST, id=f"weights-{name}")
            if self.show_part == "steps":
                yield Static("rate", markup=False)
                yield NumberInput(RATE, most=FARTHEST, id="weights-rate")
        yield from super().compose()

    def on_mount(self) -> None:
        self._show()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "leave_field" or isinstance(self.screen.focused, NumberInput)

    def action_leave_field(self) -> None:
        self.view.focus()

    @property
    def rate(self) -> float | None:
        """The learning rate; None if the field holds no number."""
        found = self.query("#weights-rate").results(NumberInput)
        return next((field.number for field in found), RATE)

    def _fields(self) -> dict[str, NumberInput]:
        return {name: self.query_one(f"#weights-{name}", NumberInput) for name in FIELDS}

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        """Begin anew with the numbers that are typed; another rate goes on from here."""
        event.stop()
        numbers = {name: field.number for name, field in self._fields().items()}
        if event.input.id != "weights-rate" and all(number is not None for number in numbers.values()):
            self.history = [ThreeWeights(**{name: number for name, number in numbers.items() if number is not None})]
        self._show()

    def _show(self) -> None:
        bad = next((field for field in self.query(NumberInput) if field.number is None), None)
        if bad is not None:
            words = f"A number here is between −{FARTHEST:g} and {FARTHEST:g}, not {bad.value!r}."
            self.view.show(View("three weights", "", "", [Paragraph(words)]))
            return
        net = self.history[-1]
        if self.show_part == "steps":
            assert self.rate is not None
            self.view.show(steps_view(self.history, self.rate))
        else:
            self.view.show(forward_view(net) if self.show_part == "forward" else backward_view(net))

    def _fill_fields(self) -> None:
        """Write the weights after a step into their fields."""
        with self.prevent(Input.Changed):
            for name, field in self._fields().items():
                field.most = max(FARTHEST, abs(getattr(self.history[-1], name)))
                field.write(getattr(self.history[-1], name))

    def action_take(self, steps: int) -> None:
        if self.rate is None or any(field.number is None for field in self._fields().values()):
            return
        for _ in range(steps):
            if self.history[-1].is_too_large:
                break
            self.history.append(self.history[-1].after_step(self.rate))
        self.say(TOO_LARGE if self.history[-1].is_too_large else "")
        self._fill_fields()
        self._show()

    def action_undo(self) -> None:
        if len(self.history) > 1:
            self.history.pop()
            self.say("")
            self._fill_fields()
            self._show()


LABELS = ("The", "big", "dog", "ran")
SCORES = (0.3, 0.8, 1.2, 0.5)
PLAIN, SHIFTED = "exp of each score", "exp of score − largest"
MAX, SHARES, TEMPERATURE = EXTRAS = ("max", "shares", "temperature")
T = "T"
"""Title of the field of the temperature."""
LOWEST_TEMPERATURE = 0.01
FARTHEST_SCORE = 1e6
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
        return number_in(self.value, FARTHEST_SCORE)

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
