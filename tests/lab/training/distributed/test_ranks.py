"""Ranks as processes over Gloo: the losses of one, a rank that is killed or halted, and their launcher, stopped, killed and on
two machines. They share a file because loading what they need takes two seconds."""

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from lab.runs.run_control import trainer_lock_is_held
from lab.runs.run_folder import Run, unresponsive_reason
from lab.runs.schema_parts import describe_ranks
from lab.runs.weights_file import load_model
from lab.training.distributed import launcher
from tests.fixture_types import TinyRun
from tests.lab.training.compare_runs import settings_of_a_step
from tests.lab.training.distributed.rank_forker import PLAIN, RankForker, assert_close, free_port, losses, reached
from tests.lab.training.module_forker import Forked, ModuleForker, wait_for
from tests.lab.training.one_step.taken_steps import at_next_batch


def end_by_signal_to_rank_1(run: Run, pids: list[int]) -> None:
    """While rank 0, which alone writes, pauses."""
    for opened in psutil.Process(pids[1]).open_files():
        assert opened.mode == "r" or opened.path == str(run.log_path) or not opened.path.startswith(str(run.path)), opened
    run.send_command("pause")
    wait_for(lambda: run.status().phase == "paused")
    os.kill(pids[1], signal.SIGTERM)


def test_two_ranks_have_the_losses_of_one_and_resume_on_one_and_on_two(tiny_run: TinyRun, ranks: RankForker) -> None:
    """Their optimizer is sharded. Every setting that a step's numbers follow from is another than the default, but for the
    learning rate."""
    settings = settings_of_a_step() | PLAIN | {"shard_optimizer": "on", "lr": 1e-3}
    one, two = (tiny_run(**settings, steps=40, eval_every=20) for _ in range(2))
    ranks.train(one, 1)
    pids = ranks.start(two, 2)
    wait_for(lambda: reached(two, 10) and len(two.status().ranks) == 2)
    status = two.status()
    assert [rank.pid for rank in status.ranks] == pids
    assert status.pid == pids[0]
    assert describe_ranks(status.ranks) == f"2 ranks on {os.uname().nodename}"
    end_by_signal_to_rank_1(two, pids)
    assert ranks.wait() == [0, 0], two.log_path.read_text()
    assert (two.status().phase, two.status().message) == ("stopped", "Ended by SIGTERM.")
    first = two.status().step
    assert 10 <= first == load_model(two, "last")[1]
    step = at_next_batch(two)
    step.evaluate()
    assert step.current.mean == pytest.approx(losses(one)[first + 1][1], abs=1e-4), "One step takes the same step"
    ranks.start(two, 1)
    wait_for(lambda: reached(two, first + 5) or two.phase() == "finished")
    if two.phase() != "finished":
        two.send_command("stop")
        ranks.wait()
        ranks.start(two, 2)
    ranks.wait()
    assert two.status().phase == "finished", two.status()
    assert_close(one, two, 40)
    log = two.log_path.read_text()
    assert log.startswith(f"{two.name} trains on 2 ranks (cpu), from step 0 of 40; ")
    goes_on = f"The same command goes on, or `llmlab resume {two.name}`.\n"
    assert f"{two.name} is stopped at step {first} and saved. Ended by SIGTERM. {goes_on}" in log
    ranks.start(two, 2)
    assert ranks.wait() == [0, 0], "torchrun has no failure to tell"
    assert two.log_path.read_text().removeprefix(log) == (
        f"{two.name} has finished its 40 steps; to train longer, start a new run with more steps.\n"
    )


def test_in_fp16_two_ranks_skip_the_same_steps_and_have_the_losses_of_one(
    tiny_run: TinyRun, train_here: Callable[..., object], ranks: RankForker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = PLAIN | {"precision": "fp16", "steps": 12, "eval_every": 12}
    one, two = tiny_run(**settings), tiny_run(**settings)
    monkeypatch.setattr("lab.training.loss_scaling.FIRST_SCALE", 2.0**24)
    train_here(one)
    ranks.train(two, 2, "large scale")
    final, last = two.status().final, two.metrics().read()[-1]
    assert final is not None
    told = f"{two.name} has finished its 12 steps: loss {last.loss:.3f}, validation loss {final.val_loss:.3f}."
    assert two.log_path.read_text().splitlines()[1:] == [told]
    skipped = [[metric.step for metric in run.metrics().read() if metric.step and metric.grad_norm is None] for run in (one, two)]
    assert skipped[0]
    assert abs(len(skipped[0]) - len(skipped[1])) <= 1, "each rank's part of a gradient is smaller than the whole"
    for first, second in zip(losses(one), losses(two), strict=True):
        assert first[1] == pytest.approx(second[1], abs=0.02)


def test_a_rank_without_memory_is_given_smaller_micro_batches_and_all_roll_back_together(
    tiny_run: TinyRun, ranks: RankForker
) -> None:
    one, two = tiny_run(**PLAIN, steps=20), tiny_run(**PLAIN, steps=20)
    ranks.train(one, 1, "bad steps")
    ranks.train(two, 2, "full memory, bad steps")
    events = {event.kind: event.text for event in two.events().read()}
    assert events["micro_batch"] == (
        "A step of 5 windows did not fit into memory; since step 1 it is computed in 5 parts of 1 window, with the same result "
        "but for rounding."
    )
    assert events["back"] == {event.kind: event.text for event in one.events().read()}["back"]
    assert_close(one, two, 20)


def killed_and_saved(tiny_run: TinyRun, ranks: RankForker, fault: str = "", steps: int = 1_000_000) -> tuple[Run, list[int]]:
    """A run whose rank 1 was killed and whose rank 0 saved, and their processes.

    Gloo does not always tell of a connection that breaks. Rank 0 then gives up after ten seconds and cannot save: once in some
    hundred runs, so that another is tried.
    """
    for _ in range(3):
        run = tiny_run(**PLAIN, steps=steps, eval_every=100)
        pids = ranks.start(run, 2, fault)
        wait_for(lambda run=run: reached(run, 10))
        os.kill(pids[1], signal.SIGKILL)
        assert ranks.wait() == [1, -signal.SIGKILL], run.log_path.read_text()
        status = run.status()
        assert status.phase == "failed"
        if not status.message.endswith(f"training ended with it. `llmlab resume {run.name}` goes on from the last checkpoint."):
            assert load_model(run, "last")[1] == status.step >= 10, "rank 0 saves what it has"
            return run, pids
    pytest.fail("rank 0 gives up each time")


def test_a_rank_that_is_killed_ends_both_with_a_sentence_and_the_run_resumes(tiny_run: TinyRun, ranks: RankForker) -> None:
    run, pids = killed_and_saved(tiny_run, ranks, steps=100)
    straight, status, host = tiny_run(**PLAIN, steps=100, eval_every=100), run.status(), os.uname().nodename
    assert status.message == (
        f"Rank 1 (process {pids[1]} on {host}) died, and training ended with it. "
        f"The last checkpoint, of step {status.step}, is whole. `llmlab resume {run.name}` goes on."
    )

    pids = ranks.start(run, 2)
    wait_for(lambda: run.status().pid == pids[0] and run.status().phase == "training" and reached(run, status.step + 2))
    os.kill(pids[0], signal.SIGKILL)
    assert ranks.wait() == [-signal.SIGKILL, 1], run.log_path.read_text()
    assert not trainer_lock_is_held(run.lock_path)
    assert run.phase() == "interrupted"
    died = f"The trainer died at step {run.status().step}, and the last checkpoint is of step {status.step}"
    reason = unresponsive_reason(run, run.status(), "interrupted").replace("Rank 1 ended: ", "")  # if it has not given up
    assert reason == f"{died}; its last output: Rank 0 (process {pids[0]} on {host}) died, and training ended with it."
    ranks.train(run, 1)
    ranks.train(straight, 1)
    assert_close(run, straight, 100)


def test_a_rank_that_is_killed_on_another_host_breaks_the_connection_and_rank_0_saves(
    tiny_run: TinyRun, ranks: RankForker
) -> None:
    """Whether its process lives cannot be seen from here, so that only the broken collective tells."""
    run, _ = killed_and_saved(tiny_run, ranks, "other hosts")
    status = run.status()
    sentence = (
        r"The connection to another rank failed \((?!Got)[^/]+\), and training ended with it\. The last checkpoint, of step "
    )
    assert re.match(sentence + rf"{status.step}, is whole\. `llmlab resume {run.name}` goes on\.$", status.message), (
        status.message
    )


def test_a_rank_that_is_killed_before_the_first_step_ends_the_other(tiny_run: TinyRun, ranks: RankForker) -> None:
    run = tiny_run(**PLAIN, steps=1_000_000)
    pids = ranks.start(run, 2, "ends before first step")
    assert ranks.wait() == [1, -signal.SIGKILL], run.log_path.read_text()
    who = f"Rank 1 (process {pids[1]} on {os.uname().nodename}) died, and training ended with it."
    assert run.status().phase == "failed"
    assert run.status().message.startswith(who)


def test_a_rank_that_is_halted_does_not_hold_up_the_other(tiny_run: TinyRun, ranks: RankForker) -> None:
    """Rank 0 of one run and rank 1 of another, at the same time: each takes two seconds to be found."""
    runs = [tiny_run(**PLAIN, steps=1_000_000) for _ in range(2)]
    started = [ranks.start(run, 2, "impatient") for run in runs]
    for halted, (run, pids) in enumerate(zip(runs, started, strict=True)):
        wait_for(lambda run=run: reached(run, 10))
        os.kill(pids[halted], signal.SIGSTOP)
        os.kill(pids[1 - halted], signal.SIGUSR1)
    for halted, (run, pids) in enumerate(zip(runs, started, strict=True)):
        wait_for(lambda other=pids[1 - halted]: psutil.Process(other).status() == psutil.STATUS_ZOMBIE)
        os.kill(pids[halted], signal.SIGCONT)
        assert ranks.wait(pids) == [1, 1], run.log_path.read_text()
        assert run.status().phase == "failed"
        if halted == 0:
            silence = r"The ranks' meeting place at 127\.0\.0\.1:\d+ has not answered for 2 seconds, "
            assert re.search(silence, run.log_path.read_text()), "rank 0 keeps the store"
        how = "has not responded for 2 seconds" if halted == 1 else "died"
        assert run.status().message.startswith(
            f"Rank 1 (process {pids[1]} on {os.uname().nodename}) {how}, and training ended with it."
        )
    assert run.status().message.endswith(f" `llmlab resume {run.name}` goes on from the last checkpoint."), "rank 0 gave up"


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
