"""Live widget `three-weights`: a network of three weights, its passes in numbers, and gradient descent on it."""

from __future__ import annotations

from collections.abc import Mapping

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widgets import Input, Static

from lab.core.errors import UserError
from lab.training.one_step.three_weights import FARTHEST, ThreeWeights, backward_view, forward_view, steps_view
from lab.views.blocks import Paragraph, View
from screens.learn.learn_page import LearnEngine
from screens.learn.live.live_widget import NumberInput, ViewWidget

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
