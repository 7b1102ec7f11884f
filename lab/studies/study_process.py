"""Process of a study, `python -P -m lab.studies.study_process NAME`, started and stopped.

A recorded result is made, again by whoever wants to, with `--seed 1 2 3 4 5 --out lab/studies/recorded/NAME.jsonl`.

It holds the study's lock for as long as it lives, so that a second one is refused, and has a low priority. Its record takes the
place of an earlier one when it has finished: a kill at any moment leaves that one. torch is imported once the lock is held.
"""

import argparse
import importlib
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import filelock

from lab.core.atomic_io import os_error_in_words, replace_atomic
from lab.core.detached_process import DetachedProcess, ask_to_end, lower_priority, torch_environment
from lab.core.errors import UserError, name_error
from lab.core.machine import cores
from lab.core.safe_open import refuse_link, run_folder_mode
from lab.runs.home_folder import home
from lab.runs.metrics_log import LineWriter
from lab.runs.run_locks import acquire_now, trainer_lock
from lab.studies import study_record
from lab.studies.study_record import Begun, Done, Ended, Line, Record, StudyFiles, history_of
from lab.training.trainer import NICENESS

MODULE = "lab.studies.study_process"
THREADS = 1
"""Threads of torch: for models as small as these more are slower, and a result depends on their number."""
STOPPED = "It was stopped."


def start_study(files: StudyFiles, seed: int) -> None:
    """Start the process with this seed and wait until it has begun. It belongs to no terminal and outlives this process.

    Raises:
        UserError: if it runs already, or could not begin, with the last line of its log.
    """
    if files.is_running():
        raise UserError(f"The study {files.name} runs already.")
    try:
        refuse_link(files.folder)
        files.folder.mkdir(run_folder_mode(files.folder.parent), parents=True, exist_ok=True)
        arguments = (files.name, "--seed", str(seed), "--home", str(files.folder.parent))
        process = DetachedProcess(
            MODULE, arguments, log=files.log_path, folder=files.folder, environment=torch_environment(THREADS)
        )
    except OSError as error:
        raise os_error_in_words(error, f"start the study {files.name}") from error

    def has_begun() -> bool:
        begun = history_of(files.new_path).begun
        return begun is not None and begun.pid == process.pid

    process.wait_for_start(has_begun, f"The study {files.name}")


def stop_study(files: StudyFiles) -> bool:
    """Ask the process to end, which it does within some steps. False if there is none to ask on this machine."""
    begun = history_of(files.new_path).begun
    return begun is not None and begun.host == platform.node() and files.is_running() and ask_to_end(begun.pid, MODULE)


class StopAsked(BaseException):
    """A signal asked the study to end."""


_stops: list[int] = []
"""Signals that asked for the end."""


def _note_stop(number: int, _frame: FrameType | None) -> None:
    """Raises nothing: an exception in the import of torch can abort the process."""
    _stops.append(number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 finished, 1 failed or stopped, 2 not begun."""
    parser = argparse.ArgumentParser(prog=f"python -P -m {MODULE}")
    parser.add_argument("name", choices=study_names())
    parser.add_argument("--home", type=Path, help="folder of runs; its record goes to .studies in there")
    parser.add_argument("--out", type=Path, help="write the record to this file instead, in place of what it holds")
    parser.add_argument("--seed", type=int, nargs="+", default=[1], help="several, one after the other, with --out alone")
    asked = parser.parse_args(arguments)
    if len(asked.seed) > 1 and not asked.out:
        parser.error("several seeds need --out")
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, _note_stop)
    lower_priority(NICENESS)
    try:
        if asked.out:
            replace_atomic(asked.out, [])
            works = (_work(asked.name, asked.out, seed, "what it printed", is_followed=False) for seed in asked.seed)
            return next(filter(None, works), 0)
        files = StudyFiles(asked.name, asked.home or home())
        with acquire_now(trainer_lock(files.lock_path)):
            replace_atomic(files.new_path, [])
            code = _work(asked.name, files.new_path, asked.seed[0], str(files.log_path))
            if code == 0:
                os.replace(files.new_path, files.path)
        return code
    except filelock.Timeout:
        sys.stderr.write(f"The study {asked.name} runs already.\n")
    except UserError as error:
        sys.stderr.write(f"{error}\n")
    except OSError as error:
        sys.stderr.write(f"{os_error_in_words(error, f'run the study {asked.name}')}\n")
    return 2


def study_names() -> list[str]:
    """Names of the studies: those with code, and those with a recorded result."""
    code = (path for path in Path(__file__).parent.glob("*.py") if "\ndef study(" in path.read_text(encoding="utf-8"))
    return sorted({path.stem for path in (*code, *study_record.RECORDED.glob("*.jsonl"))})


def _work(name: str, path: Path, seed: int, log: str, *, is_followed: bool = True) -> int:
    """Run the study and add its record to the file; returns the exit code.

    Its end is in the record, however it came; a fault is told in `log`. The share that is done is written where it `is_followed`.
    """
    writer, began = LineWriter(path), time.process_time()

    def write(line: Line) -> None:
        if _stops:
            raise StopAsked
        if is_followed or not isinstance(line, Done):
            writer.write(line)

    def ended(message: str = "") -> int:
        writer.write(Ended(is_finished=not message, seconds=time.process_time() - began, message=message))
        writer.sync()
        return 1 if message else 0

    try:
        write(Begun(study=name, seed=seed, pid=os.getpid(), host=platform.node(), cores=cores(), time=time.time()))
        body: Callable[[Record], None] = importlib.import_module(f"lab.studies.{name}").study
        import torch

        torch.set_num_threads(THREADS)
        torch.manual_seed(seed)
        body(Record(write, seed))
        return ended()
    except StopAsked:
        return ended(STOPPED)
    except UserError as error:
        return ended(str(error))
    except Exception as error:
        traceback.print_exc()
        return ended(f"It failed with an internal error ({name_error(error)}); see {log}.")
    finally:
        writer.close()


if __name__ == "__main__":
    sys.exit(main())
