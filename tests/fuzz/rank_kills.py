"""Kill one rank of two again and again at random moments, and resume. Anyone can run it:

    python -m tests.fuzz.rank_kills --rounds 10

Each round trains in two ranks over Gloo and kills one of them, chosen at random, by SIGKILL: while they join, or some steps on.
Both must end; the last checkpoint must be whole and no older than the one before; and where rank 0 lived, its sentence names
the rank that died, and what it had computed is saved. At the end the run is trained on in one rank, and its losses are compared
with those of a run of one rank that nobody killed.
"""

import argparse
import os
import random
import signal
import tempfile
import time
from pathlib import Path

from lab.core.safetensors_file import is_whole, read_metadata
from lab.planning.prepare_run import prepare_run
from lab.planning.run_request import RunRequest
from lab.runs.run_folder import Run
from lab.runs.run_locks import trainer_lock_is_held
from tests.lab.training.distributed.rank_forker import RankForker

TEXT = "".join(
    f"The {size} dog met the {colour} cat.\nThen they ran home.\n" for size in ("big", "old", "wet") for colour in "abcdefgh"
)
PATIENCE = 120.0
TOLERANCE = 1e-4
STEPS = 400


def saved_step(run: Run) -> int:
    """The step of the last checkpoint, which must be whole; -1 before the first."""
    path = run.path / "last.safetensors"
    if not path.exists():
        return -1
    assert is_whole(path), "the last checkpoint is damaged"
    return int((read_metadata(path) or {})["step"])


def steps_of(run: Run) -> int:
    last = run.last_metric()
    return -1 if last is None else last.step


def kill_one(run: Run, forker: RankForker, chance: random.Random) -> str:
    """One life of two ranks; returns what happened, in words."""
    pids = forker.start(run, 2)
    if chance.random() < 0.3:
        time.sleep(chance.uniform(0.0, 1.0))
    else:
        target = max(steps_of(run), saved_step(run)) + chance.randrange(1, 15)
        give_up = time.monotonic() + PATIENCE
        while not (run.status().pid == pids[0] and run.status().phase == "training" and steps_of(run) >= target):
            assert run.status().pid != pids[0] or run.status().phase != "failed", run.status()
            assert time.monotonic() < give_up, f"no step {target} is reached: {run.status()}"
            time.sleep(0.005)
    victim = chance.randrange(2)
    os.kill(pids[victim], signal.SIGKILL)
    codes = forker.wait()
    assert codes[victim] == -signal.SIGKILL, codes
    assert codes[1 - victim] in (0, 1), codes
    assert not trainer_lock_is_held(run.lock_path)
    status = run.status()
    if victim == 1 and status.pid == pids[0] and len(status.ranks) == 2 and status.phase != "starting":
        assert status.phase == "failed", status
        assert status.message.startswith(f"Rank 1 (process {pids[1]} on "), status
        assert "died, and training ended with it." in status.message, status
        if "Nothing is saved yet" not in status.message:
            assert status.step == saved_step(run), "rank 0 saves what it has"
    return (
        f"rank {victim} killed at step {status.step}, step {saved_step(run)} saved: {run.phase()}, {status.message or 'no words'}"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--seed", type=int, default=None)
    asked = options.parse_args()
    seed = random.randrange(10**6) if asked.seed is None else asked.seed
    chance = random.Random(seed)
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="llmlab-rank-kills-") as folder, RankForker() as forker:
        text = Path(folder) / "tale.txt"
        text.write_text(TEXT)
        request = RunRequest(
            text=str(text), preset="nano", tokenizer="bytes", layers=1, width=16, context=16, dropout=0.0, batch=5, threads=1,
            precision="fp32", attention="plain", optimizer="adamw", steps=STEPS, eval_every=100, sample_tokens=2, device="cpu",
            home=Path(folder) / "runs",
        )  # fmt: skip
        killed, straight = prepare_run(request), prepare_run(request)
        saved = -1
        for number in range(1, asked.rounds + 1):
            words = kill_one(killed, forker, chance)
            now = saved_step(killed)
            assert now >= saved, f"the last checkpoint went back from step {saved} to {now}"
            saved = now
            print(f"round {number}: {words}", flush=True)
        forker.train(killed, 1)
        forker.train(straight, 1)
        one, other = ([metric.loss for metric in run.metrics().read()] for run in (killed, straight))
        assert len(one) == len(other) == STEPS + 1, "metrics.jsonl has a step twice or lacks one"
        difference = max(abs((a or 0.0) - (b or 0.0)) for a, b in zip(one, other, strict=True))
        assert difference < TOLERANCE, f"the losses differ by {difference:.6f} from those of a run that nobody killed"
    print(f"{asked.rounds} kills: the run resumed each time; its {STEPS} losses differ by at most {difference:.6f}.")


if __name__ == "__main__":
    main()
