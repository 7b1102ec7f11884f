"""The settings of a new run: three in sight, the rest under `more`; its cost and the problems, updated as they are typed."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Button, Input, Label, Static

from lab.core.machine import gpu_count
from lab.core.visible_text import shortened, visible
from lab.planning.settings_form import LOCKED
from lab.planning.settings_table import AUTO, SETTINGS, Setting, Settings, shown_settings
from models.config import DEFAULT_PRESET, PRESETS
from screens.about_key import About, described
from screens.widgets.choice import Choice
from screens.widgets.piece_lines import Fact, FactList

COLUMNS = 3
IN_SIGHT = ("length", "preset", "name")
LINES_FOR_ALL = 50
"""Lines of a screen that has room for the settings under `more` from the start."""
VERY_WIDE = 160
"""Columns of a screen that has room for the text under the cost."""
SHAPE = ("layers", "heads", "width", "context")
USUAL = {name: str(getattr(PRESETS[DEFAULT_PRESET], name)) for name in SHAPE} | {"dropout": "0"}
"""Settings that the shape and the text decide, with their values by default."""
TECHNICAL = ("vocabulary", "a step")
"""Facts of the cost that are shown with the settings under `more`."""
HINT, HINT_IN_FIELD = "enter here, or s; ↑↓ to a setting, ←→ changes it", "escape leaves the field, then s; defaults are greyed"
"""The key that starts the run: in a text field it is a letter."""
RANDOM = "random weights"
BEGINS = "begins with"


OFFERS, OTHER = "offers-", "other"
"""Beginning of the id of the choice among a setting's offers, and the last option, which opens its entry."""


class Entry(Input):
    """An input in which `?` asks for help, since no setting contains one."""

    def __init__(self, value: str, id: str, tooltip: str) -> None:
        super().__init__(value, id=id, tooltip=tooltip)
        # The argument `compact` would work out the styles of each field twice more.
        self.set_reactive(Input.compact, True)
        self.add_class("-textual-compact", update=False)

    def on_key(self, event: events.Key) -> None:
        if event.character == "?":
            event.prevent_default()

    def check_consume_key(self, key: str, character: str | None = None) -> bool:
        return character != "?" and super().check_consume_key(key, character)


class Offers(Choice):
    """A choice among a setting's offers; another value is typed into the entry beside it."""

    BINDINGS = [Binding("e,enter", "type", "Type", id="offers.type", tooltip="Type another value than those offered")]

    def action_type(self) -> None:
        self.value = OTHER
        entry = self.parent.query_one(Entry) if self.parent is not None else None
        if entry is not None:
            entry.display = True
            entry.focus()


class Field(Horizontal):
    """A label and its control. The label is marked with `!` where the value is wrong."""

    def __init__(self, setting: Setting, value: str) -> None:
        super().__init__(id=f"field-{setting.name}")
        self.setting = setting
        self.value = value

    def compose(self) -> ComposeResult:
        yield Label(self.setting.label, classes="field-label")
        if self.setting.offers:
            offers, id = (*self.setting.offers, OTHER), OFFERS + self.setting.name
            yield Offers(offers, self.setting.default, id=id, tooltip=self.setting.help)
        if self.setting.choices:
            yield Choice(self.setting.choices, self.value, id=self.setting.name, tooltip=self.setting.help)
        else:
            entry = Entry(self.value, self.setting.name, self.setting.help)
            entry.display = not self.setting.offers
            yield entry

    def mark(self, wrong: bool) -> None:
        self.set_class(wrong, "-wrong")
        self.query_one(Label).update(("!" if wrong else "") + self.setting.label)


class RunForm(VerticalScroll, can_focus=False):
    """The form. Posts `Changed` as settings are typed. Its parent sets what it shows, and handles its buttons."""

    HELP: ClassVar[str | None] = """
**A new run.** Up and down move between the rows, tab goes to the next field, escape leaves one; left and right change a choice,
and `e` types. Every field has a default: Start is enough. `more` holds the other settings, and says which differ from these;
enter opens it. The cost is updated as you type. `!` marks a wrong field; a sentence says why.

**Fine-tuning.** *Begins with*, under `more`, chooses a run, such as an imported `gpt2`, for its weights. Its shape and
its tokenizer stay; the learning rate is low, so that the weights keep what they hold.
"""
    BINDINGS = described(
        Binding("down", "row(1)", "Field", id="form.next", key_display="↑↓", tooltip="The field below"),
        About(words="the fields; enter changes one", also=("form.previous",)),
        Binding("up", "row(-1)", "Field above", id="form.previous", show=False, tooltip="The field above"),
    )

    settings: reactive[Settings] = reactive(Settings(), init=False)
    defaults: reactive[dict[str, str]] = reactive(dict, init=False)
    """The placeholder of each field."""
    reasons: reactive[dict[str, str]] = reactive(dict, init=False)
    """The reason for each default, in the tooltips."""
    text: reactive[str] = reactive("", init=False)
    """The training text and its size, in a line."""
    cost: reactive[tuple[Fact, ...]] = reactive((), init=False)
    base: reactive[str] = reactive("", init=False)
    """Name of the run whose weights it begins with; empty for random ones. A base fixes the shape and the tokenizer."""
    opened: reactive[bool] = reactive(False, init=False)
    problems: reactive[tuple[tuple[str, str], ...]] = reactive((), init=False)
    """A sentence for each wrong field, by name; "" stands for no field."""

    class Changed(Message):
        """A setting was changed."""

    def compose(self) -> ComposeResult:
        rest = [setting for setting in shown_settings(gpu_count()) if setting.name not in IN_SIGHT]
        with Vertical(id="form-fields"):
            yield Static(id="form-text", markup=False)
            for name in IN_SIGHT:
                with Horizontal(classes="form-row"):
                    yield Field(SETTINGS[name], getattr(self.settings, name))
            with Horizontal(id="form-start", classes="form-row"):
                yield Button("▸ Start training", id="start", compact=True, tooltip="Create this run and train it")
                yield Label(HINT, id="start-hint")
            more = Button("", id="more", compact=True, tooltip="Show or hide the other settings")
            more.active_effect_duration = 0  # while the effect lasts, a button takes no key
            yield more
            with Vertical(id="form-more"):
                with Horizontal(id="form-base", classes="form-row"):
                    yield Label(BEGINS, classes="field-label")
                    yield Button(RANDOM, id="base", compact=True, tooltip="Begin with the weights of a run, or random ones")
                for start in range(0, len(rest), COLUMNS):
                    with Horizontal(classes="form-row"):
                        for setting in rest[start : start + COLUMNS]:
                            yield Field(setting, getattr(self.settings, setting.name))
            yield Static(id="field-help", markup=False)
            yield Static(id="form-model")
        with Vertical(id="form-cost"):
            yield Static(id="problems", markup=False)
            yield Static("What to expect", id="cost-title", classes="heading")
            yield FactList(id="cost")
            yield Static(id="form-ends")

    def on_mount(self) -> None:
        self.opened = self.app.size.height >= LINES_FOR_ALL

    def on_resize(self) -> None:
        self.set_class(self.app.size.width >= VERY_WIDE, "-huge")

    def watch_opened(self) -> None:
        self.query_one("#form-more").display = self.opened
        self.watch_cost(self.cost)
        self._name_more()

    @on(Button.Pressed, "#more")
    def _open_or_close(self) -> None:
        self.opened = not self.opened
        if self.opened:
            self.query_one("#base").focus()

    def focus_field(self, name: str) -> None:
        self.opened = self.opened or name not in IN_SIGHT
        self.query_one(f"#{name}").display = True
        self.query_one(f"#{name}").focus()

    def _name_more(self) -> None:
        changed = [f"{BEGINS} {shortened(visible(self.base), 20)}"] if self.base else []
        settings = [field.setting for field in self.query("#form-more Field").results(Field)]
        for setting in sorted(settings, key=lambda each: not getattr(self.settings, each.name)):  # first what was typed
            name, typed = setting.name, getattr(self.settings, setting.name)
            value = typed or self.defaults.get(name, "")
            if (
                (value not in ("", USUAL[name]))
                if name in USUAL and self.settings.preset != AUTO
                else (typed != getattr(Settings(), name))
            ):
                changed.append(f"{setting.label} {shortened(visible(value), 30)}")
        words = f"not as usual: {', '.join(changed)}" if changed else "all as usual"
        self.query_one("#more", Button).label = Text(
            f"{'▾' if self.opened else '▸'} more: learning rate, batch, context … · {words}"
        )

    def watch_settings(self, settings: Settings) -> None:
        self._name_more()
        for choice in self.query(Choice):
            if (choice.id or "").startswith(OFFERS):
                entry = self.query_one(f"#{(choice.id or '').removeprefix(OFFERS)}", Entry)
                if not entry.has_focus:  # else it would be taken away while it is typed in
                    typed = getattr(settings, entry.id or "") or SETTINGS[entry.id or ""].default
                    choice.value = typed if typed in choice.options else OTHER
                    entry.display = choice.value == OTHER

    def watch_defaults(self, defaults: dict[str, str]) -> None:
        for control in self.query(Input):
            control.placeholder = defaults.get(control.id or "", "")
        self._name_more()

    def watch_reasons(self, reasons: dict[str, str]) -> None:
        for control in self.query(Entry):
            setting, reason = SETTINGS[control.id or ""], reasons.get(control.id or "")
            control.tooltip = f"{setting.help}. Default: {reason}." if reason else setting.help

    def watch_text(self, text: str) -> None:
        self.query_one("#form-text", Static).update(f"New run on {text}")

    def watch_base(self, base: str) -> None:
        button = self.query_one("#base", Button)
        button.label = Text(shortened(visible(base), 40) or RANDOM)
        button.refresh(layout=True)
        self.query_one("#preset", Choice).words = f"as {visible(base)}" if base else ""
        self._lock()
        self._name_more()

    def watch_cost(self, cost: tuple[Fact, ...]) -> None:
        if not self.opened:
            known = ((label, value) for label, value in cost if label not in TECHNICAL)
            cost = tuple((label, value.partition(":")[0] if label == "parameters" else value) for label, value in known)
        self.query_one("#cost", FactList).facts = tuple(sorted(cost, key=lambda fact: fact[0] != "time"))
        self.query_one("#cost-title").display = bool(cost)

    def watch_problems(self, problems: tuple[tuple[str, str], ...]) -> None:
        wrong = {name for name, _ in problems}
        self.opened = self.opened or bool(wrong - {"", *IN_SIGHT})
        for field in self.query(Field):
            field.mark(field.setting.name in wrong)
        shown = self.query_one("#problems", Static)
        shown.update("\n".join(f"✗ {sentence}" for _, sentence in problems))
        shown.display = bool(problems)

    def fill(self, settings: Settings) -> None:
        for control in self.query(Input):
            control.value = getattr(settings, control.id or "")
        for choice in self.query(Choice):
            if choice.id in SETTINGS:
                choice.value = getattr(settings, choice.id)
        self.settings = settings
        self._lock()

    def _lock(self) -> None:
        for name in LOCKED:
            self.query_one(f"#{name}").disabled = bool(self.base) or (name == "vocab" and self.settings.tokenizer != "bpe")

    def action_row(self, by: int) -> None:
        """Focus the nearest field in the next row that has one which can be used; below the last row comes the first."""
        fields = [each for each in self.screen.focus_chain if self in each.ancestors]
        focused = self.screen.focused
        if focused not in fields:
            return
        here = focused.region
        rows = sorted({each.region.y for each in fields})
        row = rows[(rows.index(here.y) + by) % len(rows)]
        min((each for each in fields if each.region.y == row), key=lambda each: abs(each.region.x - here.x)).focus()

    @on(events.DescendantFocus)
    @on(events.DescendantBlur)
    def _explain_field(self) -> None:
        focused = self.screen.focused
        self.query_one("#start-hint", Label).update(HINT_IN_FIELD if isinstance(focused, Entry) else HINT)
        setting = (
            SETTINGS.get((focused.id or "").removeprefix(OFFERS))
            if isinstance(focused, Entry | Choice) and self in focused.ancestors
            else None
        )
        words = setting.help if setting is not None else ""
        self.query_one("#field-help", Static).update(words, layout=False)

    def focus_start(self) -> None:
        self.query_one("#start").focus()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._set(event.input.id or "", event.value)

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.screen.focus_next()

    @on(Choice.Changed)
    def _chosen(self, event: Choice.Changed) -> None:
        name = (event.choice.id or "").removeprefix(OFFERS)
        if event.choice.id == name:
            self._set(name, event.value)
            return
        entry = self.query_one(f"#{name}", Entry)
        entry.display = event.value == OTHER
        if event.value != OTHER:
            entry.value = "" if event.value == SETTINGS[name].default else event.value

    def _set(self, name: str, value: str) -> None:
        if getattr(self.settings, name) == value:
            return
        self.settings = replace(self.settings, **{name: value})
        self._lock()
        self.post_message(self.Changed())
