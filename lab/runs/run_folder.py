"""The folder of one run: its paths, config, status, phase, samples, checkpoints and tokenizer; commands to its trainer, and the
reason why that does not respond.

Whoever can read the folder can watch the run, and reading never fails because someone is just writing.
"""

import functools
import os
import platform
import re
import shlex
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from lab.core.atomic_io import os_error_in_words
from lab.core.errors import DamagedFileError, UserError
from lab.core.number_format import count, duration, fixed, significant, whole
from lab.core.safe_open import (
    LARGEST_CONFIG,
    LARGEST_STATUS,
    LARGEST_TOKENIZER,
    decode_json,
    is_real_folder,
    last_text_line,
    open_regular,
    read_json,
    read_regular,
)
from lab.core.safetensors_file import read_metadata, step_of
from lab.core.visible_text import visible
from lab.runs.home_folder import CONTACT, read_only_sentence, runs_home, watched_machine
from lab.runs.metrics_log import EVALUATION, LineReader, last_line
from lab.runs.run_control import CommandName, send_command, trainer_lock_is_held
from lab.runs.run_schema import FORMAT, Count, Event, Metric, Phase, RunConfig, Sample, Status
from models.parameter_count import parameter_count

if TYPE_CHECKING:
    from lab.views.written_view import Shown
    from models.tokenizers.tokenizer import Tokenizer

HEARTBEAT_FRESH = 10.0
"""Seconds after which a trainer without a heartbeat counts as gone. It writes one every second."""

STARTING_FRESH = 120.0
"""The same for one that is starting: while it loads PyTorch's libraries no heartbeat is written, which takes long on a busy
machine."""

ACTIVE: tuple[Phase, ...] = ("starting", "training", "paused")
"""The phases of a run that has, or should have, a trainer."""

NOT_STARTED = "Not started yet."
"""Message of the status of a run that no trainer has ever owned."""

STAND_INS = {"best": ("best", "last", "previous"), "last": ("last", "previous", "best"), "previous": ("previous",)}
"""By the name of weights the files that are opened for them: the first that exists. Where it is another, the user is told."""

STATUS_PADDING = 2048
"""status.json is filled up with spaces to a multiple of this length, so that it can be written over in place on a full disk."""


SNAPSHOT_NAME = re.compile(r"([0-9]{1,12})\.safetensors")


Stamp = tuple[int, int, int]
"""Inode, size and modification time in nanoseconds of a file, which tell that it changed."""


class CheckpointFile(NamedTuple):
    """A file of weights, opened by `name`: "last", "best", "previous", or a snapshot's step in decimal digits."""

    name: str
    path: Path
    step: int
    bytes: int


class Run:
    """One run's folder. The constructor reads nothing; `open_run` checks that there is a run."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.tokens_path = self.path / "tokens.bin"
        self.tokenizer_path = self.path / "tokenizer.json"
        self.metrics_path = self.path / "metrics.jsonl"
        self.samples_path = self.path / "samples.jsonl"
        self.insights_path = self.path / "insights.jsonl"
        self.events_path = self.path / "events.jsonl"
        self.status_path = self.path / "status.json"
        self.log_path = self.path / "trainer.log"
        self.lock_path = self.path / "lock"
        self.control_path = self.path / "control"
        self.snapshots_path = self.path / "snapshots"

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def _shown(self) -> "Shown":
        from lab.views.blocks import Cell, Column, Table, View
        from lab.views.written_view import Shown

        status, config = self.status(), self.config
        rows = [("state", self.phase()), ("step", f"{status.step} of {status.steps}"), ("text", config.data.name)]
        rows += [("best validation loss", significant(status.best_val_loss))] if status.best_val_loss is not None else []
        rows += [("parameters", count(parameter_count(config.model))), ("tokenizer", config.tokenizer.kind)]
        table = Table([Column("of the run", "left"), Column("now")], [[Cell(name), Cell(value)] for name, value in rows])
        return Shown(View("run", self.name, "", [table]))

    def _repr_html_(self) -> str:
        return self._shown()._repr_html_()

    def _repr_markdown_(self) -> str:
        return self._shown()._repr_markdown_()

    @property
    def name(self) -> str:
        """The folder's name: renaming the folder renames the run."""
        return self.path.name

    @property
    def is_watched(self) -> bool:
        """True for the mirror of a run of another machine, which has no weights."""
        return bool(watched_machine()) and self.path.parent == runs_home()

    def refuse_if_watched(self) -> None:
        """Check that the run is not only watched. Raises UserError."""
        if self.is_watched:
            raise UserError(read_only_sentence())

    @functools.cached_property
    def config(self) -> RunConfig:
        """config.json, read once.

        Raises:
            DamagedFileError: if it cannot be used as it is, or a newer llmlab wrote it.
            UserError: if it is missing.
        """
        path = self.path / "config.json"
        try:
            raw = read_regular(path, LARGEST_CONFIG)
        except FileNotFoundError:
            raise UserError(f"{self.path} is not a run: it has no config.json.") from None
        except OSError as error:
            raise DamagedFileError(path, f"cannot be read: {(error.strerror or str(error)).lower()}") from error
        if decode_json(path, raw, _Foreign).model_type:
            folder = shlex.quote(str(self.path))
            raise DamagedFileError(
                path, f"is that of a Hugging Face model, not of a run; `llmlab import {folder}` makes a run of it"
            )
        version = decode_json(path, raw, _Version).format
        if version > FORMAT:
            raise DamagedFileError(path, f"was made by a newer llmlab (format {version}, this one reads {FORMAT}); update llmlab")
        return decode_json(path, raw, RunConfig)

    def status(self) -> Status:
        """status.json as last written; a stopped status where the file is missing or damaged."""
        return self.read_status()[0]

    def read_status(self) -> tuple[Status, str]:
        """`status()`, and the reason if status.json is damaged; empty if it is not, or is not there yet."""
        try:
            return read_json(self.status_path, Status, LARGEST_STATUS), ""
        except FileNotFoundError:
            return Status(phase="stopped", message=NOT_STARTED), ""
        except DamagedFileError as error:
            problem = f"{error.path.name} {error.reason}"
        except OSError as error:
            problem = f"status.json cannot be read: {(error.strerror or str(error)).lower()}"
        return Status(phase="stopped", message=f"{problem}."), problem

    def is_alive(self) -> bool:
        """True if a trainer owns the run: the lock is held, and the status was written within `HEARTBEAT_FRESH` seconds, or
        `STARTING_FRESH` while it starts.

        A lock held on another machine may be invisible from here, so for such a trainer the heartbeat decides alone.
        """
        return self._trainer_is_alive(self.status())

    def phase(self) -> Phase | Literal["interrupted", "not answering"]:
        """The phase, corrected for a trainer that died ("interrupted") or that holds the lock without a heartbeat ("not
        answering")."""
        return self.phase_of(self.status())

    def phase_of(self, status: Status) -> Phase | Literal["interrupted", "not answering"]:
        """`phase()` of a status that has been read already."""
        if status.phase not in ACTIVE or self._trainer_is_alive(status):
            return status.phase
        return "interrupted" if is_on_other_host(status) or not trainer_lock_is_held(self.lock_path) else "not answering"

    def _trainer_is_alive(self, status: Status) -> bool:
        now = os.stat(self.path.with_name(CONTACT)).st_mtime if self.is_watched else time.time()
        longest = STARTING_FRESH if status.phase == "starting" else HEARTBEAT_FRESH
        fresh = status.phase in ACTIVE and abs(now - status.heartbeat) < longest
        return fresh and (is_on_other_host(status) or trainer_lock_is_held(self.lock_path))

    def metrics(self, *, evaluated: bool = False) -> LineReader[Metric]:
        """A reader of metrics.jsonl, at its start; of lines with an evaluation alone, which is far quicker."""
        return LineReader(self.metrics_path, Metric, EVALUATION if evaluated else b"")

    def last_metric(self) -> Metric | None:
        """The last line of metrics.jsonl, found without reading all of it."""
        return last_line(self.metrics_path, Metric)

    def samples(self) -> list[Sample]:
        return LineReader(self.samples_path, Sample).read()

    def events(self) -> LineReader[Event]:
        """A reader of events.jsonl, at its start."""
        return LineReader(self.events_path, Event)

    def checkpoints(self) -> list[CheckpointFile]:
        """The files of weights: best, last, previous as far as they exist and are whole, then snapshots by step."""
        found = []
        for name in ("best", "last", "previous"):
            path = self.path / f"{name}.safetensors"
            step, size = step_of(read_metadata(path)), _size_of(path)
            if step is not None and size is not None:
                found.append(CheckpointFile(name, path, step, size))
        return found + self.snapshots()

    def snapshots(self) -> list[CheckpointFile]:
        """The snapshots by step, without one that the trainer deletes meanwhile and anything but regular files."""
        try:
            names = os.listdir(self.snapshots_path) if is_real_folder(self.snapshots_path) else []
        except OSError:
            return []
        found = []
        for name in names:
            path = self.snapshots_path / name
            match = SNAPSHOT_NAME.fullmatch(name)
            if match is not None and (size := _size_of(path)) is not None:
                found.append(CheckpointFile(str(int(match[1])), path, int(match[1]), size))
        return sorted(found, key=lambda file: file.step)

    def send_command(self, name: CommandName, text: str = "") -> None:
        """Send a command to the run's trainer; `text` is the prompt of a sample.
        Raises UserError if no trainer is there to take it, the run is only watched, or the folder cannot be written."""
        self.refuse_if_watched()
        if not self.is_alive():
            status = self.status()
            if self.phase_of(status) == "not answering":
                raise UserError(
                    f"The trainer of {self.name}, process {status.pid}, does not respond: it may be halted. `kill -CONT "
                    f"{status.pid}` resumes it; `kill -9 {status.pid}` ends it and loses the steps since the last checkpoint."
                )
            raise UserError(f"{self.name} is not training now, so there is nothing to {name}.")
        try:
            send_command(self.control_path, name, text)
        except OSError as error:
            raise os_error_in_words(error, f"{name} {self.name}") from error


def is_on_other_host(status: Status) -> bool:
    """True if the trainer that wrote this status is, or was, on another machine."""
    return status.host not in ("", platform.node())


class _Foreign(msgspec.Struct):
    model_type: Any = None


class _Version(msgspec.Struct):
    format: Count


def file_stamp(path: str | Path) -> Stamp | None:
    """The file's stamp; None if it is missing."""
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _size_of(path: Path) -> int | None:
    """The size of a regular file; None if it is none or is missing."""
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    return facts.st_size if stat.S_ISREG(facts.st_mode) else None


def no_weights_yet(run: Run) -> str:
    """A sentence on a run that has no weights: being trained, it gets some soon."""
    if run.is_watched:
        return read_only_sentence()
    soon = run.phase() in ACTIVE
    return f"{run.name} has no weights yet: {'its first checkpoint comes soon' if soon else 'train it first'}."


def weights_path(run: Run, which: str) -> Path:
    """The file of the weights that `which` opens: the first that exists of its `STAND_INS`, or a snapshot."""
    if which.isdecimal():
        step = which.lstrip("0") or "0"
        return next((file.path for file in run.snapshots() if str(file.step) == step), run.snapshots_path / which)
    paths = [run.path / f"{name}.safetensors" for name in STAND_INS.get(which, (which,))]
    return next((path for path in paths if os.path.lexists(path)), paths[0])


def weights_name(path: Path) -> str:
    """The name that opens this file: "best", "last", "previous", or a snapshot's step in decimal digits."""
    return path.stem.lstrip("0") or "0"


def stand_in_sentence(run: Run, which: str) -> str:
    """A sentence where other weights are opened than `which`, with the reason; empty otherwise."""
    path, status = weights_path(run, which), run.status()
    if which.isdecimal() or path.stem == which or (step := step_of(read_metadata(path))) is None:
        return ""
    missing = f"{run.name} has no {which}.safetensors"
    if which == "best" and status.best_step is not None:
        loss = "" if status.best_val_loss is None else f"{fixed(status.best_val_loss)}, "
        missing += f", the weights of its lowest validation loss ({loss}step {whole(status.best_step)})"
    elif status.phase in ACTIVE:
        missing = f"{run.name} has no {which} weights yet"
    return f"{missing}: these are its {path.stem} weights, of step {whole(step)}."


def tokenizer_of(run: Run) -> "Tokenizer":
    """The run's tokenizer. Raises UserError if its file is missing, damaged, or another model's."""
    from models.config import TokenizerError
    from models.tokenizers.tokenizer import Tokenizer

    path, size = run.tokenizer_path, run.config.model.vocab_size
    try:
        found = Tokenizer.loads(read_regular(path, LARGEST_TOKENIZER), path)
    except FileNotFoundError as error:
        raise UserError(f"{run.name} has no tokenizer: {path} is missing; put a good copy there.") from error
    except OSError as error:
        raise os_error_in_words(error, f"read {path}") from error
    except TokenizerError as error:
        raise UserError(str(error)) from error
    if found.vocab_size != size:
        raise UserError(
            f"{path} has {found.vocab_size:,} tokens and the model of {run.name} has {size:,}; put the tokenizer there that it "
            "was trained with."
        )
    return found


LAST_LINE_BYTES = 4096
"""Bytes at the end of trainer.log in which its last line is looked for."""
LISTEN_SECONDS = 3.0
"""Time to wait for a new heartbeat of a trainer on another machine, which writes one every second."""


def may_train_elsewhere(status: Status) -> bool:
    """True if a trainer on another machine has written this status and has not said that it has ended."""
    return is_on_other_host(status) and status.phase in ACTIVE


def heard_elsewhere(runs: Sequence[Run]) -> tuple[Run, Status] | None:
    """The first run whose trainer on another machine writes a new heartbeat within `LISTEN_SECONDS`, and its status.

    The time in it may be wrong, as the clock of that machine may be. All are listened to at once.
    """
    before = [(run, status) for run in runs if may_train_elsewhere(status := run.status())]
    deadline = time.monotonic() + LISTEN_SECONDS
    while before and time.monotonic() < deadline:
        for run, status in before:
            if run.status().heartbeat != status.heartbeat:
                return run, status
        time.sleep(0.1)
    return None


def listening_sentence(run: Run) -> str:
    """A sentence on the seconds for which the run is listened to before it is renamed or deleted; empty if it is not."""
    status = run.status()
    if not may_train_elsewhere(status) or run.is_alive():
        return ""
    return f"Listening for {LISTEN_SECONDS:.0f} seconds, as {run.name} may still be trained on {status.host}."


def unresponsive_reason(run: Run, status: Status, phase: str) -> str:
    """The reason for an interrupted or not answering run, in one sentence; empty for all others."""
    if phase == "not answering":
        silent = duration(max(0.0, time.time() - status.heartbeat))
        return (
            f"The trainer, process {status.pid}, has not responded for {silent}: it may be halted "
            f"(`kill -CONT {status.pid}` resumes it), or waiting for a disk or a processor core."
        )
    if phase != "interrupted":
        return ""
    if run.is_watched:
        return f"The trainer died at step {status.step}."
    saved = next((file.step for file in run.checkpoints() if file.name in ("last", "previous")), None)
    died = f"The trainer died at step {status.step}, " + (
        "and nothing is saved" if saved is None else f"and the last checkpoint is of step {saved}"
    )
    if not os.access(run.path, os.W_OK):
        return f"{died}: {visible(str(run.path))} is not writable now, so it could not save."
    said = _last_log_line(run, status)
    return f"{died}; its last output: {said}" if said else f"{died}."


def _last_log_line(run: Run, status: Status) -> str:
    """The last line of trainer.log, if it was written after the last status."""
    try:
        with open_regular(run.log_path) as file:
            if os.fstat(file.fileno()).st_mtime < status.heartbeat:
                return ""
            return visible(last_text_line(file, most=LAST_LINE_BYTES))
    except OSError:
        return ""
