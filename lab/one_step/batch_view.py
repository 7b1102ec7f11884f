"""View of the batch that a training step learns from, and of the conditions of the step."""

from lab.core.number_format import bytes_, fixed, significant, whole
from lab.one_step.view_context import StepContext
from lab.runs.run_folder import ACTIVE
from lab.views.blocks import Block, Cell, Column, Paragraph, Table, View
from lab.views.number_tables import decimals_for, number

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
        what = f"For step {whole(number_ + 1)} the trainer takes these {windows} windows of {context.width} tokens, so "
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
        text = "".join(context.tokenizer.label(id_) for id_ in ids[:PREVIEW_CHARACTERS])[:PREVIEW_CHARACTERS]
        hardest = f"{context.tokenizer.label(ids[worst + 1])} {fixed(float(losses[index, worst]), 2)}"
        rows.append([Cell(f"{index + 1}"), number(means[index], decimals), Cell(hardest), Cell(text, style="dim")])
    columns = [
        Column("window"),
        Column("mean loss"),
        Column("hardest token", align="left"),
        Column("begins", align="left", optional=True),
    ]
    total = [Cell("all"), number(step.current.mean, decimals), Cell(""), Cell("")]
    return Table(columns, rows, title="windows", total=total, selected=context.window)


def _conditions(context: StepContext) -> list[Block]:
    """Checkpoint, learning rate, precision and memory of the step."""
    step = context.step
    said = [
        f"Weights: {step.run.name}'s {step.checkpoint.name}.safetensors, step {whole(step.state.step)}, which is not changed on "
        "disk."
    ]
    at = step.run.status().step
    if step.run.phase() in ACTIVE and at > step.state.step:
        said.append(f"The run has trained on since, to step {whole(at)}; r reads the newest checkpoint.")
    if step.checkpoint.has_fresh_optimizer:
        said.append(
            "They come without optimizer state, so the optimizer starts fresh: its running means are 0, as at a run's first step."
        )
    else:
        said.append("The optimizer continues with the run's running means.")
    said.append(f"Learning rate of the next step: {significant(step.lr)} by the run's schedule.")
    if step.run.config.model.dropout:
        said.append(
            "Dropout is off, so that the losses are the sentence's own."
            if context.is_sentence
            else "Dropout is on as in training, with the same masks each time; in Inspect it is off, so that p differs there."
        )
    if step.batch.micro_batches > 1:
        said.append(f"It is computed in {step.batch.micro_batches} micro-batches.")
    if not context.is_sentence and step.applied == 0 and step.would_be_skipped:
        said.append("Its loss is so far above those before that the trainer would skip this step.")
    if step.state.precision == "bf16":
        said.append(
            "The step is computed in bf16 on the CPU, as the run's precision is; the losses and probabilities shown are of a "
            "forward pass in fp32, without its rounding. "
            f"In bf16 the loss is {fixed(step.current.loss, 4)}, in fp32 {fixed(step.current.mean, 4)}."
        )
    else:
        said.append("The step is computed in fp32 on the CPU.")
    said.append(f"Weights, gradients, optimizer and undo take {bytes_(step.bytes_held())}.")
    return [Paragraph(" ".join(said))]
