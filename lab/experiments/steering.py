"""Experiments with steering: a direction added to the residual stream, what the model writes then, and what it costs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from lab.core.errors import UserError
from lab.core.number_format import fixed, probability
from lab.core.visible_text import shortened
from lab.experiments.experiment_context import ExperimentContext, Ids
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment, share
from lab.experiments.probes import Task, streams, task
from lab.views.blocks import Cell, Column, Table, View
from lab.views.number_tables import number
from models.check import check

if TYPE_CHECKING:
    from torch import Tensor

    from lab.experiments.linear_probe import Probed
    from models.gpt import GPT

STRENGTHS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)
"""α: the length of what is added, in mean lengths of the stream at that layer."""
USUAL = "mean space next: space"
"""The direction where none is asked for."""
LONGEST = 50
"""Most characters of it in the table."""
WRITTEN = 16
"""Tokens that are written for each strength."""
TEXT, AT_ONCE = 4096, 1024
"""Tokens of ordinary text on which the cost is measured, at most, and as many as are computed at once."""
CHANCE = 3
"""Directions by chance that are added for comparison."""


class Direction(NamedTuple):
    """A direction of the stream after a layer, (C,) of length 1, and where it comes from, in words."""

    vector: "Tensor"
    words: str


@contextmanager
def steered(model: "GPT", layer: int, added: "Tensor | None" = None, without: "Tensor | None" = None) -> Iterator[None]:
    """The model with `added` (C,) in the stream after a layer, 0-based, at every position (Turner et al. 2023); or with what
    lies along `without`, of length 1, taken out of it."""

    def hook(_: object, __: object, stream: "Tensor") -> "Tensor":
        if without is not None:
            stream = stream - (stream @ without)[..., None] * without
        return stream if added is None else stream + added

    handle = model.h[layer].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def direction(context: ExperimentContext, layer: int) -> Direction:
    """The direction that the input `toward` asks for: `A | B`, from the last token of prompt B to that of A; `token A`, its
    embedding; `probe NAME: CLASS`, the weights of a linear probe for a class of a property; `mean NAME: CLASS`, from the mean of
    all other places to that of the class.

    Raises: UserError: if it asks for none of these.
    """
    asked = context.inputs.get("toward", USUAL).strip()
    kind, _, rest = asked.partition(" ")
    if kind in ("probe", "mean"):
        return _of_property(context, layer, rest, kind)
    if kind == "token":
        ids = context.encode(rest)
        return Direction(
            _unit(context.model.wte.weight[ids[-1]].detach()), f"the embedding of “{context.tokenizer.label(ids[-1])}”"
        )
    one, bar, other = (part.strip() for part in asked.partition("|"))
    if not (bar and one and other):
        raise UserError(
            "Type two prompts with | between, as in happy | sad; or token and a word; or probe or mean, a property: its class."
        )
    name = f"blocks.{layer}.resid_post"
    ends = [context.trace(context.encode(text), ()).trace[name][-1] for text in (one, other)]
    return Direction(_unit(ends[0] - ends[1]), f"from “{other}” to “{one}”")


def _of_property(context: ExperimentContext, layer: int, asked: str, kind: str) -> Direction:
    name, _, class_ = (part.strip() for part in asked.partition(":"))
    found = task(replace(context, inputs={**context.inputs, "property": name}))
    if class_ not in found.names:
        raise UserError(f"“{name}” has no class {class_!r}; its classes are {', '.join(found.names)}.")
    at = found.names.index(class_)
    if not 0 < int((found.classes == at).sum()) < len(found.classes):
        raise UserError(f"No place of the {found.part} has “{name}” {class_}, or all have; choose another class.")
    both = _directions(found, dict(streams(context.model, found.ids))[f"MLP {layer + 1}"], at)
    words = {"mean": f"to the mean of “{name}”, {class_}", "probe": f"the probe's for “{name}”, {class_}"}
    return Direction(both[kind], words[kind])


def _directions(asked: Task, stream: "Tensor", at: int) -> "dict[str, Tensor]":
    """The two directions of a class: the weights of a probe, and the way from the mean of all other places to that of its own."""
    from lab.experiments.linear_probe import fit

    vectors, is_of = asked.vectors(stream), asked.classes == at
    weights, _ = fit(vectors, asked.classes, len(asked.names))
    return {"probe": _unit(weights[:, at]), "mean": _unit(vectors[is_of].mean(0) - vectors[~is_of].mean(0))}


def _unit(vector: "Tensor") -> "Tensor":
    length = float(vector.norm())
    if length < 1e-9:
        raise UserError("The two prompts end in the same vector, so there is no direction between them; type others.")
    return vector / length


@experiment
def steering(context: ExperimentContext) -> ExperimentResult:
    """Measures of the direction that the input `toward` names, added after `layer` with seven strengths α: for α = 1, 0, −1 the
    most probable next token, `top_plus`, `top` and `top_minus`; the token that α = 1 raises most, `raised`, from `raised_before`
    to `raised_after`; the loss on ordinary text, `loss`, with α = 1 `loss_plus`, with the direction taken out `loss_out`, and
    `loss_other`, the mean with α = 1 of directions by chance, the control; `cost_plus` and
    `cost_other`, what both add to the loss.

    Raises: UserError: without a prompt, a direction or the run's text.
    """
    import torch

    ids, layer, model = context.ids, context.layer, context.model
    way = direction(context, layer)
    windows, part = context.windows(max(2, context.affordable(TEXT, 12) // context.config.context))
    length = _mean_length(model, windows, layer)
    nexts, losses, rows = dict[float, "Tensor"](), dict[float, float](), list[list[Cell]]()
    for alpha in STRENGTHS:
        with steered(model, layer, alpha * length * way.vector):
            losses[alpha] = _loss(model, windows)
            nexts[alpha], text = _written(context, ids)
        rows.append(_row(fixed(alpha, 1, sign=True) if alpha else "0", losses[alpha], nexts[alpha], text))
    with steered(model, layer, without=way.vector):
        loss_out = _loss(model, windows)
        after, text = _written(context, ids)
    rows.append(_row("out", loss_out, after, text))
    chance = torch.randn(CHANCE, context.config.width, generator=torch.Generator().manual_seed(context.sampling.seed))
    others = []
    for vector in chance:
        with steered(model, layer, length * vector / vector.norm()):
            others.append(_loss(model, windows))
    raised = int((nexts[1.0] - nexts[0.0]).argmax())
    label = context.tokenizer.label
    measures: dict[str, Measure] = {
        "layer": layer + 1,
        "top": label(int(nexts[0.0].argmax())),
        "top_plus": label(int(nexts[1.0].argmax())),
        "top_minus": label(int(nexts[-1.0].argmax())),
        "raised": label(raised),
        "raised_before": float(nexts[0.0][raised]),
        "raised_after": float(nexts[1.0][raised]),
        "loss": losses[0.0],
        "loss_plus": losses[1.0],
        "loss_out": loss_out,
        "loss_other": fmean(others),
        "cost_plus": losses[1.0] - losses[0.0],
        "cost_other": fmean(others) - losses[0.0],
        "loss_other_low": min(others),
        "loss_other_high": max(others),
        "part": part,
    }
    columns = [Column("α"), Column("loss"), Column("p"), Column("next token, and what follows", "left")]
    title = f"after layer {layer + 1}; α = 1 is as long as the stream there; loss in nats on the {part}"
    table = Table(columns, rows, title=title, selected=STRENGTHS.index(0.0))
    return ExperimentResult(View("steering", f"steered: {way.words}", _sentence(measures), [table]), measures)


@experiment
def probe_use(context: ExperimentContext) -> ExperimentResult:
    """Measures whether the model uses what a probe for `space next` reads: for each layer its share of right answers, and the
    loss on ordinary text with three directions taken out of the stream there, one at a time: the probe's weights, the way between
    the means of both classes, and directions by chance. At the layer where the probe is right most often, `layer`: `right`,
    `is_found`, whether every fold is above the majority's; what taking out costs, `cost_probe`, `cost_mean`, by chance at most
    `cost_chance`; and the `loss`. `all_mean` is the highest cost of the means' over all layers.

    Raises: UserError: as `task`.
    """
    import torch

    from lab.experiments.linear_probe import majority, probe

    model = context.model
    asked = task(replace(context, inputs={"property": "space next"}), passes=2)
    windows, part = context.windows(max(2, context.affordable(TEXT, 5 * context.config.layers) // context.config.context))
    loss, base = _loss(model, windows), majority(asked.classes, asked.folds)
    chance = torch.randn(CHANCE, context.config.width, generator=torch.Generator().manual_seed(context.sampling.seed))
    found, costs, rows = list["Probed"](), list[dict[str, float]](), list[list[Cell]]()
    for name, stream in streams(model, asked.ids):
        if not name.startswith("MLP"):
            continue
        layer = len(found)
        found.append(probe(asked.vectors(stream), asked.classes, asked.control, asked.folds))
        ways = _directions(asked, stream, 1) | {f"chance {at}": _unit(vector) for at, vector in enumerate(chance)}
        cost = {}
        for way, vector in ways.items():
            with steered(model, layer, without=vector):
                cost[way] = _loss(model, windows) - loss
        costs.append({"probe": cost["probe"], "mean": cost["mean"], "chance": max(cost[way] for way in cost if "chance" in way)})
        rows.append(
            [Cell(str(layer + 1)), share(found[-1].mean), *(Cell(fixed(each, 3, sign=True)) for each in costs[-1].values())]
        )
    best = max(range(len(found)), key=lambda layer: found[layer].mean)
    measures: dict[str, Measure] = {
        "layer": best + 1,
        "right": found[best].mean,
        "majority": fmean(base),
        "is_found": min(found[best].right) > max(base),
        "loss": loss,
        **{f"cost_{way}": cost for way, cost in costs[best].items()},
        "all_mean": max(each["mean"] for each in costs),
        "part": part,
    }
    columns = [*map(Column, ("layer", "a probe is right", "the probe's", "the means'", "by chance"))]
    table = Table(
        columns, rows, title=f"what a direction that is taken out adds to the loss ({fixed(loss, 2)} nats, {part})", selected=best
    )
    right, most = probability(found[best].mean, 0), {way: fixed(cost, 3, sign=True) for way, cost in costs[best].items()}
    words = f"After layer {best + 1} a probe tells whether a space follows in {right} of places"
    sentence = f"{words}. Without its direction the loss changes by {most['probe']}, without that of the means by {most['mean']}."
    return ExperimentResult(View("probe_use", "read, and used?", sentence, [table]), measures)


def _row(name: str, loss: float, after: "Tensor", text: str) -> list[Cell]:
    return [Cell(name), number(loss, 2), Cell(probability(float(after.max()), 0)), Cell(shortened(text, LONGEST))]


def _mean_length(model: "GPT", windows: Ids, layer: int) -> float:
    """Mean length of the stream after a layer, over all places but the first of each window, whose stream is often far longer."""
    import torch

    found = dict(streams(model, torch.from_numpy(windows[:, :-1])))[f"MLP {layer + 1}"]
    return float(found[:, 1:].norm(dim=-1).mean() if found.shape[1] > 1 else found.norm(dim=-1).mean())


def _loss(model: "GPT", windows: Ids) -> float:
    """Mean −ln p of the windows' tokens."""
    import torch

    ids = torch.from_numpy(windows)
    losses = []
    for rows in ids.split(max(1, AT_ONCE // ids.shape[1])):
        with torch.no_grad():
            losses.append((float(model.loss(rows[:, :-1], rows[:, 1:])), len(rows)))
        check()
    return sum(loss * rows for loss, rows in losses) / len(ids)


def _written(context: ExperimentContext, ids: list[int]) -> "tuple[Tensor, str]":
    """The next token's probabilities (V,), and what the model goes on to write by greedy decoding."""
    import torch

    model, text = context.model, list(ids)
    with torch.no_grad():
        for _ in range(WRITTEN):
            logits = model(torch.tensor([text[-context.config.context :]]))[0, -1]
            if len(text) == len(ids):
                after = logits.double().softmax(-1)
            text.append(int(logits.argmax()))
            check()
    return after, context.tokenizer.decode(text[len(ids) :]).replace("\n", "⏎")


def _sentence(measures: dict[str, Measure]) -> str:
    before, after = (probability(float(measures[name]), 0) for name in ("raised_before", "raised_after"))
    loss, plus, other = (fixed(float(measures[name]), 2) for name in ("loss", "loss_plus", "loss_other"))
    cost = f"On ordinary text the loss goes from {loss} to {plus} nats; with as long a direction by chance to {other}."
    return f"With α = 1 “{measures['raised']}” rises most, from {before} to {after}. {cost}"
