"""The state of every run in a line's worth of facts, cheap enough to ask for every second."""

import functools
import os
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

import msgspec

from lab.core.bounded_json import LARGEST_LINES, NOT_JSON
from lab.core.errors import DamagedFileError, UserError
from lab.core.last_lines import lines_backwards
from lab.core.safe_open import open_regular
from lab.runs.evaluation_coverage import EvaluatedShare, latest_share
from lab.runs.home_folder import demo, home
from lab.runs.run_folder import ACTIVE, Run, is_on_other_host
from lab.runs.run_progress import fraction_done, planned_length
from lab.runs.run_schema import Metric, Status, TrainConfig
from lab.runs.run_store import is_run, run_folders
from models.config import ModelConfig
from models.parameter_count import flops_per_token, parameter_count

SEARCHED_BYTES = 64 << 20
"""Bytes at the end of metrics.jsonl in which the latest training loss and evaluation are looked for, at most: some hundred
thousand steps without an evaluation."""

TORN_BYTES = 64 * 1024
"""Bytes that are searched once more, since their last line may have been torn."""

PHASES: dict[str, tuple[str, str]] = {
    "starting": ("○", "starting"),
    "training": ("●", "training"),
    "paused": ("‖", "paused"),
    "stopped": ("■", "stopped"),
    "finished": ("✓", "finished"),
    "failed": ("✗", "failed"),
    "interrupted": ("!", "interrupted"),
    "not answering": ("?", "no answer"),
    "damaged": ("?", "damaged"),
}
"""A sign and a word for each phase; the sign is there so that none is told apart by colour alone."""


@dataclass(frozen=True)
class RunSummary:
    """What a list of runs shows of one. Numbers that the run has not produced yet are None."""

    name: str
    path: Path
    text: str
    phase: str
    """A phase; `interrupted` where the status tells of a trainer that is gone; `damaged` where a file cannot be used."""
    plan: str
    """When it ends: `2,000 steps`, `5 min 00 s`."""
    step: int = 0
    steps: int | None = None
    done: float = 0.0
    """How much of it is done, 0 to 1."""
    loss: float | None = None
    val_loss: float | None = None
    bits_per_byte: float | None = None
    """These two are of the last weights on the whole validation part once the run has ended, before of the latest evaluation."""
    evaluated: EvaluatedShare | None = None
    """How much of the validation part they are of."""
    tokens_per_second: float | None = None
    mean_speed: float | None = None
    """Tokens a second over all its training, evaluations included."""
    flops_per_token: int = 0
    """Floating-point operations that training spends on one token of its model."""
    parameters: int = 0
    device: str = ""
    """That it was trained on, as torch names it."""
    model: ModelConfig | None = None
    train: TrainConfig | None = None
    seen: float = 0.0
    """Unix time of its last sign of life."""
    owner: str = ""
    """The trainer, where it is, or was, on another machine: `process 71 on abacus`."""
    is_demo: bool = False
    problem: str = ""
    """Of a damaged run: which of its files cannot be used, and why."""

    @property
    def going_on(self) -> bool:
        """Whether a trainer is at it now."""
        return self.phase in ACTIVE


Stamp = tuple[int, int, int]
"""What changes with a file: its inode, its size, its time of change in nanoseconds."""


@dataclass
class _Known:
    """What was read of a run, and the stamps of the files that it was read from."""

    run: Run
    config_stamp: Stamp | None
    paths: tuple[str, str]
    """Its status.json and metrics.jsonl, as text: making a `Path` takes longer than looking at the file."""
    status_stamp: Stamp | None = None
    metrics_stamp: Stamp | None = None
    status: Status | None = None
    problem: str = ""
    metrics_problem: str = ""
    training: Metric | None = None
    evaluation: Metric | None = None
    summary: RunSummary | None = None
    damaged: RunSummary | None = None
    """Where its settings cannot be read: they are not read again until they change."""


@dataclass
class RunsWatcher:
    """Reads all runs again and again, opening only files that have changed: of a run at rest none. Not for two threads at once.

    A summary that says nothing new is the very one that was given before.
    """

    where: Path | None = None
    _known: dict[str, _Known] = field(default_factory=dict)

    def read(self) -> list[RunSummary]:
        """The user's runs, newest first, then those whose settings cannot be read, then the demo. What is no run is left out."""
        found = []
        shipped = demo()
        folders = [os.path.abspath(path) for path in run_folders(self.where or home())]
        for folder in folders:
            known = self._look(folder)
            if known.damaged is not None:
                found.append((0.0, known.run.name, known.damaged))
                continue
            try:
                found.append((-known.run.config.created, known.run.name, self._summary(known)))
            except DamagedFileError as error:
                known.damaged = known.summary = damaged(known.run, error)
                found.append((0.0, known.run.name, known.damaged))
            except UserError:
                continue
        for folder in self._known.keys() - {*folders, str(shipped)}:
            del self._known[folder]
        summaries = [said for _, _, said in sorted(found, key=itemgetter(0, 1))]
        return summaries + ([self.summary(Run(shipped), is_demo=True)] if is_run(shipped) else [])

    def _look(self, folder: str) -> _Known:
        """What is known of a run, which is nothing where its settings have changed."""
        stamp = _stamp(f"{folder}/config.json")
        known = self._known.get(folder)
        if known is None or known.config_stamp != stamp:
            run = Run(Path(folder))
            known = self._known[folder] = _Known(run, stamp, (str(run.status_path), str(run.metrics_path)))
        return known

    def summary(self, run: Run, *, is_demo: bool = False) -> RunSummary:
        """One run as it is now.

        Raises:
            UserError: if its settings cannot be read.
        """
        return self._summary(self._look(str(run.path)), is_demo=is_demo)

    def _summary(self, known: _Known, *, is_demo: bool = False) -> RunSummary:
        run = known.run
        config = run.config
        stamps = _stamp(known.paths[0]), _stamp(known.paths[1])
        status, problem = known.status, known.problem
        if status is None or stamps[0] != known.status_stamp:
            status, problem = run.read_status()
        elif stamps[1] == known.metrics_stamp and known.summary is not None and status.phase not in ACTIVE:
            return known.summary
        if stamps[1] != known.metrics_stamp:
            seen = _searched(known.metrics_stamp, stamps[1])
            training, evaluation, known.metrics_problem = _read_latest(run.metrics_path, seen)
            known.training = training or (known.training if seen else None)
            known.evaluation = evaluation or (known.evaluation if seen else None)
        known.status, known.problem, known.status_stamp, known.metrics_stamp = status, problem, *stamps
        problem = problem or known.metrics_problem
        training, figures = known.training, status.final or known.evaluation
        said = RunSummary(
            name="demo" if is_demo else run.name,
            path=run.path,
            text=config.data.name,
            phase="damaged" if problem else run.phase_of(status),
            plan=planned_length(config),
            step=status.step,
            steps=status.steps or config.train.steps,
            done=fraction_done(config, status),
            loss=training.loss if training else None,
            val_loss=figures.val_loss if figures else None,
            bits_per_byte=figures.bits_per_byte if figures else None,
            evaluated=latest_share(config.data, status) if figures else None,
            tokens_per_second=training.tokens_per_second if training else None,
            mean_speed=training.tokens / training.seconds if training and training.seconds else None,
            flops_per_token=_work(config.model),
            parameters=_size(config.model),
            device=status.device,
            model=config.model,
            train=config.train,
            seen=status.heartbeat or config.created,
            owner=owner_in_words(status) if is_on_other_host(status) else "",
            is_demo=is_demo,
            problem=problem,
        )
        if said != known.summary:
            known.summary = said
        return known.summary


def damaged(run: Run, error: DamagedFileError) -> RunSummary:
    """A run of which nothing is known but that its settings cannot be used."""
    return RunSummary(
        name=run.name, path=run.path, text="", phase="damaged", plan="", problem=f"{error.path.name} {error.reason}"
    )


def owner_in_words(status: Status) -> str:
    """`process 71 on abacus`: whose trainer the run is at, or was."""
    return f"process {status.pid} on {status.host}" if status.host else f"process {status.pid}"


_work = functools.lru_cache(maxsize=256)(flops_per_token)
_size = functools.lru_cache(maxsize=256)(parameter_count)
"""Runs often share their shape, and counting a model's weights one by one takes longer than reading its files."""


def _stamp(path: str) -> Stamp | None:
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _searched(before: Stamp | None, now: Stamp | None) -> int:
    """How many bytes at the beginning of the file have been searched already: none of a file that was replaced or cut."""
    if before is None or now is None or before[0] != now[0] or now[1] < before[1]:
        return 0
    return before[1]


def _read_latest(path: Path, searched: int) -> tuple[Metric | None, Metric | None, str]:
    """The last training step and the last evaluation after the first `searched` bytes, None where there is none; and the reason
    if the file cannot be used.

    Lines are looked at from the end backwards, as far as it takes: with few evaluations the latest is far from the end.
    """
    training = evaluation = None
    try:
        with open_regular(path, LARGEST_LINES) as file:
            for line in lines_backwards(file, max(0, searched - TORN_BYTES), SEARCHED_BYTES):
                metric = _metric_of(line, training is None, evaluation is None)
                if metric is None:
                    continue
                training = metric if training is None and metric.loss is not None else training
                evaluation = metric if evaluation is None and metric.val_loss is not None else evaluation
                if training is not None and evaluation is not None:
                    break
    except DamagedFileError as error:
        return None, None, f"{error.path.name} {error.reason}"
    except OSError:
        return None, None, ""
    return training, evaluation, ""


def _metric_of(line: bytes, wants_training: bool, wants_evaluation: bool) -> Metric | None:
    """A line that has what is wanted, decoded; most lines need not be, for they have no evaluation."""
    if not ((wants_training and b'"loss"' in line) or (wants_evaluation and b'"val_loss"' in line)):
        return None
    try:
        return _decoder.decode(line)
    except NOT_JSON:
        return None


_decoder = msgspec.json.Decoder(Metric)
