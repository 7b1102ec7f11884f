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

from lab.runs.run_control import trainer_lock_is_held
from lab.runs.run_folder import Run
from tests.lab.conftest import make_shared_run
from tests.lab.training.distributed.rank_forker import PLAIN, RankForker, assert_close, reached
from tests.lab.training.kill_rounds import saved_step
from tests.lab.training.module_forker import ModuleForker, wait_for

STEPS = 400


def kill_one(run: Run, ranks: RankForker, chance: random.Random) -> str:
    """One life of two ranks; returns what happened, in words."""
    pids = ranks.start(run, 2)
    if chance.random() < 0.3:
        time.sleep(chance.uniform(0.0, 1.0))
    else:
        last = run.last_metric()
        target = max(-1 if last is None else last.step, saved_step(run)) + chance.randrange(1, 15)
        wait_for(lambda: run.status().pid == pids[0] and run.status().phase == "training" and reached(run, target))
    victim = chance.randrange(2)
    os.kill(pids[victim], signal.SIGKILL)
    codes = ranks.wait()
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
    forker = ModuleForker()
    ranks = RankForker(forker)
    with tempfile.TemporaryDirectory(prefix="llmlab-rank-kills-") as folder:
        killed, straight = (make_shared_run(Path(folder), **PLAIN, steps=STEPS, eval_every=100) for _ in range(2))
        saved = -1
        for number in range(1, asked.rounds + 1):
            words = kill_one(killed, ranks, chance)
            now = saved_step(killed)
            assert now >= saved, f"the last checkpoint went back from step {saved} to {now}"
            saved = now
            print(f"round {number}: {words}", flush=True)
        ranks.train(killed, 1)
        ranks.train(straight, 1)
        assert_close(killed, straight, STEPS)
    forker.end()
    print(f"{asked.rounds} kills: the run resumed each time, and its {STEPS} losses are those of a run that nobody killed.")


if __name__ == "__main__":
    main()
