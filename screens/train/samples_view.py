"""The samples of a run, those of one evaluation at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from textwrap import wrap

from rich.cells import cell_len
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.core.number_format import whole
from lab.runs.run_schema import Sample
from screens.widgets.text_fitting import Piece, painted_line, printable


def sample_text_lines(samples: Sequence[Sample], width: int) -> list[list[Piece]]:
    """Samples wrapped, an empty line between two; pieces of the prompt have the role `prompt`, the others `text`."""
    lines: list[list[Piece]] = []
    for number, sample in enumerate(samples):
        if number:
            lines.append([])
        prompt = printable(sample.prompt)
        left = len(prompt)
        for paragraph in (prompt + printable(sample.text)).split("\n"):
            # Some characters take two cells.
            narrow = width if cell_len(paragraph) == len(paragraph) else max(1, width // 2)
            for part in wrap(paragraph, narrow, drop_whitespace=False, replace_whitespace=False) or [""]:
                pieces = [(part[:left], "prompt"), (part[left:], "text")]
                lines.append([piece for piece in pieces if piece[0]])
                left = max(0, left - len(part))
            left = max(0, left - 1)
    return lines


class SamplesView(Widget):
    """Follows the newest samples until the user moves back; then stays until they move to the end."""

    COMPONENT_CLASSES = {"samples--title", "samples--prompt", "samples--text"}
    DEFAULT_CSS = """
    SamplesView {
        & > .samples--title { color: $text-muted; }
        & > .samples--prompt { text-style: bold underline; }
        & > .samples--text { color: $foreground; }
    }
    """
    samples: reactive[tuple[Sample, ...]] = reactive(())
    chosen: reactive[int | None] = reactive(None)
    """Index of the evaluation shown; None follows the newest."""
    scrolled: reactive[int] = reactive(0)
    has_arrows: reactive[bool] = reactive(True)
    """True if ← and → move here; else they move the plot's cursor."""
    without_samples: reactive[str] = reactive("Reading the run …")
    """Words in place of samples."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.steps: list[int] = []
        self._up_to: float | None = None
        """The step whose samples, or the last before, are shown; None follows the newest."""

    def watch_samples(self, samples: tuple[Sample, ...]) -> None:
        self.steps = sorted({sample.step for sample in samples})
        self._choose()  # the samples after a resumed run's last checkpoint have gone
        if self.chosen is None:
            self.scrolled = 0

    def show_up_to(self, step: float | None) -> None:
        """Show the last samples up to this step; None follows the newest."""
        self._up_to = step
        self._choose()
        self.scrolled = 0

    def _choose(self) -> None:
        step = self._up_to
        self.chosen = None if step is None or not self.steps else max(0, bisect_right(self.steps, step) - 1)

    def scroll_text(self, by: int) -> None:
        """Scroll a sample that is longer than the widget."""
        most = len(self._text_lines()) - (self.size.height - 1)
        self.scrolled = max(0, min(self.scrolled + by, most))

    def _text_lines(self) -> list[list[Piece]]:
        """Lines of the samples shown."""
        if not self.steps:
            return []
        step = self.steps[-1 if self.chosen is None else self.chosen]
        return sample_text_lines([sample for sample in self.samples if sample.step == step], max(10, self.size.width))

    def render_line(self, y: int) -> Strip:
        width, height = self.size
        if y == 0 or not self.steps:
            words = self.without_samples if y == 0 else ""
            if self.steps:
                at = len(self.steps) if self.chosen is None else self.chosen + 1
                arrows = " ←/→" if self.has_arrows else ""
                words = f"Samples at step {whole(self.steps[at - 1])}   {at}/{len(self.steps)}{arrows}"
            return painted_line(self, "samples", [(words, "title")])
        lines = self._text_lines()
        row = y - 1 + self.scrolled
        if row < len(lines) - 1 and y == height - 1:
            more = f" … {len(lines) - row - 1} more ↓"
            shown = painted_line(self, "samples", lines[row]).crop(0, width - len(more))
            return Strip.join([shown, painted_line(self, "samples", [(more, "title")], len(more))])
        return painted_line(self, "samples", lines[row] if row < len(lines) else [])
