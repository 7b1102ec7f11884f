"""Notices of runs that have ended: which have, and the desktop notification with a bell."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lab.core.visible_text import shortened, visible

if TYPE_CHECKING:
    from lab.runs.run_summary import RunSummary


def jobs_under_way(home: Path) -> dict[Path, str]:
    """The scaling experiments, post-trainings and studies that have a process now, by their folders, in words."""
    from lab.training import job

    return {path: f"{kind} {_short(name)}" for path, (kind, name) in job.jobs_under_way(home).items()}


def going_on(runs: Iterable[str], home: Path) -> list[str]:
    """Words on these runs, and on the jobs of a home, which need no terminal."""
    return [*(f"{name} keeps training" for name in runs), *(f"The {job} goes on" for job in jobs_under_way(home).values())]


def ends_of_runs(before: Iterable[RunSummary], now: Iterable[RunSummary]) -> list[str]:
    """The runs that have ended between two readings, each with how; of a scaling experiment, the end of all is told instead."""
    under_way = {run.path for run in before if _is_under_way(run) and not run.is_of_scaling}
    return [f"run {_short(run.name)} {run.state}" for run in now if run.path in under_way and not _is_under_way(run)]


def _is_under_way(run: RunSummary) -> bool:
    """True also of a run whose trainer is silent for a while."""
    return run.is_active or run.phase == "not answering"


def _short(name: str) -> str:
    return visible(shortened(name, 60))


def terminal_notice(words: str) -> str:
    """A desktop notification (OSC 9) and a bell."""
    return f"\x1b]9;llmlab: {words}\x1b\\\a"
