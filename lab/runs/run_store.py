"""Runs on disk: where they are, finding one, starting its trainer. Imports nothing heavy. `Run` itself is in
`lab.runs.run_folder`."""

import functools
import os
import subprocess
import sys
import time
from pathlib import Path

from lab.core.atomic_io import os_error_in_words
from lab.core.atomic_io import write_atomic as write_atomic
from lab.core.errors import DamagedFileError, UserError
from lab.core.limits import quoted
from lab.core.safe_open import open_regular, open_to_append
from lab.runs.metrics_log import MetricsReader as MetricsReader
from lab.runs.run_folder import ACTIVE
from lab.runs.run_folder import CheckpointFile as CheckpointFile
from lab.runs.run_folder import Run as Run
from lab.runs.run_schema import TrainConfig

START_SECONDS = 60.0
"""How long a trainer may take to its first word. Python itself needs a tenth of a second; a sleeping network disk much more."""

LAST_WORDS = 1 << 20
"""Bytes of its log in which a trainer that died at once is believed to have said why."""

LONGEST_NAME = 100
LONGEST_NAME_BYTES = 240
"""As UTF-8; file systems allow 255."""

MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(4 << 30), "MALLOC_TRIM_THRESHOLD_": str(8 << 30)}
"""Has glibc keep freed memory for the next step instead of giving it back to the system: 15% quicker (micro, 2 cores)."""

SPINNING = {"GOMP_SPINCOUNT": "5000"}
"""How long a thread of GNU OpenMP waits for the others before it sleeps, in turns of a loop. Its own default of 300,000 holds a
core for milliseconds, which stalls training where others want the cores too: with busy processes beside it on 2 cores, micro
trained on 1,500 tokens a second by default and on 9,000 with 5,000 turns. On idle cores 10,000 were as quick as the default."""


@functools.cache
def source_checkout() -> Path | None:
    """The folder of the source checkout that the lab runs from, or None if it is installed."""
    root = Path(__file__).resolve().parents[2]
    project = root / "pyproject.toml"
    if not project.is_file():
        return None
    import tomllib

    with project.open("rb") as file:
        name = tomllib.load(file).get("project", {}).get("name")
    return root if name == "llmlab" else None


def home() -> Path:
    """Where runs live: $LLMLAB_HOME, else checkpoints/ of the source checkout, else the platform's folder for data."""
    asked = os.environ.get("LLMLAB_HOME")
    if asked:
        return Path(asked).expanduser().absolute()
    checkout = source_checkout()
    if checkout:
        return checkout / "checkpoints"
    import platformdirs

    return platformdirs.user_data_path("llmlab", appauthor=False) / "runs"


def demo() -> Path:
    """The trained model that ships with the lab."""
    checkout = source_checkout()
    return checkout / "checkpoints" / "demo" if checkout else Path(__file__).resolve().parents[1] / "demo"


def check_name(name: str) -> str:
    """The name, if a run may be called that.

    Raises:
        UserError: if it is empty, too long, hidden, reserved, or no plain name of a folder.
    """
    if not name or len(name) > LONGEST_NAME:
        raise UserError(f"A run's name must have 1 to {LONGEST_NAME} characters, not {len(name)}.")
    if not name.isprintable() or set(name) & set('/\\:*?"<>|') or name != name.strip() or name[0] in ".-":
        raise UserError(
            f"{quoted(name)} cannot be a run's name: use letters, digits, spaces, - and _, and begin with no dot or dash."
        )
    if len(name.encode()) > LONGEST_NAME_BYTES:
        raise UserError(
            f"{name} is too long for the name of a folder: {len(name.encode())} bytes, of {LONGEST_NAME_BYTES} at most."
        )
    if name == "demo":
        raise UserError("demo is the name of the model that ships with the lab; choose another name.")
    return name


def is_run(path: Path) -> bool:
    """Whether the folder is a run, be it a damaged one."""
    return os.path.lexists(path / "config.json")  # False for a name too long for a file system, or with a NUL in it


def run_folders(where: Path | None = None) -> list[Path]:
    """The folders in `where` (or `home()`) that may be the user's runs, in no order. Hidden ones and the demo are left out."""
    folder, left_out = where or home(), demo()
    try:
        with os.scandir(folder) as entries:
            found = [folder / entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return []
    return [path for path in found if path.absolute() != left_out]


def list_runs(where: Path | None = None) -> list[Run]:
    """The user's runs in `where` (or `home()`), newest first, and after them those whose settings cannot be read."""
    runs = []
    for path in run_folders(where):
        run = Run(path)
        try:
            runs.append((-run.config.created, run))
        except DamagedFileError:
            runs.append((0.0, run))
        except UserError:
            continue  # no config.json: no run, or one that was just renamed or deleted
    return [run for _, run in sorted(runs, key=lambda pair: (pair[0], pair[1].name))]


def open_run(name: str | Path, where: Path | None = None) -> Run:
    """A run by its name in `where` (or `home()`), by its path, or `demo`.

    Raises:
        UserError: if there is no such run, naming near matches.
        DamagedFileError: if its settings cannot be read.
    """
    run = find_run(name, where)
    _ = run.config
    return run


def find_run(name: str | Path, where: Path | None = None) -> Run:
    """The run that `open_run` opens, be it a damaged one. Outside of `where` (or `home()`) a damaged one is no run.

    Raises:
        UserError: if there is no such run, naming near matches.
        DamagedFileError: if it lies elsewhere and its settings cannot be read: it may be anything that has a config.json.
    """
    folder = where or home()
    text = os.fspath(name)
    places = [folder / text] if text and not text.startswith(".") else []
    places += [Path(os.path.expanduser(text))] if text else []
    places += [demo()] if text == "demo" else []
    for place in places:
        if is_run(place):
            run = Run(Path(os.path.abspath(place)))
            if run.path.parent != folder.absolute():
                _ = run.config
            return run
    raise UserError(_unknown(text, folder))


def _unknown(text: str, folder: Path) -> str:
    if os.path.isdir(text):
        return f"{text} is a folder but not a run: it has no config.json."
    import difflib

    names = [run.name for run in list_runs(folder)]
    near = difflib.get_close_matches(text, [*names, "demo"], n=3, cutoff=0.5) if len(text) <= LONGEST_NAME else []
    if near:
        return f"There is no run called {quoted(text)}; did you mean {' or '.join(near)}?"
    if names:
        return f"There is no run called {quoted(text)}; the newest here is {names[0]}, and llmlab runs lists them all."
    return f"There is no run called {quoted(text)}: {folder} holds no runs yet; llmlab train makes one."


_started: list[subprocess.Popen[bytes]] = []


def start_trainer(run: Run) -> int:
    """Starts the process that trains the run, or goes on with it, and waits until it has said so or has died. Returns its pid.

    The trainer belongs to no terminal and outlives this process.

    Raises:
        UserError: if the run has finished, another trainer owns it, or the new one died, in whose last words the reason is.
    """
    refuse_to_start(run)
    _started[:] = [process for process in _started if process.poll() is None]
    try:
        with os.fdopen(open_to_append(run.log_path), "ab") as log:
            said_before = log.tell()
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "lab.training.trainer", str(run.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=run.path,
                env=trainer_environment(run.config.train),
                start_new_session=True,
            )
    except OSError as error:
        raise os_error_in_words(error, f"start training {run.name}") from error
    _started.append(process)
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        status = run.status()
        ended = process.poll() is not None
        if status.pid == process.pid and (status.phase in ACTIVE or (ended and not process.returncode)):
            return process.pid
        if ended:
            reason = status.message if status.pid == process.pid else _last_words(run.log_path, said_before)
            raise UserError(reason or f"The trainer of {run.name} ended at once with exit code {process.returncode}.")
        time.sleep(0.02)
    process.terminate()
    raise UserError(f"The trainer of {run.name} said nothing for {START_SECONDS:.0f} seconds; its log is {run.log_path}.")


def refuse_to_start(run: Run) -> None:
    """Does nothing if the run can be trained on now.

    Raises:
        UserError: if it has finished, or a trainer owns it.
    """
    status = run.status()
    if run.alive():
        raise UserError(f"{run.name} is being trained already, by process {status.pid} on {status.host}.")
    refuse_finished(run)
    if not os.path.lexists(run.tokens_path):
        raise UserError(f"{run.name} cannot be trained on: its tokens.bin is not in {run.path}.")


def refuse_finished(run: Run) -> None:
    """Does nothing if the run has not reached its end. Its schedule was made for so many steps, so there is no adding to them.

    Raises:
        UserError: if it has.
    """
    status = run.status()
    if status.phase == "finished":
        raise UserError(f"{run.name} has finished its {status.step} steps; to train longer, start a new run with more steps.")


def trainer_environment(train: TrainConfig) -> dict[str, str]:
    """The user's environment, and what torch's libraries read before Python can set it."""
    environment = dict(os.environ)
    if not any(name.startswith("MALLOC_") for name in environment):
        environment |= MALLOC
    if "OMP_WAIT_POLICY" not in environment:
        environment = SPINNING | environment
    if train.threads:
        environment["OMP_NUM_THREADS"] = str(train.threads)
    return environment


def _last_words(log: Path, start: int) -> str:
    try:
        with open_regular(log) as file:
            file.seek(start)
            lines = file.read(LAST_WORDS).decode(errors="replace").strip().splitlines()
    except (OSError, DamagedFileError):
        return ""
    return lines[-1].strip() if lines else ""
