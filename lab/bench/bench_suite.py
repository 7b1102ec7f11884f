"""The suite of `llmlab bench`: its rows, group by group, as ratios of processes that take turns."""

import importlib.util
import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.bench.bench_report import BenchRow
from lab.bench.screen_timing import LAB, TEXTUAL, TimedApp, WatchedTraining
from lab.bench.timed_process import TimedProcess, comparison, ratio, time_in_turns
from lab.core.child_process import KEEP_FREED_MEMORY, ONE_NUMPY_THREAD, OPENMP_SPIN
from lab.core.machine import cores, memory
from lab.core.number_format import bytes_
from lab.planning.default_hyperparameters import DEFAULT_OPTIMIZER, VOCABULARY_SIZES, default_batch
from lab.planning.device import default_threads, engine_threads
from lab.runs.home_folder import demo, source_checkout
from models.config import FIXED_VOCABULARY_SIZES, PRESETS, ModelConfig
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
