"""The words on a run: its verdict in one line, what needs attention now, and the whole diagnosis in sentences."""

from __future__ import annotations

from dataclasses import dataclass

from lab.reports.baselines import bigram_in_words
from lab.reports.diagnosis.diagnose import diagnosis_of
from lab.reports.diagnosis.diagnosed_run import DiagnosedRun
from lab.reports.run_sentence import run_sentence
from lab.reports.text_entropy import TextEntropy
from lab.reports.verdict_line import NO_LEVEL, VerdictLine, verdict_line
from lab.runs.gpu_and_ranks import gpu_in_words, ranks_in_words
from lab.runs.run_folder import ACTIVE, NOT_STARTED, is_on_other_host
from lab.runs.run_schema import Status
from lab.runs.run_summary import owner_in_words
from screens.train.watched_run import WatchedRun


@dataclass(frozen=True)
class StatusText:
    """`notice` is empty where nothing needs attention; `sentences` are the diagnosis and the losses."""

    verdict: VerdictLine
    notice: str
    sentences: str


def status_text(watched: WatchedRun, entropy: TextEntropy | None) -> StatusText:
    """The words on a run as it is now."""
    run = DiagnosedRun(watched.config, watched.status, watched.history, watched.phase, entropy, watched.events)
    found = diagnosis_of(run)
    sentences = []
    if watched.phase != "failed":
        generalizes = run.shows_new_text and run.level is None
        sentences = [run_sentence(watched.config, watched.status, watched.history, generalizes=generalizes)]
        if found.verdict != "waiting":
            sentences.insert(0, found.sentences)
        if found.verdict not in NO_LEVEL:
            sentences.append(bigram_in_words(entropy, on_all=watched.status.final is not None))
    message = watched.status.message
    said_again = message.startswith("Since step") and "rollback" in found.advice
    return StatusText(
        verdict_line(run, found), " ".join(_notices(watched, "" if said_again else message)), " ".join(filter(None, sentences))
    )


def computed_in_words(status: Status) -> str:
    """A sentence on what computes the steps, and how, and one on a GPU's use; empty while that is not known."""
    if not status.computed:
        return ""
    where = f", by {words}" if (words := ranks_in_words(status.ranks)) else ""
    use = f" {gpu_in_words(status.gpu)}." if status.gpu is not None else ""
    return f"Steps run in {status.computed}{where}.{use}"


def _notices(watched: WatchedRun, message: str) -> list[str]:
    """Sentences on what is out of the ordinary, the most important first."""
    parts = []
    if watched.phase == "failed":
        parts.append(run_sentence(watched.config, watched.status, watched.history))
    if watched.unresponsive:
        parts.append(watched.unresponsive + " r resumes from there." * (watched.phase == "interrupted"))
    if watched.phase == "starting" and not message:
        parts.append("It loads text and weights and prepares the first step; with a large vocabulary this can take a minute.")
    if is_on_other_host(watched.status) and watched.phase in ACTIVE:
        parts.append(f"Trained by {owner_in_words(watched.status)}, another machine; pause and stop work from here.")
    if watched.phase == "stopped" and watched.history.latest is not None:
        parts.append("Stopped; r resumes.")
    if message and watched.phase in (*ACTIVE, "stopped", "finished"):
        parts.append(f"{message} r starts it." if message == NOT_STARTED else message)
    return parts
