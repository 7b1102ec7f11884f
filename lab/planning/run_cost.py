"""Cost of a planned run in words: parameters, memory, FLOPs, tokens, and its duration by a measured step, by the speeds of the
latest runs like it, or by a guess."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import median_low
from typing import TYPE_CHECKING

from lab.core.machine import Machine
from lab.core.number_format import bytes_, count, duration, fixed, probability, whole
from lab.data.statistics.copied_share import describe_validation
from lab.data.train_val_split import evaluated_windows
from lab.planning.default_hyperparameters import (
    FEWEST_TOKENS_PER_PARAMETER,
    MOST_EPOCHS,
    QUICK_FLOPS_PER_CORE,
    default_lr,
    fine_tuning_lr,
    memorizing_epochs,
)
from lab.planning.resolve_run import UNKNOWN_BYTES, ResolvedRun, TextSize
from models.config import ModelConfig
from models.parameter_count import by_part, flops_per_token

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
    if other.model is None or other.train is None or other.train.optimizer != run.train.optimizer:
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


LARGE_HEAD = 0.5
"""Share of a step's FLOPs above which the head is said to be too much of it."""
HIGH_LR = 5
"""A learning rate so many times the default for the width is called high."""


def run_cost(
    run: ResolvedRun,
    runs: Iterable["RunSummary"],
    machine: Machine,
    step_seconds: Sequence[float] = (),
    *,
    is_timing: bool = False,
    steps: float | None = None,
) -> tuple[tuple[str, str], ...]:
    """Labels, each with its line. `step_seconds` as `expected_speeds` takes it; `is_timing` says that it is being measured;
    `steps` are those of a plan for the minutes."""
    speeds, source = expected_speeds(run, runs, machine, step_seconds)
    speed = median_low(speeds)
    by_steps = run.train.steps is not None
    parts = ", ".join(f"{part} {count(number)}" for part, number in by_part(run.model).items() if number)
    facts = []
    tokens = (steps or steps_at(run, speed)) * run.tokens_per_step
    is_planned = steps is not None  # whoever chose the size has weighed it
    if advice := _advice(run, tokens, is_planned=is_planned):
        facts.append(("advice", advice))
    if run.request.tokenizer == "bpe" and run.model.vocab_size == run.text.most_vocab:
        facts.append(("vocabulary", f"{whole(run.text.most_vocab)} tokens: this text has no more pairs to merge"))
    if run.text.bytes is not None:
        facts.append(("validation", describe_validation(run.request.holdout, run.text.copied)))
    times = dict.fromkeys(duration(seconds_at(run, each)) for each in (speeds[-1], speeds[0]))
    time_range = " to ".join(times)
    if is_timing:
        source = f"{source.partition(':')[0]} until its steps have been timed"
    time = f"about {time_range}, {source}" if by_steps else time_range
    memory = f"about {bytes_(run.memory)} on the GPU; where it has less, a step is computed in parts"
    if machine.trains_in_main_memory(run.train.device):
        memory = f"about {bytes_(run.memory)} of {bytes_(machine.memory)}, and some 400 MB for torch itself"
    return (
        *facts,
        ("parameters", f"{whole(run.parameters)}: {parts}"),
        ("memory", memory),
        ("a step", _describe_step(run)),
        ("in all", _describe_tokens(tokens, run, is_settled=by_steps, is_planned=is_planned)),
        ("time", time),
    )


def epochs_in_words(epochs: float) -> str:
    return f"{fixed(epochs, 1) if epochs < 100 else count(epochs)} epochs"


def _describe_tokens(tokens: float, run: ResolvedRun, *, is_settled: bool, is_planned: bool) -> str:
    about = "" if is_settled else "about "
    epochs = tokens / (run.text.tokens * run.text.training_share) if run.text.tokens is not None else 0.0
    repeats = " with repeats" * (epochs > 1)
    words = f"{about}{count(tokens)} tokens{repeats}, {tokens / run.parameters:.1f} per parameter"
    if run.text.tokens is None or run.text.train_tokens is None:
        return words
    words += f"; {epochs_in_words(epochs)}" if epochs >= 1 else f"; {probability(epochs, 0)} of the training part"
    if is_planned or epochs <= memorizing_epochs(run.model, run.text.train_tokens):
        return words
    if run.model.dropout == 0:
        smaller = "" if run.request.start is not None else " a smaller model"
        words += f", which it may memorize: take fewer steps,{smaller} or a dropout of 0.1"
    elif run.request.dropout is None:
        words += f", so many that dropout is {run.model.dropout:g} by default"
    return words


def _describe_step(run: ResolvedRun) -> str:
    words = f"{run.train.batch} windows of {run.model.context}: {whole(run.tokens_per_step)} tokens"
    words += f", {count(flops_per_token(run.model))} FLOPs per token"
    if run.train.accumulate > 1:
        words += f", computed in {run.train.accumulate} micro-batches"
    return words


def head_share(model: ModelConfig) -> float:
    """Share of a step's FLOPs in the head: 6 · vocabulary · width of those for each token."""
    return 6 * model.vocab_size * model.width / flops_per_token(model)


SHORT_TEXT = 10_000
"""Bytes of a text from which even the smallest model learns hardly more than how common each token is."""


def _advice(run: ResolvedRun, trained_on: float, *, is_planned: bool) -> str:
    advice = []
    if run.request.start is not None:
        usual, high_for = fine_tuning_lr(run.model.width, run.train.optimizer), "for trained weights"
    else:
        usual, high_for = default_lr(run.model.width, run.train.optimizer), "for this width"
        advice += [] if is_planned else _advice_on_size(run, trained_on)
        if run.text.bytes is not None and run.text.bytes < SHORT_TEXT:
            advice.append(f"{bytes_(run.text.bytes)} are too little text to learn a language from: take a longer one")
    if run.train.lr >= HIGH_LR * usual:
        advice.append(f"a learning rate of {run.train.lr:g} is high {high_for}, {usual:g} is usual")
    return "; ".join(advice)


def _advice_on_size(run: ResolvedRun, trained_on: float) -> list[str]:
    """Advice on the size of a model that begins with random weights, trained on so many tokens: a base fixes it."""
    advice = []
    if run.text.tokens is not None:
        tokens = run.text.tokens * run.text.training_share
        too_large = tokens < FEWEST_TOKENS_PER_PARAMETER * run.parameters and trained_on >= tokens
        if too_large or trained_on > MOST_EPOCHS * tokens:
            size = f"{count(run.parameters)} parameters" if too_large else f"{count(trained_on / tokens)} epochs"
            less = "a smaller model" if too_large else "fewer steps"
            advice.append(
                f"some {count(tokens)} tokens are too few for {size}: the model will memorize them; take a longer text or {less}"
            )
    if (share := head_share(run.model)) > LARGE_HEAD:
        advice.append(
            f"{probability(share, 0)} of a step's FLOPs are the head over {whole(run.model.vocab_size)} tokens: with a "
            "smaller vocabulary the same time would train the layers more"
        )
    return advice


def describe_text(text: TextSize, name: str) -> str:
    """Name and size of a text: `stories, 1.0 MB, about 380k tokens (vocabulary 746)`."""
    words = name
    if text.bytes is not None:
        words += f", {bytes_(text.bytes)}"
    if text.tokens is not None:
        words += f", about {count(text.tokens)} tokens"
        words += f" (vocabulary {whole(text.counted_with)})" if text.counted_with else ""
    return words
