"""Layout of Inspect below the prompt: the forward pass, the interventions, and the views of one prompt or two."""

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from screens.blocks.block_view import BlockView
from screens.inspect.widgets.intervention_list import InterventionList
from screens.inspect.widgets.prediction_panel import PredictionPanel
from screens.widgets.forward_pass_list import ForwardPassDrawing
from screens.widgets.guess_view import GuessView
from screens.widgets.token_strip import TokenStrip


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
