"""`llmlab features`: fit a sparse autoencoder to a run's residual stream, and show its features."""

from typing import TYPE_CHECKING

import click

from lab.cli.command_registry import Within
from lab.cli.model_options import checkpoint_option, told_weights
from lab.cli.output import table, wrapped, write_json
from lab.core import number_format
from lab.core.errors import UserError
from lab.core.limits import Limit

if TYPE_CHECKING:
    from lab.experiments.features import FeatureCard, FeaturesRecord

LISTED = 10
"""Features in the list: those that are active most often."""
FEATURES, SMALL, SEED = Within(Limit(1, 16384)), Within(Limit(1, 16384)), Within(Limit(0, 1 << 31))


@click.command(short_help="Find features in the residual stream of a model.")
@click.argument("run", default="demo")
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
    import torch

    from lab.core.machine import cores
    from lab.experiments.experiment_context import ExperimentContext
    from lab.experiments.features import (
        activity,
        changed_most,
        feature_card,
        fit_features,
        load_features,
        save_features,
        token_parts,
    )
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
        with click.progressbar(length=1000, label="fitting", hidden=as_json) as bar:
            found = fit_features(context, at, features, active, seed, lambda done: bar.update(round(1000 * done) - bar.pos))
        save_features(opened.run, found)
    if prompt is not None:
        ids = context.encode(prompt)
        if len(ids) < 2:
            raise UserError("The prompt has one token; features are of the tokens after the first.")
        parts = token_parts(found, context.trace(ids, ()).trace[f"blocks.{found.layer}.resid_post"][-1])
        listed = [(str(number), number_format.fixed(value, 2), share) for number, value, share in parts.features]
        listed.append(("error", "", parts.error))
        if as_json:
            write_json({"token": opened.tokenizer.label(ids[-1]), "features": parts.features, "error": parts.error})
            return
        click.echo(wrapped(f"“{opened.tokenizer.label(ids[-1])}” after layer {found.record.layer}: shares that add up to 100%"))
        rows = [[name, value, f"{100 * share:.1f}%", "█" * round(max(0.0, share) * 40)] for name, value, share in listed]
        click.echo(table(["feature", "activation", "share", ""], rows, [0, 1, 2]))
        return
    seen = activity(context, found)
    shares = seen.shares(found.record.features)
    if feature is not None:
        if feature >= found.record.features:
            raise UserError(f"There is no feature {feature}; they are 0 to {found.record.features - 1}.")
        card = feature_card(context, found, seen, feature)
        if as_json:
            write_json(card._asdict())
        else:
            _show_card(card)
    elif as_json:
        write_json({"record": found.record, "active": shares.tolist()})
    else:
        _show_record(found.record)
        rows = []
        for number in shares.argsort(descending=True)[:LISTED].tolist():
            raised = " ".join(changed_most(context, found, number, 5))
            rows.append([str(number), number_format.probability(float(shares[number]), 1), raised])
        click.echo("\n" + table(["feature", "active", "raises the logits of"], rows, [0, 1]))


def _show_record(record: "FeaturesRecord") -> None:
    p, fixed, whole = number_format.probability, number_format.fixed, number_format.whole
    mean, low, high = record.explained
    click.echo(
        wrapped(
            f"{whole(record.features)} features after layer {record.layer}, at most {record.active} active at a place "
            f"({fixed(record.per_token, 1)} on average), fitted with seed {record.seed} to {whole(record.vectors)} places of the "
            "training text; "
            f"{record.dead} are never active in {whole(record.places)} places of the {record.part}."
        )
    )
    click.echo(
        wrapped(
            f"They explain {p(mean, 1)} of the variance there (folds {p(low, 1)} to {p(high, 1)}); as many random directions "
            f"{p(max(0.0, record.explained_by_chance), 1)}. The loss is {fixed(record.loss[0], 3)} nats. Added to it, with "
            "this in the stream instead:"
        )
    )
    rows = [
        [
            name,
            fixed(each.cost[0], 3, sign=True),
            f"± {fixed(each.cost[1], 3)}",
            fixed(each.kl[0], 4),
            f"± {fixed(each.kl[1], 4)}",
        ]
        for name, each in record.effects.items()
    ]
    click.echo(table(["instead", "loss", "", "KL divergence", ""], rows, [1, 2, 3, 4]))
    if record.than_noise >= 0:
        differs = (
            "changes predictions clearly more than" if record.than_noise else "does not change predictions clearly less than"
        )
        click.echo(
            wrapped(
                f"Their reconstruction {differs} noise as long as its error: where the loss stays, that says only that little is "
                "missing, not that these features are what the model uses."
            )
        )


def _show_card(card: "FeatureCard") -> None:
    if not card.strongest:
        click.echo(f"Feature {card.feature} is active nowhere in this text: there is nothing to show of it.")
        return
    fixed = number_format.fixed
    click.echo(f"Feature {card.feature} is active at {number_format.probability(card.active, 1)} of places.")
    own, chance = (f"{fixed(cost, 4, sign=True)} ± {fixed(error, 4)}" for cost, error in (card.ablated, card.ablated_by_chance))
    words = f"Taken out of the stream it changes the loss by {own} nats, a direction by chance, as long, by {chance}."
    click.echo(wrapped(f"{words} Windows in which it is active."))
    click.echo(wrapped(f"It raises the logits of: {' '.join(card.raises)}"))
    click.echo(wrapped(f"It lowers those of: {' '.join(card.lowers)}\n"))
    click.echo(f"The {len(card.strongest)} strongest places, of windows apart, and {len(card.weaker)} weaker ones:")
    for place in (*card.strongest, *card.weaker):
        click.echo(wrapped(f"{fixed(place.activation, 2)}  {place.before}[{place.token}]{place.after}", 6))
