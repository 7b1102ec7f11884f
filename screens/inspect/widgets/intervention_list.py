"""List of the interventions, one line each, and their effect on the prediction."""

from dataclasses import dataclass

from rich.segment import Segment
from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from lab.inspect.intervention_effect import Effect, in_short
from lab.inspect.interventions import Intervention, Interventions
from screens.widgets.line_scroll_view import LineScrollView
from screens.widgets.text_fitting import fit, wrap

TALLEST = 9
"""Lines that the list may take with its border; more are scrolled."""


def number_on(made: Interventions) -> str:
    """`1 intervention on`, `2 interventions on`."""
    return f"{len(made)} intervention{'s' if len(made) > 1 else ''} on"


class InterventionList(LineScrollView):
    """Gone while nothing is changed."""

    COMPONENT_CLASSES = {"interventions--name", "interventions--current", "interventions--effect"}
    DEFAULT_CSS = """
    InterventionList {
        display: none; height: 4; border: round $warning; border-title-color: $warning; border-title-style: bold;
        & > .interventions--name { color: $foreground; text-style: bold; }
        & > .interventions--current { color: $accent; text-style: reverse bold; }
        & > .interventions--effect { color: $success; }
    }
    """
    HELP = (
        "**Interventions.** Changes made in the forward pass, and their effect on the top prediction. "
        "`j` and `k` choose one, `x` takes it back, `enter` shows the effect, scales, patches; `u` undoes the last change."
    )
    BINDINGS = [
        Binding("down,j", "move(1)", "Choose", id="interventions.down", key_display="j/k", tooltip="The intervention below"),
        Binding("up,k", "move(-1)", "Up", id="interventions.up", show=False, tooltip="The intervention above"),
        Binding(
            "enter", "screen.do('interventions')", "Effect and more", id="interventions.open", tooltip="Effect, scale, patch"
        ),
        Binding("x,delete", "remove", "Take back", id="interventions.remove", tooltip="Take the chosen intervention back"),
    ]

    made: reactive[Interventions] = reactive(())
    effect: reactive[Effect | None] = reactive(None)
    chosen: reactive[int] = reactive(0)

    @dataclass
    class Removed(Message):
        """An intervention is to be undone."""

        intervention: Intervention

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: list[tuple[str, int | None]] = []

    def watch_made(self) -> None:
        self.display = bool(self.made)
        self.chosen = min(self.chosen, max(0, len(self.made) - 1))
        self.border_title = Text(number_on(self.made)) if self.made else ""
        self._build()

    def _build(self) -> None:
        lines: list[tuple[str, int | None]] = []
        for index, each in enumerate(self.made):
            first, *rest = wrap(each.description, max(8, self.room - 2))
            lines += [(f"• {first}", index), *((f"  {line}", index) for line in rest)]
        if self.effect is not None:
            lines += [(line, None) for line in wrap(in_short(self.effect), self.room)]
        self._lines = lines
        self.styles.height = min(TALLEST, len(lines) + 2)
        self.set_extent(len(lines))
        line = next((number for number, (_, index) in enumerate(lines) if index == self.chosen), 0)
        self.show_line(line)

    watch_effect = watch_chosen = on_resize = _build

    def draw(self, line: int) -> Strip:
        text, index = self._lines[line]
        kind = "effect" if index is None else "current" if index == self.chosen and self.has_focus else "name"
        style = self.style_of(f"interventions--{kind}")
        return Strip([Segment(fit(text, self.room), style)]).adjust_cell_length(self.room, self.style_of(""))

    def watch_has_focus(self, has_focus: bool) -> None:
        super().watch_has_focus(has_focus)
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Choose the intervention that was clicked on."""
        offset = event.get_content_offset(self)
        if offset is not None and 0 <= offset.y + self.top < len(self._lines):
            index = self._lines[offset.y + self.top][1]
            self.chosen = self.chosen if index is None else index

    def action_move(self, by: int) -> None:
        self.chosen = min(max(self.chosen + by, 0), len(self.made) - 1)

    def action_remove(self) -> None:
        if self.chosen < len(self.made):
            self.post_message(self.Removed(self.made[self.chosen]))
