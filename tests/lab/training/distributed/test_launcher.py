"""The launcher of the ranks: started by the lab or by a user, stopped, killed, and on two machines."""

import os
import signal
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from lab.runs.run_control import trainer_lock_is_held
from lab.runs.run_folder import Run
from lab.runs.weights_file import load_model
from lab.training.distributed import launcher
from tests.fixture_types import TinyRun
from tests.lab.training.distributed.rank_forker import PLAIN, RankForker, free_port, reached
from tests.lab.training.module_forker import Forked, ModuleForker, wait_for


def main(arguments: list[str]) -> int:
    """The launcher, whose ranks are forked, too: from a process that it forks before it has threads."""
    from torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler import SubprocessHandler

    forker = ModuleForker()

    def fork(handler: SubprocessHandler, command: tuple[str, ...], environment: dict[str, str]) -> Forked:
        run = Path(command[-1])
        return Forked(forker, forker.fork(command[-2], [str(run)], log=Run(run).log_path, environment=environment))

    SubprocessHandler._popen = fork  # type: ignore[assignment, method-assign]
    return launcher.main(arguments)


def test_two_machines_that_a_signal_stops_save_and_end_without_a_failure(
    tiny_run: TinyRun, forker: ModuleForker, ranks: RankForker
) -> None:
    run = tiny_run(**PLAIN, steps=1_000_000)
    options = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "1"]
    options += ["--rdzv-endpoint", f"127.0.0.1:{free_port()}", str(run.path)]
    launchers = [forker.fork(__name__, options, log=run.log_path) for _ in range(2)]
    wait_for(lambda: reached(run, 5))
    for pid in launchers:
        os.kill(pid, signal.SIGTERM)
    assert [forker.code_of(pid) for pid in launchers] == [0, 0], run.log_path.read_text()
    step = run.status().step
    assert load_model(run, "last")[1] == step >= 5
    assert run.log_path.read_text() == (
        f"{run.name} trains on 2 ranks (cpu), from step 0 of 1000000; `llmlab` shows it.\n"
        f"{run.name} is stopped at step {step} and saved. Ended by SIGTERM. "
        f"The same command goes on, or `llmlab resume {run.name}`.\n"
    )


def test_the_death_of_the_launcher_saves_the_run(tiny_run: TinyRun, forker: ModuleForker, ranks: RankForker) -> None:
    run = tiny_run(steps=1_000_000)
    pid = forker.fork(__name__, ["--standalone", "--nproc-per-node", "2", str(run.path)], log=run.log_path)
    wait_for(lambda: reached(run, 5))
    os.kill(pid, signal.SIGKILL)
    assert forker.code_of(pid) == -signal.SIGKILL
    wait_for(lambda: not trainer_lock_is_held(run.lock_path))
    status = run.status()
    assert (status.phase, status.message) == ("stopped", "Ended by the end of its launcher.")
    first = next(iter(run.events().read()))
    assert (first.step, first.kind, first.text) == (0, "computing", "Each of the 2 ranks draws its own dropout masks.")
    assert load_model(run, "last")[1] == status.step


def rank_below(pid: int, rank: int) -> psutil.Process | None:
    found = [each for each in psutil.Process(pid).children() if "lab.training.trainer" in each.cmdline()]
    return next((each for each in found if each.environ()["RANK"] == str(rank)), None)


def test_a_rank_that_is_killed_while_it_starts_is_named(
    tiny_run: TinyRun, forker: ModuleForker, ranks: RankForker, tmp_path: Path
) -> None:
    """The launcher is started in a folder with a `models.py` and a `lab/` of the user's own."""
    folder = tmp_path / "of the user"
    (folder / "lab").mkdir(parents=True)
    for name in ("models.py", "lab/__init__.py"):
        (folder / name).write_text("raise SystemExit('imported from the working directory')\n")
    run = tiny_run(**PLAIN, steps=1_000_000)
    options = ["--standalone", "--nproc-per-node", "2", str(run.path)]
    pid = forker.fork(launcher.__name__, options, log=run.log_path, folder=folder)
    wait_for(lambda: rank_below(pid, 1))
    killed = rank_below(pid, 1)
    assert killed is not None
    killed.suspend()
    wait_for(lambda: run.status().message == "Waiting for 1 of 2 ranks.")
    killed.kill()
    assert forker.code_of(pid) == 1
    assert run.status().message == "Rank 1 died while starting, and training ended with it."
    assert run.log_path.read_text().startswith(f"Rank 1 (process {killed.pid}) was ended by SIGKILL.\n")
