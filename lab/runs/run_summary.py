"""Summary of every run for lists, cheap enough to read every second."""

import functools
import os
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lab.core.errors import DamagedFileError, UserError
from lab.core.number_format import duration, whole
from lab.core.safe_open import JSON_ERRORS, LARGEST_LINES, lines_backwards, open_regular
from lab.core.visible_text import shortened, visible
from lab.runs.find_runs import is_run, run_folders
from lab.runs.home_folder import BUNDLED, bundled, is_of_scaling, runs_home
from lab.runs.metrics_log import EVALUATION, SPEED_STEPS, mean_speed
from lab.runs.run_folder import ACTIVE, NOT_STARTED, Run, Stamp, file_stamp, is_on_other_host, weights_path
from lab.runs.run_in_words import EvaluatedShare, at_the_end, during_training
from lab.runs.run_schema import FinalEvaluation, Metric, RunConfig, Status, TrainConfig
from lab.runs.schema_parts import import_sentence, tuning_sentence
from models.config import ModelConfig
from models.parameter_count import flops_per_token, parameter_count

if TYPE_CHECKING:
    from lab.runs.run_history import LossHistory

RECENT_STEPS = 20
"""Fewest steps by whose time that of the others is estimated."""


def time_left(config: RunConfig, status: Status, history: "LossHistory") -> float | None:
    """Seconds of training left, evaluations included, from the time of the latest steps; None where it is not known."""
    if config.train.minutes is not None:
        return max(0.0, config.train.minutes * 60 - status.seconds)
    last = history.last_training
    steps = status.steps or config.train.steps
    if last is None or steps is None:
        return None
    left = max(0, steps - last.step)
    seen = slice(-1 - max(RECENT_STEPS, config.train.eval_every), None)  # as many evaluations as are to come
    taken, seconds = (float(column[seen][-1] - column[seen][0]) for column in (history.steps, history.seconds))
    enough = max(RECENT_STEPS, min(config.train.eval_every, steps // 10))  # with an evaluation, where that is soon
    return left * seconds / taken if seconds > 0 and (taken >= enough or not left) else None


def planned_steps(config: RunConfig, status: Status) -> int | None:
    """The step at which the run ends, where that is known; 0 for an imported one, which takes none."""
    return 0 if config.imported is not None else status.steps or config.train.steps


def fraction_done(config: RunConfig, status: Status) -> float:
    """Share of the run that is done, 0 to 1."""
    if status.phase == "finished":
        return 1.0
    if config.train.minutes is not None:
        return min(1.0, status.seconds / (config.train.minutes * 60))
    steps = status.steps or config.train.steps
    return min(1.0, status.step / steps) if steps else 0.0


def planned_length(config: RunConfig) -> str:
    """Planned length of the run: `2,000 steps` or `5 min 00 s`."""
    if config.train.minutes is not None:
        return duration(config.train.minutes * 60)
    return f"{whole(config.train.steps or 0)} steps"


SEARCHED_BYTES = 64 << 20
"""Bytes at the end of metrics.jsonl in which the latest training loss and evaluation are looked for, at most: some hundred
thousand steps without an evaluation."""

TORN_BYTES = 64 * 1024
"""Bytes that are searched once more, since their last line may have been torn."""

PHASES: dict[str, tuple[str, str]] = {
    "not started": ("○", "not started"),
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
"""A sign and a word for each phase, so that none is told by colour alone."""


def shown_phase(phase: str, *, is_imported: bool) -> tuple[str, str]:
    """The sign and the word of a phase; an imported run has finished nothing here."""
    sign, word = PHASES[phase]
    return (sign, "imported") if is_imported and phase == "finished" else (sign, word)


@dataclass(frozen=True)
class RunSummary:
    """One run in a list of runs. Numbers that it has not produced yet are None."""

    name: str
    path: Path
    text: str
    phase: str
    """A phase; `not started` before the first; `interrupted` where the trainer died; `damaged` where a file cannot be used."""
    plan: str
    """Planned length: `2,000 steps`, `5 min 00 s`."""
    step: int = 0
    steps: int | None = None
    best_step: int | None = None
    """The step of its best checkpoint."""
    progress: float = 0.0
    """Share that is done, 0 to 1."""
    loss: float | None = None
    val_loss: float | None = None
    bits_per_byte: float | None = None
    """This and `val_loss` are of the best weights, which are opened: of the final evaluation once the run has ended, else of the
    one that chose them. Where best.safetensors is missing they are of the last weights."""
    val_step: int | None = None
    """The step of the weights that both are of."""
    evaluated: EvaluatedShare | None = None
    """The share of the validation part that they are of."""
    tokens_per_second: float | None = None
    mean_speed: float | None = None
    """Tokens a second over all its training, evaluations included."""
    flops_per_token: int = 0
    """Floating-point operations that training spends on one token of its model."""
    parameters: int = 0
    tokenizer: str = ""
    """Kind of its tokenizer."""
    device: str = ""
    """Device of the training, as torch names it."""
    model: ModelConfig | None = None
    train: TrainConfig | None = None
    last_heartbeat: float = 0.0
    """Unix time of its last heartbeat."""
    owner: str = ""
    """The trainer on another machine, if it is or was there: `process 71 on abacus`."""
    is_bundled: bool = False
    is_watched: bool = False
    """True if it is on another machine, and here without its weights."""
    origin: str = ""
    """A sentence, where it did not begin with random weights."""
    is_posttrained: bool = False
    is_of_scaling: bool = False
    """True if it is one of the sizes of a scaling experiment."""
    is_imported: bool = False
    """True if its weights were trained elsewhere: it has no text, and its training settings are those of nothing yet."""
    problem: str = ""
    """The file of a damaged run that cannot be used, and the reason."""

    @property
    def state(self) -> str:
        """The word of its phase, as lists show it."""
        return shown_phase(self.phase, is_imported=self.is_imported)[1]

    @property
    def is_active(self) -> bool:
        """True while a trainer owns it."""
        return self.phase in ACTIVE

    @property
    def is_own(self) -> bool:
        """True if the user has trained it here, by itself, and it can be read."""
        return not (self.is_bundled or self.is_imported or self.is_posttrained or self.is_of_scaling or self.problem)


@dataclass
class _CachedRun:
    """Cache of a run: what was read, and the stamps of the files that it was read from."""

    run: Run
    config_stamp: Stamp | None
    stamps: tuple[Stamp | None, Stamp | None] = (None, None)
    """Of its status.json and metrics.jsonl."""
    status: Status | None = None
    problem: str = ""
    metrics_problem: str = ""
    training: Metric | None = None
    evaluation: Metric | None = None
    speed: float | None = None
    summary: RunSummary | None = None
    damaged: RunSummary | None = None
    """The summary where its settings cannot be read: they are not read again until they change."""


@dataclass
class RunsWatcher:
    """Reads all runs repeatedly, opening only files that have changed: none of a run at rest. Not thread-safe.

    A summary without changes is the same object as before.
    """

    where: Path | None = None
    _cache: dict[str, _CachedRun] = field(default_factory=dict)

    def read(self) -> list[RunSummary]:
        """The user's runs, newest first, then those whose settings cannot be read, then the bundled ones."""
        found = []
        shipped = {str(path): name for name in BUNDLED if is_run(path := bundled(name))}
        folders = [os.path.abspath(path) for path in run_folders(self.where or runs_home())]
        for folder in folders:
            with suppress(UserError):  # no config.json: no run, or one that was renamed or deleted just now
                cached = self._cached(folder)
                created = 0.0 if cached.damaged else cached.run.config.created
                found.append((-created, cached.run.name, cached.damaged or self._summary(cached)))
        for folder in self._cache.keys() - {*folders, *shipped}:
            del self._cache[folder]
        summaries = [said for _, _, said in sorted(found, key=itemgetter(0, 1))]
        return summaries + [self._summary(self._cached(path), bundled_as=name) for path, name in shipped.items()]

    def _cached(self, folder: str) -> _CachedRun:
        """The cache of a run, emptied where its settings have changed. Raises UserError where it has none."""
        stamp = file_stamp(f"{folder}/config.json")
        cached = self._cache.get(folder)
        if cached is None or cached.config_stamp != stamp:
            run = Run(Path(folder))
            cached = _CachedRun(run, stamp)
            try:
                _ = run.config
            except DamagedFileError as error:
                problem = f"{error.path.name} {error.reason}"
                cached.damaged = RunSummary(run.name, run.path, text="", phase="damaged", plan="", problem=problem)
            self._cache[folder] = cached
        return cached

    def _summary(self, cached: _CachedRun, *, bundled_as: str = "") -> RunSummary:
        run = cached.run
        config = run.config
        stamps = file_stamp(run.status_path), file_stamp(run.metrics_path)
        status, problem, (status_before, before) = cached.status, cached.problem, cached.stamps
        if status is None or stamps[0] != status_before:
            status, problem = run.read_status()
        elif stamps[1] == before and cached.summary is not None and status.phase not in ACTIVE:
            return cached.summary
        if (now := stamps[1]) != before:
            is_longer = before is not None and now is not None and before[0] == now[0] and before[1] <= now[1]
            searched = before[1] if before is not None and is_longer else 0  # of a file that was replaced or cut, nothing
            training, evaluation, cached.speed, cached.metrics_problem = _read_latest(run.metrics_path, searched)
            cached.training = training or (cached.training if searched else None)
            cached.evaluation = evaluation or (cached.evaluation if searched else None)
        cached.status, cached.problem, cached.stamps = status, problem, stamps
        problem = problem or cached.metrics_problem
        training, figures = cached.training, _figures(run, status, cached.evaluation)
        evaluated = at_the_end(config.data, status.final) if status.final else during_training(config.data, status)
        summary = RunSummary(
            name=bundled_as or run.name,
            path=run.path,
            text=config.data.name,
            phase="damaged" if problem else "not started" if status.message == NOT_STARTED else run.phase_of(status),
            plan="" if config.imported is not None else planned_length(config),
            step=status.step,
            steps=planned_steps(config, status),
            best_step=status.best_step,
            progress=fraction_done(config, status),
            loss=training.loss if training else None,
            val_loss=figures.val_loss if figures else None,
            bits_per_byte=figures.bits_per_byte if figures else None,
            val_step=figures.step if figures else None,
            evaluated=evaluated if figures else None,
            tokens_per_second=cached.speed,
            mean_speed=training.tokens / training.seconds if training and training.seconds else None,
            flops_per_token=_flops_per_token(config.model),
            parameters=_parameter_count(config.model),
            tokenizer=config.tokenizer.kind,
            device=status.device,
            model=config.model,
            train=config.train,
            last_heartbeat=status.heartbeat or config.created,
            owner=describe_owner(status) if is_on_other_host(status) else "",
            is_bundled=bool(bundled_as),
            is_watched=run.is_watched,
            origin=origin_of(config),
            is_posttrained=config.tuning is not None,
            is_of_scaling=is_of_scaling(run.path),
            is_imported=config.imported is not None,
            problem=problem,
        )
        if summary != cached.summary:
            cached.summary = summary
        return cached.summary


def _figures(run: Run, status: Status, latest: Metric | None) -> FinalEvaluation | Metric | None:
    """The evaluation of the weights that are opened: the best, or the last where the file of these is missing.

    Before the end that of the best is made from the latest: all are on the same text, so that their bits per byte are as their
    losses.
    """
    opened = weights_path(run, "best").stem
    if status.best_step is not None and not run.is_watched and opened != "best":
        return (status.final or latest) if opened == "last" else None
    if final := status.final_best or status.final:
        return final
    best = status.best_val_loss
    if latest is None or status.best_step is None or best is None or not latest.val_loss or best >= latest.val_loss:
        return latest
    bits = latest.bits_per_byte and round(latest.bits_per_byte * best / latest.val_loss, 6)
    return msgspec.structs.replace(latest, step=status.best_step, val_loss=best, bits_per_byte=bits)


def origin_of(config: RunConfig) -> str:
    """A sentence on where the weights come from; empty for a run that was trained from its initial ones."""
    if config.imported is not None:
        return import_sentence(config.imported)
    if config.tuning is not None:
        return tuning_sentence(config.tuning)
    start = config.start
    return f"Began with the weights of {visible(start.base)} (step {start.base_step})." if start is not None else ""


def origin_in_short(config: RunConfig) -> str:
    """The same in a few words: `began with gpt2 (step 0)`."""
    if config.imported is not None:
        return f"imported from {visible(shortened(config.imported.source, 40))}"
    if config.tuning is not None:
        return f"fine-tuned from {visible(shortened(config.tuning.base, 40))} (step {config.tuning.base_step})"
    start = config.start
    return f"began with {visible(shortened(start.base, 40))} (step {start.base_step})" if start is not None else ""


def describe_owner(status: Status) -> str:
    """The trainer's process and host: `process 71 on abacus`."""
    return f"process {status.pid} on {status.host}" if status.host else f"process {status.pid}"


_flops_per_token = functools.lru_cache(maxsize=256)(flops_per_token)
_parameter_count = functools.lru_cache(maxsize=256)(parameter_count)
"""Runs often share their shape, and counting a model's weights one by one takes longer than reading its files."""


def _read_latest(path: Path, searched: int) -> tuple[Metric | None, Metric | None, float | None, str]:
    """The last training step and the last evaluation after the first `searched` bytes, None where there is none; the speed of the
    last steps; and the reason if the file cannot be used.

    Lines are looked at from the end backwards, as far as it takes: with few evaluations the latest is far from the end.
    """
    training = evaluation = None
    try:
        with open_regular(path, LARGEST_LINES) as file:
            last = (_metric_of(line, True, False) for line in lines_backwards(file, 0, SEARCHED_BYTES))
            known = (each.tokens_per_second for each in last if each is not None and each.tokens_per_second is not None)
            speed = mean_speed(list(islice(known, SPEED_STEPS)))
            for line in lines_backwards(file, max(0, searched - TORN_BYTES), SEARCHED_BYTES):
                metric = _metric_of(line, training is None, evaluation is None)
                if metric is None:
                    continue
                training = metric if training is None and metric.loss is not None else training
                evaluation = metric if evaluation is None and metric.val_loss is not None else evaluation
                if training is not None and evaluation is not None:
                    break
    except DamagedFileError as error:
        return None, None, None, f"{error.path.name} {error.reason}"
    except OSError:
        return None, None, None, ""
    return training, evaluation, speed, ""


def _metric_of(line: bytes, wants_training: bool, wants_evaluation: bool) -> Metric | None:
    """A line that has what is wanted, decoded; most lines need not be, for they have no evaluation."""
    if not ((wants_training and b'"loss"' in line) or (wants_evaluation and EVALUATION in line)):
        return None
    try:
        return _decoder.decode(line)
    except JSON_ERRORS:
        return None


_decoder = msgspec.json.Decoder(Metric)
