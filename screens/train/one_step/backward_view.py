"""The backward pass of a training step as one picture."""

from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip

from lab.core.visible_text import visible
from lab.one_step.step_stages import BackwardPass
from screens.colour.heat import Heat
from screens.colour.palette import SIGNS, palette_of
from screens.train.one_step.backward_layout import LaidPicture, lay_backward, legend
from screens.widgets.line_scroll_view import LineScrollView


class BackwardView(LineScrollView):
    """The model with the gradient of each part, p − one-hot at the chosen token, and the weight that moves most."""

    KINDS = ("text", "title", "dim", "strong", "rail", "branch", "frame", "number", "name", "current", "stage", "note", "link")
    COMPONENT_CLASSES = {f"backward--{kind}" for kind in (*KINDS, "positive", "negative")}
    DEFAULT_CSS = """
    BackwardView {
        & > .backward--title { text-style: bold; }
        & > .backward--dim { color: $foreground 60%; }
        & > .backward--strong { text-style: bold; }
        & > .backward--rail { color: $primary; }
        & > .backward--branch { color: $primary; }
        & > .backward--frame { color: $foreground 50%; }
        & > .backward--number { color: $foreground 80%; }
        & > .backward--stage { color: $foreground 70%; }
        & > .backward--current { color: $accent; text-style: bold; }
        & > .backward--link { color: $accent; }
        & > .backward--positive { color: $primary; }
        & > .backward--negative { color: $warning; }
    }
    """
    HELP = (
        "**Backward pass.** The loss at the top, the embeddings at the bottom. The rail is the residual stream, as wide as the "
        "norm of the loss's gradient there. A box is as bright, and its branch as thick, as the norm of the gradient of its "
        "weights; `enter` opens the table, which has the two norms of a layer, too. Beside it is p − one-hot, the error at the "
        "logits of the chosen token, and the weight that the step changes most. A click opens the numbers of a part."
    )

    @dataclass
    class PartClicked(Message):
        """A part of the picture was clicked, whose numbers are in this stage."""

        stage: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "backward pass"
        self._picture: BackwardPass | None = None
        self._target = self._sentence = ""
        self.laid = LaidPicture([], 0, 0)

    def show(self, picture: BackwardPass, target: str, sentence: str) -> None:
        """Draw the picture for the chosen token, `target`."""
        self._picture, self._target, self._sentence = picture, target, sentence
        self._build()

    def on_resize(self) -> None:
        self._build()

    def _build(self) -> None:
        if self._picture is not None:
            self.laid = lay_backward(self._picture, self._target, self._sentence, self.room, self.window)
            self.set_extent(len(self.laid.lines))

    def border_words(self, above: int, below: int) -> str:
        words = super().border_words(above, below)
        return " · ".join(part for part in (legend(self._picture) if self._picture is not None else "", words) if part)

    def draw(self, line: int) -> Strip:
        segments = [Segment(visible(text), self._style(kind)) for text, kind in self.laid.lines[line]]
        return Strip(segments).adjust_cell_length(self.room, self.style_of(""))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None:
            self.post_message(self.PartClicked(self.laid.stage_at(offset.x, offset.y + self.top)))

    def _style(self, kind: str | Heat) -> Style:
        if not isinstance(kind, Heat):
            style = self.style_of(f"backward--{kind}" if kind else "")
            return style + palette_of(self).sign_style(kind) if kind in SIGNS else style
        palette = palette_of(self)
        if palette.paints:
            return palette.style(kind)
        return self.style_of("backward--current" if kind.role == "selected" else "backward--name")
