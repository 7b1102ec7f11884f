"""How to compute a run's steps the quickest on this machine: precision and attention, found by trying them for a moment.

They are compared by the processor time of one thread, so that what else the machine does at that moment decides nothing. What was
found is kept beside the runs, in `.speed.json`: it is found once for a machine and a shape, and the same seed trains the same
model again. torch is imported by the functions that need it.
"""

import contextlib
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lab.core.atomic_io import write_atomic
from lab.core.machine import cores, processor
from lab.planning.device import choose_precision
from lab.planning.threads import is_short_step, training_threads
from lab.runs.run_schema import TrainConfig
from models.config import AttentionKernel, ModelConfig, Precision

if TYPE_CHECKING:
    import torch

FILE = ".speed.json"

ROUNDS = 5
SECONDS = 1.5
"""Time after which no further round is begun."""
TOKENS = 1024
"""Tokens that are tried with, about: enough to fill the caches as a step does."""

Candidate = tuple[Precision, AttentionKernel]


class ComputeChoice(msgspec.Struct, frozen=True):
    """How steps are computed. `why` is one line for people."""

    precision: Precision
    attention: AttentionKernel
    threads: int
    why: str


def choose(model: ModelConfig, train: TrainConfig, device: "torch.device", home: Path) -> ComputeChoice:
    """What is asked for, and the quickest of what is left to the machine. Sets nothing but the file in `home`."""
    usual = choose_precision(train.precision, device)
    threads = training_threads(model, train, cores(), on_gpu=device.type != "cpu")
    if device.type != "cpu":
        return ComputeChoice(usual, train.attention, threads, f"{usual}, as usual on {device.type}")
    if is_short_step(model, train):
        return ComputeChoice(usual, train.attention, threads, f"{usual}; a step is too short for more than one core")
    precisions: tuple[Precision, ...] = ("fp32", "bf16") if train.precision == "auto" and usual == "bf16" else (usual,)
    kernels: tuple[AttentionKernel, ...] = (
        ("fused", "plain") if train.attention == "auto" and not model.dropout else (train.attention,)
    )
    times = _known(model, train.batch, [(precision, kernel) for precision in precisions for kernel in kernels], home)
    best = min(times, key=lambda way: times[way])
    return ComputeChoice(*best, threads, choice_in_words(best, times, threads))


def choice_in_words(best: Candidate, times: dict[Candidate, float], threads: int) -> str:
    """Such as `bf16 (2.4 times as fast as fp32), attention written out (1.3 times as fast as the fused kernel), 2 threads`."""
    precision, attention = best
    names = {"plain": "attention written out", "fused": "the fused attention kernel", "auto": "the usual attention kernel"}
    said = [precision, names[attention], f"{threads} thread{'s' if threads > 1 else ''}"]
    for way, seconds in times.items():
        ratio = f"{seconds / times[best]:.1f} times as fast as"
        if way[0] != precision and way[1] == attention:
            said[0] += f" ({ratio} {way[0]})"
        if way[0] == precision and way[1] != attention:
            said[1] += f" ({ratio} {names[way[1]]})"
    return ", ".join(said)


def _known(model: ModelConfig, batch: int, ways: list[Candidate], home: Path) -> dict[Candidate, float]:
    """Seconds of one layer in each way: from the file, or measured now. A single way needs no measuring."""
    import torch

    if len(ways) == 1:
        return dict.fromkeys(ways, 1.0)
    shape = f"{model.heads} heads, width {model.width}, context {model.context}, {_windows(model, batch)} windows"
    key = f"{processor()}, torch {torch.__version__}: {shape}: {' '.join('/'.join(way) for way in ways)}"
    try:
        known = msgspec.json.decode((home / FILE).read_bytes(), type=dict[str, list[float]])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        known = {}  # nothing is lost: it is measured again
    if len(known.get(key, ())) != len(ways):
        known[key] = [round(seconds, 6) for seconds in measure(ways, _layer(model, batch)).values()]
        with contextlib.suppress(OSError):  # on a full disk, say: the next run measures again
            write_atomic(home / FILE, msgspec.json.format(msgspec.json.encode(known), indent=1))
    return dict(zip(ways, known[key], strict=True))


def measure(ways: list[Candidate], layer: Callable[[Candidate], None]) -> dict[Candidate, float]:
    """Median processor seconds of each way on one thread, the ways tried in turn."""
    import torch

    before = torch.get_num_threads()
    times: dict[Candidate, list[float]] = {way: [] for way in ways}
    give_up = time.monotonic() + SECONDS
    torch.set_num_threads(1)
    try:
        for tried in range(ROUNDS + 1):
            if tried > 1 and time.monotonic() > give_up:
                break
            for way in ways:
                started = time.thread_time()
                layer(way)
                times[way].append(time.thread_time() - started)
    finally:
        torch.set_num_threads(before)
    return {way: statistics.median(found[1:]) for way, found in times.items()}


def _windows(model: ModelConfig, batch: int) -> int:
    return max(1, min(batch, TOKENS // model.context))


def _layer(model: ModelConfig, batch: int) -> Callable[[Candidate], None]:
    """One layer of the model, forward and backward, on some windows of a step."""
    import torch

    from models.gpt import Block

    block = Block(model)
    x = torch.empty(_windows(model, batch), model.context, model.width)
    x.normal_(generator=torch.Generator().manual_seed(0))

    def run(way: Candidate) -> None:
        block.attn.kernel = way[1]
        with torch.autocast("cpu", torch.bfloat16, enabled=way[0] == "bf16"):
            y = block(x, None, 0)
        y.backward(x)

    return run
