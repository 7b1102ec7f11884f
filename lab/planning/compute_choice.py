"""Autotuning: the quickest precision and attention kernel for a run's steps on this machine, by timing one layer with each.

Candidates are compared by the processor time of one thread, so that other programs decide nothing. Times are kept beside the
runs, in `.speed.json`: they are measured once for a machine and a shape, so that the same seed trains the same model again. torch
is imported by the functions that need it.
"""

import contextlib
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from lab.core.errors import UserError
from lab.core.kept_entries import KeptEntries
from lab.core.machine import cores, processor
from lab.core.number_format import counted
from lab.planning.device import card_precision, choose_precision, describe_card, is_short_step, training_threads
from lab.runs.run_schema import TrainConfig
from models.config import AttentionKernel, ModelConfig, Precision

if TYPE_CHECKING:
    import torch

ROUNDS = 5
SECONDS = 1.5
"""Time after which no further round begins."""
TOKENS = 1024
"""Tokens that candidates are timed on, about: enough to fill the caches as a step does."""

Candidate = tuple[Precision, AttentionKernel]
Seconds = Annotated[float, msgspec.Meta(ge=1e-6, le=1e5)]
SPEEDS = KeptEntries[tuple[str, list[float]]](".speed.json", tuple[str, list[Seconds]])
"""Seconds of each candidate by machine and shape."""


class ComputeChoice(msgspec.Struct, frozen=True):
    """The decision how steps are computed. `reason` is one line for people."""

    precision: Precision
    attention: AttentionKernel
    threads: int
    reason: str


def choose_compute(model: ModelConfig, train: TrainConfig, device: "torch.device", home: Path) -> ComputeChoice:
    """Choose what was asked for, and the quickest of the rest. Writes nothing but the file of times in `home`."""
    threads = training_threads(model, train, cores(), on_gpu=device.type != "cpu")
    if device.type == "cuda":
        precision, reason = card_precision(describe_card(device), train.precision)
        return ComputeChoice(precision, train.attention, threads, reason)
    usual = choose_precision(train.precision, device)
    if device.type != "cpu":
        return ComputeChoice(usual, train.attention, threads, f"{usual}, as usual on {device.type}")
    if is_short_step(model, train):
        return ComputeChoice(usual, train.attention, threads, f"{usual}; a step is too short for more than one core")
    precisions: tuple[Precision, ...] = ("fp32", "bf16") if train.precision == "auto" and usual == "bf16" else (usual,)
    kernels: tuple[AttentionKernel, ...] = (
        ("fused", "plain") if train.attention == "auto" and not model.dropout else (train.attention,)
    )
    times = _times(model, train.batch, [(precision, kernel) for precision in precisions for kernel in kernels], home)
    best = min(times, key=lambda candidate: times[candidate])
    return ComputeChoice(*best, threads, describe_choice(best, times, threads))


def describe_choice(best: Candidate, times: dict[Candidate, float], threads: int) -> str:
    """A choice in a line: `bf16 (2.4 times as fast as fp32), attention written out (1.3 times as fast as …), 2 threads`."""
    precision, attention = best
    names = {"plain": "attention written out", "fused": "the fused attention kernel", "auto": "the usual attention kernel"}
    parts = [
        f"{precision}{' with a scaled loss' * (precision == 'fp16')}",
        names[attention],
        f"{threads} thread{'s' if threads > 1 else ''}",
    ]
    for candidate, seconds in times.items():
        ratio = f"{seconds / times[best]:.1f} times as fast as"
        if candidate[0] != precision and candidate[1] == attention:
            parts[0] += f" ({ratio} {candidate[0]})"
        if candidate[0] == precision and candidate[1] != attention:
            parts[1] += f" ({ratio} {names[candidate[1]]})"
    return ", ".join(parts)


def _times(model: ModelConfig, batch: int, candidates: list[Candidate], home: Path) -> dict[Candidate, float]:
    """Seconds of one layer by candidate: from the file, or measured now. A single candidate needs no measuring."""
    import torch

    if len(candidates) == 1:
        return dict.fromkeys(candidates, 1.0)
    shape = f"{counted(model.heads, 'head')}, width {model.width}, context {model.context}, {_windows(model, batch)} windows"
    key = f"{processor()}, torch {torch.__version__}: {shape}: {' '.join('/'.join(candidate) for candidate in candidates)}"
    times = dict(SPEEDS.known(home)).get(key, [])
    if len(times) != len(candidates):
        times = [max(1e-6, round(seconds, 6)) for seconds in measure(candidates, _layer(model, batch)).values()]
        with contextlib.suppress(UserError):  # on a full disk, say: the next run measures again
            SPEEDS.keep(home, (key, times), "the times of a layer")
    return dict(zip(candidates, times, strict=True))


def measure(candidates: list[Candidate], layer: Callable[[Candidate], None]) -> dict[Candidate, float]:
    """Median processor seconds of each candidate on one thread, the candidates taking turns."""
    import torch

    before = torch.get_num_threads()
    times: dict[Candidate, list[float]] = {candidate: [] for candidate in candidates}
    deadline = time.monotonic() + SECONDS
    torch.set_num_threads(1)
    try:
        for turn in range(ROUNDS + 1):
            if turn > 1 and time.monotonic() > deadline:
                break
            for candidate in candidates:
                started = time.thread_time()
                layer(candidate)
                times[candidate].append(time.thread_time() - started)
    finally:
        torch.set_num_threads(before)
    return {candidate: statistics.median(seconds[1:]) for candidate, seconds in times.items()}


def _windows(model: ModelConfig, batch: int) -> int:
    return max(1, min(batch, TOKENS // model.context))


def _layer(model: ModelConfig, batch: int) -> Callable[[Candidate], None]:
    """One layer of the model, forward and backward, on some windows of a step."""
    import torch

    from models.gpt import Block, autocast

    block = Block(model)
    x = torch.empty(_windows(model, batch), model.context, model.width)
    x.normal_(generator=torch.Generator().manual_seed(0))

    def run(candidate: Candidate) -> None:
        block.attn.kernel = candidate[1]
        with autocast(candidate[0], "cpu"):
            y = block(x, None, 0)
        (y * x).sum().backward()  # y.backward(x) is the same, but it loads sympy

    return run
