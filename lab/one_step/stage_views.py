"""What is shown of one training step: a view for each stage, in sentences and tables with the run's own numbers."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from lab.core.number_format import bytes_, fixed, probability, significant, whole
from lab.one_step.training_step import OneStep
from lab.runs.run_folder import ACTIVE
from lab.views.blocks import Array, Block, Cell, Column, Paragraph, Parity, Strip, Table, View
from lab.views.number_tables import Numbers, around, decimals_for, figures, number
from models.tokenizers.tokenizer import Tokenizer

ROWS = 9
"""Tokens listed around the chosen one: with the sentence above them they fit into 24 lines."""
TOP = 6
"""Tokens that are listed as the model's most probable ones."""
OPENING = 32
"""Characters of a window's beginning that stand for it in the list of windows."""


@dataclass(frozen=True)
class StepLook:
    """What of the step is looked at: a window of the batch, and in it a token that is predicted."""

    step: OneStep
    tokenizer: Tokenizer
    window: int
    position: int
    """From 1 to T: the token that is predicted, at its place in the window's T + 1 tokens."""
    inspected: Tensor | None = None
    """(T, C) what the head is applied to in Inspect's trace with the present weights, without dropout; None: not asked for."""

    @cached_property
    def ids(self) -> list[int]:
        assert self.step.batch is not None
        return self.step.batch.window(self.window)

    @property
    def width(self) -> int:
        """Predictions in a window."""
        return len(self.ids) - 1

    @property
    def count(self) -> int:
        """Predictions in the whole batch."""
        assert self.step.batch is not None
        return self.step.batch.predictions

    @property
    def is_sentence(self) -> bool:
        return self.step.batch is not None and self.step.batch.step is None

    @property
    def row(self) -> int:
        """Where in the batch, flattened, the chosen prediction is."""
        return self.window * self.width + self.position - 1

    @property
    def target(self) -> int:
        return self.ids[self.position]

    def label(self, place: int) -> str:
        return self.tokenizer.label(self.ids[place])

    def name(self, place: int) -> str:
        """A token as the label of a row: its number, counted from 1, and the token."""
        return f"{place + 1:>{len(str(len(self.ids)))}} {self.label(place)}"

    def losses(self, applied: int | None = None) -> Numbers:
        """−ln p of the window's predictions, (T,), float64."""
        moment = self.step.moments[self.step.applied if applied is None else applied]
        found: Numbers = moment.losses[self.window * self.width :][: self.width].double().numpy()
        return found

    def probabilities(self, applied: int | None = None) -> Numbers:
        """Of every token of the vocabulary to be the chosen one, (V,), float64."""
        at = self.step.applied if applied is None else applied
        hidden = self.step.moments[at].hidden
        assert hidden is not None
        logits = self.step.logits_of(hidden[self.row : self.row + 1], self.step.head_at(at))[0]
        found: Numbers = torch.softmax(logits.double(), -1).numpy()
        return found

    def in_inspect(self) -> Numbers:
        """What Inspect shows for the chosen token: the probabilities of the whole vocabulary, (V,), float64."""
        assert self.inspected is not None
        logits = self.step.logits_of(self.inspected[self.position - 1 : self.position], self.step.head_at(self.step.applied))[0]
        found: Numbers = torch.softmax(logits.double(), -1).numpy()
        return found

    def parity(self) -> Parity | None:
        """The probabilities that are shown against those of Inspect; None where dropout sets them apart."""
        if self.step.has_dropout:
            return None
        shown = self.probabilities()
        return Parity("p · Inspect", float(np.abs(shown - self.in_inspect()).max()), len(shown))

    def logit(self, applied: int) -> float:
        """Of the chosen token, after so many steps."""
        hidden = self.step.moments[applied].hidden
        assert hidden is not None
        vector = self.step.head_at(applied)[self.target : self.target + 1]
        return float(self.step.logits_of(hidden[self.row : self.row + 1], vector))

    @cached_property
    def after_what(self) -> str:
        """The tokens before the chosen one as they end, in a sentence."""
        text = "".join(self.tokenizer.label(id_) for id_ in self.ids[: self.position])
        return f"“{'…' if len(text) > 24 else ''}{text[-24:]}”"

    @property
    def next_step(self) -> str:
        return f"step {self.step.applied + 1}" if self.step.applied else "the next step"

    @property
    def steps_so_far(self) -> str:
        taken = self.step.applied
        return "" if not taken else f" after {taken} step{'s' if taken > 1 else ''}"


def batch(look: StepLook) -> View:
    step = look.step
    assert step.batch is not None
    windows = len(step.batch.ids)
    loss = step.now.mean
    if look.is_sentence:
        what = f"Your sentence is {len(look.ids)} tokens, so {look.count} predictions: the first has nothing before it."
        left = "token" if step.batch.left_out == 1 else "tokens"
        if step.batch.left_out:
            what += f" The last {whole(step.batch.left_out)} {left} do not fit into the context and are left out."
    else:
        number_ = step.batch.step or 0
        what = f"For step {whole(number_ + 1)} the trainer takes these {windows} windows of {look.width} tokens from the text: "
        what += f"{whole(look.count)} predictions, each token from those before it in its window."
        if step.batch.left_out:
            what += f" {step.batch.left_out} more windows of the batch are left out: they would take too long here."
    sentence = f"{what} The step is to lower the mean of their losses, now {fixed(loss, 3)} nats{look.steps_so_far}."
    return View("batch", "what the step learns from", sentence, [_windows(look), *_conditions(look)])


def _windows(look: StepLook) -> Table:
    step = look.step
    assert step.batch is not None
    losses = step.now.losses.double().reshape(len(step.batch.ids), -1)  # (B, T)
    means = losses.mean(-1).numpy()
    places = decimals_for(means, digits=4)
    rows = []
    for index, worst in enumerate(losses.argmax(-1).tolist()):
        ids = step.batch.window(index)
        text = "".join(look.tokenizer.label(id_) for id_ in ids[:OPENING])[:OPENING]
        hardest = f"{look.tokenizer.label(ids[worst + 1])} {fixed(float(losses[index, worst]), 2)}"
        rows.append([Cell(f"{index + 1}"), number(means[index], places), Cell(hardest), Cell(text, style="dim")])
    columns = [
        Column("window"),
        Column("mean loss"),
        Column("hardest token", align="left"),
        Column("begins", align="left", optional=True),
    ]
    total = [Cell("all"), number(step.now.mean, places), Cell(""), Cell("")]
    return Table(columns, rows, title="its windows", total=total, selected=look.window)


def _conditions(look: StepLook) -> list[Block]:
    """What the step begins with, and how it is computed."""
    step = look.step
    assert step.batch is not None
    said = [
        f"Weights: {step.run.name}'s {step.checkpoint}.safetensors, step {whole(step.state.step)}, which is not changed on disk."
    ]
    at = step.run.status().step
    if step.run.phase() in ACTIVE and at > step.state.step:
        said.append(f"The run has trained on since, to step {whole(at)}; r reads the newest checkpoint.")
    if step.is_fresh:
        said.append(
            "There is no optimizer state with them, so the optimizer begins anew: its running means are 0, as at a run's first "
            "step."
        )
    else:
        said.append("The optimizer goes on with the running means that the run had there.")
    said.append(f"Learning rate of the next step: {significant(step.rate)}, as the run's schedule has it.")
    if step.run.config.model.dropout:
        said.append(
            "Dropout is off, so that the losses are the sentence's own."
            if look.is_sentence
            else "Dropout is on as in training, with the same masks each time; in Inspect it is off, so that p differs there."
        )
    if step.batch.parts > 1:
        said.append(f"It is computed in {step.batch.parts} parts, one after the other.")
    if not look.is_sentence and step.applied == 0 and step.would_be_passed_over:
        said.append("Its loss is so far above those before that the trainer would pass over this step.")
    if step.state.precision == "bf16":
        said.append(
            "The step is computed in bf16 on the CPU, as the run's precision is; the losses and probabilities shown are of a "
            "forward pass in fp32, without its rounding. "
            f"In bf16 the loss is {fixed(step.now.loss, 4)}, in fp32 {fixed(step.now.mean, 4)}."
        )
    else:
        said.append("The step is computed in fp32 on the CPU.")
    said.append(f"Weights, gradients, optimizer and undo take {bytes_(step.bytes_held())}.")
    return [Paragraph(" ".join(said))]


def losses(look: StepLook) -> View:
    own = look.losses()
    probabilities = np.exp(-own)
    here = look.position - 1
    worst = int(own.argmax())
    mean = f"the mean over all {whole(look.count)} predictions" if len(own) != look.count else "their mean"
    surprise = f"Most surprising was “{look.label(worst + 1)}” (token {worst + 2}) with {fixed(float(own[worst]), 3)}"
    if worst == here:
        surprise = "No token of this window surprised the model more" if len(own) > 1 else "It is the only prediction"
    sentence = (
        f"The loss of a token is −ln p, p being what the model gave it before it came. Here “{look.label(look.position)}” "
        f"had {probability(float(probabilities[here]))}: −ln {significant(float(probabilities[here]), 4)} = "
        f"{fixed(float(own[here]), 3)}. "
        f"{surprise}. "
        f"The step is to lower {mean}{look.steps_so_far}: {fixed(look.step.now.mean, 3)}, as if one of "
        f"{significant(math.exp(look.step.now.mean))} equally likely tokens had to be guessed."
    )
    shown = around(len(own), here, ROWS)
    most = float(own.max()) or 1.0
    places = decimals_for(own, digits=4)
    rows = [
        [
            Cell(look.name(index + 1)),
            figures(float(probabilities[index]), 3),
            number(own[index], places, bar=float(own[index]) / most),
        ]
        for index in shown
    ]
    columns = [Column("what came", align="left"), Column("p"), Column("−ln p")]
    total = [Cell("mean of the window"), Cell(""), number(float(own.mean()), places)]
    table = Table(columns, rows, total=total, selected=here - shown.start)
    blocks: list[Block] = [table]
    if len(own) > len(shown):
        blocks.append(Strip(f"all {len(own)} of this window, token 2 on", Array.of(own)))
    return View("losses", "loss of each token", sentence, blocks, look.parity())


def error(look: StepLook) -> View:
    p = look.probabilities()
    target, count = look.target, look.count
    came = f"“{look.label(look.position)}”"
    guess = int(p.argmax())
    best = (
        "also its first guess"
        if guess == target
        else f"its first guess was “{look.tokenizer.label(guess)}”, {probability(float(p[guess]))}"
    )
    divided = f", divided by {whole(count)} because the batch's loss is the mean over so many predictions" if count > 1 else ""
    so_much = f"only one of the {whole(count)} that the step is made of" if count > 1 else "the whole of the loss"
    sentence = (
        f"After {look.after_what} the model gave {came}, which came, {probability(float(p[target]))}; {best}. The gradient of "
        "the "
        f"loss at the logits is p − 1 for what came and p for all else{divided}; together that is 0. Against its gradient, this "
        f"prediction pulls the logit of {came} up and each other down by how probable it is, and it is {so_much}."
        f"{_what_the_step_did(look, came)}"
    )
    top = np.argsort(-p, kind="stable")[:TOP].tolist()
    if target not in top:
        top = [*top[:-1], target]
    one_hot = {id_: float(id_ == target) for id_ in top}
    errors = {id_: float(p[id_]) - one_hot[id_] for id_ in top}
    rest = float(p.sum() - p[top].sum())
    total = sum(errors.values()) + rest
    places = 5
    rows = [
        [
            Cell(look.tokenizer.label(id_), style="strong" if id_ == target else ""),
            number(p[id_], places),
            Cell("1" if id_ == target else "0", one_hot[id_]),
            Cell(fixed(errors[id_], places, sign=True), errors[id_], bar=errors[id_]),
            figures(errors[id_] / count, 3),
        ]
        for id_ in top
    ]
    others = len(p) - len(top)
    if others:
        cells = [Cell(f"{whole(others)} others", style="dim"), number(rest, places, style="dim"), Cell("0", style="dim")]
        rows.append([*cells, Cell(fixed(rest, places, sign=True), rest, style="dim", bar=rest), figures(rest / count, 3)])
    columns = [Column("token", align="left"), Column("p"), Column("one-hot"), Column("p − one-hot")]
    sums = [Cell("Σ"), number(float(p.sum()), places), Cell("1"), Cell(fixed(_zero(total), places), total), Cell("0")]
    columns.append(Column(f"÷ {whole(count)}", optional=True))
    formula = Paragraph(
        f"∂loss/∂logit of {came} = (p − 1) ÷ N\n= ({significant(float(p[target]), 5)} − 1) ÷ {whole(count)}\n"
        f"= {significant((float(p[target]) - 1) / count, 5)}"
    )
    blocks: list[Block] = [Table(columns, rows, title="at the logits", total=sums), formula]
    if look.step.has_dropout:
        without = probability(float(look.in_inspect()[target]))
        blocks.append(Paragraph(f"With dropout off, as in Inspect, {came} has {without} with these weights."))
    return View("error", f"p − one-hot at token {look.position + 1}", sentence, blocks, look.parity())


def _what_the_step_did(look: StepLook, came: str) -> str:
    """What the last step, made of the whole batch, did to the logit of what came; empty where none is taken."""
    at = look.step.applied
    if not at:
        return ""
    before, now = look.logit(at - 1), look.logit(at)
    done = "raised" if now > before else "lowered" if now < before else "did not change"
    moved = f" by {significant(abs(now - before), 3)}, from {fixed(before, 3)} to {fixed(now, 3)}" if now != before else ""
    return f" Step {at}, of all predictions together, {done} the logit of {came}{moved}."


def _zero(total: float) -> float:
    """A sum that is 0 but for rounding."""
    return 0.0 if abs(total) < 1e-9 else total
