"""View of the weights that the next step changes most."""

from torch.optim import AdamW as TorchAdamW

from lab.core.number_format import probability, significant, whole
from lab.inspect.weight_names import describe_weight
from lab.one_step.view_context import StepContext
from lab.one_step.weight_changes import WeightChange
from lab.views.blocks import Cell, Column, Paragraph, Table, View
from lab.views.number_tables import figures

ABBREVIATIONS = {"token embedding": "embedding", "position embedding": "position", "dimension": "dim", " of the stream": ""}
"""Shorter words for a weight in the table."""


def describe_change(context: StepContext, moved: WeightChange) -> str:
    return describe_weight(moved.name, moved.index, context.step.run.config.model, context.tokenizer.label)


def _short_name(context: StepContext, moved: WeightChange) -> str:
    words = describe_change(context, moved)
    for long, short in ABBREVIATIONS.items():
        words = words.replace(long, short)
    return words


def weight_changes_view(context: StepContext) -> View:
    step = context.step
    found = step.changes
    first = found.largest[0]
    change = first.after - first.before
    everywhere = f"{significant(100 * found.step_norm / found.weight_norm if found.weight_norm else 0.0, 2)}%"
    clipped = " (after clipping)" if step.gradients.factor < 1.0 else ""
    moved = found.against / found.changed if found.changed else 0.0
    sentence = (
        f"{context.next_step[:1].upper()}{context.next_step[1:]} changes {whole(found.changed)} of "
        f"{whole(sum(w.numel() for w in step.parameters.values()))} weights, by {everywhere} of their norm; "
        f"{probability(moved, 0)} of them go against the gradient{clipped}. "
        f"The largest change: {describe_change(context, first)}, from {significant(first.before, 4)} by "
        f"{significant(change, 3, sign=True)}."
    )
    rows = [
        [
            Cell(_short_name(context, each)),
            figures(each.after - each.before, 3, each.ref),
            figures(each.before, 4, each.ref),
            figures(each.after, 4, each.ref),
            figures(each.gradient, 3, each.ref),
        ]
        for each in found.largest
    ]
    columns = [
        Column("weight", align="left"),
        Column("step"),
        Column("before"),
        Column("after"),
        Column("gradient", optional=1),
    ]
    table, note = Table(columns, rows, title="largest first"), Paragraph(_learning_rate_sentence(context))
    return View("changes", "largest weight changes", sentence, [table, note])


def _learning_rate_sentence(context: StepContext) -> str:
    step = context.step
    if not isinstance(step.optimizer, TorchAdamW):
        return f"The learning rate is {significant(step.lr)}."
    if step.checkpoint.has_fresh_optimizer and step.applied == 0:
        share = step.changes.at_least_half / sum(weight.numel() for weight in step.parameters.values())
        return (
            f"With running means of 0 Adam's first step is g ÷ (|g| + 1e−8) times the learning rate, {significant(step.lr)}; "
            f"{probability(share, 0)} of all weights change by half of it or more."
        )
    return f"The learning rate is {significant(step.lr)}; Adam multiplies it by m̂ ÷ √v̂, gradient mean by gradient size."
