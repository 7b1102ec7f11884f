"""Live widgets `draw-attention` and `draw-loss`: a row of attention or a loss curve to draw, then the truth beside it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.binding import Binding

from lab.analysis.loss_curve import Evaluations
from lab.core.errors import UserError
from lab.core.number_format import fixed, probability, whole
from lab.engine.method_registry import OPEN, VIEW, OpenParams, ViewParams
from lab.runs.find_runs import open_run
from lab.runs.run_in_words import during_training
from lab.views.blocks import ModelFacts, Table, View
from lab.views.screen_state import ScreenState
from screens.background import in_thread, latest
from screens.blocks.block_layout import EIGHTHS_UP
from screens.learn.learn_page import LearnEngine, Refused
from screens.learn.live.engine_view import LOADING
from screens.learn.live.live_widget import LiveWidget, ModelAtHand
from screens.widgets.piece_lines import PieceLine, PieceLinesView
from screens.widgets.text_fitting import Piece, fit

MOST_TOKENS, POINTS = 12, 8
"""Columns of attention and of loss: at 80 cells each has room for its number."""
SHARE_STEP, LOSS_STEPS = 0.05, 25
"""What a key adds to a share, and the keys from 0 to the first loss."""


@dataclass
class Drawing:
    """Columns as they are drawn, and the truth."""

    labels: Sequence[str]
    truth: Sequence[float]
    mine: list[float]
    given: int
    """Columns at the left that are told: 0 for shares of 1, 1 for losses."""
    at: int
    """The column under the cursor."""
    is_revealed: bool = False

    @property
    def top(self) -> float:
        """The value of a full bar; before the truth is shown, it says nothing of it."""
        return max(self.truth[0] if self.given else 0.5, *self.mine, *(self.truth if self.is_revealed else ()))

    def change(self, by: int) -> None:
        """Change the column under the cursor; a loss takes those after it along."""
        old, end = self.mine[self.at], len(self.mine) if self.given else self.at + 1
        step, most = (self.truth[0] / LOSS_STEPS, 2 * self.truth[0]) if self.given else (SHARE_STEP, 1 - sum(self.mine) + old)
        self.mine[self.at : end] = [min(max(0.0, old + by * step), most)] * (end - self.at)

    def reveal(self) -> None:
        """Show the truth; shares are scaled to 1 in all."""
        if (total := sum(self.mine)) > 0:
            self.mine = self.mine if self.given else [value / total for value in self.mine]
            self.is_revealed = True

    def distance(self, other: Sequence[float]) -> float:
        """Total variation distance of a row of shares from the truth, or the mean distance of a curve, in nats."""
        apart = [abs(one - two) for one, two in zip(other, self.truth, strict=True)][self.given :]
        return sum(apart) / (len(apart) if self.given else 2)

    def lines(self, room: int, height: int) -> list[PieceLine]:
        """Bars of so many lines, the drawn one and the true one of each column; below them labels and numbers."""
        width, columns = max(5, min(12, room // len(self.labels))), range(len(self.labels))
        bar, told = (width - 1) // 2, [self.is_revealed or at < self.given for at in columns]

        def text(value: float) -> str:
            return (fixed(value, 2) if self.given else probability(value, 0)).ljust(width)

        def column(at: int, below: int) -> list[Piece]:
            own, true = (value / self.top * height - below for value in (self.mine[at], self.truth[at]))
            own_glyph, true_glyph = EIGHTHS_UP[round(8 * min(max(own, 0.0), 1.0))], "▒" if told[at] and true >= 0.5 else " "
            return [(own_glyph * bar, "train"), (true_glyph * (width - 1 - bar), "val"), (" ", "")]

        lines: list[PieceLine] = [[each for at in columns for each in column(at, below)] for below in reversed(range(height))]
        kinds = ["cursor" if at == self.at and not self.is_revealed else "text" for at in columns]
        lines.append([each for at in columns for each in ((fit(self.labels[at], width - 1), kinds[at]), (" ", ""))])
        lines.append([(text(value), "train") for value in self.mine])
        return [*lines, [(text(value), "val") for value, is_told in zip(self.truth, told, strict=True) if is_told]]


class DrawWidget(LiveWidget, can_focus=True):
    """A drawing, with a hint below it, then how near it is. Another model begins another one."""

    ASKS_GUESS = True
    HELP = "**Drawing.** `←` and `→` choose a column, `↑` and `↓` change its height, `enter` shows the truth beside it."
    DEFAULT_CSS = "DrawWidget > PieceLinesView { height: 1fr; }  DrawWidget:focus > PieceLinesView { border: round $accent; }"
    BINDINGS = [
        Binding("left,h", "move(-1)", "Column", id="drawing.left", key_display="←→", tooltip="The column before"),
        Binding("right,l", "move(1)", "Next column", id="drawing.right", show=False, tooltip="The next column"),
        Binding("up,k", "change(1)", "Height", id="drawing.up", key_display="↑↓", tooltip="Raise the column"),
        Binding("down,j", "change(-1)", "Lower", id="drawing.down", show=False, tooltip="Lower the column"),
        Binding("enter", "reveal", "Show", id="drawing.reveal", tooltip="Show the truth beside the drawing"),
    ]

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.view = PieceLinesView()
        self.view.can_focus = False
        self.drawing: Drawing | None = None
        self._is_answered = False

    def compose(self) -> ComposeResult:
        yield self.view

    def take_focus(self) -> bool:
        self.focus()
        return True

    def show_model(self, model: ModelAtHand) -> None:
        self.model, self.drawing, self._is_answered = model, None, False
        self.ask(model.run)

    @abstractmethod
    def ask(self, run: str) -> None:
        """Find the truth, then `begin`, or `refuse`."""

    @abstractmethod
    def words(self, drawing: Drawing) -> str:
        """Words on the drawing: the part that is left, then the distance from the truth."""

    def begin(self, drawing: Drawing, title: str) -> None:
        self.drawing, self._is_answered = drawing, True
        self.view.border_title = f"{title}: █ yours, ▒ the model's"
        self._show()

    def refuse(self, refused: Refused) -> None:
        """Say why there is nothing to draw."""
        self._is_answered = True
        self.say(refused.sentence, error=True)
        self.post_message(self.Answered(self))

    def _show(self) -> None:
        self.on_resize()
        self.refresh_bindings()
        if self.drawing is not None:
            self.say(self.words(self.drawing))
            if self.drawing.is_revealed:
                self.post_message(self.Answered(self))

    def on_resize(self) -> None:
        self.view.set_lines(self.drawing.lines(self.view.room, max(3, self.view.window - 3)) if self.drawing is not None else ())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action not in ("move", "change", "reveal") or (self.drawing is not None and not self.drawing.is_revealed)

    def action_move(self, by: int) -> None:
        if (found := self.drawing) is not None:
            found.at = found.given + (found.at - found.given + by) % (len(found.mine) - found.given)
            self._show()

    def action_change(self, by: int) -> None:
        if self.drawing is not None:
            self.drawing.change(by)
            self._show()

    def action_reveal(self) -> None:
        if self.drawing is not None:
            self.drawing.reveal()
            self._show()


class DrawAttention(DrawWidget):
    """`draw-attention`: the attention of a head from the last of the prompt's first `MOST_TOKENS` tokens.

    Options: `layer` and `head`, counted from 1; one that the model does not have is the last.
    """

    OPTIONS = ("layer", "head")

    def ask(self, run: str) -> None:
        if self.engine.is_loading:
            self.say(LOADING)
        self.engine.ask("facts", OPEN, OpenParams(run=run), self._opened, self.refuse)

    def _opened(self, facts: ModelFacts) -> None:
        assert self.model is not None
        self.place = min(self.integer("layer", 1), facts.layers) - 1, min(self.integer("head", 1), facts.heads) - 1
        (layer, head), (run, text) = self.place, (self.model.run, self.model.prompt)
        scores = ViewParams(run=run, text=text, stage="scores", position=MOST_TOKENS - 1, layer=layer, head=head)
        self.engine.ask("live", VIEW, scores, self._answered, self.refuse)

    def _answered(self, view: View) -> None:
        table, found = view.blocks[0], view.attention
        assert isinstance(table, Table)
        assert found is not None
        tokens = [row[0].text.strip().partition(" ")[2] for row in table.rows]
        if len(tokens) < 2:
            self.refuse(Refused("From the first token a head can attend only to itself: a longer prompt is needed.", False))
            return
        truth, words = [float(share) for share in found.paid.numpy()[: len(tokens)]], f"head {found.layer + 1}.{found.head + 1}"
        self.begin(Drawing(tokens, truth, [0.0] * len(tokens), 0, 0), f"{words} from the last token here")

    def words(self, drawing: Drawing) -> str:
        if not drawing.is_revealed:
            return f"{probability(1 - sum(drawing.mine), 0)} are left to give away; enter scales what you gave to 100%."
        near, even = (drawing.distance(each) for each in (drawing.mine, [1 / len(drawing.truth)] * len(drawing.truth)))
        return (
            f"{probability(near, 0)} of the attention is elsewhere than you drew it (total variation distance {fixed(near, 2)}); "
            f"for an even row it would be {probability(even, 0)}."
        )

    def full_screen(self) -> ScreenState | None:
        if self.model is None or self.drawing is None or not self.drawing.is_revealed:
            return None
        (layer, head), (run, prompt) = self.place, (self.model.run, self.model.prompt)
        position = len(self.drawing.truth) - 1
        return ScreenState(mode="inspect", run=run, prompt=prompt, stage="scores", position=position, layer=layer, head=head)


class DrawLoss(DrawWidget):
    """`draw-loss`: the validation loss of a run at `POINTS` of its evaluations, the first of which is told."""

    @latest("curve")
    async def ask(self, run: str) -> None:
        try:
            found, title = await in_thread(_evaluations, run)
        except UserError as error:
            self.refuse(Refused(str(error), False))
            return
        if len(found) < 3:
            self.refuse(Refused(f"{run} has too few evaluations for a curve.", False))
            return
        steps = min(POINTS, len(found)) - 1
        chosen = [found[round(at * (len(found) - 1) / steps)] for at in range(steps + 1)]
        truth = [loss for _, loss in chosen]
        self.begin(Drawing([whole(round(step)) for step, _ in chosen], truth, truth[:1] * len(truth), 1, 1), title)

    def words(self, drawing: Drawing) -> str:
        if not drawing.is_revealed:
            return "The first loss is measured. A column takes those after it along: draw from left to right, then enter."
        first, last, steps = drawing.truth[0], drawing.truth[-1], len(drawing.truth) - 1
        straight = drawing.distance([first + (last - first) * at / steps for at in range(steps + 1)])
        near = fixed(drawing.distance(drawing.mine), 2)
        return f"You are off by {near} nats on average; a straight line from the first to the last loss by {fixed(straight, 2)}."

    def full_screen(self) -> ScreenState | None:
        is_revealed = self.drawing is not None and self.drawing.is_revealed
        return ScreenState(mode="train", run=self.model.run) if self.model is not None and is_revealed else None


def _evaluations(name: str) -> tuple[tuple[tuple[float, float], ...], str]:
    """Steps and validation losses of a run, and what they are. Raises: UserError."""
    run = open_run(name)
    share = during_training(run.config.data, run.status())
    return Evaluations(run.metrics_path).read(), f"validation loss{share.loss_suffix if share else ''} by step"
