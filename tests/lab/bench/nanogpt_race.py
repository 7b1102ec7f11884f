"""Races against nanoGPT, whose scripts run from the user's checkout: its bench.py and train.py on a GPU, and an equal-time race
on a text, nanoGPT's recipe for a CPU and then llmlab's trainer for as long as that took.

In the race on a text train.py runs in a folder of links to the checkout. llmlab trains what its planner chooses for that time,
its steps having been timed on this machine before. Losses are over the whole validation part, the same characters for both, in
nats per character.
"""

import json
import os
import pickle
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from lab.bench.bench_suite import Evaluated, ShowProgress
from lab.bench.timed_process import BenchRow, end_trainer
from lab.core.child_process import torch_environment
from lab.core.errors import UserError
from lab.core.number_format import duration, whole
from lab.data.text_source import open_corpus
from lab.data.train_val_split import split_text
from lab.planning.prepare_run import prepare_run
from lab.planning.settings_table import AUTO, RunRequest
from lab.runs.run_folder import Run
from lab.training.start_trainer import start_trainer

ITERATION = re.compile(r"time per iteration: ([\d.]+)ms")
"""A line of bench.py. The last one counts; the first is of its warm-up."""
EVALUATION = re.compile(r"step (\d+): train loss [\d.]+, val loss ([\d.]+)")
"""A line of train.py."""
LAST_LINES = 3
"""Lines of a failure in which its reason is looked for."""


def iteration_seconds(checkout: Path, arguments: Sequence[str]) -> float:
    """Seconds of a training step of GPT-2 124M by bench.py. Raises UserError if it fails."""
    if not os.path.isfile(checkout / "bench.py"):
        raise UserError(f"{checkout} has no bench.py; give a checkout of nanoGPT.")
    command = [sys.executable, "bench.py", *arguments]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    found = ITERATION.findall(done.stdout)
    if done.returncode or not found:
        raise UserError(f"nanoGPT's bench.py failed: {_reason(done.stderr)}")
    return float(found[-1]) / 1000


def evaluations(checkout: Path, arguments: Sequence[str]) -> list[Evaluated]:
    """Validation losses of train.py, each with the time that it was printed. Raises UserError if it fails."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as errors:
        command = [sys.executable, "-u", "train.py", *arguments, f"--out_dir={folder}"]
        started = time.monotonic()
        process = subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        try:
            lines = ((time.monotonic() - started, EVALUATION.match(line)) for line in process.stdout)
            found = [Evaluated(seconds, float(match[2])) for seconds, match in lines if match]
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        errors.seek(0)
        if code or not found:
            raise UserError(f"nanoGPT's train.py failed: {_reason(errors.read())}")
    return found


def _reason(text: str) -> str:
    """The last line that says something."""
    lines = [line for line in text.strip().splitlines()[-LAST_LINES:] if line.strip()]
    return lines[-1].strip()[:300] if lines else "it printed no figures"


RECIPE = (
    "config/train_shakespeare_char.py --device=cpu --compile=False --eval_iters=20 --log_interval=100 --block_size=64 "
    "--batch_size=12 --n_layer=4 --n_head=4 --n_embd=128 --max_iters=2000 --lr_decay_iters=2000 --dropout=0.0"
)
"""The recipe for a laptop in nanoGPT's README."""
WORKER = str(Path(__file__).with_name("third_party_worker.py"))
LINKED = ("train.py", "model.py", "configurator.py", "config")
SEEDS = 3
"""Runs of llmlab, each with another seed."""


def run(nanogpt: Path, text: str, say: ShowProgress) -> Iterator[BenchRow]:
    """Run both, one after the other. Raises UserError if the text cannot be read, or one of the two fails."""
    corpus = open_corpus(text)
    content, split = "".join(corpus.chunks()), split_text(corpus).split
    with tempfile.TemporaryDirectory() as folder:
        say(f"nanoGPT on {corpus.name}")
        theirs, wall = _nanogpt(nanogpt, content, len(content.encode()[:split].decode()), Path(folder))
        group, note = f"race on {corpus.name}", f"{duration(wall)} from start to end"
        yield BenchRow(group, "nanoGPT", theirs, "nats per character", note=note)
        home = Path(folder) / "home"
        prepare_run(_request(text, wall, home, 0))  # which times steps
        losses, seconds = [], []
        for seed in range(1, SEEDS + 1):
            say(f"llmlab on {corpus.name}, for {duration(wall)}, seed {seed} of {SEEDS}")
            own, took, ours = _ours(_request(text, wall, home, seed))
            losses.append(own)
            seconds.append(took)
        config = ours.config
        size = f"{config.model.layers} × {config.model.width}, context {config.model.context}, batch {config.train.batch}"
        size += f", {config.tokenizer.kind} {whole(config.tokenizer.vocab_size)}"
        note = f"seeds: {', '.join(f'{loss:.3f}' for loss in losses)}; {duration(max(seconds))} from start to end at most; {size}"
        own = statistics.mean(losses)
        yield BenchRow(group, "llmlab", own, "nats per character", own / theirs, "nanoGPT's", note)


def _nanogpt(checkout: Path, text: str, split: int, folder: Path) -> tuple[float, float]:
    """Validation loss of nanoGPT and the seconds it took. `split` is the number of training characters."""
    for name in LINKED:
        (folder / name).symlink_to(checkout / name)
    characters = sorted(set(text))
    number = {character: index for index, character in enumerate(characters)}
    ids = np.array([number[character] for character in text], np.uint16)
    data = folder / "data" / "race"
    data.mkdir(parents=True)
    ids[:split].tofile(data / "train.bin")
    ids[split:].tofile(data / "val.bin")
    with (data / "meta.pkl").open("wb") as file:
        pickle.dump({"vocab_size": len(characters)}, file)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    started = time.monotonic()
    checkpoint = str(folder / "nanogpt.safetensors")
    arguments = [*RECIPE.split(), "--dataset=race", "--out_dir=out"]
    work = {"kind": "train", "folder": str(checkout), "arguments": arguments, "checkpoint": checkpoint}
    command = [sys.executable, "-P", WORKER, json.dumps(work)]
    trained = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    wall = time.monotonic() - started
    if trained.returncode:
        raise UserError(f"nanoGPT failed: {(trained.stderr.strip().splitlines() or ['no message'])[-1]}")
    job = {"kind": "validate", "folder": str(checkout), "checkpoint": checkpoint, "ids": str(data / "val.bin")}
    return _asked(job), wall


def _request(text: str, seconds: float, home: Path, seed: int) -> RunRequest:
    return RunRequest(text=text, preset=AUTO, minutes=seconds / 60, seed=seed, home=home)


def _ours(request: RunRequest) -> tuple[float, float, Run]:
    """Validation loss of llmlab, the seconds it took with the text's preparation, and the run."""
    started = time.monotonic()
    ours = prepare_run(request)
    try:
        start_trainer(ours)
        while ours.status().phase not in ("finished", "failed", "stopped") or ours.is_alive():
            time.sleep(0.05)
    finally:
        end_trainer(ours)
    took = time.monotonic() - started
    if ours.status().phase != "finished":
        raise UserError(f"llmlab's training failed: {ours.status().message}")
    return _asked({"kind": "ours", "run": str(ours.path)}, torch_environment(ours.config.train.threads)), took, ours


def _asked(job: dict[str, str], environment: Mapping[str, str] | None = None) -> float:
    """The validation loss that a job of the worker prints."""
    command = [sys.executable, "-P", WORKER, json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout.split()[-1])
