"""The state that all modes share: screens watch it, and ask for a change by posting a message of `screens.messages`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import App
from textual.reactive import var

if TYPE_CHECKING:
    from lab.runs.run_summary import RunSummary


class AppState(App[None]):
    """The app as its screens see it."""

    text_source: var[str] = var("")
    """The text chosen in Data: a path or a built-in's name; empty until one is chosen."""
    text_encoding: var[str] = var("")
    """The encoding that the user gave for it; empty if it is auto-detected."""
    run_name: var[str] = var("demo")
    """The run that Train and Inspect show: a name in the user's home, a path, or `demo`. At first the newest, if there is any."""
    runs: var[tuple[RunSummary, ...]] = var((), always_update=True)
    """Every run as last read from disk, newest first, the demo last."""
    runs_known: var[bool] = var(False)
    """True once `runs` has been read."""

    def __init__(self, *, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self.release_run: list[Callable[[Path], Awaitable[None]]] = []
        """Awaited with a run's folder before it is renamed or deleted: whoever has its files open closes them."""
        self._changing_runs = False
        self._changes_of_runs = 0

    @property
    def reading_token(self) -> int | None:
        """Stands for the runs on disk as they are now; None while one is renamed or deleted. A reading that began with another
        token is outdated: it may hold a run's old name, or its new one before the screens know of it."""
        return None if self._changing_runs else self._changes_of_runs

    @contextmanager
    def changing_runs(self) -> Iterator[None]:
        """Discard the readings of runs that begin before the end of the block."""
        self._changing_runs = True
        try:
            yield
        finally:
            self._changing_runs = False
            self._changes_of_runs += 1

    def run_summary(self, name: str) -> RunSummary | None:
        """The run of that name as last read."""
        return next((run for run in self.runs if name in (run.name, str(run.path))), None)

    def active_runs(self) -> list[str]:
        """Names of the runs that have a trainer now."""
        return [run.name for run in self.runs if run.is_active]
