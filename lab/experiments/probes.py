"""Experiments with linear probes: where in the model a property of a token can be read, and since when in the training."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lab.core.errors import UserError
from lab.core.number_format import probability, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment, share
from lab.experiments.token_properties import NONE, PATTERN, PROPERTIES, labels
from lab.views.blocks import Cell, Column, Table, View
from models.check import check

if TYPE_CHECKING:
    from torch import Tensor

    from lab.experiments.linear_probe import Probed
    from models.gpt import GPT

PLACES, LEAST_PLACES = 16384, 200
"""Places of the text that are asked about: as many as take a second or two, and the fewest that a result is told from."""
MOST_SNAPSHOTS = 12


class Task(NamedTuple):
    """What a probe is asked: windows (B, T) of the run's text, the places in them that have a class, and the classes."""

    ids: "Tensor"
    asked: "Tensor"
    """(B, T), True where there is a class."""
    classes: "Tensor"
    control: "Tensor"
    folds: "Tensor"
    """(N,) each, of the places that are asked."""
    names: list[str]
    part: str
    """The part of the text that the windows come from."""

    def vectors(self, stream: "Tensor") -> "Tensor":
        """The (N, C) of a stream (B, T, C)."""
        return stream[self.asked]


def task(context: ExperimentContext, passes: float = 1.0) -> Task:
    """The task of the inputs `property` and `pattern`. Raises: UserError: if the text has too few places or but one class."""
    import torch

    from lab.experiments.linear_probe import FOLDS, control_classes, folds_of

    name = asked_property(context)
    length = context.config.context
    parts = context.tokens()
    is_short = len(parts[1]) < max(LEAST_PLACES * 2, (length + 1) * FOLDS)
    apart = len(parts[0 if is_short else 1]) // (length + 1)  # windows that share places would be in two folds
    windows, part = context.windows(max(FOLDS, min(apart, context.affordable(PLACES, passes) // length)), training=is_short)
    ids = windows[:, :-1]
    found, names = labels(name, ids, context.tokenizer, context.inputs.get(PATTERN, ""))
    asked = torch.from_numpy(found != NONE)
    classes, tokens = torch.from_numpy(found)[asked], torch.from_numpy(ids)
    rows = torch.arange(len(ids))[:, None].expand(ids.shape)[asked]
    if len(classes) < LEAST_PLACES or len(rows.unique()) < FOLDS:
        raise UserError(f"The {part} of {context.run_name} has {whole(len(classes))} places for “{name}”: too few to tell.")
    if len(classes.unique()) < 2:
        raise UserError(f"“{name}” is the same at every place of the {part} of {context.run_name}; choose another property.")
    control = control_classes(classes, tokens[asked], context.sampling.seed)
    return Task(tokens, asked, classes, control, folds_of(rows), names, part)


def asked_property(context: ExperimentContext) -> str:
    """The name of the property that is asked for."""
    return context.inputs.get("property", next(iter(PROPERTIES)))


def streams(model: "GPT", ids: "Tensor") -> "Iterator[tuple[str, Tensor]]":
    """The residual stream (B, T, C) of the embeddings, and after each attention and each MLP, with its name."""
    import torch

    from lab.experiments.batch_passes import attention_output, embedded, queries_keys_values

    with torch.no_grad():
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
    `control`, that of the control task; `embedded`, that of the embeddings, and `is_added`, whether every fold is above all
    of theirs; `majority`, and `is_found`, whether every fold is above its highest, `majority_high`; `places`, `classes`.

    Raises: UserError: as `task`.
    """
    from lab.experiments.linear_probe import majority, probe

    asked = task(context, passes=2)
    base = majority(asked.classes, asked.folds)
    found = {
        name: probe(asked.vectors(stream), asked.classes, asked.control, asked.folds)
        for name, stream in streams(context.model, asked.ids)
    }
    best = max(found, key=lambda name: found[name].mean)
    measures = _measures(found[best], base) | {
        "best_stream": best,
        "embedded": found["embeddings"].mean,
        "is_added": min(found[best].right) > max(*base, *found["embeddings"].right),
        "places": len(asked.classes),
        "classes": len(asked.classes.unique()),
        "part": asked.part,
    }
    rows = [[Cell(name), *_cells(each)] for name, each in found.items()]
    rows.append(
        [
            Cell("majority"),
            share(float(np.mean(base))),
            Cell(f"{probability(min(base), 0)} to {probability(max(base), 0)}"),
            Cell(""),
        ]
    )
    columns = [Column("stream after", "left"), Column("right"), Column("five folds"), Column("control task")]
    title = f"{whole(len(asked.classes))} places of the {asked.part}, {measures['classes']} classes"
    table = Table(columns, rows, title=title, selected=list(found).index(best))
    name = asked_property(context)
    return ExperimentResult(View("probe_layers", f"a probe for “{name}”", _sentence(name, measures), [table]), measures)


@experiment
def probe_over_training(context: ExperimentContext) -> ExperimentResult:
    """Measures over the run's snapshots, of a probe for the input `property` on the stream that reads it best at the end,
    `best_stream`: the share of right answers with random weights, `first`, and at the end, `last`; half of the way between
    them is done by step `half_step` of `last_step`, `half_share` of the training; `control`, that of the control task at the end.

    Raises: UserError: as `task`.
    """
    from lab.experiments.linear_probe import majority, probe
    from lab.runs.weights_file import load_model

    asked, run = task(context, passes=MOST_SNAPSHOTS), context.opened.run
    base = majority(asked.classes, asked.folds)
    files = run.snapshots()
    chosen = np.unique(np.linspace(0, len(files) - 1, MOST_SNAPSHOTS).round().astype(int)).tolist() if len(files) > 1 else []
    found = list[tuple[int, dict[str, "Probed"]]]()
    for at in [*chosen, -1]:
        model, step = load_model(run, files[at].name) if at >= 0 else (context.model, context.opened.step)
        if at < 0 and found and step == found[-1][0]:
            break
        read = streams(model.eval(), asked.ids)
        found.append((step, {name: probe(asked.vectors(x), asked.classes, asked.control, asked.folds) for name, x in read}))
    last_step, last = found[-1]
    best = max(last, key=lambda name: last[name].mean)
    shares = [each[best].mean for _, each in found]
    half = next(at for at, each in enumerate(shares) if each >= (shares[0] + shares[-1]) / 2)
    measures = _measures(last[best], base) | {
        "best_stream": best,
        "first": shares[0],
        "last": shares[-1],
        "half_step": found[half][0],
        "last_step": last_step,
        "half_share": found[half][0] / max(1, last_step),
    }
    rows = [[Cell(whole(step)), *_cells(each[best]), Cell(max(each, key=lambda name: each[name].mean))] for step, each in found]
    columns = [*map(Column, ("step", "right", "five folds", "control task")), Column("best read after", "left", optional=1)]
    table = Table(
        columns, rows, title=f"the stream after {best}; {whole(len(asked.classes))} places of the {asked.part}", selected=half
    )
    name, missing = asked_property(context), ""
    if len(found) < 2:
        missing = f"{run.name} has kept no snapshots of its training, so it shows no course; choose another run."
    first, end = (probability(each, 0) for each in (shares[0], shares[-1]))
    sentence = (
        f"“{name}” is read from the stream after {best} in {first} of places at step {whole(found[0][0])}, at the end in {end}"
    )
    sentence += f"; half of the way is done by step {whole(found[half][0])}." if shares[-1] > shares[0] else "."
    view = View("probe_over_training", f"“{name}” over the training", missing or sentence, [table])
    return ExperimentResult(view, measures, missing)


def _cells(each: "Probed") -> tuple[Cell, Cell, Cell]:
    """The cells of a probe: right, its folds, the control task."""
    folds = f"{probability(min(each.right), 0)} to {probability(max(each.right), 0)}"
    return share(each.mean), Cell(folds), Cell(probability(each.control_mean, 0))


def _measures(found: "Probed", base: list[float]) -> dict[str, Measure]:
    return {
        "best": found.mean,
        "best_low": min(found.right),
        "best_high": max(found.right),
        "control": found.control_mean,
        "majority": float(np.mean(base)),
        "majority_high": max(base),
        "is_found": min(found.right) > max(base),
    }


def _sentence(name: str, measures: dict[str, Measure]) -> str:
    best, base, control, tokens = (probability(float(measures[key]), 0) for key in ("best", "majority", "control", "embedded"))
    spread = f"folds {probability(float(measures['best_low']), 0)} to {probability(float(measures['best_high']), 0)}"
    read = f"A linear probe tells “{name}” after {measures['best_stream']} in {best} of places ({spread})"
    others = f"The majority is right in {base}, the control task in {control}."
    if measures["is_added"]:
        return f"{read}, from the embeddings in {tokens}: layers have added it. {others}"
    if measures["is_found"]:
        return f"{read}, from the embeddings in {tokens}: the token and its place alone tell it. {others}"
    return f"{read}. {others} That is not clearly above the majority: the probe finds nothing."
