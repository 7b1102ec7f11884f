"""The samples of a run: those of one evaluation, and below them of those before where there is room."""

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


LEAST_BEFORE = 3
"""Lines that an evaluation before needs to be shown: an empty one, its step, and a line of text."""


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
    without_samples: reactive[str] = reactive("Reading the run …")

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.steps: list[int] = []
        self._up_to: float | None = None
        """The step whose samples, or the last before, are shown; None follows the newest."""
        self._laid_out_for: object = None
        self._laid_out: tuple[int, list[list[Piece]]] = (0, [])

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
        most = self._lay_out()[0] - (self.size.height - 1)
        self.scrolled = max(0, min(self.scrolled + by, most))

    def _lay_out(self) -> tuple[int, list[list[Piece]]]:
        """The number of lines of the evaluation shown; these lines, and those of the evaluations before as far as there is
        room."""
        key = (self.samples, self.chosen, self.size)
        if self._laid_out_for != key:
            lines: list[list[Piece]] = []
            own, (width, height) = 0, self.size
            for step in reversed(self.steps[: None if self.chosen is None else self.chosen + 1]):
                if lines and len(lines) + LEAST_BEFORE > height - 1:
                    break
                lines += [[], [(f"At step {whole(step)}", "title")]] if lines else []
                lines += sample_text_lines([sample for sample in self.samples if sample.step == step], max(10, width))
                own = own or len(lines)
            self._laid_out_for, self._laid_out = key, (own, lines)
        return self._laid_out

    def render_line(self, y: int) -> Strip:
        width, height = self.size
        if y == 0 or not self.steps:
            words = self.without_samples if y == 0 else ""
            if self.steps:
                at = len(self.steps) if self.chosen is None else self.chosen + 1
                words = f"Samples at step {whole(self.steps[at - 1])}   {at}/{len(self.steps)} ←/→"
            return painted_line(self, "samples", [(words, "title")])
        own, lines = self._lay_out()
        row = y - 1 + self.scrolled
        if row < own - 1 and y == height - 1:
            more = f" … {own - row - 1} more ↓"
            shown = painted_line(self, "samples", lines[row]).crop(0, width - cell_len(more))
            return Strip.join([shown, painted_line(self, "samples", [(more, "title")], cell_len(more))])
        return painted_line(self, "samples", lines[row] if row < len(lines) else [])
