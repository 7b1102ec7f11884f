"""Views of a batch and of a step on it: windows and conditions, the loss of each token, probabilities and losses after."""

import math
from bisect import bisect_right
from itertools import accumulate

import numpy as np

from lab.core.number_format import bytes_, fixed, probability, probability_change, significant, whole
from lab.runs.run_folder import ACTIVE
from lab.training.one_step.view_context import ROWS, TOP, StepContext
from lab.views.blocks import Array, Block, Cell, Column, Paragraph, Strip, Table, View
from lab.views.number_tables import Numbers, around, decimals_for, figures, number


def token_losses_view(context: StepContext) -> View:
    own = context.losses()
    probabilities = context.given()
    here, formula = context.position - 1, context.step.trained.loss.formula
    worst = int(own.argmax())
    mean = f"mean of all {whole(context.count)} predictions" if len(own) != context.count else "mean"
    surprise = f"the highest loss is {fixed(float(own[worst]), 3)}, of “{context.label(worst + 1)}” (token {worst + 2})"
    if worst == here:
        surprise = "the highest loss of this window" if len(own) > 1 else "the only prediction"
    sentence = (
        f"“{context.label(context.position)}” had {probability(float(probabilities[here]))}: loss "
        f"{formula(significant(float(probabilities[here]), 4))} = {fixed(float(own[here]), 3)}; {surprise}. The step is to lower "
        f"the {mean}{context.steps_so_far}: {fixed(context.step.current.mean, 3)}, perplexity "
        f"{significant(math.exp(float(context.step.current.surprises.double().mean())))}."
    )
    shown = around(len(own), here, ROWS)
    most = float(own.max()) or 1.0
    decimals = decimals_for(own, digits=4)
    rows = [
        [
            Cell(context.name(index + 1)),
            figures(float(probabilities[index]), 3),
            number(own[index], decimals, bar=float(own[index]) / most),
        ]
        for index in shown
    ]
    columns = [Column("target", align="left"), Column("p"), Column(formula("p"))]
    total = [Cell("mean of the window"), Cell(""), number(float(own.mean()), decimals)]
    table = Table(columns, rows, total=total, selected=here - shown.start)
    blocks: list[Block] = [table]
    if len(own) > len(shown):
        blocks.append(Strip(f"all {len(own)} of this window, token 2 on", Array.of(own), never_negative=True, first=2))
    return View("losses", "loss of each token", sentence, blocks, context.parity())


PREVIEW_CHARACTERS = 32
"""Characters of a window's beginning in the list of windows."""


def batch_view(context: StepContext) -> View:
    step = context.step
    windows = len(step.batch.ids)
    loss = step.current.mean
    if context.is_sentence:
        what = f"Your sentence is {len(context.ids)} tokens, so {context.count} predictions"
        left = "token" if step.batch.left_out == 1 else "tokens"
        if step.batch.left_out:
            what += f"; the last {whole(step.batch.left_out)} {left} do not fit into the context and are left out"
    else:
        number_ = step.batch.step or 0
        takes = "takes" if step.run.phase() in ACTIVE else "would take"
        what = f"For step {whole(number_ + 1)} the trainer {takes} these {windows} windows of {context.width} tokens, so "
        what += f"{whole(context.count)} predictions"
        if step.batch.left_out:
            what += f"; {step.batch.left_out} more windows of the batch are left out: they would take too long here"
    sentence = f"{what}. The step is to lower the mean of their losses, now {fixed(loss, 3)} nats{context.steps_so_far}."
    return View("batch", "batch", sentence, [_windows(context), *_conditions(context)])


def _windows(context: StepContext) -> Table:
    step = context.step
    losses = step.current.losses.double().reshape(len(step.batch.ids), -1)  # (B, T)
    means = losses.mean(-1).numpy()
    decimals = decimals_for(means, digits=4)
    rows = []
    for index, worst in enumerate(losses.argmax(-1).tolist()):
        ids = step.batch.window(index)
        labels = [context.tokenizer.label(id_) for id_ in ids[:PREVIEW_CHARACTERS]]
        whole_ones = bisect_right(list(accumulate(map(len, labels))), PREVIEW_CHARACTERS)  # none is cut
        text = "".join(labels[:whole_ones]) + ("…" if whole_ones < len(labels) else "")
        hardest = f"{context.tokenizer.label(ids[worst + 1])} {fixed(float(losses[index, worst]), 2)}"
        rows.append([Cell(f"{index + 1}"), number(means[index], decimals), Cell(hardest), Cell(text, style="dim")])
    columns = [
        Column("window"),
        Column("mean loss"),
        Column("hardest token", align="left"),
        Column("begins", align="left", optional=1),
    ]
    total = [Cell("all"), number(step.current.mean, decimals), Cell(""), Cell("")]
    return Table(columns, rows, title="windows", total=total, selected=context.window)


def _conditions(context: StepContext) -> list[Block]:
    """Checkpoint, learning rate, precision and memory of the step, and a remark where something is out of the ordinary."""
    step = context.step
    fresh = step.checkpoint.has_fresh_optimizer
    facts = [
        ("weights", f"{step.checkpoint.name}.safetensors of {step.run.name}, step {whole(step.state.step)}; only read"),
        ("running means", "0: the optimizer starts fresh, none were saved" if fresh else "the optimizer's own, from the run"),
        ("learning rate", f"{significant(step.lr)}, by the run's schedule"),
        *_arithmetic(context),
        ("memory", f"{bytes_(step.bytes_held())}: weights, gradients, optimizer, undo"),
    ]
    rows = [[Cell(name), Cell(fact)] for name, fact in facts]
    remark = _remark(context)
    table = Table([Column("", align="left"), Column("", align="left")], rows, title="conditions")
    return [*([Paragraph(remark)] if remark else []), table]


def _arithmetic(context: StepContext) -> list[tuple[str, str]]:
    step, losses = context.step, context.step.current
    facts = []
    if step.run.config.model.dropout:
        facts.append(("dropout", "off for a sentence" if context.is_sentence else "on, with the trainer's masks; off in Inspect"))
    parts = f", in {step.batch.micro_batches} micro-batches" if step.batch.micro_batches > 1 else ""
    own = "" if step.precision == step.state.precision else f"; the run itself in {step.state.precision}"
    facts.append(("computed in", f"{step.precision} on the CPU{parts}{own}"))
    if step.precision == "bf16":
        facts.append(("loss in bf16", f"{fixed(losses.loss, 4)}; shown is fp32: {fixed(losses.mean, 4)}"))
    return facts


def _remark(context: StepContext) -> str:
    step = context.step
    at = step.run.status().step
    if step.run.phase() in ACTIVE and at > step.state.step:
        return f"The run has trained on since, to step {whole(at)}; r reads the newest checkpoint."
    if not context.is_sentence and step.applied == 0 and step.would_be_skipped:
        return "The loss is so far above those before that the trainer would skip this step."
    return ""


def after_step_view(context: StepContext) -> View:
    step = context.step
    title = "after the step"
    if step.applied == 0:
        expected = step.current.mean + step.changes.predicted
        sentence = (
            f"No step taken yet: gradient times step, over all weights, predicts a loss of {fixed(expected, 4)} instead of "
            f"{fixed(step.current.mean, 4)} ({significant(step.changes.predicted, 3, sign=True)}). space takes the step."
        )
        return View("after", title, sentence, [])
    before, now = step.snapshots[step.applied - 1], step.current
    change = now.mean - before.mean
    assert before.predicted is not None
    sentence = (
        f"Step {step.applied} is taken: the loss {'fell' if change < 0 else 'rose'} from {fixed(before.mean, 4)} to "
        f"{fixed(now.mean, 4)}, by {significant(abs(change), 3)}. Gradient times step predicted "
        f"{significant(before.predicted, 3, sign=True)}: "
        f"{_compared(change, before.predicted)}"
    )
    return View("after", title, sentence, [_probabilities(context), _tokens(context), *_history(context)], context.parity())


def _compared(change: float, predicted: float) -> str:
    if predicted >= 0:
        return "the optimizer's momentum pulls against this batch, so no fall was predicted."
    share = change / predicted
    if share < 0:
        return "the step was so large that the loss rose all the same."
    if share > 1.1:
        return f"it fell {significant(share, 2)} times as much: the gradients grew along the step."
    if share < 0.9:
        return f"it fell only {probability(share, 0)} of that: the prediction is linear and holds for small steps."
    return "about what happened, since the step was small."


def _probabilities(context: StepContext) -> Table:
    """The most probable tokens at the chosen position before and after the last step."""
    at = context.step.applied
    before, now = context.probabilities(at - 1), context.probabilities(at)
    order: list[int] = []
    for id_ in [context.target, *np.argsort(-np.maximum(before, now), kind="stable")[:TOP].tolist()]:
        if id_ not in order:
            order.append(id_)
    order = sorted(order[:TOP], key=lambda id_: -now[id_])
    rest, rest_now = (float(p.sum() - p[order].sum()) for p in (before, now))
    most = max(abs(rest_now - rest), float(np.abs(now - before)[order].max())) or 1.0
    rows = [
        [
            Cell(context.tokenizer.label(id_), style="strong" if id_ == context.target else ""),
            *_pair(float(before[id_]), float(now[id_]), most),
        ]
        for id_ in order
    ]
    if len(before) > len(order):
        rows.append([Cell(f"{whole(len(before) - len(order))} others", style="dim"), *_pair(rest, rest_now, most)])
    columns = [Column("token", align="left"), Column("p before"), Column("p after"), Column("change")]
    title = f"token {context.position + 1}: target “{context.label(context.position)}” after {context.text_before}"
    return Table(columns, rows, title=title)


def _pair(before: float, now: float, most: float) -> list[Cell]:
    """Both, and the change with a bar that is full for `most`."""
    was, is_now, change = probability_change(before, now, 2)
    return [Cell(was, before), Cell(is_now, now), Cell(change, now - before, bar=(now - before) / most)]


def _tokens(context: StepContext) -> Table:
    """Losses around the chosen position before and after the last step."""
    at = context.step.applied
    before, now = context.losses(at - 1), context.losses(at)
    shown = around(len(now), context.position - 1, ROWS)
    decimals = decimals_for(before, now, digits=4)
    most = float(np.abs(now - before).max()) or 1.0

    def cells(old: float, new: float, bar: float | None) -> list[Cell]:
        change = new - old
        return [number(old, decimals), number(new, decimals), Cell(fixed(change, decimals, sign=True), change, bar=bar)]

    rows = [[Cell(context.name(i + 1)), *cells(float(before[i]), float(now[i]), float(now[i] - before[i]) / most)] for i in shown]
    total = [Cell("mean of the window"), *cells(float(before.mean()), float(now.mean()), None)]
    columns = [Column("target", align="left"), Column("loss before"), Column("after"), Column("change")]
    return Table(columns, rows, title="loss of each token", total=total, selected=context.position - 1 - shown.start)


def _history(context: StepContext) -> list[Block]:
    snapshots = context.step.snapshots
    if len(snapshots) < 3:
        return []
    losses: Numbers = np.array([snapshot.mean for snapshot in snapshots])
    decimals = decimals_for(losses, digits=5)
    rows = []
    for index in range(1, len(snapshots)):
        change, predicted = float(losses[index] - losses[index - 1]), snapshots[index - 1].predicted or 0.0
        rows.append(
            [
                Cell(str(index)),
                number(losses[index], decimals, bar=float(losses[index] / losses.max())),
                Cell(significant(change, 3, sign=True), change),
                Cell(significant(predicted, 3, sign=True), predicted),
            ]
        )
    columns = [Column("step"), Column("loss"), Column("changed by"), Column("predicted", optional=1)]
    return [Table(columns, rows, title=f"repeated steps on this batch, from {fixed(float(losses[0]), decimals)}")]
