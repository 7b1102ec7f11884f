"""Two ranks over Gloo against one: the same losses, one writer, stops, kills, and resuming on another number of ranks."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from lab.core.errors import UserError
from lab.runs.ranks.rank_heartbeat import ranks_in_words
from lab.runs.run_folder import Run
from lab.runs.run_locks import trainer_lock_is_held
from lab.runs.unresponsive_trainer import unresponsive_reason
from lab.runs.weights_file import load_model
from lab.training.start_trainer import start_trainer
from tests.lab.training.distributed.rank_forker import RankForker
from tests.lab.training.module_forker import ModuleForker

TinyRun = Callable[..., Run]
PATIENCE = 240.0
PLAIN = {"precision": "fp32", "attention": "plain", "dropout": 0.0, "batch": 5, "sample_tokens": 2}
"""So that one rank and two compute the same; five windows are two on rank 0 and three on rank 1."""


@pytest.fixture(scope="module")
def ranks(forker: ModuleForker) -> RankForker:
    return RankForker(forker)


def wait_for(what: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.01)


def reached(run: Run, step: int) -> bool:
    assert run.status().phase != "failed", run.log_path.read_text()
    last = run.last_metric()
    return last is not None and last.step >= step


def losses(run: Run) -> list[tuple[int, float | None, float | None]]:
    return [(metric.step, metric.loss, metric.val_loss) for metric in run.metrics().read()]


def assert_close(one: Run, other: Run, steps: int) -> None:
    """The same losses to rounding; metrics.jsonl has five decimal places."""
    first, second = losses(one)[: steps + 1], losses(other)[: steps + 1]
    assert len(first) == len(second) == steps + 1
    for (step, loss, val_loss), (other_step, other_loss, other_val_loss) in zip(first, second, strict=True):
        assert step == other_step
        assert loss == pytest.approx(other_loss, abs=1e-4), step
        assert val_loss == pytest.approx(other_val_loss, abs=1e-4), step


@pytest.mark.parametrize(
    "settings",
    [{"optimizer": "adamw"}, {"optimizer": "muon", "accumulate": 3, "shard_optimizer": "on"}],
    ids=["adamw, replicated", "muon, accumulated, sharded"],
)
def test_two_ranks_have_the_losses_of_one_and_resume_on_one_and_on_two(
    tiny_run: TinyRun, ranks: RankForker, settings: dict[str, object]
) -> None:
    one, two = tiny_run(**PLAIN, **settings, steps=80, eval_every=40), tiny_run(**PLAIN, **settings, steps=80, eval_every=40)
    ranks.train(one, 1)
    ranks.start(two, 2)
    wait_for(lambda: reached(two, 50))
    two.send_command("stop")
    assert ranks.wait() == [0, 0], two.log_path.read_text()
    assert two.status().phase == "stopped"
    first = two.status().step
    assert 50 <= first == load_model(two, "last")[1]
    ranks.start(two, 1)
    wait_for(lambda: reached(two, first + 5) or two.phase() == "finished")
    if two.phase() != "finished":
        two.send_command("stop")
        ranks.wait()
        ranks.start(two, 2)
    ranks.wait()
    assert two.status().phase == "finished", two.status()
    assert_close(one, two, 80)
    log = two.log_path.read_text()
    assert log.startswith(f"{two.name} trains on 2 ranks (cpu), from step 0 of 80; ")
    assert f"{two.name} is stopped at step {first} and saved. The same command goes on, or `llmlab resume {two.name}`.\n" in log
    ranks.start(two, 2)
    assert ranks.wait() == [0, 0], "torchrun has no failure to tell"
    assert two.log_path.read_text().removeprefix(log) == (
        f"{two.name} has finished its 80 steps; to train longer, start a new run with more steps.\n"
    )


def test_ranks_that_finish_tell_the_losses(tiny_run: TinyRun, ranks: RankForker) -> None:
    run = tiny_run(**PLAIN, steps=2)
    ranks.train(run, 2)
    final, last = run.status().final, run.last_metric()
    assert final is not None
    assert final.val_loss is not None
    assert last is not None
    assert last.loss is not None
    told = f"{run.name} has finished its 2 steps: loss {last.loss:.3f}, validation loss {final.val_loss:.3f}."
    assert run.log_path.read_text().splitlines()[1:] == [told]


def test_in_fp16_two_ranks_skip_the_same_steps_and_have_the_losses_of_one(
    tiny_run: TinyRun, train_here: Callable[..., object], ranks: RankForker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = PLAIN | {"precision": "fp16", "steps": 12, "eval_every": 12}
    one, two = tiny_run(**settings), tiny_run(**settings)
    monkeypatch.setattr("lab.training.acceleration.loss_scaling.FIRST_SCALE", 2.0**24)
    train_here(one)
    ranks.train(two, 2, "large scale")
    skipped = [[metric.step for metric in run.metrics().read() if metric.step and metric.grad_norm is None] for run in (one, two)]
    assert skipped[0]
    assert abs(len(skipped[0]) - len(skipped[1])) <= 1, "each rank's part of a gradient is smaller than the whole"
    for first, second in zip(losses(one), losses(two), strict=True):
        assert first[1] == pytest.approx(second[1], abs=0.02)


def test_rank_0_alone_writes_and_a_signal_to_the_other_saves_and_ends_both(tiny_run: TinyRun, ranks: RankForker) -> None:
    run = tiny_run(**PLAIN, steps=1_000_000)
    pids = ranks.start(run, 2)
    wait_for(lambda: reached(run, 20) and run.status().phase == "training" and len(run.status().ranks) == 2)
    status = run.status()
    assert [rank.pid for rank in status.ranks] == pids
    assert status.pid == pids[0]
    assert ranks_in_words(status.ranks) == f"2 ranks on {os.uname().nodename}"
    for opened in psutil.Process(pids[1]).open_files():
        assert opened.mode == "r" or opened.path == str(run.log_path) or not opened.path.startswith(str(run.path)), opened
    run.send_command("pause")
    wait_for(lambda: run.status().phase == "paused")
    os.kill(pids[1], signal.SIGTERM)
    assert ranks.wait() == [0, 0], run.log_path.read_text()
    status = run.status()
    assert (status.phase, status.message) == ("stopped", "Ended by SIGTERM.")
    assert load_model(run, "last")[1] == status.step


def test_a_rank_that_is_killed_ends_both_with_a_sentence_and_the_run_resumes(tiny_run: TinyRun, ranks: RankForker) -> None:
    run, straight = tiny_run(**PLAIN, steps=100, eval_every=100), tiny_run(**PLAIN, steps=100, eval_every=100)
    pids = ranks.start(run, 2)
    wait_for(lambda: reached(run, 10))
    os.kill(pids[1], signal.SIGKILL)
    assert ranks.wait() == [1, -signal.SIGKILL], run.log_path.read_text()
    status = run.status()
    host = os.uname().nodename
    assert status.phase == "failed"
    assert status.message == (
        f"Rank 1 (process {pids[1]} on {host}) died, and training ended with it. "
        f"The last checkpoint, of step {status.step}, is whole. `llmlab resume {run.name}` goes on."
    )
    assert load_model(run, "last")[1] == status.step, "rank 0 saves what it has"

    pids = ranks.start(run, 2)
    wait_for(lambda: run.status().pid == pids[0] and run.status().phase == "training" and reached(run, status.step + 2))
    os.kill(pids[0], signal.SIGKILL)
    assert ranks.wait() == [-signal.SIGKILL, 1], run.log_path.read_text()
    assert not trainer_lock_is_held(run.lock_path)
    assert run.phase() == "interrupted"
    sentence = f"Rank 1 ended: Rank 0 (process {pids[0]} on {host}) died, and training ended with it."
    died = f"The trainer died at step {run.status().step}, and the last checkpoint is of step {status.step}"
    assert unresponsive_reason(run, run.status(), "interrupted") == f"{died}; its last output: {sentence}"
    ranks.train(run, 1)
    ranks.train(straight, 1)
    assert_close(run, straight, 100)


def test_a_rank_that_is_killed_on_another_host_breaks_the_connection_and_rank_0_saves(
    tiny_run: TinyRun, ranks: RankForker
) -> None:
    """Whether its process lives cannot be seen from here, so that only the broken collective tells."""
    run = tiny_run(**PLAIN, steps=1_000_000)
    pids = ranks.start(run, 2, "other hosts")
    wait_for(lambda: reached(run, 10))
    os.kill(pids[1], signal.SIGKILL)
    assert ranks.wait() == [1, -signal.SIGKILL], run.log_path.read_text()
    status = run.status()
    assert status.phase == "failed"
    sentence = (
        r"The connection to another rank failed \((?!Got)[^/]+\), and training ended with it\. The last checkpoint, of step "
    )
    assert re.match(sentence + rf"{status.step}, is whole\. `llmlab resume {run.name}` goes on\.$", status.message), (
        status.message
    )
    assert load_model(run, "last")[1] == status.step > 0


def test_a_rank_that_is_killed_before_the_first_step_ends_the_other(tiny_run: TinyRun, ranks: RankForker) -> None:
    run = tiny_run(**PLAIN, steps=1_000_000)
    pids = ranks.start(run, 2, "ends before first step")
    assert ranks.wait() == [1, -signal.SIGKILL], run.log_path.read_text()
    who = f"Rank 1 (process {pids[1]} on {os.uname().nodename}) died, and training ended with it."
    assert run.status().phase == "failed"
    assert run.status().message.startswith(who)


def test_a_rank_that_is_halted_does_not_hold_up_the_other(tiny_run: TinyRun, ranks: RankForker) -> None:
    """Rank 0 of one run and rank 1 of another, at the same time: each takes ten seconds to be found."""
    runs = [tiny_run(**PLAIN, steps=1_000_000) for _ in range(2)]
    started = [ranks.start(run, 2, "impatient") for run in runs]
    for halted, (run, pids) in enumerate(zip(runs, started, strict=True)):
        wait_for(lambda run=run: reached(run, 10))
        os.kill(pids[halted], signal.SIGSTOP)
    for halted, (run, pids) in enumerate(zip(runs, started, strict=True)):
        wait_for(lambda other=pids[1 - halted]: psutil.Process(other).status() == psutil.STATUS_ZOMBIE)
        os.kill(pids[halted], signal.SIGCONT)
        assert ranks.wait(pids) == [1, 1], run.log_path.read_text()
        assert run.status().phase == "failed"
        if halted == 0:
            silence = r"The ranks' meeting place at 127\.0\.0\.1:\d+ has not answered for 10 seconds, "
            assert re.search(silence, run.log_path.read_text()), "rank 0 keeps the store"
        how = "has not responded for 10 seconds" if halted == 1 else "died"
        assert run.status().message.startswith(
            f"Rank 1 (process {pids[1]} on {os.uname().nodename}) {how}, and training ended with it."
        )


def test_a_rank_without_memory_is_given_smaller_micro_batches_and_all_roll_back_together(
    tiny_run: TinyRun, ranks: RankForker
) -> None:
    one, two = tiny_run(**PLAIN, steps=90), tiny_run(**PLAIN, steps=90)
    ranks.train(one, 1, "bad steps")
    ranks.train(two, 2, "full memory, bad steps")
    events = {event.kind: event.text for event in two.events().read()}
    assert events["micro_batch"] == (
        "A step of 5 windows did not fit into memory; since step 1 it is computed in 5 parts of 1 window, with the same result "
        "but for rounding."
    )
    assert events["back"] == {event.kind: event.text for event in one.events().read()}["back"]
    assert_close(one, two, 90)


def test_the_launcher_starts_the_ranks_and_its_death_saves_the_run(tiny_run: TinyRun) -> None:
    run = tiny_run(steps=1_000_000, ranks=2)
    for name in ("lab", "models"):  # folders of the user's own, which nothing may be imported from
        (run.path / name).mkdir()
        (run.path / name / "__init__.py").write_text("raise ImportError('this is not the lab')")
    pid = start_trainer(run)
    assert pid == run.status().pid
    with pytest.raises(UserError, match=f"is already being trained by process {pid} on "):
        start_trainer(run)
    wait_for(lambda: reached(run, 5) and len(run.status().ranks) == 2)
    processes = [psutil.Process(rank.pid) for rank in run.status().ranks]
    processes[0].parent().kill()
    psutil.wait_procs(processes, timeout=PATIENCE)
    status = run.status()
    assert (status.phase, status.message) == ("stopped", "Ended by the end of its launcher.")
    first = next(iter(run.events().read()))
    assert (first.step, first.kind, first.text) == (0, "computing", "Each of the 2 ranks draws its own dropout masks.")
    assert load_model(run, "last")[1] == status.step


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts the launcher of one machine as a user does, in a folder with a `models.py` and a `lab/` of the user's own."""
    folder = tmp_path / "of the user"
    (folder / "lab").mkdir(parents=True)
    for name in ("models.py", "lab/__init__.py"):
        (folder / name).write_text("raise SystemExit('imported from the working directory')\n")
    started: list[subprocess.Popen[bytes]] = []

    def start(run: Run, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "lab.training.distributed.launcher", *options, str(run.path)]
        with run.log_path.open("ab") as log:
            started.append(subprocess.Popen(command, cwd=folder, stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        process.wait()


def rank_below(launcher: subprocess.Popen[bytes], rank: int) -> psutil.Process | None:
    found = [each for each in psutil.Process(launcher.pid).children() if "lab.training.trainer" in each.cmdline()]
    return next((each for each in found if each.environ()["RANK"] == str(rank)), None)


def test_two_machines_that_a_signal_stops_save_and_end_without_a_failure(
    tiny_run: TinyRun, launched: Callable[..., subprocess.Popen[bytes]]
) -> None:
    run = tiny_run(**PLAIN, steps=1_000_000)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = f"127.0.0.1:{free.getsockname()[1]}"
    options = ("--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "1", "--rdzv-endpoint", meeting)
    launchers = [launched(run, *options) for _ in range(2)]
    wait_for(lambda: reached(run, 5))
    for launcher in launchers:
        launcher.terminate()
    assert [launcher.wait(PATIENCE) for launcher in launchers] == [0, 0], run.log_path.read_text()
    step = run.status().step
    assert load_model(run, "last")[1] == step >= 5
    assert run.log_path.read_text() == (
        f"{run.name} trains on 2 ranks (cpu), from step 0 of 1000000; `llmlab` shows it.\n"
        f"{run.name} is stopped at step {step} and saved. Ended by SIGTERM. "
        f"The same command goes on, or `llmlab resume {run.name}`.\n"
    )


def test_a_rank_that_is_killed_while_it_starts_is_named(
    tiny_run: TinyRun, launched: Callable[..., subprocess.Popen[bytes]]
) -> None:
    run = tiny_run(**PLAIN, steps=1_000_000)
    launcher = launched(run, "--standalone", "--nproc-per-node", "2")
    wait_for(lambda: rank_below(launcher, 1))
    killed = rank_below(launcher, 1)
    assert killed is not None
    killed.suspend()
    wait_for(lambda: run.status().message == "Waiting for 1 of 2 ranks.")
    killed.kill()
    assert launcher.wait(PATIENCE) == 1
    assert run.status().message == "Rank 1 died while starting, and training ended with it."
    assert run.log_path.read_text().startswith(f"Rank 1 (process {killed.pid}) was ended by SIGKILL.\n")
