"""A plan for a number of minutes in a line, and as a picture of what each size of model would reach."""

from lab.core.number_format import bytes_, count, fixed, whole
from lab.planning.best_for_minutes.plan_for_minutes import Candidate, MinutesPlan
from models.config import ModelConfig
from models.parameter_count import BYTES, parameter_count

COLUMNS = 10
"""Width of the picture's scale: with the rest of a line it fits beside the form at 120 columns."""
ROWS = 5
"""Shapes in the picture, about the chosen one."""


def shape_in_words(model: ModelConfig) -> str:
    """`4 × 192`: layers and width."""
    return f"{model.layers} × {model.width}"


def describe_plan(plan: MinutesPlan) -> str:
    """The plan and what is expected of it, in a line."""
    model, train, expected, epochs = plan.best.run.model, plan.best.run.train, plan.best.expected, plan.best.epochs
    kind = "BPE" if plan.best.run.request.tokenizer == "bpe" else plan.best.run.request.tokenizer
    held_back = f", dropout {model.dropout:g}" if model.dropout else ""
    held_back += f", weight decay {train.weight_decay:g}"
    return (
        f"{minutes_in_words(train.minutes or 0)} here: {shape_in_words(model)}, {kind} {whole(model.vocab_size)}, "
        f"batch {train.batch}, {fixed(epochs, 1) if epochs < 100 else count(epochs)} epochs{held_back}: "
        f"expect {fixed(expected.bits_per_byte, 2)} bits per byte "
        f"({fixed(expected.low, 2)} to {fixed(expected.high, 2)}), {bytes_(BYTES * parameter_count(model))}"
    )


def minutes_in_words(minutes: float) -> str:
    return f"{minutes:g} min" if minutes >= 1 else f"{60 * minutes:.0f} s"


def other_minutes(plan: MinutesPlan) -> str:
    """The losses that other minutes would give: `1 min 2.31 (2 × 64), 20 min 1.97 (6 × 256)`."""
    return ", ".join(
        f"{minutes_in_words(minutes)} {fixed(each.bits_per_byte, 2)} ({shape_in_words(each.run.model)})"
        for minutes, each in plan.others
    )


def plan_picture(plan: MinutesPlan) -> list[str]:
    """A line for each size of model: what it would reach in these minutes, as a point on a scale from the lowest loss."""
    shown = _about(plan)
    losses = [each.bits_per_byte for each in shown]
    low, high = min(losses), max(losses)
    lines = []
    for each in shown:
        at = round((COLUMNS - 1) * (each.bits_per_byte - low) / ((high - low) or 1.0))
        mark = "▸" if each is plan.best else " "
        scale = "·" * at + "●" + " " * (COLUMNS - 1 - at)
        lines.append(f"{mark}{shape_in_words(each.run.model):>8} {scale} {fixed(each.bits_per_byte, 2)}")
    return lines


def _about(plan: MinutesPlan) -> tuple[Candidate, ...]:
    at = next((index for index, each in enumerate(plan.by_shape) if each is plan.best), 0)
    first = max(0, min(at - ROWS // 2, len(plan.by_shape) - ROWS))
    return plan.by_shape[first : first + ROWS]


def plan_facts(plan: MinutesPlan) -> tuple[tuple[str, str], ...]:
    """The plan as it is told before a run: labels, each with its line."""
    first, *rest = plan_picture(plan)
    picture = (("loss by size", first), *(("", line) for line in rest)) if rest else ()
    words = describe_plan(plan) + ("" if plan.best.is_measured else "; its steps are a guess until they have been timed")
    words += f"; {plan.correction}" if plan.correction.runs else ""
    return ("best", words), *picture, ("other times", other_minutes(plan))
