"""What `llmlab bench` reports and compares. Nothing here asserts how fast anything is."""

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from lab.bench import bench_worker
from lab.bench.bench_worker import JOBS
from lab.bench.timed_process import (
    LAB,
    TEXTUAL,
    BenchReport,
    BenchRow,
    TimedApp,
    TimedProcess,
    WatchedTraining,
    ratio,
    time_in_turns,
)
from lab.cli.commands.bench_command import described
from lab.core.child_process import DetachedProcess
from lab.core.errors import UserError
from tests.fixture_types import Call
from tests.lab.bench import third_party_worker
from tests.lab.bench.conftest import Serve
from tests.lab.bench.nanogpt_race import RECIPE
from tests.lab.bench.preparation_bench import ENVIRONMENT, WORKER
from tests.lab.training.module_forker import ModuleForker

SHAPE = {"layers": 1, "heads": 1, "width": 8, "context": 16, "vocab_size": 17}


def report(*rows: BenchRow) -> BenchReport:
    date = "2026-01-01T10:00:00"
    return BenchReport(date=date, machine="this one", cores=2, torch="2", load=0.0, seconds=1.0, rows=list(rows))


NANOGPT = """
import torch
from dataclasses import dataclass
from torch.nn.functional import cross_entropy
@dataclass
class GPTConfig:
    block_size: int; vocab_size: int; n_layer: int = 1; n_head: int = 1; n_embd: int = 1; dropout: float = 0.0; bias: bool = False
class Descent:  # torch.optim's would load torch's compiler
    def __init__(self, weights, rate):
        self.weights, self.rate = list(weights), rate
    def step(self):
        for weight in self.weights:
            weight.data -= self.rate * weight.grad
    def zero_grad(self, set_to_none):
        for weight in self.weights:
            weight.grad = None
class GPT(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        print('number of parameters: none')
        self.config, self.table = config, torch.nn.Embedding(config.vocab_size, config.vocab_size)
    def configure_optimizers(self, decay, rate, betas, device):
        return Descent(self.parameters(), rate)
    def forward(self, ids, targets):
        logits = self.table(ids)
        return logits, cross_entropy(logits.flatten(0, 1), targets.flatten())
"""
"""A stand-in for model.py with nanoGPT's interface: a table of bigrams."""


def test_workers_train_for_every_line_and_tell_what_they_are(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "model.py").write_text(NANOGPT)
    short = {"shape": SHAPE, "batch": 2, "threads": 1, "seconds": 0.01}
    own = short | {"kind": "training", "optimizer": "muon", "home": str(tmp_path)}
    theirs = short | {"kind": "nanogpt", "folder": str(tmp_path)}
    info, *answers = serve(bench_worker, own, rounds=2)
    assert info["flops_per_token"] == 6 * (12 * 64 + 17 * 8) + 12 * 8 * 16
    answers += serve(third_party_worker, theirs, rounds=2)[1:]
    assert len(answers) == 4
    assert min(answer["seconds"] for answer in answers) >= 0.01
    assert [answer["units"] % (2 * 16) for answer in answers] == [0, 0, 0, 0]
    assert min(answer["units"] for answer in answers) > 0


@pytest.mark.parametrize("kind", ["forward", "tracing"])
def test_each_piece_of_work_is_one_pass(kind: str) -> None:
    work, info = JOBS[kind](shape=SHAPE, tokens=8)
    assert (work(), work(), info) == (1.0, 1.0, {})


def test_a_contender_that_cannot_work_says_why() -> None:
    job = {"kind": "learning", "text": "/nowhere.txt", "vocab": 300}
    broken = TimedProcess("it", WORKER, job, ENVIRONMENT)
    with pytest.raises(UserError, match=r"it could not be measured: .*/nowhere\.txt"), broken:
        time_in_turns([broken], 1)


def test_contenders_take_turns_also_those_that_warn_a_lot(tmp_path: Path) -> None:
    """More than a pipe holds, before the first answer."""
    (tmp_path / "loud.py").write_text(
        "import json, sys\n"
        "sys.stderr.write('warning\\n' * 50_000)\n"
        "print('{}', flush=True)\n"
        "for _ in sys.stdin:\n"
        "    with open(__file__ + '.turns', 'a') as turns: turns.write(str(json.loads(sys.argv[1])['units']))\n"
        "    print(sys.argv[1], flush=True)\n"
    )
    one, other = (
        TimedProcess("loud", "loud", {"units": units, "seconds": 1}, {**os.environ, "PYTHONPATH": str(tmp_path)})
        for units in (2, 1)
    )
    with one, other:
        time_in_turns([one, other], 2)
    assert (tmp_path / "loud.py.turns").read_text() == "2121"
    assert (one.throughputs, other.throughputs) == ([2.0, 2.0], [1.0, 1.0])
    assert ratio(one, other) == 2.0


TRAIN = """
import os, sys, torch
from model import GPT, GPTConfig
assert sys.argv[1:] == ['--dataset=race']
arguments = dict(block_size=8, vocab_size=4)
model = GPT(GPTConfig(**arguments))
model.table.weight.data[:] = torch.eye(4)[0]  # every character has the same logit but one, so that the loss is known
kept = {'model': model.state_dict(), 'model_args': arguments, 'config': object()}
torch.save(kept, os.path.join('out', 'ckpt.pt'))
"""


def test_what_nanogpt_saves_is_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.py").write_text(NANOGPT)
    (tmp_path / "train.py").write_text(TRAIN)
    ids = np.array([0, 0, 1, 2, 0, 3, 0, 0, 0, 1, 0, 2, 0], np.uint16)
    ids.tofile(tmp_path / "val.bin")
    for module, name in ((torch, "save"), (sys, "argv"), (sys, "path")):
        monkeypatch.setattr(module, name, copy(getattr(module, name)))  # put back afterwards
    monkeypatch.setattr(torch, "load", None)
    checkpoint = str(tmp_path / "kept.safetensors")
    third_party_worker.train_nanogpt(str(tmp_path), ["--dataset=race"], checkpoint)
    monkeypatch.delitem(sys.modules, "model")
    assert not (tmp_path / "out").exists()
    zeros = int((ids[1:] == 0).sum())
    expected = math.log(math.e + 3) - zeros / (len(ids) - 1)
    loss = third_party_worker.validate_nanogpt(str(tmp_path), checkpoint, str(tmp_path / "val.bin"))
    assert loss == pytest.approx(expected, rel=1e-6)


def test_an_app_is_timed_to_its_first_frame_and_one_that_ends_before_is_one_sentence(tmp_path: Path) -> None:
    for program in (LAB, TEXTUAL):
        opened = TimedApp(program, os.environ | {"LLMLAB_HOME": str(tmp_path)})
        opened.close()
        assert opened.seconds > 0
    with pytest.raises(UserError, match="ended before its first paint"):
        TimedApp("raise SystemExit(1)", os.environ)


def test_watching_lets_the_training_run_with_the_lab_open_and_halted(
    forker: ModuleForker, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainers: list[DetachedProcess] = []

    def forked(module: str, arguments: Sequence[str], **where: Any) -> DetachedProcess:
        trainers.append(forker.detached_process(module, arguments, **where))
        return trainers[-1]

    monkeypatch.setattr("lab.training.start_trainer.DetachedProcess", forked)
    small = {"text": "stories:60kB", "preset": "nano", "steps": 1_000_000, "layers": 1, "threads": 1}
    monkeypatch.setattr("lab.bench.timed_process.TRAINED", small)
    monkeypatch.setattr("lab.bench.timed_process.WARM_UP", 0.0)
    monkeypatch.setattr("lab.bench.timed_process.CATCH_UP", 0.0)
    with WatchedTraining() as watching:
        watching.turn(0.3)
        children = [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]
        (lab,) = [each.pid for each in children if "lab.cli" in each.cmdline()]
        assert psutil.pid_exists(trainers[0].pid)
    assert watching.shown[0] > 0
    assert watching.alone[0] > 0
    assert not psutil.pid_exists(lab)
    trainers[0]._process.wait(30)


def test_a_report_reads_as_tables() -> None:
    rows = (
        BenchRow("training", "micro", 9000.0, "tokens/s", 0.253, "the product's limit", "16 × 128 tokens a step in bf16"),
        BenchRow("looking", "trace", 15.2, "ms", 1.54, "a forward pass: times as long"),
    )
    text = described(report(*rows))
    for words in ("on a quiet machine", "9000 tokens/s  25% of the product's limit", "1.54 × a forward pass"):
        assert words in text


def test_mistakes_of_the_user_are_one_line(llmlab: Call, home: Path, tmp_path: Path) -> None:
    for arguments in (["--against", "nanogpt=/nowhere"], ["--against", tmp_path], ["--race", "stories"]):
        llmlab("bench", *arguments).assert_mistake()


def test_only_a_checkout_compares_with_other_projects(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, llmlab: Call
) -> None:
    (tmp_path / "model.py").write_text("")
    monkeypatch.setattr("lab.bench.timed_process.source_checkout", lambda: None)
    for rest in ([], ["--gpu"], ["--race", "stories"]):
        llmlab("bench", "--against", f"nanogpt={tmp_path}", *rest).assert_mistake("Only a source checkout of llmlab compares")


def test_the_bench_imports_no_torch_before_its_processes_do() -> None:
    imports = "import sys, lab.cli.commands.bench_command, lab.bench.bench_suite as suite, lab.bench.timed_process as timed"
    code = f"{imports}; timed.load_comparison('nanogpt_race'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
    assert "--compile=False" in RECIPE
