"""Sentences above a run's curves: what is out of the ordinary, and what to do next."""

from __future__ import annotations

import time

from lab.analysis.run_sentence import run_sentence
from lab.core.number_format import ago, fixed, whole
from lab.planning.expected_loss import course_in_words
from lab.planning.text_difficulty import AS_PLANNED
from lab.runs.home_folder import BUNDLED, watched_machine
from lab.runs.run_folder import ACTIVE, NOT_STARTED, is_on_other_host
from lab.runs.run_summary import describe_owner
from screens.train.run_plots import WatchedRun

AFTER_TRAINING = "Next: i looks inside it, a shows its heads, n makes another run."


def notices(watched: WatchedRun, message: str) -> list[str]:
    """Sentences on what is out of the ordinary, the most important first."""
    parts, is_here = [], watched.name in BUNDLED or not watched_machine()
    if watched.phase == "failed":
        parts.append(run_sentence(watched.config, watched.status, watched.history))
    if watched.unresponsive:
        parts.append(watched.unresponsive + " p resumes from there." * (watched.phase == "interrupted" and is_here))
    expected = watched.config.expected
    if watched.phase in ACTIVE and (course := course_in_words(watched.config, watched.history)):
        parts.append(course)
    if watched.phase == "starting" and not message:
        parts.append("It loads PyTorch, text and weights and prepares the first step: on a busy machine this can take a minute.")
    if not is_here and watched.phase in ACTIVE:
        age = ago(max(0.0, time.time() - watched.status.heartbeat))
        parts.append(f"Trained on {watched_machine()}; last status: {age}.")
    elif is_on_other_host(watched.status) and watched.phase in ACTIVE:
        parts.append(f"Trained by {describe_owner(watched.status)}, another machine; pause and stop work from here.")
    config = watched.config
    if is_here and watched.phase == "finished" and config.imported is None and config.tuning is None:
        parts.append(AFTER_TRAINING)
    got = watched.status.final_best.bits_per_byte if watched.status.final_best is not None else None
    if watched.phase == "finished" and expected is not None and got is not None:
        outcome = f"Expected {expected.in_words}, got {fixed(got, 2)}"
        if watched.status.step < AS_PLANNED * expected.steps:
            steps = f"{whole(watched.status.step)} of {whole(expected.steps)} planned steps"
            why = ": training was slower here than planned" * (not watched.status.message)  # which says why it ended early
            parts.insert(0, f"It took {steps}{why}. {outcome}.")
        else:
            parts.append(f"{outcome}.")
    if watched.phase == "stopped" and watched.history.latest is not None:
        parts.append("Stopped; p resumes." if is_here else "Stopped.")
    if message and watched.phase in (*ACTIVE, "stopped", "finished"):
        parts.append(f"{message} p starts it." if message == NOT_STARTED and is_here else message)
    return parts
