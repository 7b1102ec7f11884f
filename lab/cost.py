"""What a planned run costs, in words: parameters, memory, tokens and time."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lab.machine import Machine
from lab.numbers import bytes_, count, duration, fixed, probability, whole
from lab.plan import Plan, Text, flops_per_second

if TYPE_CHECKING:
    from lab.summary import RunSummary

TRAINING_PART = 0.9
MANY_EPOCHS = 20
"""From about so many times through the same text, a model this side of dropout learns it by heart (Muennighoff et al. 2023)."""


def cost_of(plan: Plan, text: Text, runs: Iterable["RunSummary"], machine: Machine) -> tuple[tuple[str, str], ...]:
    """Labels and what stands beside them; what the plan's mistakes leave open is left out."""
    if plan.model is None or plan.train is None or plan.parameters is None or plan.memory is None or plan.tokens_per_step is None:
        return ()
    speed, source = flops_per_second(plan, runs, machine.cores, machine.gpu is not None)
    steps, seconds = plan.steps(speed), plan.seconds(speed)
    parts = ", ".join(f"{part} {count(number)}" for part, number in plan.parts.items())
    facts = []
    if plan.model.vocab_size == text.most_vocab:
        facts.append(("vocabulary", f"{whole(text.most_vocab)} tokens: this text has no more pairs to merge"))
    facts += [
        ("parameters", f"{whole(plan.parameters)}: {parts}"),
        ("memory", f"about {bytes_(plan.memory)} of {bytes_(machine.memory)}, and some 400 MB for torch itself"),
        ("a step", f"{plan.train.batch} windows of {plan.model.context}: {whole(plan.tokens_per_step)} tokens"),
    ]
    if steps is not None:
        facts.append(
            ("in all", _tokens_in_words(steps * plan.tokens_per_step, plan, text, by_steps=plan.train.steps is not None))
        )
    if seconds is not None:
        facts.append(("time", _time_in_words(seconds, source, asked=plan.train.minutes is not None)))
    return tuple(facts)


def _tokens_in_words(tokens: float, plan: Plan, text: Text, *, by_steps: bool) -> str:
    about = "" if by_steps else "about "
    per_parameter = tokens / (plan.parameters or 1)
    words = f"{about}{count(tokens)} tokens, {per_parameter:.1f} for each parameter"
    if text.tokens is None:
        return words
    epochs = tokens / (text.tokens * TRAINING_PART)
    words += (
        f"; {fixed(epochs, 1) if epochs < 100 else count(epochs)} times through the text"
        if epochs >= 1
        else f"; {probability(epochs, 0)} of the text"
    )
    if epochs > MANY_EPOCHS and plan.model is not None and plan.model.dropout == 0:
        words += ", which it may learn by heart: take fewer steps, a smaller model or a dropout of 0.1"
    return words


def _time_in_words(seconds: float, source: str | None, *, asked: bool) -> str:
    if asked:
        return duration(seconds)
    how = f"at the speed of {source}" if source else "a guess until something was trained on this machine"
    return f"about {duration(seconds)}, {how}"


def text_in_words(text: Text, name: str) -> str:
    """`stories, 1.0 MB, about 380k tokens`."""
    words = name
    if text.bytes is not None:
        words += f", {bytes_(text.bytes)}"
    if text.tokens is not None:
        words += f", about {count(text.tokens)} tokens"
    return words
