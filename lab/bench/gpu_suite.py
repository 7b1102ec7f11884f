"""The rows of `llmlab bench --gpu`: speed of GPT-2 124M, time to the loss of nanoGPT's Shakespeare recipe, and a trace.

`TINY` is the same in seconds on a CPU, to try that everything works; its figures say nothing.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from lab.bench.bench_report import BenchRow
from lab.bench.timed_process import TimedProcess, end_trainer, load_comparison, time_in_turns
from lab.core.child_process import torch_environment
from lab.core.errors import UserError
from lab.core.machine import cores, has_cuda, no_cuda_reason
from lab.core.number_format import counted, fixed
from lab.planning.device import engine_threads, peak_flops, utilization
from lab.planning.prepare_run import prepare_run
from lab.planning.settings_table import RunRequest
from lab.runs.run_folder import ACTIVE, Run
from lab.training.start_trainer import start_trainer
from models.config import FIXED_VOCABULARY_SIZES, PRESETS, ModelConfig


@dataclass(frozen=True)
class Evaluated:
    """A validation loss, in nats per token, and the seconds from the start of the process until it was known."""

    seconds: float
    loss: float


README_LOSS = 1.4697
"""Lowest validation loss of the recipe for a GPU in nanoGPT's README, in nats per character."""
SHAKESPEARE = Path("data", "shakespeare_char", "input.txt")
"""The text in a checkout whose prepare.py has run."""
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class GpuWork:
    device: str = "cuda"
    compiled: bool = True
    model: str = "GPT-2 124M"
    """Name of the shape."""
    shape: ModelConfig = field(default_factory=lambda: PRESETS["gpt2"].config(FIXED_VOCABULARY_SIZES["gpt2"]))
    batch: int = 12
    """As in nanoGPT's bench.py."""
    rounds: int = 3
    seconds: float = 5.0
    bench_arguments: tuple[str, ...] = ("--real_data=False", "--device=cuda", "--compile=True")
    train_arguments: tuple[str, ...] = ("config/train_shakespeare_char.py", "--device=cuda", "--compile=True")
    preset: str = "small"
    recipe: tuple[tuple[str, object], ...] = (
        ("batch", 64),
        ("dropout", 0.2),
        ("steps", 1500),
        ("eval_every", 100),
        ("compile", "on"),
    )
    """nanoGPT's shape and batch, in fewer steps, for Muon learns faster."""
    traced: int = 64
    remark: str = ""
    """Words before each figure."""


DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
"""A precision in nanoGPT's words."""
TINY_TRAINING = (
    "--n_layer=1 --n_head=1 --n_embd=8 --block_size=16 --batch_size=2 --max_iters=2 --lr_decay_iters=2 --eval_interval=1 "
    "--eval_iters=1"
)
"""nanoGPT's recipe, made so small that a CPU runs it in seconds."""

TINY = GpuWork(
    device="cpu",
    compiled=False,
    model="1 layer, width 8",
    shape=ModelConfig(layers=1, heads=1, width=8, context=16, vocab_size=67),
    batch=2,
    rounds=1,
    seconds=0.05,
    bench_arguments=("--real_data=False", "--device=cpu", "--compile=False"),
    train_arguments=("config/train_shakespeare_char.py", "--device=cpu", "--compile=False", *TINY_TRAINING.split()),
    preset="nano",
    recipe=(("layers", 1), ("width", 16), ("context", 16), ("batch", 4), ("steps", 4), ("eval_every", 2), ("device", "cpu")),
    traced=8,
    remark="a trial, this figure says nothing",
)


@dataclass
class GpuSuite:
    """All measurements on one card."""

    home: Path
    say: Callable[[str], None]
    nanogpt: Path | None = None
    text: str | None = None
    """A text for the recipe; None for that of the checkout."""
    work: GpuWork = field(default_factory=GpuWork)

    def rows(self) -> Iterator[BenchRow]:
        """Measure; yield each row as soon as it is known. Raises UserError without a GPU, or if something cannot be measured."""
        if self.work.device == "cuda" and (why := no_cuda_reason()):
            raise UserError(f"llmlab bench --gpu needs an NVIDIA GPU, and {why}; --tiny tries its parts on the CPU.")
        for row in chain(self._training(), self._time_to_loss(), self._trace()):
            remark = "" if row.value is None else self.work.remark
            yield msgspec.structs.replace(row, note="; ".join(filter(None, (remark, row.note))))

    def _training(self) -> Iterator[BenchRow]:
        work = self.work
        self.say(f"training {work.model}")
        job = {"kind": "training on a GPU", "shape": asdict(work.shape), "batch": work.batch, "device": work.device}
        job |= {"compiled": work.compiled, "home": str(self.home), "seconds": work.seconds}
        own = TimedProcess("training on the GPU", "lab.bench.bench_worker", job, torch_environment(None))
        with own:
            time_in_turns([own], work.rounds)
        tokens, info = work.batch * work.shape.context, own.info
        how = f"{info['precision']}{' + compile' * work.compiled}, {work.batch} × {work.shape.context:,} tokens a step"
        peak = peak_flops(info["name"], info["precision"])

        def row(name: str, speed: float, ratio: float | None) -> BenchRow:
            mfu = utilization(speed, info["flops_per_token"], peak)
            note = f"{how}, {info['name']}{'' if mfu is None else f', MFU {mfu:.1%}'}"
            return BenchRow("GPU training", name, speed, "tokens/s", ratio, "nanoGPT's bench.py" if ratio else "", note)

        if self.nanogpt is None:
            yield row(work.model, own.throughput, None)
            return
        self.say("nanoGPT's bench.py")
        arguments = (*work.bench_arguments, f"--dtype={DTYPES[info['precision']]}")
        arguments += (f"--batch_size={work.batch}", f"--block_size={work.shape.context}")
        try:
            measure = load_comparison("nanogpt_race").iteration_seconds
            theirs = tokens / statistics.median(measure(self.nanogpt, arguments) for _ in range(work.rounds))
        except UserError as error:
            yield row(work.model, own.throughput, None)  # ours is measured, even if theirs failed
            if work.device == "cuda":
                raise
            yield BenchRow("GPU training", "nanoGPT's bench.py", note=f"left out, as this was no GPU: {error}")
            return
        yield row(work.model, own.throughput, own.throughput / theirs)
        yield row("nanoGPT's bench.py", theirs, None)

    def _time_to_loss(self) -> Iterator[BenchRow]:
        text = self.text or (str(self.nanogpt / SHAKESPEARE) if self.nanogpt is not None else "")
        if not text or (self.text is None and not os.path.isfile(text)):
            note = f"left out: it needs a text, by --race TEXT beside --gpu, or as {SHAKESPEARE} in the checkout of --against"
            yield BenchRow("time to a loss", "Shakespeare recipe", note=note)
            return
        target, theirs = README_LOSS, None
        if self.nanogpt is not None:
            self.say("nanoGPT's Shakespeare recipe")
            evaluations = load_comparison("nanogpt_race").evaluations(self.nanogpt, self.work.train_arguments)
            lowest: Evaluated = min(evaluations, key=lambda each: each.loss)
            target, theirs = lowest.loss, lowest.seconds
            yield BenchRow("time to a loss", "nanoGPT", theirs, "s", note=f"validation loss {fixed(target, 4)}, its lowest")
        self.say(f"llmlab to a validation loss of {fixed(target, 4)}")
        reached = self._own_time(text, target)
        if reached is None:
            yield BenchRow("time to a loss", "llmlab", note=f"did not reach {fixed(target, 4)}")
            return
        ratio, against = (reached.seconds / theirs, "nanoGPT's time") if theirs is not None else (None, "")
        note = f"validation loss {fixed(reached.loss, 4)} for {fixed(target, 4)}, from start of the process"
        yield BenchRow("time to a loss", "llmlab", reached.seconds, "s", ratio, against, note)

    def _own_time(self, text: str, target: float) -> Evaluated | None:
        """The first evaluation at most as high as the target, and its time since the trainer's start; None if there is none."""
        with tempfile.TemporaryDirectory() as folder:
            settings: dict[str, Any] = dict(self.work.recipe)
            run = prepare_run(RunRequest(text=text, tokenizer="bytes", preset=self.work.preset, home=Path(folder), **settings))
            started = time.monotonic()
            try:
                start_trainer(run)
                return _first_below(run, target, started)
            finally:
                end_trainer(run)

    def _trace(self) -> Iterator[BenchRow]:
        self.say("tracing")
        threads, tokens = engine_threads(cores(), beside_gpu=has_cuda()), self.work.traced
        job = {"kind": "tracing", "threads": threads, "shape": asdict(self.work.shape), "tokens": tokens}
        traced = TimedProcess("trace", "lab.bench.bench_worker", job, dict(os.environ))
        with traced:
            time_in_turns([traced], self.work.rounds)
        note = f"{self.work.model} in fp32 on {counted(threads, 'thread')} of the CPU, as in the engine"
        yield BenchRow("looking", f"trace of {tokens} tokens", 1000 / traced.throughput, "ms", note=note)


def _first_below(run: Run, target: float, started: float) -> Evaluated | None:
    reader = run.metrics()
    while True:
        over = run.phase() not in ACTIVE
        for metric in reader.read():
            if metric.val_loss is not None and metric.val_loss <= target:
                return Evaluated(time.monotonic() - started, metric.val_loss)
        if over:
            status = run.status()
            if status.phase == "failed":
                raise UserError(f"llmlab's training failed: {status.message}")
            return None
        time.sleep(POLL_SECONDS)
