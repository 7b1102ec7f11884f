"""Plan of a post-training: its parts, how long it takes, and the prediction that was or can be made."""

from lab.core.number_format import duration
from lab.core.visible_text import visible
from lab.posttraining.history import PosttrainingHistory
from lab.posttraining.prediction import CHOICES, QUESTION, prediction_in_words
from lab.posttraining.progress_log import MODELS
from lab.posttraining.settings import PosttrainSettings
from lab.posttraining.work_folder import tuned_name
from lab.views.blocks import Paragraph, View


def plan_view(base: str, history: PosttrainingHistory, chosen: str, *, is_running: bool) -> View:
    """The plan of a post-training of `base` beside an earlier one, where `history` has one.

    Args:
        chosen: the prediction for the next start, one of `CHOICES`; "" for none.
    """
    settings, base = PosttrainSettings(), visible(base)
    names = ", ".join(tuned_name(base, model) for model in MODELS[1:])
    earlier = history.ended
    took = f" The last one took {duration(earlier.seconds)}." if earlier is not None and earlier.is_finished else ""
    again = "" if is_running or history.started is None else " Another start replaces them when it has finished."
    blocks = [
        Paragraph(
            f"1. SFT: {settings.epochs} passes over {settings.pairs} questions with answers. 2. RL: {settings.rounds} rounds "
            f"with the KL penalty. 3. The same without it. {base} stays as it is; the three models become runs: {names}."
        ),
        Paragraph(
            f"It takes some minutes on one core, at low priority; after {duration(settings.seconds)} it makes do with fewer "
            f"rounds.{took}{again}"
        ),
    ]
    return View("plan", "the plan", _prediction(history, chosen, is_running), list(blocks))


def _prediction(history: PosttrainingHistory, chosen: str, is_running: bool) -> str:
    """The prediction for the next start where one is to be made, else that of the post-training there is."""
    started = history.started
    if not is_running and (started is None or chosen):
        which = "Predict, with g" if started is None else "For another start, predicted with g"
        return f"{which}: {QUESTION} ‹ {chosen or 'no prediction yet'} ›"
    made = started.prediction if started is not None else chosen
    told = f"You predicted {made}." if made in CHOICES else "It was started without a prediction."
    words = prediction_in_words(history) or f"{QUESTION} {told}"
    return words if is_running else f"{words} g predicts anew, for another start."
