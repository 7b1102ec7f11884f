"""Experiments with directions of the residual stream: added to it, or taken out of it, and what that costs on ordinary text."""

from collections.abc import Callable
from dataclasses import replace
from statistics import fmean

import torch
from torch import Tensor
from torch.nn.functional import normalize

from lab.core.errors import UserError
from lab.core.number_format import fixed, probability
from lab.experiments.context_window import standard_error
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.experiments.features import nearest_features
from lab.experiments.layer_streams import CHANCE, chance_directions, logits_with, mean_length, stream_after, window_losses
from lab.experiments.linear_probe import ProbeScores, fit
from lab.experiments.probes import ProbeTask, probe_task, streams
from lab.inspect.intervention_effect import Cost
from lab.inspect.interventions import Interventions
from lab.views.blocks import Cell, Column, Table, View
from lab.views.number_tables import number, share

STRENGTHS = (2.0, 1.0, 0.5, 0.0, -0.5, -1.0)
"""α: the length of what is added, in mean lengths of the stream at that layer."""
USUAL = "mean space next: space"
"""The direction where none is asked for."""
ANY_SPACE = {"space": "any white space", "no space": "no white space"}
LONGEST, PROMPT, WRITTEN = 50, 24, 16
"""Most characters of a text in the table and of the prompt's end, and tokens that are written for each strength."""
TEXT = 4096
"""Tokens of ordinary text on which the cost is measured, at most."""
MOST_KEPT = 32
"""Directions that are kept with a model's weights."""
CLEAR, LEAST_COST = 2.0, 0.05
"""Standard errors, and nats, from which on a cost is called one."""


Change = Callable[[Tensor], Tensor]


def steered(added: Tensor | float = 0.0, without: Tensor | None = None) -> Change:
    """What makes a stream (..., C) one with `added` (C,) at every position (Turner et al. 2023); and before that with what lies
    along `without`, of length 1, taken out of it."""

    def changed(stream: Tensor) -> Tensor:
        return (stream if without is None else stream - (stream @ without)[..., None] * without) + added

    return changed


def direction(context: ExperimentContext) -> tuple[Tensor, str]:
    """The direction that the input `toward` asks for, (C,) of length 1 in the stream after the layer at hand, and where it comes
    from, in words: `A | B`, from the last token of prompt B to that of A; `token A`, its embedding, or that of “ A”, with a
    space, where that is one token; `probe NAME: CLASS`, the weights of a linear probe for a class of a property; `mean NAME:
    CLASS`, from the mean of all other places to that of the class; `feature N`, of the run's sparse autoencoder.

    Raises: UserError: if it asks for none of these.
    """
    toward = context.inputs.get("toward", USUAL).strip()
    kind, _, rest = toward.partition(" ")
    if kind == "token":
        word = context.tokenizer.encode(f" {rest}")
        id_ = word[0] if len(word) == 1 else context.encode(rest)[-1]
        vector, words = context.model.wte.weight[id_].detach(), f"the embedding of “{context.tokenizer.label(id_)}”"
    elif kind == "feature" and "|" not in rest:
        vector, words = _feature(context, rest), f"feature {rest}"
    elif kind in ("probe", "mean"):
        name, _, class_ = (part.strip() for part in rest.partition(":"))
        task = probe_task(context, name, training=True)
        if class_ not in task.class_names:
            raise UserError(f"“{name}” has no class {class_!r}; its classes are {', '.join(task.class_names)}.")
        at = task.class_names.index(class_)
        if not 0 < int((task.classes == at).sum()) < len(task.classes):
            raise UserError(f"No place of the {task.part} has “{name}” {class_}, or all have; choose another class.")
        both = class_directions(task, stream_after(context.model, task.ids, context.layer), at)
        vector, whose = (both[0], "the probe's for") if kind == "probe" else (both[1], "to the mean of")
        words = f"{whose} “{name}”, {ANY_SPACE.get(class_, class_)}"
    else:
        one, bar, other = (part.strip() for part in toward.partition("|"))
        if not (bar and one and other) or "|" in other:
            forms = "Type two prompts with one | between, as in happy | sad; or token and a word"
            raise UserError(f"{forms}; probe or mean, a property: its class; or feature and a number.")
        name = f"blocks.{context.layer}.resid_post"
        ends = [context.trace(context.encode(text), ()).trace[name][-1] for text in (one, other)]
        vector, words = ends[0] - ends[1], f"from “{other}” to “{one}”"
    if float(vector.norm()) < 1e-9:
        raise UserError("The two prompts end in the same vector, so there is no direction between them; type others.")
    return normalize(vector, dim=0), words


def _feature(context: ExperimentContext, number: str) -> Tensor:
    found, name = nearest_features(context), context.run_name
    if found is None:
        raise UserError(f"{name} has no features; `llmlab features {name} --fit` fits them.")
    count = len(found.autoencoder.decoder)
    if not (number.isdecimal() and int(number) < count):
        raise UserError(f"{name} has no feature {number!r}: its features are 0 to {count - 1}.")
    if found.layer != context.layer:
        raise UserError(f"The features of {name} are of the stream after layer {found.layer + 1}; go to that layer.")
    return found.autoencoder.decoder[int(number)]


@torch.no_grad()
def named_direction(context: ExperimentContext) -> tuple[Tensor, float]:
    """The direction of `direction`, and the mean length of the stream there: on the run's text, or where it has none, on the
    prompt. Computed once, and kept with the weights.

    Raises: UserError: as `direction`.
    """
    has_text = context.opened.run.config.has_text
    key = (context.inputs["toward"], context.layer, () if has_text else tuple(context.ids))
    kept = context.opened.directions
    if key not in kept:
        vector, _ = direction(context)
        windows = context.windows(max(2, context.affordable(TEXT) // context.config.context))[0][:, :-1] if has_text else None
        ids = torch.tensor([context.ids]) if windows is None else torch.from_numpy(windows)
        while len(kept) >= MOST_KEPT:
            del kept[next(iter(kept))]
        kept[key] = vector, mean_length(stream_after(context.model, ids, context.layer))
    return kept[key]


@torch.no_grad()
def directions_cost(context: ExperimentContext, made: Interventions) -> Cost:
    """The cost on ordinary text of interventions along directions, all together, and of directions by chance in their places.

    Raises: UserError: as `direction`, or if the run's text is not there.
    """
    windows, part = context.windows(max(2, context.affordable(TEXT, CHANCE + 2) // context.config.context))
    changed = [dict[int, Change]() for _ in range(CHANCE + 2)]
    for each in made:
        vector, length = named_direction(replace(context, layer=each.layer, inputs={"toward": each.toward}))
        stream = stream_after(context.model, torch.from_numpy(windows[:, :-1]), each.layer)
        for changes, along in zip(changed[1:], (vector, *chance_directions(stream, context.sampling.seed)), strict=True):
            is_added = each.how == "steer"
            changes[each.layer] = steered(each.factor * length * along) if is_added else steered(without=along)
    losses = [window_losses(context.model, windows, changes) for changes in changed]
    before, after, *others = (float(each.mean()) for each in losses)
    error = standard_error((losses[1] - losses[0]).numpy())
    return Cost(part, before, after, error, min(others), max(others), context.opened.step)


def class_directions(task: ProbeTask, stream: Tensor, at: int) -> tuple[Tensor, Tensor]:
    """Two directions of a class, (C,) of length 1: the weights of a probe, and from the mean of all other places to its own."""
    vectors, is_of = stream[task.has_class], task.classes == at
    weights, _ = fit(vectors, task.classes, len(task.class_names))
    return normalize(weights[:, at], dim=0), normalize(vectors[is_of].mean(0) - vectors[~is_of].mean(0), dim=0)


@experiment
def steering(context: ExperimentContext) -> ExperimentResult:
    """Measures of the direction that the input `toward` names, added after `layer` with six strengths α: for α = 1, 0, −1 the
    most probable next token, `top_plus`, `top` and `top_minus`; the token that α = 1 raises most, `raised`, from `raised_before`
    to `raised_after`; the loss on ordinary text, `loss`, with α = 1 `loss_plus`, with the direction held at its mean, `loss_out`,
    and with α = 1 of directions by chance, the control, `loss_other`, from `loss_other_low` to `loss_other_high`; `cost_plus`
    and `cost_other`, what both add to the loss.

    Raises: UserError: without a prompt, a direction or the run's text.
    """
    ids, layer, model = context.ids, context.layer, context.model
    vector, origin = direction(context)
    windows, part = context.windows(max(2, context.affordable(TEXT, len(STRENGTHS) + CHANCE) // context.config.context))
    stream = stream_after(model, torch.from_numpy(windows[:, :-1]), layer)
    length = mean_length(stream)
    level = (stream @ vector).mean() * vector
    nexts, losses, rows = dict[float, Tensor](), dict[float, float](), list[list[Cell]]()
    for alpha in (*STRENGTHS, None):
        added, without = (level, vector) if alpha is None else (alpha * length * vector, None)
        changes = {layer: steered(added, without)}
        loss, (after, text) = fmean(window_losses(model, windows, changes).tolist()), _written(context, ids, changes)
        if alpha is not None:
            losses[alpha], nexts[alpha] = loss, after
        name = "out" if alpha is None else fixed(alpha, 1, sign=True) if alpha else "0"
        shown = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
        rows.append([Cell(name), number(loss, 2), Cell(probability(float(after.max()), 0)), Cell(shown)])
    chance = [{layer: steered(length * each)} for each in chance_directions(stream, context.sampling.seed)]
    others = [fmean(window_losses(model, windows, changes).tolist()) for changes in chance]
    raised, label = int((nexts[1.0] - nexts[0.0]).argmax()), context.tokenizer.label
    tops = {alpha: int(after.argmax()) for alpha, after in nexts.items()}
    measures: dict[str, Measure] = {
        **{"layer": layer + 1, "top": label(tops[0.0]), "top_plus": label(tops[1.0]), "top_minus": label(tops[-1.0])},
        **{"raised": label(raised), "raised_before": float(nexts[0.0][raised]), "raised_after": float(nexts[1.0][raised])},
        **{"loss": losses[0.0], "loss_plus": losses[1.0], "loss_out": loss, "cost_plus": losses[1.0] - losses[0.0]},
        **{"loss_other": fmean(others), "loss_other_low": min(others), "loss_other_high": max(others)},
        **{"cost_other": fmean(others) - losses[0.0], "part": part},
    }
    before, plus, two = (probability(float(nexts[alpha].max()), 0) for alpha in (0.0, 1.0, 2.0))
    went = f"stays “{measures['top']}”, from {before} to" if tops[0.0] == tops[1.0] else f"becomes “{measures['top_plus']}” with"
    costs = [fixed(each, 2) for each in (losses[0.0], losses[1.0], min(others), max(others))]
    sentence = (
        f"With α = 1 the most probable next token {went} {plus}; with α = 2 it is “{label(tops[2.0])}” with {two}. The loss on "
        f"ordinary text goes from {costs[0]} to {costs[1]} nats, with directions by chance, as long, to {costs[2]} to {costs[3]}."
    )
    prompt = context.tokenizer.decode(ids).replace("\n", "⏎")
    columns = [Column("α"), Column("loss"), Column("p"), Column(f"next after “{prompt[-PROMPT:]}”", "left")]
    title = f"after layer {layer + 1}; α = 1 is as long as the stream; loss on the {part}"
    table = Table(columns, rows, title=title, selected=STRENGTHS.index(0.0))
    return ExperimentResult(View("steering", f"steered: {origin}", sentence, [table]), measures)


@experiment
def probe_use(context: ExperimentContext) -> ExperimentResult:
    """Measures whether the model uses what a probe for `space next` reads: for each layer the probe's share of right answers, and
    what it adds to the loss on ordinary text that one direction of the stream there is held at its mean: the probe's weights, the
    difference of the means of both classes, or one by chance. The directions are those of the training text.

    At the layer where the probe is right most often, `layer`: `right`, `majority`, and `is_found`, whether every fold is above
    the majority's; the costs `cost_probe`, with its standard error over the windows `cost_error`, `cost_mean`, and of those by
    chance the highest, `cost_chance`; `is_used`, whether the first is clearly above the last, and above 0.05; and the `loss`.
    `all_mean` is the highest cost of the means' over all layers.

    Raises: UserError: as `probe_task`.
    """
    model, layers = context.model, context.config.layers
    task = probe_task(context, "space next", passes=2, training=True)
    windows, part = context.windows(max(2, context.affordable(TEXT, (CHANCE + 2) * layers) // context.config.context))
    loss = window_losses(model, windows)
    scores, costs, errors = list[ProbeScores](), list[tuple[float, float, float]](), list[float]()
    for name, stream in streams(model, task.ids):
        if name.startswith("MLP"):
            changes = list[Tensor]()
            for vector in (*class_directions(task, stream, 1), *chance_directions(stream, context.sampling.seed)):
                held = {len(scores): steered((stream @ vector).mean() * vector, vector)}
                changes.append(window_losses(model, windows, held) - loss)
            of_probe, of_means, *of_chance = (float(each.mean()) for each in changes)
            costs.append((of_probe, of_means, max(of_chance)))
            errors.append(standard_error(changes[0].numpy()))
            scores.append(task.scores(stream))
    best = max(range(layers), key=lambda layer: scores[layer].mean)
    found = task.measures(scores[best])
    of_probe, of_means, most = costs[best]
    measures: dict[str, Measure] = {
        **{"layer": best + 1, "right": scores[best].mean, "majority": found["majority"], "is_found": found["is_found"]},
        **{"loss": float(loss.mean()), "cost_probe": of_probe, "cost_error": errors[best], "cost_mean": of_means},
        **{"cost_chance": most, "is_used": of_probe - CLEAR * errors[best] > max(LEAST_COST, most)},
        **{"all_mean": max(each[1] for each in costs), "part": part},
    }
    right, base = (probability(float(measures[name]), 0) for name in ("right", "majority"))
    clearly = "" if found["is_found"] else ", not clearly less"
    probe_cost, means_cost, chance_cost = (fixed(each, 3, sign=True) for each in costs[best])
    sentence = (
        f"After layer {best + 1} a probe tells whether a space follows in {right} of places (majority {base}{clearly}). Held at "
        f"its mean, its direction changes the loss by {probe_cost} ± {fixed(errors[best], 3)}, the means' by {means_cost}, "
        f"one by chance by at most {chance_cost}."
    )
    rows = [
        [Cell(str(layer)), share(score.mean), *(Cell(fixed(each, 3, sign=True)) for each in cost)]
        for layer, (score, cost) in enumerate(zip(scores, costs, strict=True), 1)
    ]
    columns = [*map(Column, ("layer", "a probe is right", "the probe's", "the means'", "by chance"))]
    title = f"added to the loss ({fixed(float(loss.mean()), 2)} nats, {part}) by one direction at its mean"
    table = Table(columns, rows, title=title, selected=best)
    return ExperimentResult(View("probe_use", "read, and used?", sentence, [table]), measures)


@torch.no_grad()
def _written(context: ExperimentContext, ids: list[int], changes: dict[int, Change]) -> tuple[Tensor, str]:
    """The next token's probabilities (V,), and what the model goes on to write by greedy decoding."""
    text, probabilities = list(ids), list[Tensor]()
    for _ in range(WRITTEN):
        logits = logits_with(context.model, torch.tensor([text[-context.config.context :]]), changes)[0, -1]
        probabilities.append(logits.double().softmax(-1))
        text.append(int(logits.argmax()))
    return probabilities[0], context.tokenizer.decode(text[len(ids) :]).replace("\n", "⏎")
