"""Ends a trainer again and again at random moments, and checks each time that nothing saved is lost. Anyone can run it:

    python -m tests.lab.training.kill_rounds --rounds 50

Each round starts the trainer, sends it `save` commands, and ends it, half of the time while it starts, by SIGKILL, SIGTERM or
SIGHUP. Then the run must open, its last checkpoint load and be no older than the one seen before, and its metrics hold each step
once. In the end the run is stopped with SIGTERM, and its weights, metrics and samples are compared, bit for bit, with those of a
run that nobody ended.

Trainers are forked from this process, which has torch already, so that a round takes tenths of a second. With --fine-tune, both
runs begin with the weights of a third, which is deleted before the first round.
"""

import argparse
import contextlib
import functools
import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path

import torch

import lab.training.training_loop  # noqa: F401  forked trainers have it already
from lab.core.errors import UserError
from lab.core.safetensors_file import is_whole, read_metadata
from lab.runs.run_folder import Run
from lab.runs.weights_file import load_model
from lab.training import trainer
from tests.lab.conftest import make_shared_run, train_in_process
from tests.lab.training.compare_runs import assert_same_run, weights
from tests.lab.training.module_forker import Forked, Forker, wait_for

WAYS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)


def start(run: Run) -> Forked:
    """Fork a trainer from this process, in a session of its own."""
    forker = Forker()
    return Forked(forker, forker.fork(trainer.__name__, [str(run.path)], log=run.log_path))


def wait_for_training(run: Run, process: Forked) -> None:
    """Returns when the process has reached the training loop."""

    def trains() -> bool:
        assert process.poll() is None, run.log_path.read_text()
        return run.status().pid == process.pid and run.status().phase == "training"

    wait_for(trains)


def live_and_die(run: Run, chance: random.Random, by: signal.Signals) -> None:
    """One life of a trainer."""
    process = start(run)
    began = chance.random() < 0.5
    if began:
        wait_for_training(run, process)
    death = time.monotonic() + chance.uniform(0.0, 0.4)
    while time.monotonic() < death:
        with contextlib.suppress(UserError):  # it is still starting
            run.send_command("save")
        time.sleep(chance.uniform(0.0, 0.1))
    os.kill(process.pid, by)
    code = process.wait()
    if by is signal.SIGKILL or (code == -by and not began):  # it came before the trainer could watch for it
        return
    assert code == 0, run.log_path.read_text()
    assert_ended(run, process.pid, by)


def assert_ended(run: Run, pid: int, by: signal.Signals) -> None:
    """What a signal ends is saved, and says so."""
    status = run.status()
    assert (status.phase, status.message, status.pid) == ("stopped", f"Ended by {by.name}.", pid), status
    last = run.last_metric()
    assert last is not None
    assert saved_step(run) == status.step == last.step


def saved_step(run: Run) -> int:
    """The step of the last checkpoint, which must be whole; -1 before the first."""
    path = run.path / "last.safetensors"
    if not path.exists():
        return -1
    assert is_whole(path), "the last checkpoint is damaged"
    previous = run.path / "previous.safetensors"
    assert not previous.exists() or is_whole(previous), "the previous checkpoint is damaged"
    return int((read_metadata(path) or {})["step"])


def check_lines(run: Run, saved: int) -> None:
    """Each step once and in order, none missing up to the last checkpoint; a torn last line is for the next trainer to remove."""
    steps = [metric.step for metric in run.metrics().read()]
    assert steps == list(range(len(steps))), "metrics.jsonl has a step twice or lacks one"
    assert len(steps) > saved, "metrics.jsonl lacks steps that the last checkpoint has"
    for sample in run.samples():
        assert sample.step in steps


def stop(run: Run, after: int) -> int:
    """Trains beyond step `after`, and by one step at least, and ends by SIGTERM; the step it stands at then."""
    process = start(run)
    wait_for_training(run, process)
    wait_for(lambda: run.status().step > max(after, 0))
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait() == 0, run.log_path.read_text()
    assert_ended(run, process.pid, signal.SIGTERM)
    return run.status().step


def main(arguments: list[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--seed", type=int, default=None)
    options.add_argument("--fine-tune", action="store_true")
    asked = options.parse_args(arguments)
    torch.set_num_threads(1)  # a process whose torch has threads cannot be forked
    seed = random.randrange(10**6) if asked.seed is None else asked.seed
    chance = random.Random(seed)
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="llmlab-kills-") as folder:
        make = functools.partial(make_shared_run, Path(folder), steps=1_000_000, eval_every=50)
        if asked.fine_tune:
            base = make(eval_every=10)
            train_in_process(base, until=12)
            make = functools.partial(make, start=base.name)
        killed, straight = make(), make()
        if asked.fine_tune:
            assert all(torch.equal(weight, weights(base, "best")[name]) for name, weight in weights(killed, "0").items())
            shutil.rmtree(base.path)
        saved = -1
        for number in range(1, asked.rounds + 1):
            by = chance.choice(WAYS) if number > 1 else signal.SIGKILL
            live_and_die(killed, chance, by)
            now = saved_step(killed)
            assert now >= saved, f"the last checkpoint went back from step {saved} to {now}"
            saved = now
            check_lines(killed, saved)
            if saved >= 0:
                assert load_model(killed, "last")[1] == saved
            print(f"round {number}: {by.name}, step {killed.status().step} reached, step {saved} saved", flush=True)
        end = stop(killed, saved)
        check_lines(killed, end)
        assert killed.metrics_path.read_bytes().endswith(b"\n")
        assert not list(killed.path.glob(".*.tmp")), "temporary files are left"
        train_in_process(straight, until=end)
        assert_same_run(killed, straight)
        assert killed.samples() == straight.samples()
    print(f"{asked.rounds} ends: nothing saved was lost, and the weights after {end} steps are those of a run that nobody ended.")
    return 0


if __name__ == "__main__":
    main()
