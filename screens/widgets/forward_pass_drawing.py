"""Forward pass as a drawing of the model, the current stage lit; where the room is short, as a list."""

from rich.segment import Segment
from rich.style import Style
from textual.reactive import reactive
from textual.strip import Strip

from screens.colour.heat import Heat
from screens.colour.palette import palette_of
from screens.widgets.forward_pass_layout import Drawing, drawing_of, fits, parts_of
from screens.widgets.forward_pass_list import RANK_FROM, ForwardPassList, lens_text

SHORT_NOTE = 10
"""Columns of a logit lens beside a box where the room is narrow."""


class ForwardPassDrawing(ForwardPassList):
    """The residual stream as a rail from tokens to logits, attention and MLP as boxes beside it.

    A branch is as thick, and a box as dark or bright, as the norm of what it adds is large.
    """

    COMPONENT_CLASSES = {"drawing--branch", "drawing--frame", "drawing--number"}
    DEFAULT_CSS = """
    ForwardPassDrawing {
        & > .drawing--branch { color: $foreground 50%; }
        & > .drawing--frame { color: $foreground 50%; }
        & > .drawing--number { color: $foreground 70%; }
    }
    """
    HELP = (
        "**Forward pass.** The model from top to bottom, `j` next stage and `k` back; a click opens a part. The rail at the "
        "left is the residual stream, as wide as its norm at the chosen token. A box is as bright, and its grey branch "
        "as thick, as the norm of what the part adds; the border has the largest of both. "
        "Beside each part is its logit lens: the token that the model would predict if it stopped there."
    )
    KINDS = {
        "rail": "steps--rail",
        "branch": "drawing--branch",
        "frame": "drawing--frame",
        "number": "drawing--number",
        "name": "steps--group",
        "stage": "steps--step",
        "current": "steps--current",
        "note": "steps--lens",
    }
    changed: reactive[frozenset[str]] = reactive(frozenset(), repaint=False)
    """Groups that an intervention changes."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._drawing: Drawing | None = None
        """None where the list is shown."""

    def watch_changed(self) -> None:
        self._build()

    def _build(self) -> None:
        if not self.steps or not fits(self.room, self.window):
            self._drawing = None
            super()._build()
            return
        old = self._drawing.lines if self._drawing is not None else ()
        self._set_rows()
        parts = parts_of(self.steps, self._notes(), self.changed)
        self._drawing = new = drawing_of(parts, self.current, self.room, self.window)
        changed = [line for line, (a, b) in enumerate(zip(old, new.lines, strict=False)) if a != b]
        self.set_extent(len(new.lines), changed=changed if old else None)
        self._show_current(new.current)

    def _notes(self) -> dict[str, tuple[str, ...]]:
        """The logit lens of each group in the rooms that a drawing may have for it."""
        groups = [row for row in self._rows if row.is_group and row.lens is not None]
        return {row.name: (lens_text(row, RANK_FROM), lens_text(row, SHORT_NOTE)) for row in groups}

    def border_words(self, above: int, below: int) -> str:
        words = super().border_words(above, below)
        return self._drawing.legend if not words and self._drawing is not None else words

    @property
    def note_room(self) -> int:
        return super().note_room if self._drawing is None else self._drawing.note_room

    def draw(self, line: int) -> Strip:
        if self._drawing is None:
            return super().draw(line)
        return self._finish([Segment(text, self._style(kind)) for text, kind in self._drawing.lines[line].pieces])

    def _style(self, kind: str | Heat) -> Style:
        if not isinstance(kind, Heat):
            return self.style_of(self.KINDS.get(kind, ""))
        palette = palette_of(self)
        if palette.paints:
            return palette.style(kind)
        return self.style_of(self.KINDS["current" if kind.role == "selected" else "name"])

    def _step_of(self, line: int) -> int:
        return super()._step_of(line) if self._drawing is None else self._drawing.lines[line].step
