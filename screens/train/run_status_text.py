"""The sentences on a run: its state, the diagnosis, and its losses."""

from __future__ import annotations

from lab.reports.diagnosis.diagnose import diagnose
from lab.reports.run_sentence import run_sentence
from lab.reports.text_entropy import TextEntropy
from lab.runs.run_folder import ACTIVE, is_on_other_host
from lab.runs.run_summary import owner_in_words
from screens.train.watched_run import WatchedRun


def status_text(watched: WatchedRun, entropy: TextEntropy | None) -> str:
    """State, diagnosis and losses of the run in sentences, the most important first."""
    found = diagnose(
        watched.config,
        watched.status,
        watched.history,
        phase=watched.phase,
        entropy=entropy,
        events=watched.events,
    )
    copied = found.verdict == "validation text copied"
    parts = [run_sentence(watched.config, watched.status, watched.history, copied=copied)]
    if found.verdict != "waiting" and watched.phase != "failed":
        parts.insert(0, found.sentences)
    message = watched.status.message
    said_again = message.startswith("Since step") and "rollback" in found.advice
    if message and watched.phase in (*ACTIVE, "stopped", "finished") and not said_again:
        parts.insert(0, message)
    if is_on_other_host(watched.status) and watched.phase in ACTIVE:
        parts.insert(0, f"Trained by {owner_in_words(watched.status)}, another machine; pause and stop work from here.")
    if watched.unresponsive:
        parts.insert(0, watched.unresponsive)
    if watched.phase == "interrupted":
        parts.insert(0, "The trainer died without an error message; r resumes from the last checkpoint.")
    if watched.phase == "stopped" and watched.history.latest is not None:
        parts.insert(0, "Stopped; r resumes.")
    return " ".join(parts)
