"""Why a trainer that should be at its run says nothing: gone, halted, or in a folder that it cannot write into."""

import os
import time

from lab.core.number_format import duration
from lab.core.safe_open import open_regular
from lab.core.visible_text import visible
from lab.runs.run_folder import Run
from lab.runs.run_schema import Status

LAST_WORDS = 4096
"""Bytes at the end of trainer.log in which its last line is looked for."""


def unresponsive_reason(run: Run, status: Status, phase: str) -> str:
    """One sentence for a run that is interrupted or not answering; empty for all others."""
    if phase == "not answering":
        return (
            f"The trainer, process {status.pid}, is there but has said nothing for {_silent_for(status)}: it may be halted "
            f"(`kill -CONT {status.pid}` lets it go on) or wait for a disk."
        )
    if phase != "interrupted":
        return ""
    if not os.access(run.path, os.W_OK):
        return f"The trainer is gone, and {visible(str(run.path))} cannot be written now, so that it could not save."
    said = _last_words(run, status)
    return f"The trainer is gone; its last words: {said}" if said else ""


def _silent_for(status: Status) -> str:
    return duration(max(0.0, time.time() - status.heartbeat))


def _last_words(run: Run, status: Status) -> str:
    """The last line of trainer.log, if it was written after the last status."""
    try:
        with open_regular(run.log_path) as file:
            facts = os.fstat(file.fileno())
            if facts.st_mtime < status.heartbeat:
                return ""
            file.seek(max(0, facts.st_size - LAST_WORDS))
            lines = file.read(LAST_WORDS).decode(errors="replace").split("\n")
    except OSError:
        return ""
    return visible(next((line.strip() for line in reversed(lines) if line.strip()), ""))
