"""Experiments on learning in context: a random sequence that stands twice, over the training, and the parts that find its place.

The sequences and the scores of heads are those that a trainer measures (`lab.training.model_insights`).
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lab.analysis.insight_sentences import FORMED, head_name, strongest_head, uniform_score
from lab.core.errors import UserError
from lab.core.number_format import fixed, probability, whole
from lab.experiments.batch_passes import losses_of
from lab.experiments.context_window import by_range, standard_error
from lab.experiments.experiment_context import ExperimentContext, Ids
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.runs.run_schema import HEAD_SCORES
from lab.runs.weights_file import load_model
from lab.training.model_insights import MOST_REPEATED, head_scores, repeats
from lab.views.blocks import Cell, Column, Table, View
from lab.views.number_tables import Numbers, number, share
from models.check import check
from models.gpt import GPT

CLEAR, SMALLEST_GAIN = 2.0, 0.05
"""Standard errors, and the share of the first loss, from which on a gain is called one."""

SEQUENCES, LEAST_SEQUENCES = 200, 8
"""Sequences measured, as many as take a second or two: of eight the gain of the bundled model was 2.6 nats, of 200 1.8."""
MOST_SNAPSHOTS, MOST_HEADS = 12, 16


class Losses(NamedTuple):
    """Losses (B, r − 1) of places 2 to r of a sequence, in nats: the first time, the second, and of another one in its place."""

    first: Numbers
    second: Numbers
    another: Numbers

    @property
    def gain(self) -> float:
        return float(self.first.mean() - self.second.mean())

    @property
    def error(self) -> float:
        """Standard error of the gain."""
        return standard_error(self.first.mean(1) - self.second.mean(1))

    @property
    def helps(self) -> bool:
        """True if a sequence is clearly cheaper after itself than after another one, at the same places."""
        less = np.roll(self.another.mean(1), -1) - self.second.mean(1)  # row i of `another` is sequence i − 1 after sequence i
        return float(less.mean()) > CLEAR * standard_error(less)

    @property
    def is_gain(self) -> bool:
        """True if the second time is clearly cheaper than the first, and than the same sequence after another one."""
        return self.helps and self.gain > max(CLEAR * self.error, SMALLEST_GAIN * float(self.first.mean()))


def _sequences(context: ExperimentContext, passes: int) -> Tensor:
    """Random sequences, each followed by itself, (B, 2r), as many as so many passes over all can afford.

    Raises: UserError: where there is no room for any.
    """
    length = 2 * min(MOST_REPEATED, context.config.context // 2)
    count = max(LEAST_SEQUENCES, context.affordable(SEQUENCES * length, passes) // max(1, length))
    found = repeats(context.occurring(), context.config.context, context.opened.run.config.train.seed, count)
    if found is None:
        needs = "A sequence that stands twice needs a context of four tokens and two different ones in the text"
        raise UserError(f"{needs}: {context.run_name} has fewer; choose another run.")
    return torch.from_numpy(found)


def _losses(model: GPT, sequences: Tensor) -> Losses:
    ids: Ids = sequences.numpy()
    length = ids.shape[1] // 2
    other = np.concatenate([ids[:, :length], np.roll(ids[:, :length], 1, axis=0)], axis=1)
    found: Numbers = losses_of(model, ids).double().numpy()  # (B, 2r − 1)
    another: Numbers = losses_of(model, other).double().numpy()
    return Losses(found[:, : length - 1], found[:, length:], another[:, length:])


@experiment
def repeated_sequence(context: ExperimentContext) -> ExperimentResult:
    """Measures, over `sequences` of `repeated` random tokens that stand twice, the mean loss of a token the first time,
    `first_loss`, and the second, `second_loss`; their difference `in_context_gain` with its standard error `gain_error`, and
    whether it `is_gain`; and `another_loss`, with another random sequence in place of the second. The first token of each counts
    in none: that a sequence begins again cannot be known.

    Raises: UserError: if the context is too short.
    """
    losses = _losses(context.model, _sequences(context, 4))
    first, second = (float(each.mean()) for each in losses[:2])
    measures: dict[str, Measure] = {
        "sequences": len(losses.first),
        "repeated": losses.first.shape[1] + 1,
        "first_loss": first,
        "second_loss": second,
        "another_loss": float(losses.another.mean()),
        "in_context_gain": losses.gain,
        "gain_error": losses.error,
        "is_gain": losses.is_gain,
    }
    columns = [*map(Column, ("place in it", "first time", "second time")), Column("another sequence", optional=1)]
    title = f"loss in nats, {measures['sequences']} sequences of {measures['repeated']} random tokens"
    table = Table(columns, by_range(losses, first=2), title=title)
    return ExperimentResult(View("repeated_sequence", "a random sequence, twice", twice_in_words(losses), [table]), measures)


def twice_in_words(losses: Losses) -> str:
    """The sentence about a sequence that stands twice."""
    first, second, another = (float(each.mean()) for each in losses)
    begin = f"A token of a random sequence costs {fixed(first, 2)} nats the first time and {fixed(second, 2)} the second"
    if losses.is_gain:
        spread = f"standard error {fixed(losses.error, 2)}, {len(losses.first)} sequences"
        return f"{begin}: {fixed(losses.gain, 2)} less ({spread}), with the same weights. That is learned in context."
    if losses.gain < -CLEAR * losses.error:
        if losses.helps:
            less = fixed(another - second, 2)
            return (
                f"{begin}: more. But another one in its place costs {fixed(another, 2)}: to have seen the sequence saves {less}."
            )
        return f"{begin}: more. Here it does not help to have seen the sequence."
    if losses.gain <= CLEAR * losses.error:
        return f"{begin}. Here that is no clear gain: its standard error is {fixed(losses.error, 2)}."
    if not losses.helps:
        return f"{begin}, but so does another one in its place ({fixed(another, 2)}): here the repeat itself does not help."
    return f"{begin}. Here the gain is small: less than {probability(SMALLEST_GAIN, 0)} of the first."


@experiment
def repeats_over_training(context: ExperimentContext) -> ExperimentResult:
    """Measures over the run's snapshots, or of the model as it is: `last_gain`, the in-context gain at `last_step`, whether it
    `is_gain`, and `last_score`, the induction score of the strongest head then; `jump`, the largest rise of the gain from one
    snapshot to the next, from step `jump_from` to `jump_to`, its share of the highest gain, `jump_share`, 0 without one, and
    `jump_end`, the share of the training done by then. Raises: UserError: if the context is too short.
    """
    ids, run = _sequences(context, 3 * MOST_SNAPSHOTS), context.opened.run
    files = run.snapshots()
    most = max(2, context.affordable(3 * MOST_SNAPSHOTS * ids.numel()) // (3 * ids.numel()))
    steps, found, heads = [], list[Losses](), []
    for at in np.unique(np.linspace(0, len(files) - 1, most).round().astype(int)).tolist() if len(files) > 1 else [-1]:
        model, step = load_model(run, files[at].name) if at >= 0 else (context.model, context.opened.step)
        check()
        steps.append(step)
        found.append(_losses(model.eval(), ids))
        heads.append(strongest_head("induction", head_scores(model, ids)[2].tolist()))
        check()
    gains = [losses.gain for losses in found]
    at = int(np.argmax(np.diff(gains))) if len(gains) > 1 else -1
    measures: dict[str, Measure] = {
        "last_step": steps[-1],
        "last_gain": gains[-1],
        "is_gain": found[-1].is_gain,
        "jump": gains[at + 1] - gains[at],
        "jump_from": steps[at],
        "jump_to": steps[at + 1],
        "jump_share": (gains[at + 1] - gains[at]) / max(gains) if found[-1].is_gain else 0.0,
        "jump_end": steps[at + 1] / max(1, steps[-1]),
        "last_score": heads[-1].score,
    }
    scale = max(float(each.mean()) for losses in found for each in losses[:2]) or 1.0
    rows = []
    for step, losses, head in zip(steps, found, heads, strict=True):
        both = (number(each.mean(), 2, bar=float(each.mean()) / scale) for each in losses[:2])
        rows.append([Cell(whole(step)), *both, share(head.score), Cell(head.name)])
    columns = [*map(Column, ("step", "first time", "second time", "induction score")), Column("of head", optional=1)]
    table = Table(columns, rows, title="loss in nats at the run's snapshots, and the strongest head", selected=at + 1)
    if measures["is_gain"]:
        sentence = (
            f"From step {whole(steps[at])} to {whole(steps[at + 1])} comes {probability(float(measures['jump_share']), 0)} of "
            f"the gain. The best induction score goes from {probability(heads[at].score)} to {probability(heads[at + 1].score)}."
        )
    else:
        sentence = (
            f"Here the second time did not become clearly cheaper: {fixed(gains[-1], 2)} nats at step {whole(steps[-1])}. Best "
            f"induction score: {probability(heads[-1].score)}, an even share "
            f"{probability(uniform_score('induction', ids.shape[1] // 2))}."
        )
    missing = (
        "" if len(steps) > 1 else f"{run.name} has kept no snapshots of its training, so it shows no course; choose another run."
    )
    if missing:
        measures, sentence = {name: value for name, value in measures.items() if not name.startswith("jump")}, missing
    return ExperimentResult(View("repeats_over_training", "learning to learn in context", sentence, [table]), measures, missing)


@experiment
def induction_head(context: ExperimentContext) -> ExperimentResult:
    """Measures the `head` with the highest induction score, its `score`, and whether it counts as an induction head, `has_head`;
    `second_loss`, and `without_loss` with this head ablated; `lost`, the share of the in-context gain that goes with it, 0
    without a gain. Of the parts before it, whose output its keys read, the one that they miss most: `read_part`, and `read_loss`
    if its output is kept from these keys alone; and `back_head`, of the heads before it the one with the highest previous-token
    score, `back_score`, with `back_loss`, when it is ablated, and `back_read_loss`, when it is kept from the keys alone.

    A part is ablated by its mean output over the positions. Raises: UserError: if the context is too short.
    """
    layers, heads = context.config.layers, context.config.heads
    ids = _sequences(context, 2 * layers * (heads + 1))
    scores = dict(zip(HEAD_SCORES, head_scores(context.model, ids).tolist(), strict=True))
    check()
    losses = _losses(context.model, ids)
    best, second, length = strongest_head("induction", scores["induction"]), float(losses.second.mean()), ids.shape[1] // 2
    place = (best.layer, best.head)
    affordable = context.affordable(2 * ids.numel() * MOST_HEADS) // (2 * ids.numel())
    chosen = sorted(
        ((layer, head) for layer in range(layers) for head in range(heads)),
        key=lambda each: (-max(scores["induction"][each[0]][each[1]], scores["previous"][each[0]][each[1]]), each),
    )[: max(2, affordable)]
    parts: list[tuple[int, int | None]] = [*{*chosen, place}, *((layer, None) for layer in range(layers))]
    without, unread = dict[tuple[int, int | None], float](), dict[tuple[int, int | None], float]()
    for part in sorted(parts, key=lambda each: (each[0], heads if each[1] is None else each[1])):
        found = losses_of(context.model, ids.numpy(), part)
        without[part] = float(found[:, length:].double().mean())
        if part[0] < best.layer:
            found = losses_of(context.model, ids.numpy(), part, place)
            unread[part] = float(found[:, length:].double().mean())
    measures: dict[str, Measure] = {
        "head": best.name,
        "score": best.score,
        "has_head": best.score >= FORMED,
        "is_gain": losses.is_gain,
        "first_loss": float(losses.first.mean()),
        "second_loss": second,
        "without_loss": without[place],
        "lost": (without[place] - second) / losses.gain if losses.is_gain else 0.0,
    }
    if unread:
        read = max(unread, key=lambda each: unread[each])
        measures |= {"read_part": _part_name(read), "read_loss": unread[read]}
    if earlier := [(layer, head) for layer, head in unread if head is not None]:
        back = max(earlier, key=lambda each: scores["previous"][each[0]][each[1]])
        measures |= {"back_head": _part_name(back), "back_score": scores["previous"][back[0]][back[1]]}
        measures |= {"back_loss": without[back], "back_read_loss": unread[back]}
    scale = max(*without.values(), second)
    rows = [[Cell("none"), number(second, 2, bar=second / scale), Cell(""), Cell(""), Cell("")]]
    for (layer, head), loss in without.items():
        kept = number(unread[layer, head], 2) if (layer, head) in unread else Cell("")
        shares = (share(scores[kind][layer][head]) if head is not None else Cell("") for kind in ("induction", "previous"))
        rows.append([Cell(_part_name((layer, head))), number(loss, 2, bar=loss / scale), kept, *shares])
    names = ("without", "second time", f"kept from {best.name}'s keys", "induction score")
    columns = [*map(Column, names), Column("previous token", optional=1)]
    among = "" if len(chosen) == layers * heads else f", {len(chosen)} heads with high scores"
    title = f"loss in nats with one part ablated{among}; {len(ids)} sequences"
    table = Table(columns, rows, title=title, selected=1 + list(without).index(place))
    return ExperimentResult(View("induction_head", "with one part ablated", _head_sentence(measures), [table]), measures)


def _part_name(part: tuple[int, int | None]) -> str:
    return f"MLP {part[0] + 1}" if part[1] is None else f"head {head_name(part[0], part[1])}"


def _head_sentence(measures: dict[str, Measure]) -> str:
    second, without = (fixed(float(measures[name]), 2) for name in ("second_loss", "without_loss"))
    head = f"head {measures['head']} (induction score {probability(float(measures['score']))})"
    if not measures["is_gain"]:
        first = fixed(float(measures["first_loss"]), 2)
        return f"Here the second time is not clearly cheaper ({second} nats, the first {first}), so {head} has no gain to lose."
    lost = float(measures["lost"])
    gone = "all" if lost >= 0.995 else probability(max(0.0, lost), 0)
    words = f"Without {head} the second time costs {without} nats in place of {second}: {gone} of the gain is gone."
    if "read_part" in measures:
        words += f" Kept from its keys alone, {measures['read_part']} is missed most: {fixed(float(measures['read_loss']), 2)}"
        if float(measures.get("back_score", 0.0)) >= FORMED and measures["read_part"] != measures["back_head"]:
            back = fixed(float(measures["back_read_loss"]), 2)
            words += f"; {measures['back_head']}, which attends to the token before: {back}"
        words += "."
    return words
