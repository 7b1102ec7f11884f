"""Steps, losses, learning rates and their changes as words of a diagnosis."""

from dataclasses import dataclass

from lab.core.number_format import fixed, whole


@dataclass(frozen=True)
class Evaluation:
    """The validation loss at a step."""

    step: float
    loss: float


def step_in_words(step: float) -> str:
    return whole(int(step))


def short_lr(lr: float) -> str:
    """`0.003`: a learning rate with two digits."""
    return f"{float(f'{lr:.2g}'):g}"


def rollbacks_in_words(number: int) -> str:
    return f"{number or 'no'} rollback{'' if number == 1 else 's'}"


def ordinal(number: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")


def from_to(before: float, now: float) -> str:
    """`from 1.92 to 1.71`, with as many decimals, from two to four, as tell them apart."""
    decimals = next((number for number in (2, 3) if fixed(before, number) != fixed(now, number)), 4)
    return f"from {fixed(before, decimals)} to {fixed(now, decimals)}"


def moved(before: float, now: float) -> str:
    """`went from 1.92 to 1.71`, or `stayed at 1.7134` where four decimals do not tell them apart."""
    return f"went {from_to(before, now)}" if differs_visibly(before, now) else f"stayed at {fixed(now, 4)}"


def differs_visibly(before: float, now: float) -> bool:
    return fixed(before, 4) != fixed(now, 4)


def moved_at(first: Evaluation, last: Evaluation, verb: str) -> str:
    """`from 2.01 (step 220) to 1.93 (step 300)`; `verb` comes before it where none was said yet."""
    if first.step == last.step:
        return f"is still {fixed(first.loss, 2)} (step {step_in_words(first.step)})"
    if not differs_visibly(first.loss, last.loss):
        return f"stayed at {fixed(last.loss, 4)} (steps {step_in_words(first.step)} to {step_in_words(last.step)})"
    decimals = next((number for number in (2, 3) if fixed(first.loss, number) != fixed(last.loss, number)), 4)
    before, now = (f"{fixed(each.loss, decimals)} (step {step_in_words(each.step)})" for each in (first, last))
    return f"{verb}from {before} to {now}"


def times_in_words(epochs: float) -> str:
    return f"{fixed(epochs, 1) if epochs < 10 else whole(round(epochs))} times"
