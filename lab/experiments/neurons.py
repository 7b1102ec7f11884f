"""An experiment on the neurons of MLPs: whether the places of the text where one is strongest share a property."""

from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lab.core.errors import UserError
from lab.core.number_format import probability, whole
from lab.experiments.experiment_context import ExperimentContext, Ids
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.experiments.linear_probe import FOLDS, folds_of
from lab.experiments.probes import separate_windows, streams
from lab.experiments.token_properties import NONE, PROPERTIES, TWO_BACK, labels
from lab.views.blocks import Cell, Column, Table, View
from lab.views.number_tables import share
from models.check import check
from models.gelu import gelu

LEAST_PLACES = 400
"""The fewest places of the text: of a fold of it, the strongest ones are then an eighth."""
STRONGEST, SHARED, COMMON = 10, 9, 0.5
"""Places where a neuron is strongest; so many of them must be of one class; and the share of all places from which on that says
little."""


class PlaceClasses(NamedTuple):
    """The classes of places (N, properties), numbered through over all properties; the last number stands for none."""

    classes: Tensor
    property_of: list[str]
    """Of each class."""


def place_classes(context: ExperimentContext, ids: Ids) -> PlaceClasses:
    """The classes of all properties, and of the token itself, at each place of windows (B, T)."""
    columns, property_of = [np.unique(ids, return_inverse=True)[1].reshape(-1)], list[str]()
    property_of += ["token itself"] * (int(columns[0].max()) + 1)
    for name in (*PROPERTIES, TWO_BACK):
        found, class_names = labels(name, ids, context.tokenizer)
        columns.append(np.where(found == NONE, NONE, found + len(property_of)).reshape(-1))
        property_of += [name] * len(class_names)
    stacked = torch.from_numpy(np.stack(columns, 1))
    return PlaceClasses(stacked.masked_fill(stacked == NONE, len(property_of)), property_of)


def strongest_counts(activations: Tensor, places: PlaceClasses, rows: Tensor) -> Tensor:
    """Number (M, classes) of each class among the places where each of M neurons is strongest, of those in `rows` (n,)."""
    top = rows[activations[rows].topk(STRONGEST, dim=0).indices]  # (STRONGEST, M)
    classes = places.classes[top].permute(1, 0, 2).flatten(1)  # (M, STRONGEST · properties)
    counts = torch.zeros(len(classes), len(places.property_of) + 1)
    return counts.scatter_add_(1, classes, torch.ones(classes.shape))[:, :-1]


def shared_classes(activations: Tensor, places: PlaceClasses, folds: Tensor) -> tuple[Tensor, Tensor]:
    """Whether each neuron's strongest places share a class, (FOLDS, M), of activations (N, M): the class is the one that the
    strongest places of four folds have most above its share of all places, asked of the fifth. And that class, (FOLDS, M)."""
    every = torch.arange(len(folds))
    usual = torch.bincount(places.classes.flatten(), minlength=len(places.property_of) + 1)[:-1] / len(folds)
    varies = activations.amax(0) > activations.amin(0)
    shared, chosen = list[Tensor](), list[Tensor]()
    for fold in range(FOLDS):
        lift = strongest_counts(activations, places, every[folds != fold]) / STRONGEST - usual
        best = lift.masked_fill(usual > COMMON, -1.0).argmax(1)  # (M,)
        held_out = strongest_counts(activations, places, every[folds == fold])
        shared.append(varies & (held_out.gather(1, best[:, None])[:, 0] >= SHARED))
        chosen.append(best)
        check()
    return torch.stack(shared), torch.stack(chosen)


@experiment
def neuron_concepts(context: ExperimentContext) -> ExperimentResult:
    """Measures the share of the `neurons` of all MLPs whose strongest places are of one class of a property, on folds of the text
    that did not choose it: `shared`, of five folds from `shared_low` to `shared_high`. Its controls: `mixed`, of random
    directions of the neurons' space, at most `mixed_high`, and `shuffled`, with the places' classes shuffled, at most
    `shuffled_high`; `is_special`, whether every fold is above both. `places`, and their `part` of the text.

    Raises: UserError: if the run's text cannot be read, or is too short.
    """
    ids, part = separate_windows(context, LEAST_PLACES)
    if ids.size < LEAST_PLACES or len(ids) < FOLDS:
        raise UserError(f"The {part} of {context.run_name} has {whole(ids.size)} places to look at: too few to tell.")
    places = place_classes(context, ids)
    draws = torch.Generator().manual_seed(context.sampling.seed)
    shuffled = places._replace(classes=places.classes[torch.randperm(ids.size, generator=draws)])
    folds = folds_of(torch.arange(len(ids)).repeat_interleave(ids.shape[1]))
    found, rows = list[list[Tensor]](), list[list[Cell]]()
    for name, stream in streams(context.model, torch.from_numpy(ids)):
        if not name.startswith("attention"):
            continue
        block = context.model.blocks[len(rows)]
        with torch.no_grad():
            neurons = gelu(block.mlp.c_fc(block.ln_2(stream))).flatten(0, 1)  # (N, M)
            mixed = neurons @ torch.randn(neurons.shape[1], neurons.shape[1], generator=draws)
        own, classes = shared_classes(neurons, places, folds)
        found.append([own, shared_classes(mixed, places, folds)[0], shared_classes(neurons, shuffled, folds)[0]])
        names = [places.property_of[class_] for class_ in classes[own].tolist()]
        shares = (share(float(each.float().mean())) for each in found[-1])
        rows.append([Cell(str(len(rows) + 1)), *shares, Cell(max(sorted(set(names)), key=names.count, default=""))])
    measures: dict[str, Measure] = {"neurons": sum(own.shape[1] for own, *_ in found), "places": ids.size, "part": part}
    shares_of = dict[str, list[float]]()
    for name, shared in zip(("shared", "mixed", "shuffled"), zip(*found, strict=True), strict=True):
        shares_of[name] = torch.cat(shared, 1).float().mean(1).tolist()  # of each fold
        measures |= {name: fmean(shares_of[name]), f"{name}_low": min(shares_of[name]), f"{name}_high": max(shares_of[name])}
    measures["is_special"] = min(shares_of["shared"]) > max(*shares_of["mixed"], *shares_of["shuffled"])
    keys = ("shared", "shared_low", "shared_high", "mixed", "mixed_low", "mixed_high", "shuffled")
    own_share, low, high, of_mixed, mixed_low, mixed_high, of_shuffled = (probability(float(measures[name]), 0) for name in keys)
    clearly = "That is more in every fold" if measures["is_special"] else "That is not clearly more"
    count = whole(int(measures["neurons"]))
    sentence = (
        f"Of {count} neurons, the strongest places of {own_share} share a property (folds {low} to {high}), of random mixtures "
        f"those of {of_mixed} ({mixed_low} to {mixed_high}), with shuffled places {of_shuffled}. {clearly}."
    )
    columns = [*map(Column, ("layer", "neurons", "mixtures", "shuffled")), Column("most often", "left", optional=1)]
    title = f"{SHARED} of {STRONGEST} strongest places share a property; {whole(ids.size)} of the {part}"
    view = View("neuron_concepts", "what neurons are strongest at", sentence, [Table(columns, rows, title=title)])
    return ExperimentResult(view, measures)
