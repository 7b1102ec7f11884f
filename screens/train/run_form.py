"""The settings of a new run: a compact form, what they cost as they are typed, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Button, Input, Label, Static

from lab.planning.settings_form import DEVICES, Settings
from models.config import PRESETS
from screens.widgets.choice import Choice
from screens.widgets.fact_list import Fact, FactList

LABELS = {"preset": "shape", "length": "train for", "lr": "learning rate", "vocab": "vocabulary"}
TOOLTIPS = {
    "preset": "How large the model is; each number can be changed below",
    "layers": "Blocks of attention and MLP, one after the other",
    "heads": "Attention heads in each layer; they share the width",
    "width": "Numbers that stand for a token between the layers",
    "context": "Tokens that the model sees at once",
    "dropout": "Share of numbers dropped at random while training, against learning by heart; 0 is none",
    "tokenizer": "bpe learns its pieces from your text, bytes has 256, gpt2 is OpenAI's",
    "vocab": "How many different tokens bpe learns",
    "length": "Steps, such as 2000, or time, such as 5 min or 2 h",
    "batch": "Windows of text that one step learns from",
    "accumulate": "Compute a step's windows in so many parts, one after the other, which needs less memory",
    "schedule": "cosine lets the rate fall all the way; wsd keeps it up and lets it fall over the last fifth",
    "patience": "End after so many evaluations in a row without a better validation loss; empty is never",
    "lr": "How far one step moves the weights, at its peak",
    "optimizer": "muon learns faster: it evens out the directions in which a matrix moves; adamw is what nanoGPT uses",
    "seed": "The same seed, steps, machine and versions train the same model",
    "device": "auto takes a GPU if there is one",
    "name": "What the run is called; empty names it after the text",
}
ROWS: tuple[tuple[str, ...], ...] = (
    ("preset", "tokenizer", "vocab"),
    ("layers", "heads", "width"),
    ("context", "dropout", "seed"),
    ("length", "batch", "accumulate"),
    ("lr", "schedule", "patience"),
    ("optimizer", "device", "name"),
)
CHOICES: dict[str, tuple[str, ...]] = {
    "preset": tuple(PRESETS),
    "tokenizer": ("bpe", "bytes", "gpt2"),
    "schedule": ("cosine", "wsd"),
    "optimizer": ("muon", "adamw"),
    "device": DEVICES,
}


class Entry(Input):
    """Where `?` asks for help, since no setting has one in it. Backspace is answered here: a key left to the bindings goes
    up through all widgets first, and what is typed behind it in one packet, as over a slow line, would overtake it."""

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "backspace":
            event.stop()
            event.prevent_default()
            self.action_delete_left()
        elif event.character == "?":
            event.prevent_default()

    def check_consume_key(self, key: str, character: str | None = None) -> bool:
        """Whether the key is text here."""
        return character != "?" and super().check_consume_key(key, character)


class Field(Horizontal):
    """A label and its control. The label is marked with `!` where the value is wrong."""

    def __init__(self, name: str, value: str) -> None:
        super().__init__(id=f"field-{name}")
        self.field = name
        self.value = value

    def compose(self) -> ComposeResult:
        yield Label(LABELS.get(self.field, self.field), classes="field-label")
        if self.field in CHOICES:
            yield Choice(CHOICES[self.field], self.value, id=self.field, tooltip=TOOLTIPS[self.field])
        else:
            yield Entry(self.value, id=self.field, compact=True, tooltip=TOOLTIPS[self.field])

    def mark(self, wrong: bool) -> None:
        """Show whether the value is wrong."""
        self.set_class(wrong, "-wrong")
        self.query_one(Label).update(("!" if wrong else "") + LABELS.get(self.field, self.field))


class RunForm(VerticalScroll, can_focus=False):
    """Posts `Changed` as settings are typed, and `Started` when the user wants the run. What to show comes from outside."""

    HELP: ClassVar[str | None] = """
**A new run.** Up and down, or tab, move between the fields; left and right change a choice. Everything has a default that works,
so that Start is enough. What the settings cost is worked out as you type. A field with a `!` is wrong, and a sentence says why.
"""
    BINDINGS = [
        Binding("down", "app.focus_next", "Next field", id="form.next", show=False, tooltip="The next field"),
        Binding("up", "app.focus_previous", "Field before", id="form.previous", show=False, tooltip="The field before"),
    ]

    settings: reactive[Settings] = reactive(Settings())
    defaults: reactive[dict[str, str]] = reactive(dict)
    """What stands, greyed, in each field that is left empty."""
    text: reactive[str] = reactive("")
    """The text that is learned from, with its size, in a line."""
    cost: reactive[tuple[Fact, ...]] = reactive(())
    problems: reactive[tuple[tuple[str, str], ...]] = reactive(())
    """(field, sentence) of what is wrong; a field of "" is no field's fault."""

    @dataclass
    class Changed(Message):
        """A setting was changed."""

        settings: Settings

    @dataclass
    class Started(Message):
        """The user wants this run."""

        settings: Settings

    def compose(self) -> ComposeResult:
        with Vertical(id="form-fields"):
            yield Static(id="form-text", markup=False)
            for row in ROWS:
                with Horizontal(classes="form-row"):
                    for name in row:
                        yield Field(name, getattr(self.settings, name))
            with Horizontal(id="form-start"):
                yield Button("▸ Start training", id="start", compact=True, tooltip="Make the run and train it")
                yield Label("enter here, or s; what is greyed is the default")
        with Vertical(id="form-cost"):
            yield Static(id="problems", markup=False)
            yield Static("What it costs", id="cost-title", classes="heading")
            yield FactList(id="cost")

    def on_mount(self) -> None:
        self.query_one("#problems").display = bool(self.problems)

    def watch_defaults(self, defaults: dict[str, str]) -> None:
        for control in self.query(Input):
            control.placeholder = defaults.get(control.id or "", "")

    def watch_text(self, text: str) -> None:
        if self.is_mounted:
            self.query_one("#form-text", Static).update(f"New run on {text}")

    def watch_cost(self, cost: tuple[Fact, ...]) -> None:
        if self.is_mounted:
            self.query_one("#cost", FactList).facts = cost
            self.query_one("#cost-title").display = bool(cost)

    def watch_problems(self, problems: tuple[tuple[str, str], ...]) -> None:
        if not self.is_mounted:
            return
        wrong = {name for name, _ in problems}
        for field in self.query(Field):
            field.mark(field.field in wrong)
        shown = self.query_one("#problems", Static)
        shown.update("\n".join(f"✗ {sentence}" for _, sentence in problems))
        shown.display = bool(problems)

    def fill(self, settings: Settings) -> None:
        """Put these settings into the fields."""
        for control in self.query(Input):
            control.value = getattr(settings, control.id or "")
        for choice in self.query(Choice):
            choice.value = getattr(settings, choice.id or "")
        self.settings = settings
        self.query_one("#vocab", Input).disabled = settings.tokenizer != "bpe"

    def focus_start(self) -> None:
        """Put the focus where enter starts the run."""
        self.query_one("#start").focus()

    def focus_field(self, name: str) -> None:
        """Put the focus on a field, for instance on one that is wrong."""
        self.query_one(f"#{name}").focus()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._set(event.input.id or "", event.value)

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.screen.focus_next()

    @on(Choice.Changed)
    def _chosen(self, event: Choice.Changed) -> None:
        self._set(event.choice.id or "", event.value)

    @on(Button.Pressed, "#start")
    def _start(self) -> None:
        self.post_message(self.Started(self.settings))

    def _set(self, name: str, value: str) -> None:
        if getattr(self.settings, name) == value:
            return
        self.settings = replace(self.settings, **{name: value})
        if name == "tokenizer":
            self.query_one("#vocab", Input).disabled = value != "bpe"
        self.post_message(self.Changed(self.settings))
