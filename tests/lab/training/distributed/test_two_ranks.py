"""Two ranks over Gloo against one: the same losses, one writer, and resuming on another number of ranks."""

import os
import signal
from collections.abc import Callable

import psutil  # type: ignore[import-untyped]
import pytest

from lab.runs.run_folder import Run
from lab.runs.schema_parts import describe_ranks
from lab.runs.weights_file import load_model
from tests.fixture_types import TinyRun
from tests.lab.training.compare_runs import settings_of_a_step
from tests.lab.training.distributed.rank_forker import PLAIN, RankForker, assert_close, losses, reached
from tests.lab.training.module_forker import wait_for
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
    one, two = (tiny_run(**settings, steps=60, eval_every=30) for _ in range(2))
    ranks.train(one, 1)
    pids = ranks.start(two, 2)
    wait_for(lambda: reached(two, 20) and len(two.status().ranks) == 2)
    status = two.status()
    assert [rank.pid for rank in status.ranks] == pids
    assert status.pid == pids[0]
    assert describe_ranks(status.ranks) == f"2 ranks on {os.uname().nodename}"
    end_by_signal_to_rank_1(two, pids)
    assert ranks.wait() == [0, 0], two.log_path.read_text()
    assert (two.status().phase, two.status().message) == ("stopped", "Ended by SIGTERM.")
    first = two.status().step
    assert 20 <= first == load_model(two, "last")[1]
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
    assert_close(one, two, 60)
    log = two.log_path.read_text()
    assert log.startswith(f"{two.name} trains on 2 ranks (cpu), from step 0 of 60; ")
    goes_on = f"The same command goes on, or `llmlab resume {two.name}`.\n"
    assert f"{two.name} is stopped at step {first} and saved. Ended by SIGTERM. {goes_on}" in log
    ranks.start(two, 2)
    assert ranks.wait() == [0, 0], "torchrun has no failure to tell"
    assert two.log_path.read_text().removeprefix(log) == (
        f"{two.name} has finished its 60 steps; to train longer, start a new run with more steps.\n"
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
    one, two = tiny_run(**PLAIN, steps=60), tiny_run(**PLAIN, steps=60)
    ranks.train(one, 1, "bad steps")
    ranks.train(two, 2, "full memory, bad steps")
    events = {event.kind: event.text for event in two.events().read()}
    assert events["micro_batch"] == (
        "A step of 5 windows did not fit into memory; since step 1 it is computed in 5 parts of 1 window, with the same result "
        "but for rounding."
    )
    assert events["back"] == {event.kind: event.text for event in one.events().read()}["back"]
    assert_close(one, two, 60)
