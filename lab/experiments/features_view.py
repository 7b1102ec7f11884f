"""The views of features in Inspect: a token's strongest ones as bars that add up with the error, and the card of one feature."""

from lab.core.errors import UserError
from lab.core.number_format import counted, fixed, probability, significant, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.features import (
    FEATURES,
    NOISE,
    Features,
    FeaturesRecord,
    Spread,
    activity,
    changed_most,
    feature_card,
    token_parts,
)
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import FEATURE, NO_FEATURES, Block, Cell, Column, Paragraph, Table, View
from lab.views.number_refs import ref as named
from lab.views.number_refs import split

RAISED = 4
"""Tokens in the row of a feature, those whose logits it raises most."""
BESIDE_TEXT = 24
"""Columns of a card's table of places that are not for the text on either side."""


def token_features(context: ExperimentContext, stage: StageContext, found: Features) -> View:
    """The stream at the position as its strongest features and an error, with what all of them miss on other text."""
    record, name, at = found.record, f"blocks.{found.layer}.resid_post", stage.position
    title = f"features after layer {record.layer}: {stage.here}"
    if not at:
        return View("features", title, "The first token has none: its stream is far longer than all others. → the next.", [])
    stream = stage.trace[name][at]
    parts, squared = token_parts(found, stream), float((stream - found.autoencoder.bias).square().sum())
    rows = []
    for number, activation, share in parts.features:
        bias, along = float(found.autoencoder.encoder_bias[number]), share * squared / activation
        dot, values = significant(activation - bias, 4), [significant(each, 4) for each in (activation, along, squared)]
        rows.append(
            [
                Cell(" ".join(changed_most(context, found, number, RAISED))),
                Cell(
                    fixed(activation, 2),
                    activation,
                    note=f"encoder · (stream − bias) + encoder bias = {dot} + {significant(bias, 4)} = {values[0]}",
                ),
                Cell(
                    f"{fixed(100 * share, 1)}%",
                    share,
                    bar=max(-1.0, min(1.0, share)),
                    note="activation × direction · (stream − bias) / |stream − bias|² = "
                    f"{values[0]} × {values[1]} / {values[2]} = {fixed(100 * share, 2)}%",
                ),
                Cell(str(number), number, named(FEATURE, number)),
            ]
        )
    missed = "1 − all shares above: what no feature gives back"
    error = Cell(f"{fixed(100 * parts.error, 1)}%", parts.error, bar=max(-1.0, min(1.0, parts.error)), note=missed)
    rows.append([Cell("error", style="strong"), Cell(""), error, Cell("")])
    total = [Cell("stream − bias"), Cell(""), Cell("100.0%", 1.0, note="The shares add up to the whole."), Cell("")]
    columns = [Column("raises the logits of", "left"), Column("activation", optional=1), Column("share"), Column("feature")]
    own, control = (record.effects[each].kl[0] for each in (FEATURES, NOISE))
    judged = "less than noise as long" if record.beats_noise else "no less than noise as long: doubt them"
    sentence = (
        f"{counted(len(parts.features), 'feature')} are {probability(1 - parts.error, 0)} of {stage.here}. On other text their "
        f"error changes predictions {judged} (KL {fixed(own, 3)}, {fixed(control, 3)})."
    )
    return View("features", title, sentence, [Table(columns, rows, total=total), _judged(record)])


def _spread(value: Spread, decimals: int, *, sign: bool = False) -> str:
    return f"{fixed(value[0], decimals, sign=sign)} ± {fixed(value[1], decimals)}"


def _judged(record: FeaturesRecord) -> Table:
    """What all features miss on other text, beside a control."""
    mean, low, high = record.explained
    own, noise, chance = record.effects[FEATURES], record.effects[NOISE], record.explained_by_chance
    over = f"mean and standard error over windows of {whole(record.places)} places"
    folds = f"1 − squared error / squared distance from the mean; lowest and highest of five folds {low:.1%}, {high:.1%}"
    random_ = "The same with as many random directions."

    def row(name: str, one: Spread, other: Spread, sign: bool, words: str) -> list[Cell]:
        cells = (Cell(_spread(each, 3, sign=sign), each[0], note=f"{words}: {over}") for each in (one, other))
        return [Cell(name), *cells, Cell("noise as long as the error")]

    rows = [
        [
            Cell("variance explained"),
            Cell(probability(mean, 1), mean, note=folds),
            Cell(probability(max(0.0, chance), 1), chance, note=random_),
            Cell("random directions"),
        ],
        row("KL divergence, nats", own.kl, noise.kl, False, "Σ p ln(p / q), q: with it in the stream's place"),
        row("added loss, nats", own.cost, noise.cost, True, "loss with it in the stream's place − the model's"),
    ]
    title = f"all {whole(record.features)} on {whole(record.places)} places of the {record.part}"
    columns = [Column("in the stream's place", "left"), Column("features"), Column("control"), Column("", "left", optional=1)]
    return Table(columns, rows, title=title)


def card_view(context: ExperimentContext, found: Features, ref: str) -> View:
    """What a feature is about: where it is strongest, what it does to the logits, what it costs to take it out.

    Raises: UserError: if there is no such feature, or no text.
    """
    name, places = split(ref)
    record, number = found.record, int(places[0]) if name == FEATURE and len(places) == 1 and places[0].isdecimal() else -1
    if not 0 <= number < record.features:
        raise UserError(f"There is no {ref} here; features are 0 to {record.features - 1}.")
    card, stage = feature_card(context, found, activity(context, found), number), f"explain {ref}"
    title = f"feature {number} after layer {record.layer}"
    if not card.strongest:
        return View(stage, title, "Active nowhere in this text: there is nothing to show of it.", [])
    (own, error), (chance, other) = card.ablated, card.ablated_by_chance
    clear = abs(own - chance) > 2 * (error**2 + other**2) ** 0.5
    judged = "a direction by chance" if clear else "not clearly more than a direction by chance,"
    sentence = (
        f"Active at {probability(card.active, 1)} of places. Taken out it adds {_spread(card.ablated, 3)} nats to the loss, "
        f"{judged} {_spread(card.ablated_by_chance, 3)}."
    )
    room, most = max(12, ((context.width or 80) - BESIDE_TEXT) // 2), card.strongest[0].activation
    rows = [
        [
            Cell(fixed(each.activation, 2), each.activation, bar=each.activation / most, note="its activation at this place"),
            Cell(each.before[-room:]),
            Cell(f"[{each.token}]", style="strong"),
            Cell(each.after[:room]),
        ]
        for each in card.strongest
    ]
    columns = [Column("activation"), Column("before"), Column("token", "left"), Column("after", "left")]
    blocks: list[Block] = [
        Paragraph(f"Raises the logits of: {' '.join(card.raises)}\nLowers those of: {' '.join(card.lowers)}"),
        Table(columns, rows, title=f"strongest places in the {record.part}, windows apart"),
    ]
    return View(stage, title, sentence, blocks)


def without_features(context: ExperimentContext, why: str = "") -> View:
    """The view of a run whose folder has no features that can be used, with the way to them where it has a text."""
    title, run = "features", context.run_name
    try:
        context.tokens()
    except UserError as error:
        return View("features", title, str(error), [])
    words = why or f"{run} has no features yet: directions of the stream, a few of which make up each token."
    more = f"n fits them after the middle layer in the background; `llmlab features {run} --fit --layer N` after another."
    return View(NO_FEATURES, title, words, [Paragraph(more)])
