"""A list of facts, label and value aligned, values wrapped."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text
from textual.geometry import Size
from textual.reactive import reactive
from textual.widget import Widget

from screens.widgets.text_fitting import wrap

Fact = tuple[str, str]
"""Label and value; an empty pair is an empty line."""


class FactList(Widget):
    """As high as its facts need. Values are plain text, not markup."""

    COMPONENT_CLASSES = {"facts--label", "facts--value"}
    DEFAULT_CSS = """
    FactList {
        height: auto; width: 1fr;
        & > .facts--label { color: $text-muted; }
        & > .facts--value { color: $foreground; }
    }
    """
    facts: reactive[tuple[Fact, ...]] = reactive(())

    def watch_facts(self, before: tuple[Fact, ...], after: tuple[Fact, ...]) -> None:
        """Lay out the screen only if the number of lines changes: values change many times a minute."""
        width = self.size.width
        if len(_lines(before, width)) != len(_lines(after, width)):
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(_lines(self.facts, width))

    def render(self) -> Text:
        label, value = self.get_component_rich_style("facts--label"), self.get_component_rich_style("facts--value")
        return Text("\n").join(
            Text.assemble((left, label), (right, value)) for left, right in _lines(self.facts, self.size.width)
        )


def _lines(facts: tuple[Fact, ...], width: int) -> list[tuple[str, str]]:
    margin = max((cell_len(label) for label, _ in facts), default=0) + 2
    lines: list[tuple[str, str]] = []
    for label, value in facts:
        room = max(8, width - margin)
        parts = [value] if cell_len(value) <= room else wrap(value, room)  # a row of a picture begins with spaces
        lines += [
            (text + " " * (margin - cell_len(text)), part) for text, part in zip([label] + [""] * len(parts), parts, strict=False)
        ]
    return lines
