"""`llmlab features`: fit a sparse autoencoder to a run's residual stream, and show its features."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from lab.cli.command_registry import Within
from lab.cli.completion import RUN
from lab.cli.model_options import checkpoint_option, told_weights
from lab.cli.output import table, table_of, wrapped, write_json
from lab.core import number_format
from lab.core.errors import UserError
from lab.core.limits import Limit

if TYPE_CHECKING:
    from lab.views.blocks import View

LISTED = 10
"""Features in the list: those that are active most often."""
FEATURES, SMALL, SEED = Within(Limit(1, 16384)), Within(Limit(1, 16384)), Within(Limit(0, 1 << 31))


@click.command(short_help="Find features in the residual stream of a model.")
@click.argument("run", default="demo", type=RUN)
@click.option("--feature", type=Within(Limit(0, 16383)), metavar="N", help="Show this feature.")
@click.option("-p", "--prompt", metavar="TEXT", help="Show the features of the last token of this prompt.")
@click.option("--fit", "fits", is_flag=True, help="Fit anew, in place of those after that layer.")
@click.option("--layer", type=SMALL, metavar="N", help="After this layer. [default: those fitted last; to fit, the middle one]")
@click.option("--features", type=FEATURES, default=512, metavar="N", show_default=True, help="Features to fit.")
@click.option("--active", type=SMALL, default=8, metavar="N", show_default=True, help="Features active at a place.")
@click.option("--seed", type=SEED, default=0, metavar="N", show_default=True, help="Decides the fit's randomness.")
@checkpoint_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def features(
    run: str,
    feature: int | None,
    prompt: str | None,
    fits: bool,
    layer: int | None,
    features: int,
    active: int,
    seed: int,
    checkpoint: str | None,
    as_json: bool,
) -> None:
    """Fit a top-k sparse autoencoder to the residual stream of RUN (demo) after a layer, and show what it can and cannot do.

    What was fitted stays in the run's folder and is shown the next time at once; --fit fits anew. It is fitted to the run's
    training text and judged on its validation text.
    """
    from lab.core.machine import cores, refuse_without_room_for_torch

    refuse_without_room_for_torch()
    import torch

    from lab.experiments.experiment_context import ExperimentContext
    from lab.experiments.features import (
        activity,
        changed_most,
        feature_card,
        fit_cost,
        fit_features,
        load_features,
        save_features,
        token_parts,
    )
    from lab.experiments.features_view import card_view, doubt, judged, token_features
    from lab.inspect.model_cache import ModelCache
    from lab.planning.device import generation_threads
    from lab.runs.find_runs import open_run

    models = ModelCache()
    opened = models.model(run, told_weights(open_run(run), checkpoint))
    torch.set_num_threads(generation_threads(opened.model.config, cores()))
    context = ExperimentContext(opened, models.traces)
    at = None if layer is None else layer - 1
    found = None if fits else load_features(context, at)
    if found is None and not fits and (other := load_features(context)) is not None:
        raise UserError(f"The features of {run} are after layer {other.record.layer}; --fit fits some after layer {layer}, too.")
    if found is None:
        cost = fit_cost(context, at, features, active)
        words = f"{number_format.duration(cost.seconds)} and {number_format.bytes_(cost.memory)} of memory"
        click.echo(f"The fit takes about {words}; Ctrl-C ends it and leaves all as it is.", err=True)
        with click.progressbar(length=1000, label="fitting", hidden=as_json) as bar:
            found = fit_features(context, at, features, active, seed, lambda done: bar.update(round(1000 * done) - bar.pos))
        save_features(opened.run, found)
    if prompt is not None:
        context = replace(context, prompt=context.encode(prompt))
        stage = context.stage_context()
        if as_json:
            parts = token_parts(found, stage.trace[f"blocks.{found.layer}.resid_post"][-1])
            write_json({"token": opened.tokenizer.label(stage.ids[-1]), "features": parts.features, "error": parts.error})
        else:
            _show(token_features(replace(context, layer=found.layer), stage, found), 1)
    elif feature is not None:
        if as_json:
            write_json(feature_card(context, found, feature)._asdict())
        else:
            _show(card_view(context, found, f"blocks.{found.layer}.feature[{feature}]"))
    else:
        shares = activity(context, found).shares(found.record.features)
        if as_json:
            write_json({"record": found.record, "active": shares.tolist()})
            return
        record, measured = found.record, judged(found.record)
        fitted = f"with seed {record.seed} to {number_format.whole(record.vectors)} places of the training text"
        words = f"{record.features} features after layer {record.layer}, {record.active} active at a place, fitted {fitted}; "
        click.echo(wrapped(f"{words}{record.dead} are never active on other text."))
        click.echo(f"{wrapped(measured.title)}\n{table_of(measured)}\n{wrapped(doubt(record))}")
        rows = []
        for number in shares.argsort(descending=True)[:LISTED].tolist():
            raised = " ".join(changed_most(context, found, number, 5))
            rows.append([str(number), number_format.probability(float(shares[number]), 1), raised])
        click.echo("\n" + table(["feature", "active", "raises the logits of"], rows, [0, 1]))


def _show(view: "View", most: int | None = None) -> None:
    from lab.views.blocks import Paragraph, Table

    click.echo(wrapped(view.sentence))
    for block in view.blocks[:most]:
        if isinstance(block, Table):
            click.echo(table_of(block))
        elif isinstance(block, Paragraph):
            click.echo("\n".join(map(wrapped, block.text.split("\n"))))
