"""Columns of Inspect: the forward pass above the prediction and the interventions, and the views of one or two prompts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from lab.core.number_format import probability
from lab.inspect.intervention_effect import Cost, Effect, in_short
from lab.inspect.interventions import Intervention, Interventions
from lab.views.blocks import LensPath, Prediction
from screens.blocks.block_layout import bar
from screens.blocks.block_view import BlockView
from screens.widgets.forward_pass_list import ForwardPassDrawing
from screens.widgets.guess_view import GuessView
from screens.widgets.line_scroll_view import LineScrollView
from screens.widgets.text_fitting import fit, wrap
from screens.widgets.token_strip import TokenStrip

OTHERS = "others"
NAMED_FROM = 0.01  # probability of a token among the others


@dataclass(frozen=True)
class PredictionRow:
    """One candidate for the next token, or all others together."""

    label: str
    now: float
    before: float | None = None
    """Its probability without the interventions; None where there are none."""
    is_token: bool = True
    names: str = ""
    """Of all others, the likely ones: tokens that have no row for lack of room."""


def rows_now(top: Sequence[Prediction], count: int) -> list[PredictionRow]:
    """The most probable tokens in `count` rows, the last of which is all others."""
    shown = [PredictionRow(each.label, each.probability) for each in top[: max(1, count - 1)]]
    rest = max(0.0, 1 - sum(row.now for row in shown))
    names = ", ".join(each.label.strip() for each in top[len(shown) :] if each.probability >= NAMED_FROM)
    return [*shown, PredictionRow(OTHERS, rest, None, False, names)][:count] if rest > 0 else shown[:count]


def rows_on_a_line(effect: Effect, count: int) -> list[PredictionRow]:
    """The same rows with the most probable token before in second place: on a narrow line only two fit."""
    rows = rows_before_and_after(effect, count)
    first = effect.first_before
    at = next((at for at, row in enumerate(rows) if row.is_token and (row.label, row.now) == (first.label, first.after)), 0)
    return [rows[0], rows[at], *rows[1:at], *rows[at + 1 :]] if at > 1 else rows


def rows_before_and_after(effect: Effect, count: int) -> list[PredictionRow]:
    """The most probable tokens after the interventions, the most probable one before among them, and all others."""
    by_now = sorted(effect.changes, key=lambda change: (-change.after, change.id))
    shown = by_now[: max(1, count - 1)]
    if effect.first_before not in shown and len(shown) > 1:
        shown[-1] = effect.first_before
    unseen = [change for change in by_now if change not in shown]
    others = PredictionRow(
        OTHERS,
        effect.others_after + sum(change.after for change in unseen),
        effect.others_before + sum(change.before for change in unseen),
        is_token=False,
    )
    return [*(PredictionRow(change.label, change.after, change.before) for change in shown), others][:count]


LONGEST_LABEL = 12
LOST, GAINED = "░", "▓"
"""Parts of a bar that an intervention took away, and added."""
LINE_BAR = 8
"""Cells of a full bar where all tokens stand on one line."""
PERCENT = 5
CHANGE = 13
"""Columns of a probability, and of two with an arrow between."""

VEILED = "hidden while you guess"

Piece = tuple[str, str]


class PredictionPanel(Widget):
    """As many tokens as it has lines, each with a bar to 100%; with one line, as many as fit side by side."""

    COMPONENT_CLASSES = {f"prediction--{kind}" for kind in ("first", "label", "bar", "lost", "number")}
    DEFAULT_CSS = """
    PredictionPanel {
        height: 1; padding: 0 1;
        & > .prediction--first { color: $success; text-style: bold; }
        & > .prediction--label { color: $foreground; }
        & > .prediction--bar { color: $success; }
        & > .prediction--lost { color: $foreground 50%; }
        & > .prediction--number { color: $foreground 80%; }
    }
    """

    path: reactive[LensPath | None] = reactive(None)
    veiled: reactive[bool] = reactive(False)
    """True to show no prediction, which the user is to guess."""
    effect: reactive[Effect | None] = reactive(None)
    """Effect of the interventions on the same prediction."""

    def _set_title(self) -> None:
        """Name the predicted token, and the scale."""
        if self.path is not None:
            legend = "full bar 100%" if self.effect is None else f"{LOST} lost {GAINED} gained"
            self.border_title = f"token {self.path.position + 2} · {'hidden' if self.veiled else legend}"

    watch_path = watch_effect = watch_veiled = _set_title

    def rows(self, count: int) -> list[PredictionRow]:
        if self.effect is not None:
            return rows_before_and_after(self.effect, count)
        return rows_now(self.path.top, count) if self.path is not None else []

    def render_line(self, y: int) -> Strip:
        width, height = self.content_size
        if self.veiled:
            pieces = [(f"next token: {VEILED}", "number")] if height == 1 else []
        elif height > 1:
            rows = self.rows(height)
            pieces = _row(rows, y, width) if y < len(rows) else []
        else:
            pieces = self._line(width)
        segments = [Segment(text, self.get_component_rich_style(f"prediction--{kind}")) for text, kind in pieces]
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _line(self, width: int) -> list[Piece]:
        """The tokens side by side, as many as fit."""
        if self.path is None:
            return []
        pieces: list[Piece] = [(f"token {self.path.position + 2}:", "number")]
        room = width - cell_len(pieces[0][0])
        count = len(self.path.top)
        rows = self.rows(count) if self.effect is None else rows_on_a_line(self.effect, count)
        for place, row in enumerate(rows):
            label = fit(row.label.strip() or row.label, min(cell_len(row.label.strip() or row.label), LONGEST_LABEL))
            found: list[Piece] = [(f"  {label} ", _kind(row, place)), (_numbers(row) + " ", "number"), *_bar(row, LINE_BAR)]
            needed = sum(cell_len(text) for text, _ in found)
            if needed > room:
                break
            room -= needed
            pieces += found
        return pieces


def _row(rows: list[PredictionRow], at: int, width: int) -> list[Piece]:
    """One row of the panel: the token, its bar, its probability."""
    row = rows[at]
    label = min(LONGEST_LABEL, max(cell_len(each.label.strip() or each.label) for each in rows))
    number = CHANGE if row.before is not None else PERCENT + 1
    cells = max(0, width - label - number - 2)
    bar_pieces = [(row.names[:cells], "label")] if row.names else _bar(row, cells)
    space = " " * (cells - sum(len(text) for text, _ in bar_pieces))
    name = fit(row.label.strip() or row.label, label) + " "
    return [(name, _kind(row, at)), *bar_pieces, (space, "number"), (fit(_numbers(row), number, "right"), "number")]


def _kind(row: PredictionRow, place: int) -> str:
    return "number" if not row.is_token else "label" if place else "first"


def _numbers(row: PredictionRow) -> str:
    now = probability(row.now)
    return now if row.before is None else f"{probability(row.before)} → {now}"


def _bar(row: PredictionRow, cells: int) -> list[Piece]:
    """A bar to `cells` for 100%: what stayed, and what was lost or gained since before."""
    if row.before is None:
        return [(bar(row.now, cells), "bar")]
    kept, more = (round(each * cells) for each in (min(row.now, row.before), max(row.now, row.before)))
    rest = GAINED if row.now > row.before else LOST
    return [("█" * kept, "bar"), (rest * (more - kept), "bar" if rest == GAINED else "lost")]


class SecondView(Vertical):
    """The second prompt's view of the same step; its width and its cursor change nothing else."""

    DEFAULT_CSS = """
    SecondView { display: none; }
    """

    def __init__(self) -> None:
        super().__init__(id="inspect-beside")
        self.view = BlockView(id="second-view")

    def compose(self) -> ComposeResult:
        yield self.view

    @on(BlockView.WidthChanged)
    @on(BlockView.SpotChanged)
    def _keep(self, message: BlockView.WidthChanged | BlockView.SpotChanged) -> None:
        message.stop()


class SecondPromptBar(Horizontal):
    """The second prompt's tokens on one line; gone while there is none."""

    DEFAULT_CSS = """
    SecondPromptBar {
        display: none; height: 1;
        & > Static { width: 10; padding: 0 0 0 1; color: $foreground 70%; }
        & > TokenStrip { height: 1; width: 1fr; }
    }
    """

    def __init__(self) -> None:
        super().__init__(id="inspect-second")
        self.strip = TokenStrip(id="second-tokens")

    def compose(self) -> ComposeResult:
        yield Static("prompt 2:")
        yield self.strip


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
        "**Interventions.** Changes made in the forward pass, and their effect on the top prediction; `+` and `-` change the "
        "strength of a steering, whose loss on other text stands beside that of directions by chance, as long. "
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
    cost: reactive[Cost | None] = reactive(None)
    chosen: reactive[int] = reactive(0)

    remove_made: Callable[[Intervention], None]
    """Takes an intervention back; set by `InterventionKeys`."""

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
        if self.cost is not None:
            lines += [(line, None) for line in wrap(self.cost.in_short, self.room)]
        self._lines = lines
        self.styles.height = min(TALLEST, len(lines) + 2)
        self.set_extent(len(lines))
        line = next((number for number, (_, index) in enumerate(lines) if index == self.chosen), 0)
        self.show_line(line)

    watch_effect = watch_cost = watch_chosen = on_resize = _build

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
            self.remove_made(self.made[self.chosen])


class InspectColumns(Vertical):
    """The forward pass with the prediction and the interventions beneath it, the view, and beside that the second prompt's.

    Where the column is narrow or short, the prediction is a line below all.
    """

    DEFAULT_CSS = """
    InspectColumns {
        height: 1fr;
        & > Horizontal { height: 1fr; }
        #inspect-prediction { height: 18%; min-height: 5; max-height: 22; padding: 0 1; }
        #inspect-prediction { border: round $foreground 30%; border-title-color: $foreground 90%; }
        #prediction-line { display: none; }
        #steps-column { width: 32; }
        #steps-column > ForwardPassDrawing { height: 1fr; }
        #views { layout: horizontal; width: 1fr; }
        #views > * { width: 1fr; height: 1fr; }
        #inspect-guess { display: none; }
        &.-guessing #inspect-guess { display: block; }
        &.-guessing #inspect-view, &.-guessing SecondView { display: none !important; }
    }
    """

    def __init__(self) -> None:
        super().__init__(id="inspect-columns")
        self.steps = ForwardPassDrawing(id="inspect-steps")
        self.predictions = PredictionPanel(id="inspect-prediction"), PredictionPanel(id="prediction-line")
        """In the column and below all; one of them is in sight."""
        self.interventions = InterventionList(id="inspect-interventions")
        self.view = BlockView(id="inspect-view")
        self.second = SecondView()
        self.guess = GuessView(id="inspect-guess")
        """In place of the views while the learner guesses."""

    def compose(self) -> ComposeResult:
        panel, line = self.predictions
        with Horizontal():
            with Vertical(id="steps-column"):
                yield from (self.steps, panel, self.interventions)
            with Vertical(id="views"):
                yield from (self.view, self.second, self.guess)
        yield line
