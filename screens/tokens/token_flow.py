"""The tokens of a text, wrapped into lines, with a cursor on one of them."""

from bisect import bisect_right
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from screens.widgets.line_scroll_view import LineScrollView
from screens.widgets.text_fitting import fit


@dataclass(frozen=True)
class TokenSpan:
    """Line and columns of a token."""

    line: int
    start: int
    width: int


def places_of(labels: list[str], breaks: list[bool], width: int) -> list[TokenSpan]:
    """Wrap labels side by side, a bar after each; a new line where there is no room or after a line break."""
    places: list[TokenSpan] = []
    line = at = 0
    for label, breaks_line in zip(labels, breaks, strict=True):
        size = min(max(1, cell_len(label)), max(1, width - 1))
        if at and at + size + 1 > width:
            line, at = line + 1, 0
        places.append(TokenSpan(line, at, size))
        at += size + 1
        if breaks_line:
            line, at = line + 1, 0
    return places


class TokenFlow(LineScrollView):
    """Bars and shades separate the tokens; the chosen one is inverted."""

    COMPONENT_CLASSES = {"flow--even", "flow--odd", "flow--chosen", "flow--bar"}
    DEFAULT_CSS = """
    TokenFlow {
        & > .flow--even { color: $foreground; }
        & > .flow--odd { color: $foreground; background: $foreground 10%; }
        & > .flow--chosen { text-style: reverse bold; }
        & > .flow--bar { color: $foreground 40%; }
    }
    """
    HELP = "**The tokens.** Arrows or `hjkl` choose one; below are its bytes and merges."
    BINDINGS = [
        Binding("right,l", "choose(1)", "Token", id="flow.right", key_display="←/→", tooltip="The next token"),
        Binding("left,h", "choose(-1)", "Left", id="flow.left", show=False, tooltip="The previous token"),
        Binding("down,j", "line(1)", "Down", id="flow.down", show=False, tooltip="One line down"),
        Binding("up,k", "line(-1)", "Up", id="flow.up", show=False, tooltip="One line up"),
        Binding("home,g", "end(0)", "First", id="flow.first", show=False, tooltip="The first token"),
        Binding("end,G", "end(-1)", "Last", id="flow.last", show=False, tooltip="The last token"),
    ]

    chosen: reactive[int] = reactive(0)

    @dataclass
    class Chosen(Message):
        """Another token was chosen."""

        index: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._labels: list[str] = []
        self._breaks: list[bool] = []
        self._places: list[TokenSpan] = []
        self._lines: list[int] = []

    def show(self, labels: list[str], breaks: list[bool]) -> None:
        """Draw other tokens; `breaks` says after which of them the text starts a new line."""
        self._labels, self._breaks = labels, breaks
        self._flow()
        self.chosen = max(0, min(self.chosen, len(labels) - 1))
        self._reveal()

    def _flow(self) -> None:
        self._places = places_of(self._labels, self._breaks, self.room)
        self._lines = [place.line for place in self._places]
        self.set_extent(self._lines[-1] + 1 if self._lines else 0)

    def on_resize(self) -> None:
        self._flow()

    def watch_chosen(self) -> None:
        self._reveal()
        self.refresh()
        self.post_message(self.Chosen(self.chosen))

    def _reveal(self) -> None:
        if self._places:
            self.show_line(self._lines[self.chosen])

    def draw(self, line: int) -> Strip:
        first, end = bisect_right(self._lines, line - 1), bisect_right(self._lines, line)
        bar = Segment("│", self.style_of("flow--bar"))
        segments: list[Segment] = []
        for index in range(first, end):
            kind = "chosen" if index == self.chosen else "odd" if index % 2 else "even"
            segments += [Segment(fit(self._labels[index], self._places[index].width), self.style_of(f"flow--{kind}")), bar]
        return Strip(segments).adjust_cell_length(self.room, self.style_of(""))

    def action_choose(self, by: int) -> None:
        self.chosen = max(0, min(self.chosen + by, len(self._labels) - 1))

    def action_end(self, index: int) -> None:
        self.chosen = index if index >= 0 else max(0, len(self._labels) - 1)

    def action_line(self, by: int) -> None:
        if not self._places:
            return
        place = self._places[self.chosen]
        found = self._at(place.line + by, place.start + place.width // 2)
        if found is not None:
            self.chosen = found

    def _at(self, line: int, x: int) -> int | None:
        """The token at `x` of `line`, or the last one before it; None where there is no such line."""
        first, end = bisect_right(self._lines, line - 1), bisect_right(self._lines, line)
        before = [index for index in range(first, end) if self._places[index].start <= x]
        return before[-1] if before else None

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        found = self._at(offset.y + self.top, offset.x) if offset is not None else None
        if found is not None:
            self.chosen = found
