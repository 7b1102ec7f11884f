"""The run being watched in Train."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from lab.reports.machine_usage import UsageMeter
from lab.runs.insights_log import InsightHistory
from lab.runs.loss_history import LossHistory
from lab.runs.run_follower import RunUpdate
from lab.runs.run_schema import Event, RunConfig, Sample, Status


@dataclass
class WatchedRun:
    """Everything read of a run so far. Each reading gives a new one, whose history is the same object while the file grows."""

    name: str
    config: RunConfig
    status: Status
    phase: str
    history: LossHistory = field(default_factory=LossHistory)
    samples: tuple[Sample, ...] = ()
    insights: InsightHistory = field(default_factory=InsightHistory)
    events: tuple[Event, ...] = ()
    usage: UsageMeter | None = None
    unresponsive: str = ""
    """The reason why its trainer is silent; empty if not known."""

    @property
    def identity(self) -> tuple[str, float]:
        """Its name and when it was made: a new run may have the name of a deleted one."""
        return self.name, self.config.created

    @property
    def state_drawn(self) -> object:
        """The state whose changes are drawn at once."""
        return self.identity, id(self.history), len(self.history.eval_steps), len(self.events), self.phase

    def updated(self, update: RunUpdate) -> WatchedRun:
        """The run with what a later reading found."""
        history = update.history
        if history is None:
            history = self.history
            history.add(update.metrics)
        insights = update.insights
        if not update.insights_restarted:
            insights = self.insights
            insights.extend(update.insights)
        return replace(
            self,
            config=update.config,
            status=update.status,
            phase=update.phase,
            history=history,
            samples=(() if update.samples_restarted else self.samples) + tuple(update.samples),
            insights=insights,
            events=(() if update.events_restarted else self.events) + tuple(update.events),
            unresponsive=update.unresponsive,
        )
