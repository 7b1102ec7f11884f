"""The prediction that a learner makes before a post-training: its question, its choices, and the right one by what came of it."""

from lab.core.number_format import probability
from lab.posttraining.history import PosttrainingHistory
from lab.posttraining.progress_log import Model

QUESTION = "The KL penalty keeps RL near the SFT model. Will more of the answers be exact without it than with it?"
CHOICES = ("more than with it", "about as many", "fewer than with it")
PREDICTED: tuple[Model, Model] = ("rl", "rl-free")
ABOUT = 0.1
"""Difference of the shares up to which they are about the same."""


def right_choice(history: PosttrainingHistory) -> int | None:
    """Index of the right choice; None while it is not measured."""
    kept, free = history.evaluations.get("rl"), history.evaluations.get("rl-free")
    if kept is None or free is None:
        return None
    more = free.exact - kept.exact
    return 0 if more > ABOUT else 2 if more < -ABOUT else 1


def prediction_in_words(history: PosttrainingHistory) -> str:
    """The prediction beside what was measured, in one sentence; "" if there is none or nothing is measured yet."""
    right = right_choice(history)
    if right is None or history.started is None or history.started.prediction not in CHOICES:
        return ""
    kept, free = (probability(history.evaluations[model].exact, 0) for model in PREDICTED)
    verdict = "right" if history.started.prediction == CHOICES[right] else "not so"
    return f"You predicted {history.started.prediction}: {verdict}, {free} of the answers without it are exact, {kept} with it."
