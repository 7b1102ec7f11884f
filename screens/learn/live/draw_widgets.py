"""Live widgets `draw-attention` and `draw-loss`: a row of attention or a loss curve to draw, then the truth beside it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message

from lab.core.errors import UserError
from lab.core.number_format import fixed, probability
from lab.engine.method_registry import GUESS, VIEW, GuessParams, ViewParams
from lab.views.blocks import GuessQuestion, View
from lab.views.screen_state import ScreenState
from screens.background import in_thread, latest
from screens.blocks.bars_and_shades import EIGHTHS_UP
from screens.learn.learn_engine import LearnEngine, Refused
from screens.learn.live.engine_view import LOADING
from screens.learn.live.live_widget import LiveWidget, ModelAtHand
from screens.widgets.piece_lines import PieceLine, PieceLinesView
from screens.widgets.text_fitting import fit

if TYPE_CHECKING:
    from screens.widgets.text_fitting import Piece

MOST_COLUMNS = 12
"""Columns of a drawing: at 80 cells each still has room for its number."""
LEAST_HEIGHT, TRUTH = 3, "▒"
"""Lines of the bars, at least; and the glyph of the true ones."""


@dataclass
class Drawing:
    """What is drawn, column by column, and the truth, which stays hidden until it is asked for."""

    labels: Sequence[str]
    truth: Sequence[float]
    mine: list[float]
    given: int
    """Columns at the left that are told, not drawn."""
    top: float
    """The value of a bar of full height."""
    step: float
    is_share: bool
    """True where the values are shares of 1; else they are losses, and a column takes those after it along."""
    at: int = 0
    is_revealed: bool = False

    def change(self, by: int) -> None:
        """Raise or lower the column at the cursor by a step."""
        room = 1 - sum(self.mine) + self.mine[self.at] if self.is_share else self.top
        value = round(min(max(0.0, self.mine[self.at] + by * self.step), room), 6)
        last = self.at + 1 if self.is_share else len(self.mine)
        self.mine[self.at : last] = [value] * (last - self.at)

    @property
    def distance(self) -> float:
        """Total variation distance of two rows of shares, or the mean distance of two curves, without what was told."""
        apart = [abs(one - other) for one, other in zip(self.mine, self.truth, strict=True)][self.given :]
        return sum(apart) / 2 if self.is_share else sum(apart) / len(apart)

    def text(self, value: float) -> str:
        return probability(value, 0) if self.is_share else fixed(value, 2)


class DrawingView(PieceLinesView):
    """Bars to draw by keys, and beside them, once it is revealed, the truth."""

    HELP = "**Drawing.** `←` and `→` choose a column, `↑` and `↓` change its height, `enter` shows the truth beside it."
    BINDINGS = [
        Binding("left,h", "move(-1)", "Column", id="drawing.left", key_display="←→", tooltip="The column before"),
        Binding("right,l", "move(1)", "Next column", id="drawing.right", show=False, tooltip="The next column"),
        Binding("up,k", "change(1)", "Height", id="drawing.up", key_display="↑↓", tooltip="Raise the column"),
        Binding("down,j", "change(-1)", "Lower", id="drawing.down", show=False, tooltip="Lower the column"),
        Binding("enter", "reveal", "Show", id="drawing.reveal", tooltip="Show the truth beside the drawing"),
    ]

    class Changed(Message):
        """Something was drawn, or the truth is in sight."""

    drawing: Drawing | None = None

    def show(self, drawing: Drawing) -> None:
        self.drawing = drawing
        drawing.at = drawing.given
        self._lay_out()

    def on_resize(self) -> None:
        self._lay_out()
        super().on_resize()

    def _lay_out(self) -> None:
        found = self.drawing
        if found is None:
            return
        width = max(5, min(12, self.room // len(found.labels)))
        height = max(LEAST_HEIGHT, self.window - 3)

        def column(at: int, line: int) -> list[Piece]:
            """The two bars of a column in this line, from the top."""
            own, true = (value / found.top * height - (height - 1 - line) for value in (found.mine[at], found.truth[at]))
            cells = (width - 1) // 2
            shown = found.is_revealed or at < found.given
            return [
                (EIGHTHS_UP[round(8 * min(max(own, 0.0), 1.0))] * cells, "train"),
                ((TRUTH if shown and true >= 0.5 else " ") * cells, "val"),
                (" " * (width - 2 * cells), ""),
            ]

        columns = range(len(found.labels))
        lines: list[PieceLine] = [[piece for at in columns for piece in column(at, line)] for line in range(height)]
        cursor = None if found.is_revealed else found.at
        lines.append(
            [(fit(label, width - 1).ljust(width), "cursor" if at == cursor else "text") for at, label in enumerate(found.labels)]
        )
        lines.append([(found.text(found.mine[at]).ljust(width), "train") for at in columns])
        shown = [found.text(found.truth[at]) if found.is_revealed or at < found.given else "" for at in columns]
        lines.append([(text.ljust(width), "val") for text in shown])
        self.set_lines(lines)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.drawing is not None and not self.drawing.is_revealed if action in ("move", "change", "reveal") else True

    def _changed(self) -> None:
        self._lay_out()
        self.refresh_bindings()
        self.post_message(self.Changed())

    def action_move(self, by: int) -> None:
        if self.drawing is not None:
            left = self.drawing.given
            self.drawing.at = left + (self.drawing.at - left + by) % (len(self.drawing.mine) - left)
            self._changed()

    def action_change(self, by: int) -> None:
        if self.drawing is not None:
            self.drawing.change(by)
            self._changed()

    def action_reveal(self) -> None:
        if self.drawing is not None and sum(self.drawing.mine):
            total = sum(self.drawing.mine)
            if self.drawing.is_share:
                self.drawing.mine = [value / total for value in self.drawing.mine]
            self.drawing.is_revealed = True
            self._changed()


class DrawWidget(LiveWidget):
    """A drawing, with words on it below. Each new model begins another one."""

    ASKS_GUESS = True
    TITLE: str
    DEFAULT_CSS = "DrawWidget > DrawingView { height: 1fr; }"

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.view = DrawingView()
        self.model: ModelAtHand | None = None
        self._is_answered = False

    def compose(self) -> ComposeResult:
        self.view.border_title = self.TITLE
        yield self.view

    @property
    def is_settled(self) -> bool:
        return self._is_answered

    def take_focus(self) -> bool:
        self.view.focus()
        return True

    def begin(self, drawing: Drawing) -> None:
        self._is_answered = True
        self.view.show(drawing)
        self.on_drawing_view_changed()

    def nothing(self, words: str) -> None:
        """Say why there is nothing to draw here."""
        self._is_answered = True
        self.view.drawing = None
        self.view.set_lines(())
        self.say(words)
        self.post_message(self.Answered(self))

    def on_drawing_view_changed(self) -> None:
        drawing = self.view.drawing
        if drawing is not None:
            self.say(self.result(drawing) if drawing.is_revealed else self.hint(drawing))
            if drawing.is_revealed:
                self.post_message(self.Answered(self))

    @property
    def is_revealed(self) -> bool:
        return self.view.drawing is not None and self.view.drawing.is_revealed

    @abstractmethod
    def hint(self, drawing: Drawing) -> str:
        """What there is to draw still."""

    @abstractmethod
    def result(self, drawing: Drawing) -> str:
        """How near the drawing is."""


class DrawAttention(DrawWidget):
    """`draw-attention`: the attention of one head from one token, drawn before it is shown.

    Options: `layer` and `head`, counted from 1; the token is the last one of the prompt's first `MOST_COLUMNS`.
    """

    OPTIONS = ("layer", "head")
    TITLE = "attention: █ drawn, ▒ the model's"

    def show_model(self, model: ModelAtHand) -> None:
        self.model, self._is_answered = model, False
        self.layer_index, self.head_index = self.integer("layer", 1) - 1, self.integer("head", 1) - 1
        if self.engine.is_loading:
            self.say(LOADING)
        params = GuessParams(run=model.run, text=model.prompt, position=MOST_COLUMNS - 1, about="next token")
        self.engine.ask("path", GUESS, params, self._prompt_known, self._refused)

    def _prompt_known(self, question: GuessQuestion) -> None:
        assert self.model is not None
        place = {"position": MOST_COLUMNS - 1, "layer": self.layer_index, "head": self.head_index}
        params = ViewParams(run=self.model.run, text=self.model.prompt, stage="scores", **place)
        self.engine.ask("live", VIEW, params, lambda view: self._pattern_known(question.tokens, view), self._refused)

    def _pattern_known(self, tokens: tuple[str, ...], view: View) -> None:
        found = view.attention
        if found is None or len(tokens) < 2:
            self.nothing("From the first token a head can attend to nothing else: a longer prompt is needed.")
            return
        self.layer_index, self.head_index = found.layer, found.head
        truth = [float(share) for share in found.paid.numpy()[: len(tokens)]]
        self.view.border_title = f"{self.TITLE} · head {found.layer + 1}.{found.head + 1} from the last token here"
        self.begin(Drawing(tokens, truth, [0.0] * len(tokens), 0, max(0.5, *truth), 0.05, is_share=True))

    def _refused(self, refused: Refused) -> None:
        self.nothing(refused.sentence)

    def hint(self, drawing: Drawing) -> str:
        return (
            f"{probability(1 - sum(drawing.mine), 0)} of the attention is left to give away; enter scales what is drawn to 100%."
        )

    def result(self, drawing: Drawing) -> str:
        even = sum(abs(1 / len(drawing.truth) - share) for share in drawing.truth) / 2
        words = probability(drawing.distance, 0)
        return (
            f"{words} of the attention lies elsewhere than drawn (total variation distance {fixed(drawing.distance, 2)}). "
            f"An even row would have had {fixed(even, 2)}."
        )

    def full_screen(self) -> ScreenState | None:
        if self.model is None or not self.is_revealed:
            return None
        place = {"layer": self.layer_index, "head": self.head_index, "position": MOST_COLUMNS - 1}
        return ScreenState(mode="inspect", run=self.model.run, prompt=self.model.prompt, stage="scores", **place)


class DrawLoss(DrawWidget):
    """`draw-loss`: the validation loss of a run over its training, drawn before it is shown. The first evaluation is told."""

    TITLE = "validation loss by step: █ drawn, ▒ measured"

    def show_model(self, model: ModelAtHand) -> None:
        self.model, self._is_answered = model, False
        self._read(model.run)

    @latest("curve")
    async def _read(self, run: str) -> None:
        try:
            found = await in_thread(_evaluations, run)
        except UserError as error:
            self.nothing(str(error))
            return
        if len(found) < 3:
            self.nothing(f"{run} has fewer than three evaluations: there is no curve to draw.")
            return
        columns = min(8, len(found))
        chosen = [found[round(at * (len(found) - 1) / (columns - 1))] for at in range(columns)]
        losses = [loss for _, loss in chosen]
        labels = [f"{step:,.0f}" for step, _ in chosen]
        top = max(losses)
        self.begin(Drawing(labels, losses, [losses[0]] * columns, 1, top, top / 25, is_share=False))

    def hint(self, drawing: Drawing) -> str:
        return "The first loss is measured. Draw from left to right: a column takes those after it along. enter shows the truth."

    def result(self, drawing: Drawing) -> str:
        first, *rest = drawing.truth
        line = [first + (rest[-1] - first) * (at + 1) / len(rest) for at in range(len(rest))]
        straight = sum(abs(one - other) for one, other in zip(line, rest, strict=True)) / len(rest)
        return (
            f"The drawing is off by {fixed(drawing.distance, 2)} nats on average. A straight line from the first to the last loss "
            f"would have been off by {fixed(straight, 2)}."
        )

    def full_screen(self) -> ScreenState | None:
        return ScreenState(mode="train", run=self.model.run) if self.model is not None and self.is_revealed else None


def _evaluations(name: str) -> tuple[tuple[float, float], ...]:
    """Step and validation loss of the evaluations of a run. Raises: UserError."""
    from lab.reports.loss_curve import Evaluations
    from lab.runs.find_runs import open_run

    return Evaluations(open_run(name).metrics_path).read()
