"""The live widgets by the name that a lesson gives them. To add one, write its class and a line here."""

from collections.abc import Mapping

from lab.core.errors import UserError
from lab.lessons.lesson import LessonStep, Live
from screens.learn.chat_page import ChatWidget
from screens.learn.learn_page import LearnEngine
from screens.learn.live.draw_widgets import DrawAttention, DrawLoss
from screens.learn.live.experiment_widget import ExperimentWidget
from screens.learn.live.guess_widgets import MeasuredGuess, NextTokenGuess
from screens.learn.live.live_widget import LiveWidget
from screens.learn.live.posttraining_widget import PosttrainingWidget
from screens.learn.live.scaling_widget import ScalingWidget
from screens.learn.live.softmax_editor import SoftmaxEditor
from screens.learn.live.stage_widget import OneStepWidget, StageWidget
from screens.learn.live.study_widget import ChooseWidget, RecordedGuess, StudyWidget
from screens.learn.live.text_widgets import FunnelWidget, MergesWidget
from screens.learn.live.three_weights_widget import ThreeWeightsWidget

LIVE_WIDGETS: Mapping[str, type[LiveWidget]] = {
    "stage": StageWidget,
    "experiment": ExperimentWidget,
    "softmax": SoftmaxEditor,
    "posttraining": PosttrainingWidget,
    "predict-next-token": NextTokenGuess,
    "predict-experiment": MeasuredGuess,
    "predict-recorded": RecordedGuess,
    "scaling": ScalingWidget,
    "funnel": FunnelWidget,
    "merges": MergesWidget,
    "three-weights": ThreeWeightsWidget,
    "one-step": OneStepWidget,
    "study": StudyWidget,
    "predict-study": RecordedGuess,
    "choose-study": ChooseWidget,
    "draw-attention": DrawAttention,
    "draw-loss": DrawLoss,
    "chat": ChatWidget,
}


def asks_guess(step: LessonStep) -> bool:
    """True for a step that asks for a guess: what is shown after it may tell the answer."""
    return step.live is not None and LIVE_WIDGETS.get(step.live.widget, LiveWidget).ASKS_GUESS


def live_widget(live: Live, engine: LearnEngine) -> LiveWidget:
    """The widget that a step of a lesson names. Raises: UserError if there is none, or it does not have these options."""
    kind = LIVE_WIDGETS.get(live.widget)
    if kind is None:
        raise UserError(f"There is no live widget called {live.widget}; there are {', '.join(LIVE_WIDGETS)}.")
    widget = kind(live.options, engine)
    widget.own_words = live.words
    return widget
