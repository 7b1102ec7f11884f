"""A rank that is killed or halted: the other saves, says why, and ends."""

import os
import re
import signal

import psutil  # type: ignore[import-untyped]
import pytest

from lab.runs.run_control import trainer_lock_is_held
from lab.runs.run_folder import Run, unresponsive_reason
from lab.runs.weights_file import load_model
from tests.fixture_types import TinyRun
from tests.lab.training.distributed.rank_forker import PLAIN, RankForker, assert_close, reached
from tests.lab.training.module_forker import wait_for


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
