"""Estimated duration of a run: by its measured step time, by the speeds of the latest runs like it, or by a guess."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lab.core.machine import Machine
from lab.data.train_val_split import evaluated_windows
from lab.planning.default_hyperparameters import QUICK_FLOPS_PER_CORE
from lab.planning.resolve_run import UNKNOWN_BYTES, ResolvedRun
from models.parameter_count import flops_per_token

if TYPE_CHECKING:
    from lab.runs.run_summary import RunSummary

FLOPS_PER_CORE = 25e9
"""Assumed FLOP/s of training on a slow core, until something was measured here; `QUICK_FLOPS_PER_CORE` is that of a quick one."""
FLOPS_PER_GPU = 10e12
MOST_RATIO = 2.0
"""A run counts as alike up to so many times the FLOPs per token and the tokens per step: small models reach a far smaller part of
what the machine can do."""
STEP_SETTINGS = ("batch", "accumulate", "optimizer", "precision", "attention", "threads", "compile", "ranks")
"""Settings that decide how long a step takes, besides the model and the device."""
SLOWED_DOWN = 1.5
"""A run this many times slower than its measured step time was slowed down by something else on the machine."""
FEWEST_STEPS = 20
"""A run with fewer steps predicts no speed: its first evaluation and the warm-up took most of its time."""
LATEST = 3
"""Runs whose speeds are the range that is expected."""
UNKNOWN_BYTES_PER_TOKEN = 3
"""Of a text that nothing is known about yet."""
EVALUATION_SPEEDUP = 3
"""A token costs a third as much in an evaluation as in a step: there is no backward pass."""


SECONDS_AROUND = 6.0
"""Seconds of a run's minutes without steps: the trainer's start, the first evaluation and the last."""


def expected_speeds(
    run: ResolvedRun, runs: Iterable["RunSummary"], machine: Machine, step_seconds: Sequence[float]
) -> tuple[list[float], str]:
    """FLOP/s to expect, evaluations included, from the lowest to the highest, and where they are from, in words.

    `step_seconds` is the measured time of one step of this very run, where there is one; of steps that other programs held up,
    without and with that. Earlier runs with the same steps say more than twenty of them, unless all were so much slower that
    something else slowed them down.
    """
    on_gpu = machine.gpu is not None and run.train.device != "cpu"
    latest = latest_similar(run, runs, on_gpu=on_gpu)
    speeds = sorted(other.flops_per_token * (other.mean_speed or 0.0) for other in latest)
    is_same = bool(latest) and has_same_steps(latest[0], run)
    if step_seconds:
        measured = sorted(run.flops_per_step / (seconds * (1 + evaluation_share(run))) for seconds in step_seconds)
        if not is_same or speeds[-1] * SLOWED_DOWN < measured[0]:
            where = "on this machine" if len(measured) == 1 else "while other programs kept this machine busy"
            return measured, f"measured by up to twenty steps {where}"
    if not latest:
        guess = [FLOPS_PER_GPU] if on_gpu else [each * machine.cores for each in (FLOPS_PER_CORE, QUICK_FLOPS_PER_CORE)]
        return guess, "a guess: nothing like it was timed on this machine yet"
    names = f"the speed{'s' if len(latest) > 1 else ''} of {', '.join(other.name for other in latest)}"
    return speeds, f"at {names}" if is_same else f"guessed from {names}"


def latest_similar(run: ResolvedRun, runs: Iterable["RunSummary"], *, on_gpu: bool) -> "list[RunSummary]":
    """The latest runs with the same steps, else the latest alike. Not the fastest: what slows runs down here may do so again."""
    alike = [other for other in runs if is_similar(other, run, on_gpu=on_gpu)]
    same = [other for other in alike if has_same_steps(other, run)]
    return sorted(same or alike, key=lambda other: other.last_heartbeat, reverse=True)[:LATEST]


def is_similar(other: "RunSummary", run: ResolvedRun, *, on_gpu: bool) -> bool:
    """True if a run's speed here predicts that of the planned one; those of scaling, at low priority, predict none."""
    if other.is_bundled or other.owner or other.is_of_scaling or other.step < FEWEST_STEPS or not other.mean_speed:
        return False
    if other.model is None or other.train is None:
        return False
    if other.train.optimizer != run.train.optimizer:
        return False
    ratios = (
        other.flops_per_token / flops_per_token(run.model),
        other.train.batch * other.model.context / run.tokens_per_step,
    )
    return other.device.startswith(("cuda", "mps")) == on_gpu and all(1 / MOST_RATIO <= ratio <= MOST_RATIO for ratio in ratios)


def has_same_steps(other: "RunSummary", run: ResolvedRun) -> bool:
    """True if a similar run computes its steps as the planned one will, but for dropout, which takes little time."""
    shape = replace(run.model, dropout=other.model.dropout) if other.model is not None else None
    return other.model == shape and all(getattr(other.train, name) == getattr(run.train, name) for name in STEP_SETTINGS)


def evaluation_share(run: ResolvedRun) -> float:
    """Time of an evaluation, without its samples, over that of the steps between two. An unknown text is assumed to be long."""
    size = run.text.bytes or UNKNOWN_BYTES
    tokens = run.text.tokens or size / UNKNOWN_BYTES_PER_TOKEN
    share = 1 - run.text.training_share or 1.0  # a text of its own for validation is assumed to be as long
    windows = evaluated_windows(size * share, tokens * share, run.model.context)
    return windows / EVALUATION_SPEEDUP / (run.train.eval_every * run.train.batch)


def steps_at(run: ResolvedRun, speed: float) -> float:
    """Steps of the run: its own, or those that its minutes allow at so many FLOP/s."""
    if run.train.steps is not None:
        return run.train.steps
    return max(1.0, ((run.train.minutes or 0) * 60 - SECONDS_AROUND) * speed / run.flops_per_step)


def seconds_at(run: ResolvedRun, speed: float) -> float:
    """Duration of training at so many FLOP/s."""
    return (run.train.minutes or 0) * 60 if run.train.steps is None else run.train.steps * run.flops_per_step / speed
