"""Worker process that measures llmlab: `python -P -m lab.bench.bench_worker JOB`; JOB is JSON with a "kind" and its settings.

It sets up, warms up and writes one line of JSON; then for every line that it reads it works for a while and writes the "units"
of work done and the "seconds" it took.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lab.planning.compute_choice import choose_compute
from lab.planning.device import choose_device
from lab.runs.run_schema import TrainConfig
from lab.training.gradient_accumulation import GradientAccumulator
from lab.training.loss_scaling import LossScaler
from lab.training.model_as_trained import ModelAsTrained, compile_parts
from lab.training.time_steps import LR, RandomBatches
from lab.training.trainer_state import TrainerState
from models.config import ModelConfig, OptimizerName
from models.gpt import GPT, autocast
from models.parameter_count import flops_per_token


def random_tokens(vocab_size: int, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Token ids of this shape, uniform over the vocabulary; speed does not depend on the tokens."""
    return np.random.default_rng(0).integers(vocab_size, size=shape, dtype=np.int64)


LEAST_SECONDS = 0.4
"""Length of a round: long compared with the noise of the clock and of one late thread."""

Work = Callable[[], float]
"""Do the smallest piece of work and return its units."""


def main() -> None:
    """Serve rounds until the input ends."""
    job = json.loads(sys.argv[1])
    if "threads" in job:
        torch.set_num_threads(job.pop("threads"))
    torch.set_float32_matmul_precision("high")
    seconds = job.pop("seconds", LEAST_SECONDS)
    kind = job.pop("kind")
    serve(*JOBS[kind](**job), seconds=seconds)


def serve(work: Work, info: dict[str, Any], seconds: float) -> None:
    """Warm up, write `info`, then work a round of at least so many seconds for every line read."""
    out, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is no answer
    started = time.perf_counter()
    work()
    if time.perf_counter() - started < seconds:
        work()
    _say(out, info)
    for _ in sys.stdin:
        units, started = 0.0, time.perf_counter()
        while (took := time.perf_counter() - started) < seconds:
            units += work()
        _say(out, {"units": units, "seconds": took})


def _say(out: Any, answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer) + "\n")
    out.flush()


def gemm(size: int, dtype: str) -> tuple[Work, dict[str, Any]]:
    """Floating-point operations per second of a square matrix product that the caches hold."""
    kind = getattr(torch, dtype)
    a, b = (torch.randn(size, size).to(kind) for _ in range(2))
    out = torch.empty(size, size, dtype=kind)

    def work() -> float:
        torch.mm(a, b, out=out)
        return 2.0 * size**3

    return work, {}


def reading(megabytes: int) -> tuple[Work, dict[str, Any]]:
    """Bytes per second read from memory by a matrix-vector product, the bound of generation."""
    rows = torch.zeros(megabytes << 8, 1024)
    x = torch.ones(1024)
    out = torch.empty(len(rows))

    def work() -> float:
        torch.mv(rows, x, out=out)
        return 4.0 * rows.numel()

    return work, {}


def training(
    shape: dict[str, Any],
    batch: int,
    home: str,
    optimizer: OptimizerName = "adamw",
    device: str = "cpu",
    *,
    compiled: bool = False,
) -> tuple[Work, dict[str, Any]]:
    """Tokens per second of training steps as the trainer computes them: loss, gradient, clipping, update."""
    config, train, where = ModelConfig(**shape), TrainConfig(batch=batch, optimizer=optimizer, lr=LR), choose_device(device)
    chosen = choose_compute(config, train, where, Path(home))
    trained = ModelAsTrained(config, train, where, seed=1)
    trained.set_arithmetic(chosen.precision, chosen.attention)
    if compiled:
        compile_parts(trained.model)
    state = TrainerState(precision=chosen.precision)
    gradient = GradientAccumulator(trained, RandomBatches(config, batch), state, lambda: autocast(chosen.precision, where.type))
    scaler = LossScaler(state, trained.model, trained.optimizer)
    step = 0

    def work() -> float:
        nonlocal step
        loss = gradient.compute(step)
        step += 1
        scaler.unscale()
        overflow = scaler.is_overflow(loss, float(trained.clip_gradients()))
        if not overflow:
            trained.optimizer.step()
        scaler.end_step(skipped=overflow, applied=not overflow)
        return float(batch * config.context)

    name = torch.cuda.get_device_name(where) if where.type == "cuda" else where.type
    return work, {"flops_per_token": flops_per_token(config), "precision": chosen.precision, "name": name}


def writing(shape: dict[str, Any], prompt: int, tokens: int) -> tuple[Work, dict[str, Any]]:
    """Tokens per second of greedy generation as in `llmlab generate`, including the prompt."""
    from lab.core.machine import cores
    from lab.planning.device import generation_threads
    from models.config import SamplingSettings
    from models.decoding import half_matrices, precision_of
    from models.sampling import generate

    model = GPT(ModelConfig(**shape), seed=1).eval()
    torch.set_num_threads(generation_threads(model.config, cores()))
    halves = half_matrices(model)
    ids = random_tokens(model.config.vocab_size, (prompt,)).tolist()

    def work() -> float:
        return float(len(list(generate(model, ids, tokens, SamplingSettings(greedy=True), halves))))

    size = sum(weight.numel() * weight.element_size() for weight in (halves.values() if halves else model.parameters()))
    return work, {"bytes_per_token": size, "precision": precision_of(halves)}


def forward(shape: dict[str, Any], tokens: int) -> tuple[Work, dict[str, Any]]:
    """Forward passes per second, logits of all positions."""
    model = GPT(ModelConfig(**shape), seed=1).eval()
    ids = torch.from_numpy(random_tokens(model.config.vocab_size, (1, tokens)))

    @torch.inference_mode()
    def work() -> float:
        model(ids)
        return 1.0

    return work, {}


def tracing(shape: dict[str, Any], tokens: int) -> tuple[Work, dict[str, Any]]:
    """Traces per second: the residual streams of all layers, the inside of the last one, the logits."""
    from models.trace import Trace

    model = GPT(ModelConfig(**shape), seed=1).eval()
    ids: Sequence[int] = random_tokens(model.config.vocab_size, (tokens,)).tolist()

    def work() -> float:
        _ = Trace(model, ids)["logits"]
        return 1.0

    return work, {}


def tokenizing(text: str) -> tuple[Work, dict[str, Any]]:
    """Bytes of text per second that a run's tokenizer encodes."""
    from models.tokenizers.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(Path(text))
    sample = "Once there was a big dog named Rex. Rex ran fast, and the cat sat still in the sun.\n" * 2000

    def work() -> float:
        tokenizer.encode(sample)
        return float(len(sample.encode()))

    return work, {"vocabulary": tokenizer.vocab_size}


JOBS: dict[str, Callable[..., tuple[Work, dict[str, Any]]]] = {
    "gemm": gemm,
    "reading": reading,
    "training": training,
    "writing": writing,
    "forward": forward,
    "tracing": tracing,
    "tokenizing": tokenizing,
}


if __name__ == "__main__":
    main()
