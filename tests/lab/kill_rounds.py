"""Kills a trainer again and again at random moments, and checks each time that nothing saved is lost. Anyone can run it:

    python tests/lab/kill_rounds.py --rounds 20

Each round starts the trainer, sends it `save` commands, and kills it with SIGKILL, half of the time while it starts. Then the
run must open, its last checkpoint load and be no older than the one seen before, and its metrics hold each step once. In the end
the run is stopped with SIGTERM, and its weights, metrics and samples are compared, bit for bit, with those of a run that nobody
killed.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from lab.checkpoint import load_model
from lab.errors import UserError
from lab.prepare import prepare_run
from lab.request import RunRequest
from lab.run_folder import Run
from lab.tensor_file import is_whole, read_metadata

TEXT = "".join(
    f"The {size} dog met the {colour} cat.\nThen they ran home.\n" for size in ("big", "old", "wet") for colour in "abcdefgh"
)
PATIENCE = 60.0


def spawn(run: Run) -> "subprocess.Popen[bytes]":
    with run.log_path.open("ab") as log:
        command = [sys.executable, "-P", "-m", "lab.trainer", str(run.path)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def wait_for_training(run: Run, process: "subprocess.Popen[bytes]") -> None:
    """Returns when the process has reached the training loop."""
    give_up = time.monotonic() + PATIENCE
    while not (run.status().pid == process.pid and run.status().phase == "training"):
        assert process.poll() is None, run.log_path.read_text()
        assert time.monotonic() < give_up, "the trainer does not come to training"
        time.sleep(0.01)


def live_and_die(run: Run, chance: random.Random) -> None:
    """One life of a trainer."""
    process = spawn(run)
    if chance.random() < 0.5:
        wait_for_training(run, process)
    death = time.monotonic() + chance.uniform(0.0, 1.0)
    while time.monotonic() < death:
        with contextlib.suppress(UserError):  # it is still starting
            run.command("save")
        time.sleep(chance.uniform(0.0, 0.1))
    process.kill()
    process.wait()


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
    process = spawn(run)
    wait_for_training(run, process)
    give_up = time.monotonic() + PATIENCE
    while run.status().step <= max(after, 0):
        assert time.monotonic() < give_up, "the trainer takes no step"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait() == 0, run.log_path.read_text()
    status = run.status()
    assert status.phase == "stopped", status
    return status.step


def facts(run: Run, step: int) -> tuple[list[object], list[object]]:
    """The run's metrics up to a step, without what depends on the clock, and its samples."""
    metrics = [metric for metric in run.metrics().read() if metric.step <= step]
    timeless = [(m.step, m.tokens, m.epoch, m.loss, m.lr, m.grad_norm, m.val_loss, m.bits_per_byte) for m in metrics]
    return list(timeless), [sample for sample in run.samples() if sample.step <= step]


def train_straight(run: Run, until: int) -> None:
    """Trains in this process, with nobody disturbing it, and stops at a step."""
    from lab.run_config import Status
    from lab.signals import Signals
    from lab.status_board import StatusBoard
    from lab.training import Training

    signals = Signals()
    training = Training(run, StatusBoard(run.status_path, Status(phase="starting")), signals)
    take_step = training._take_step

    def step_and_look() -> None:
        take_step()
        if training.cursor.step >= until:
            signals.caught = "SIGTERM"

    training._take_step = step_and_look  # type: ignore[method-assign]
    training.train()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--seed", type=int, default=None)
    asked = options.parse_args()
    seed = random.randrange(10**6) if asked.seed is None else asked.seed
    chance = random.Random(seed)
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="llmlab-kills-") as folder:
        text = Path(folder) / "tale.txt"
        text.write_text(TEXT)
        request = RunRequest(
            text=str(text), preset="nano", tokenizer="bytes", layers=1, width=16, context=16, dropout=0.1, batch=4, threads=1,
            steps=1_000_000, eval_every=50, sample_tokens=4, device="cpu", home=Path(folder) / "runs",
        )  # fmt: skip
        killed, straight = prepare_run(request), prepare_run(request)
        saved = -1
        for number in range(1, asked.rounds + 1):
            live_and_die(killed, chance)
            now = saved_step(killed)
            assert now >= saved, f"the last checkpoint went back from step {saved} to {now}"
            saved = now
            check_lines(killed, saved)
            if saved >= 0:
                assert load_model(killed, "last")[1] == saved
            print(f"round {number}: killed, step {killed.status().step} reached, step {saved} saved", flush=True)
        end = stop(killed, saved)
        check_lines(killed, end)
        assert killed.metrics_path.read_bytes().endswith(b"\n")
        assert not list(killed.path.glob(".*.tmp")), "temporary files are left"
        train_straight(straight, end)
        one, other = load_model(killed, "last")[0].state_dict(), load_model(straight, "last")[0].state_dict()
        assert all(torch.equal(one[name], other[name]) for name in one), (
            "the weights differ from those of a run that was not killed"
        )
        assert facts(killed, end) == facts(straight, end), "the metrics differ from those of a run that was not killed"
    print(
        f"{asked.rounds} kills: nothing saved was lost, and the weights after {end} steps are those of a run that was not killed."
    )


if __name__ == "__main__":
    main()
