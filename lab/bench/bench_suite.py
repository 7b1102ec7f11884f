"""The suites of `llmlab bench`, their rows group by group, as ratios of processes that take turns; and of `llmlab bench --gpu`:
speed of GPT-2 124M, time to the loss of nanoGPT's Shakespeare recipe, and a trace.

`TINY` is the latter in seconds on a CPU, to try that everything works; its figures say nothing.
"""

import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from lab.bench.timed_process import (
    LAB,
    TEXTUAL,
    BenchRow,
    TimedApp,
    TimedProcess,
    WatchedTraining,
    comparison,
    end_trainer,
    load_comparison,
    ratio,
    time_in_turns,
)
from lab.core.child_process import KEEP_FREED_MEMORY, ONE_NUMPY_THREAD, OPENMP_SPIN, torch_environment
from lab.core.errors import UserError
from lab.core.machine import cores, has_cuda, memory, no_cuda_reason
from lab.core.number_format import bytes_, counted, fixed
from lab.planning.default_hyperparameters import DEFAULT_OPTIMIZER, VOCABULARY_SIZES, default_batch
from lab.planning.device import default_threads, engine_threads, peak_flops, utilization
from lab.planning.prepare_run import prepare_run
from lab.planning.settings_table import RunRequest
from lab.runs.home_folder import demo
from lab.runs.run_folder import ACTIVE, Run
from lab.training.start_trainer import start_trainer
from models.config import FIXED_VOCABULARY_SIZES, PRESETS, ModelConfig
from models.installation import source_checkout
from models.parameter_count import flops_per_token, training_bytes

OWN_WORKER = "lab.bench.bench_worker"
ROUNDS = 5
FEW = 3
"""Rounds of long measurements that are compared with nothing."""
MOST_FLOPS = 6e11
"""Limit for a timed step: a preset's batch is cut to as many windows as fit."""
TURNS, SECONDS_A_TURN = 10, 2.0
"""Turns of training watched and not watched."""
TRACED = 64
PROMPT, WRITTEN = 16, 48

NANOGPT = ModelConfig(layers=4, heads=4, width=128, context=64, vocab_size=65)
"""The shape of nanoGPT's recipe for a CPU, with tinyshakespeare's characters; its batch is 12."""
NANOGPT_BATCH = 12
WIDE_HEAD = ModelConfig(layers=4, heads=4, width=128, context=64, vocab_size=FIXED_VOCABULARY_SIZES["gpt2"])

ShowProgress = Callable[[str], None]
"""Show what is measured now."""


@dataclass
class BenchSuite:
    """All measurements and their shared settings. The first group fills `ceilings`."""

    home: Path
    say: ShowProgress
    nanogpt: Path | None = None

    def __post_init__(self) -> None:
        self.ceilings: dict[str, float] = {}
        self.threads = default_threads(cores())
        self.plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
        self.tuned = OPENMP_SPIN | ONE_NUMPY_THREAD | self.plain | KEEP_FREED_MEMORY

    def rows(self) -> Iterator[BenchRow]:
        """Measure all groups; yield each row as soon as it is known."""
        yield from self._machine_limits()
        yield from self._training()
        yield from self._training_beside_nanogpt()
        yield from self._generation()
        yield from self._trace_and_tokenizer()
        yield from self._screens()

    def worker(self, name: str, kind: str, **job: object) -> TimedProcess:
        """A job of `lab.bench.bench_worker` in the environment of llmlab's trainer."""
        return TimedProcess(name, OWN_WORKER, {"kind": kind, "threads": self.threads} | job, self.tuned)

    def trainer(self, name: str, shape: ModelConfig, batch: int, optimizer: str = DEFAULT_OPTIMIZER) -> TimedProcess:
        """Training steps of this shape and batch, computed as the trainer would."""
        return self.worker(name, "training", shape=asdict(shape), batch=batch, optimizer=optimizer, home=str(self.home))

    def _machine_limits(self) -> Iterator[BenchRow]:
        self.say("the machine's limits")
        jobs = {
            "fp32": self.worker("product in fp32", "gemm", size=1024, dtype="float32"),
            "bf16": self.worker("product in bf16", "gemm", size=1024, dtype="bfloat16"),
            "memory": self.worker("reading memory", "reading", megabytes=512),
        }
        with jobs["fp32"], jobs["bf16"], jobs["memory"]:
            time_in_turns(list(jobs.values()), ROUNDS)
        for key, job in jobs.items():
            self.ceilings[key] = max(job.throughputs)  # a limit is the best of all rounds
        yield BenchRow("limits", "matrix product in fp32", self.ceilings["fp32"] / 1e9, "GFLOP/s")
        low = self.ceilings["bf16"]
        yield BenchRow("limits", "matrix product in bf16", low / 1e9, "GFLOP/s", ratio(jobs["bf16"], jobs["fp32"]), "fp32")
        yield BenchRow("limits", "reading memory", self.ceilings["memory"] / 1e9, "GB/s")

    def _training(self) -> Iterator[BenchRow]:
        for name, preset in PRESETS.items():
            shape = preset.config(VOCABULARY_SIZES[name])
            batch = default_batch(shape.context)
            batch = max(1, min(batch, int(MOST_FLOPS / flops_per_token(shape) / shape.context)))
            needed = training_bytes(shape, batch)
            if needed > memory() / 2:
                yield BenchRow("training", name, note=f"left out: a step needs {bytes_(needed)}")
                continue
            self.say(f"training {name}")
            with self.trainer(name, shape, batch) as trainer:
                time_in_turns([trainer], FEW)
            reached = trainer.throughput * flops_per_token(shape)
            share = reached / self.ceilings[trainer.info["precision"]]
            note = f"{batch} × {shape.context} tokens a step in {trainer.info['precision']}"
            yield BenchRow("training", name, trainer.throughput, "tokens/s", share, "the product's limit", note)

    def _training_beside_nanogpt(self) -> Iterator[BenchRow]:
        if self.nanogpt is None:
            return
        own_batch = default_batch(NANOGPT.context)
        for name, shape, batch, optimizer in (
            ("nanoGPT's CPU shape and batch", NANOGPT, NANOGPT_BATCH, DEFAULT_OPTIMIZER),
            ("the same with AdamW", NANOGPT, NANOGPT_BATCH, "adamw"),
            (f"our batch of {own_batch} for that shape", NANOGPT, own_batch, DEFAULT_OPTIMIZER),
            ("a head of 50,257 tokens", WIDE_HEAD, NANOGPT_BATCH, DEFAULT_OPTIMIZER),
        ):
            self.say(f"beside nanoGPT: {name}")
            job = {"kind": "nanogpt", "folder": str(self.nanogpt), "shape": asdict(shape), "batch": NANOGPT_BATCH}
            own = self.trainer(name, shape, batch, optimizer)
            theirs = TimedProcess("nanoGPT", comparison("third_party_worker"), job, self.plain)
            with own, theirs:
                time_in_turns([own, theirs], ROUNDS)
            yield BenchRow("beside nanoGPT", name, own.throughput, "tokens/s", ratio(own, theirs), "nanoGPT")

    def _generation(self) -> Iterator[BenchRow]:
        micro = PRESETS["micro"].config(VOCABULARY_SIZES["micro"])
        gpt2 = PRESETS["gpt2"].config(FIXED_VOCABULARY_SIZES["gpt2"])
        with_other = importlib.util.find_spec("transformers") is not None and source_checkout() is not None
        for name, shape, tokens in (("micro", micro, WRITTEN), ("gpt2", gpt2, WRITTEN // 2)):
            self.say(f"writing with {name}")
            job = {"shape": asdict(shape), "prompt": PROMPT, "tokens": tokens}
            own = self.worker(name, "writing", **job)
            others = []
            for threads in sorted({1, self.threads}) if with_other else ():
                theirs = {"kind": "hugging face", "threads": threads} | job
                others.append(TimedProcess(f"Hugging Face, {threads}", comparison("third_party_worker"), theirs, self.plain))
            with ExitStack() as working:
                for each in (own, *others):
                    working.enter_context(each)
                time_in_turns([own, *others], FEW)
            limit = self.ceilings["memory"] / own.info["bytes_per_token"]
            share, size = own.throughput / limit, bytes_(own.info["bytes_per_token"])
            note = f"{share:.0%} of what reading {size} of {own.info['precision']} weights a token from memory allows"
            if share > 1:
                note += ": they are in a cache"
            best = max(others, key=lambda other: other.throughput, default=None)
            against = f"Hugging Face, fp32, with cache, {best.job['threads']} of its threads" if best else ""
            yield BenchRow("writing", name, own.throughput, "tokens/s", ratio(own, best) if best else None, against, note)

    def _trace_and_tokenizer(self) -> Iterator[BenchRow]:
        self.say("tracing")
        shape = asdict(PRESETS["micro"].config(VOCABULARY_SIZES["micro"]))
        threads = engine_threads(cores(), beside_gpu=False)  # which shows it
        traced = self.worker("trace", "tracing", shape=shape, tokens=TRACED, threads=threads)
        plain = self.worker("forward", "forward", shape=shape, tokens=TRACED, threads=threads)
        tokens = self.worker("tokens", "tokenizing", text=str(demo() / "tokenizer.json"))
        with traced, plain:
            time_in_turns([traced, plain], ROUNDS)
        took = 1000 / traced.throughput
        yield BenchRow("looking", f"trace of {TRACED} tokens", took, "ms", ratio(plain, traced), "a forward pass: times as long")
        with tokens:
            time_in_turns([tokens], FEW)
        note = f"vocabulary of {tokens.info['vocabulary']}"
        yield BenchRow("looking", "text into tokens", tokens.throughput / 1e6, "MB/s", note=note)

    def _screens(self) -> Iterator[BenchRow]:
        self.say("opening the lab")
        environment = dict(os.environ)
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(ROUNDS):
            for program, found in ((LAB, ours), (TEXTUAL, theirs)):
                opened = TimedApp(program, environment)
                found.append(opened.seconds)
                opened.close()
        times = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
        note = "from starting the process to its first frame"
        yield BenchRow("screen", "first paint", statistics.median(ours), "s", times, "Textual's own: times as long", note)
        opened = TimedApp(LAB, environment, settle=True)
        opened.close()
        yield BenchRow("screen", "memory", opened.memory / 1e6, "MB", note="resident, after the first paint")
        self.say("training while the lab shows it")
        with WatchedTraining() as watching:
            for _ in range(TURNS):
                watching.turn(SECONDS_A_TURN)
        kept = sum(watching.shown) / sum(watching.alone)  # not the median: only some turns have an evaluation
        note = f"on Train, at 120 × 40; the lab takes {statistics.median(watching.load):.1%} of a core"
        shown = statistics.median(watching.shown)
        yield BenchRow("screen", "training watched", shown, "steps/s", kept, "the same with the lab halted", note)


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
        # nanoGPT's optimizer is AdamW, too.
        job = {"kind": "training", "shape": asdict(work.shape), "batch": work.batch, "optimizer": "adamw", "device": work.device}
        job |= {"compiled": work.compiled, "home": str(self.home), "seconds": work.seconds}
        own = TimedProcess("training on the GPU", OWN_WORKER, job, torch_environment(None))
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
        traced = TimedProcess("trace", OWN_WORKER, job, dict(os.environ))
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
