"""Experiments with linear probes: where in the model a property of a token can be read, and since when in the training."""

from collections.abc import Iterator
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lab.core.errors import UserError
from lab.core.number_format import counted, probability, whole
from lab.experiments.batch_passes import attention_output, embedded, queries_keys_values
from lab.experiments.experiment_context import ExperimentContext, Ids
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.experiments.linear_probe import FOLDS, ProbeScores, control_classes, folds_of, majority, probe
from lab.experiments.token_properties import NONE, PATTERN, PROPERTIES, labels
from lab.runs.weights_file import load_model
from lab.views.blocks import Cell, Column, Table, View
from lab.views.number_tables import share
from models.check import check
from models.gpt import GPT

PLACES, LEAST_PLACES = 16384, 200
"""Places of the text that a probe is asked about: as many as take a second or two, and the fewest that a result is told from."""
MOST_SNAPSHOTS = 12
RARE = 0.95
"""Share of the most frequent class from which on accuracy hides the others."""


class ProbeTask(NamedTuple):
    """What a probe has to tell: the class of each place that has one, in windows (B, T) of the run's text."""

    name: str
    ids: Tensor
    has_class: Tensor
    """(B, T)"""
    classes: Tensor
    control: Tensor
    folds: Tensor
    """(N,) each, of the places that have a class."""
    class_names: list[str]
    part: str
    """The part of the text that the windows come from."""
    is_rare: bool

    @property
    def base(self) -> list[float]:
        """Shares of right answers without a look at the stream, of each fold: the majority's, or how frequent what is rare is."""
        right = majority(self.classes, self.folds)
        return [1 - each for each in right] if self.is_rare else right

    def scores(self, stream: Tensor) -> ProbeScores:
        """The scores of a probe of a stream (B, T, C)."""
        return probe(stream[self.has_class], self.classes, self.control, self.folds, self.is_rare)

    def measures(self, scores: ProbeScores) -> dict[str, Measure]:
        return {
            **{"best": scores.mean, "best_low": min(scores.right), "best_high": max(scores.right), "is_rare": self.is_rare},
            **{"control": fmean(scores.control), "majority": fmean(self.base), "majority_high": max(self.base)},
            "is_found": min(scores.right) > max(self.base),
        }


def separate_windows(context: ExperimentContext, least: int, passes: float = 1.0, *, training: bool = False) -> tuple[Ids, str]:
    """Windows (B, T) of the run's text that share no place, as many as so many forward passes can afford, and the part that they
    come from: the validation text, or the training text with `training`, or where the former has not twice the `least` places.

    Raises: UserError: if the run's text cannot be read.
    """
    length, parts = context.config.context, context.tokens()
    training = training or len(parts[1]) < max(2 * least, (length + 1) * FOLDS)
    separate = len(parts[0 if training else 1]) // (length + 1)
    windows, part = context.windows(max(FOLDS, min(separate, context.affordable(PLACES, passes) // length)), training=training)
    return windows[:, :-1], part


def probe_task(context: ExperimentContext, name: str = "", passes: float = 1.0, *, training: bool = False) -> ProbeTask:
    """The task of a property, by default that of the input `property`, on `separate_windows`.

    Raises: UserError: if the text has too few places, or but one class.
    """
    name = name or context.inputs.get("property", next(iter(PROPERTIES)))
    ids, part = separate_windows(context, LEAST_PLACES, passes, training=training)
    found, class_names = labels(name, ids, context.tokenizer, context.inputs.get(PATTERN, ""))
    has_class = torch.from_numpy(found != NONE)
    classes, tokens = torch.from_numpy(found)[has_class], torch.from_numpy(ids)
    rows = torch.arange(len(ids))[:, None].expand(ids.shape)[has_class]
    if len(classes) < LEAST_PLACES or int(has_class.any(1).sum()) < FOLDS:
        raise UserError(f"The {part} of {context.run_name} has {whole(len(classes))} places for “{name}”: too few to tell.")
    if len(set(classes.tolist())) < 2:
        raise UserError(f"“{name}” is the same at every place of the {part} of {context.run_name}; choose another property.")
    control = control_classes(classes, tokens[has_class], context.sampling.seed)
    folds = folds_of(rows)
    is_rare = fmean(majority(classes, folds)) > RARE
    return ProbeTask(name, tokens, has_class, classes, control, folds, class_names, part, is_rare)


@torch.no_grad()
def streams(model: GPT, ids: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The residual stream (B, T, C) of the embeddings, and after each attention and each MLP, with its name."""
    x = embedded(model, ids)
    yield "embeddings", x
    for layer, block in enumerate(model.blocks, 1):
        x = x + attention_output(block, *queries_keys_values(block, x))
        yield f"attention {layer}", x
        x = x + block.mlp(block.ln_2(x))
        yield f"MLP {layer}", x
        check()


@experiment
def probe_layers(context: ExperimentContext) -> ExperimentResult:
    """Measures of a linear probe for the input `property` on each residual stream: `best`, the highest mean share of right
    answers of five folds, in the stream `best_stream`, with its lowest and highest fold `best_low` and `best_high`; there
    `control`, that of the control task; `ties`, the number of other streams that are on average within these folds; `embedded`,
    that of the embeddings, and `is_added`, whether every fold is above all of theirs; `majority`, and `is_found`, whether every
    fold is above its highest, `majority_high`; `is_rare`, as in `linear_probe.probe`; `places`, `classes`.

    Raises: UserError: as `probe_task`.
    """
    task = probe_task(context, passes=2)
    scores = {name: task.scores(stream) for name, stream in streams(context.model, task.ids)}
    best = max(scores, key=lambda name: scores[name].mean)
    measures = task.measures(scores[best])
    is_added = bool(measures["is_found"]) and min(scores[best].right) > max(scores["embeddings"].right)
    measures |= {
        **{"best_stream": best, "ties": sum(each.mean >= min(scores[best].right) for each in scores.values()) - 1},
        **{"embedded": scores["embeddings"].mean, "is_added": is_added, "part": task.part},
        **{"places": len(task.classes), "classes": len(set(task.classes.tolist()))},
    }
    rows = [[Cell(name), *_cells(each)] for name, each in scores.items()]
    rows.append([Cell("chance" if task.is_rare else "majority"), share(fmean(task.base)), _range(task.base), Cell("")])
    columns = [Column("stream after", "left"), Column("right"), Column("five folds"), Column("control task")]
    title = f"{whole(len(task.classes))} places of the {task.part}, {measures['classes']} classes"
    table = Table(columns, rows, title=title, selected=list(scores).index(best))
    return ExperimentResult(View("probe_layers", f"a probe for “{task.name}”", _sentence(task.name, measures), [table]), measures)


@experiment
def probe_over_training(context: ExperimentContext) -> ExperimentResult:
    """Measures over the run's snapshots, of a probe for the input `property` on the stream that reads it best at the end,
    `best_stream`: the share of right answers in the first snapshot, `first`, and at the end, `last`; whether it `is_learned`,
    every fold at the end above all of the first; half of the way between them is done by step `half_step` of `last_step`,
    `half_share` of the training; `control`, that of the control task at the end.

    Raises: UserError: as `probe_task`.
    """
    task, run = probe_task(context, passes=MOST_SNAPSHOTS), context.opened.run
    files = [file for file in run.snapshots() if file.step < context.opened.step]
    chosen = np.unique(np.linspace(0, len(files) - 1, MOST_SNAPSHOTS - 1).round().astype(int)).tolist() if files else []
    scores = dict[int, dict[str, ProbeScores]]()
    for at in [*chosen, None]:
        model, step = (context.model, context.opened.step) if at is None else load_model(run, files[at].name)
        scores[step] = {name: task.scores(stream) for name, stream in streams(model, task.ids)}
    steps, last_scores = list(scores), scores[context.opened.step]
    best = max(last_scores, key=lambda name: last_scores[name].mean)
    course = [scores[step][best] for step in steps]
    first, last = course[0].mean, course[-1].mean
    half = next(at for at, each in enumerate(course) if each.mean >= (first + last) / 2) if last > first else 0
    measures = task.measures(course[-1]) | {
        **{"best_stream": best, "first": first, "last": last, "is_learned": min(course[-1].right) > max(course[0].right)},
        **{"half_step": steps[half], "last_step": steps[-1], "half_share": steps[half] / max(1, steps[-1])},
    }
    rows = [
        [Cell(whole(step)), *_cells(each[best]), Cell(max(each, key=lambda name: each[name].mean))]
        for step, each in scores.items()
    ]
    columns = [*map(Column, ("step", "right", "five folds", "control task")), Column("best read after", "left", optional=1)]
    title = f"the stream after {best}; {whole(len(task.classes))} places of the {task.part}, fewer for so many snapshots"
    words = (
        f"“{task.name}” is read from the stream after {best} in {probability(first, 0)} of places at step {whole(steps[0])}, "
        f"in {probability(last, 0)} at step {whole(steps[-1])}"
    )
    between = f"between steps {whole(steps[max(0, half - 1)])} and {whole(steps[half])}"
    learned = f"half of the way is done {between}" if measures["is_learned"] else "that is not clearly more"
    missing = "" if chosen else f"{run.name} has kept no snapshots of its training, so it shows no course; choose another run."
    table = Table(columns, rows, title=title, selected=half)
    view = View("probe_over_training", f"“{task.name}” over the training", missing or f"{words}; {learned}.", [table])
    return ExperimentResult(view, measures, missing)


def _cells(scores: ProbeScores) -> tuple[Cell, Cell, Cell]:
    """The cells of a probe: right, its folds, the control task."""
    return share(scores.mean), _range(scores.right), Cell(probability(fmean(scores.control), 0))


def _range(shares: list[float]) -> Cell:
    return Cell(f"{probability(min(shares), 0)} to {probability(max(shares), 0)}")


def _sentence(name: str, measures: dict[str, Measure]) -> str:
    best, low, high, base, control, tokens = (
        probability(float(measures[key]), 0) for key in ("best", "best_low", "best_high", "majority", "control", "embedded")
    )
    base_name, places = ("chance", "the places that it finds likeliest") if measures["is_rare"] else ("the majority", "places")
    others = f"{base_name} is right in {base}, the control task in {control}"
    ties = f"; {counted(int(measures['ties']), 'other stream')} within these" if measures["ties"] else ""
    stream = "from the embeddings" if measures["best_stream"] == "embeddings" else f"after {measures['best_stream']}"
    read = f"A linear probe tells “{name}” {stream} in {best} of {places} (folds {low} to {high}{ties})"
    if measures["best_stream"] == "embeddings":
        added = "no layer is better"
    else:
        clearly = "layers make it easier to read" if measures["is_added"] else "no layer is clearly better"
        added = f"from the embeddings in {tokens}: {clearly}"
    if not measures["is_found"]:
        return f"{read}; {others}. That is not clearly above {base_name}: the probe finds nothing."
    as_easy = not measures["is_added"] and float(measures["best_low"]) <= float(measures["control"])
    remembered = ": what it reads it may only remember" if as_easy else ""
    return f"{read}; {added}. {others.capitalize()}{remembered}."
