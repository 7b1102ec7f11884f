"""What a planned run costs, in words: parameters, memory, tokens and time."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lab.core.machine import Machine
from lab.core.number_format import bytes_, count, duration, fixed, probability, whole
from lab.data.train_val_split import TRAINING_FRACTION
from lab.planning.default_length import default_steps, default_steps_in_words
from lab.planning.run_request import SMALL_TEXT, default_rate, many_epochs
from lab.planning.settings_form import Plan, TextSize, flops_per_second, is_same
from models.parameter_count import flops_per_token

if TYPE_CHECKING:
    from lab.runs.run_summary import RunSummary

LARGE_HEAD = 0.5
"""Share of a step's work above which the head is said to be too much of it."""
HELD_UP = 1.5
"""A run that took so many times as long as twenty steps make one expect was held up by something else on the machine."""
HIGH_RATE = 5
"""A learning rate so many times the usual one for the width is called high."""


def cost_of(
    plan: Plan, text: TextSize, runs: Iterable["RunSummary"], machine: Machine, step_seconds: float | None = None
) -> tuple[tuple[str, str], ...]:
    """Labels and what stands beside them; what the plan's mistakes leave open is left out.

    `step_seconds` is how long a step of this very plan took on this machine, where that was measured.
    """
    if plan.model is None or plan.train is None or plan.parameters is None or plan.memory is None or plan.tokens_per_step is None:
        return ()
    speed, source = speed_of(plan, text, runs, machine, step_seconds)
    steps, seconds = plan.steps(speed), plan.seconds(speed)
    parts = ", ".join(f"{part} {count(number)}" for part, number in plan.parts.items())
    facts = []
    if advice := _advice(plan, text):
        facts.append(("advice", advice))
    if plan.settings.tokenizer == "bpe" and plan.model.vocab_size == text.most_vocab:
        facts.append(("vocabulary", f"{whole(text.most_vocab)} tokens: this text has no more pairs to merge"))
    facts += [
        ("parameters", f"{whole(plan.parameters)}: {parts}"),
        ("memory", f"about {bytes_(plan.memory)} of {bytes_(machine.memory)}, and some 400 MB for torch itself"),
        ("a step", _step_in_words(plan)),
    ]
    if steps is not None:
        facts.append(
            ("in all", _tokens_in_words(steps * plan.tokens_per_step, plan, text, by_steps=plan.train.steps is not None))
        )
    if seconds is not None:
        words = duration(seconds) if plan.train.minutes is not None else f"about {duration(seconds)}, {source}"
        if plan.train.steps is not None and not plan.settings.length.strip():
            words += f"; {default_steps_in_words(plan.train.steps)}"
        facts.append(("time", words))
    return tuple(facts)


def speed_of(
    plan: Plan, text: TextSize, runs: Iterable["RunSummary"], machine: Machine, step_seconds: float | None
) -> tuple[float, str]:
    """Floating-point operations a second to expect, evaluations included, and where that is from, in words.

    A run with the very same steps says more than twenty of them, unless it was so much slower that something held it up.
    """
    speed, source = flops_per_second(plan, runs, machine.cores, machine.gpu is not None)
    if step_seconds is not None and plan.model is not None and plan.tokens_per_step is not None:
        work = plan.tokens_per_step * flops_per_token(plan.model)
        measured = work / (step_seconds * (1 + plan.share_of_evaluations(text)))
        if source is None or not is_same(source, plan) or speed * HELD_UP < measured:
            return measured, "measured by twenty steps on this machine"
    if source is None:
        return speed, "a guess: nothing like it was timed on this machine yet"
    return speed, f"at the speed of {source.name}"


def fitting_steps(
    plan: Plan, text: TextSize, runs: Iterable["RunSummary"], machine: Machine, step_seconds: float | None
) -> int | None:
    """For how many steps the planned run is trained where its length is left empty; None where the plan says nothing of it."""
    if plan.model is None or plan.tokens_per_step is None:
        return None
    speed, _ = speed_of(plan, text, runs, machine, step_seconds)
    return default_steps(plan.tokens_per_step * flops_per_token(plan.model) / speed)


def _tokens_in_words(tokens: float, plan: Plan, text: TextSize, *, by_steps: bool) -> str:
    about = "" if by_steps else "about "
    per_parameter = tokens / (plan.parameters or 1)
    words = f"{about}{count(tokens)} tokens, {per_parameter:.1f} for each parameter"
    if text.tokens is None:
        return words
    epochs = tokens / (text.tokens * TRAINING_FRACTION)
    words += (
        f"; {fixed(epochs, 1) if epochs < 100 else count(epochs)} times through the text"
        if epochs >= 1
        else f"; {probability(epochs, 0)} of the text"
    )
    if plan.model is None or epochs <= many_epochs(plan.model, round(text.tokens * TRAINING_FRACTION)):
        return words
    if plan.model.dropout == 0:
        words += ", which it may learn by heart: take fewer steps, a smaller model or a dropout of 0.1"
    elif not plan.settings.dropout.strip():
        words += f", so often that dropout is {plan.model.dropout:g} unless you say otherwise"
    return words


def _step_in_words(plan: Plan) -> str:
    assert plan.model is not None
    assert plan.train is not None
    words = f"{plan.train.batch} windows of {plan.model.context}: {whole(plan.tokens_per_step or 0)} tokens"
    words += f", {count(flops_per_token(plan.model))} operations (FLOPs) each"
    if plan.train.accumulate > 1:
        words += f", computed in {plan.train.accumulate} parts"
    return words


def _advice(plan: Plan, text: TextSize) -> str:
    assert plan.model is not None
    assert plan.train is not None
    assert plan.parameters is not None
    said = []
    if text.tokens is not None and text.tokens * TRAINING_FRACTION < SMALL_TEXT * plan.parameters:
        said.append(
            f"some {count(text.tokens * TRAINING_FRACTION)} tokens are too few for {count(plan.parameters)} parameters: they "
            "will be learned by heart; take a longer text or a smaller model"
        )
    if plan.head_share is not None and plan.head_share > LARGE_HEAD:
        said.append(
            f"{probability(plan.head_share, 0)} of a step's work is the head over {whole(plan.model.vocab_size)} tokens: with a "
            "smaller vocabulary the same time would train the layers more"
        )
    usual = default_rate(plan.model.width, plan.train.optimizer)
    if plan.train.lr >= HIGH_RATE * usual:
        said.append(f"a learning rate of {plan.train.lr:g} is high for this width, {usual:g} is usual")
    return "; ".join(said)


def text_in_words(text: TextSize, name: str) -> str:
    """`stories, 1.0 MB, about 380k tokens`."""
    words = name
    if text.bytes is not None:
        words += f", {bytes_(text.bytes)}"
    if text.tokens is not None:
        words += f", about {count(text.tokens)} tokens"
    return words
