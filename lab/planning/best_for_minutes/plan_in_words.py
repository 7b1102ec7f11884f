"""A plan for a number of minutes in a line, and as a picture of what each size of model would reach."""

from lab.core.number_format import bytes_, count, counted, duration, fixed, whole
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
    """The plan in a line: `4 layers × width 128, BPE 1,024, batch 16, 2.1 epochs, weight decay 0.1, 3.5 MB`.

    Its epochs are told once the pilot of the text is known, which may end the run early."""
    model, train, text = plan.best.run.model, plan.best.run.train, plan.best.run.text
    read = "" if text.bytes is None or text.pilot is None else f", {_times_read(plan.best.epochs)}"
    kind = "BPE" if plan.best.run.request.tokenizer == "bpe" else plan.best.run.request.tokenizer
    held_back = f", dropout {model.dropout:g}" if model.dropout else ""
    held_back += f", weight decay {train.weight_decay:g}"
    return (
        f"{counted(model.layers, 'layer')} × width {model.width}, {kind} {whole(model.vocab_size)}, context {model.context}, "
        f"batch {train.batch}{read}{held_back}, {bytes_(BYTES * parameter_count(model))}"
    )


def describe_expectation(plan: MinutesPlan) -> str:
    """The loss to expect, in bits per byte, and its range; or why there is none."""
    expected = plan.best.expected
    if expected is None and plan.best.run.text.pilot is not None:
        return "not known: the text is shorter than all that such runs were measured on"
    if expected is None:
        return "not known yet: first a very small model, the pilot, has to be trained on the text for some seconds"
    if expected.is_wide:
        return f"{expected.in_words}, no closer: the pilot was still falling, unlike those of common texts"
    words = f"{expected.in_words} for 8 of 10 texts"
    return f"{words}; {plan.correction}" if plan.correction.runs else words


def describe_end(plan: MinutesPlan) -> str:
    """The reason why a run ends before its minutes; empty if it does not, and where only its pilot will say when."""
    if plan.best.minutes >= plan.minutes or plan.best.run.text.pilot is None:
        return ""
    return (
        f"ends after {minutes_in_words(plan.best.minutes)}: by then the text has been read for {_times_read(plan.best.epochs)}, "
        "and more time would gain nothing but memorization"
    )


def _times_read(epochs: float) -> str:
    return f"{fixed(epochs, 1) if epochs < 100 else count(epochs)} epochs"


def minutes_in_words(minutes: float) -> str:
    return f"{minutes:g} min" if minutes == round(minutes) else duration(60 * minutes)


def other_minutes(plan: MinutesPlan) -> str:
    """The losses that other minutes would give: `1 min 2.31 (2 × 64), 20 min 1.97 (6 × 256)`."""
    return ", ".join(
        f"{minutes_in_words(minutes)} {fixed(each.bits_per_byte, 2)} ({shape_in_words(each.run.model)})"
        if each.minutes == minutes
        else f"{minutes_in_words(minutes)} no gain over {minutes_in_words(each.minutes)}"
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
    words = describe_plan(plan)
    if plan.best.run.text.pilot is None:
        words += "; first its pilot is trained and its steps are timed here, which may change it and decide when it ends"
    elif not plan.best.is_measured:
        words += "; its steps are timed here first, which may change it"
    facts = [("best", words), ("loss", describe_expectation(plan))]
    if end := describe_end(plan):
        facts.append(("end", end))
    if plan.best.expected is not None and not plan.best.expected.is_wide:
        first, *rest = plan_picture(plan)
        facts += [("by size", first), *(("", line) for line in rest)] if rest else []
        facts.append(("by time", other_minutes(plan)))
    return tuple(facts)
