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

RAISED = 3  # tokens in the row of a feature, those whose logits it raises most
BESIDE_TEXT = 24
"""Columns of a card's table of places that are not for the text on either side."""


def token_features(context: ExperimentContext, stage: StageContext, found: Features) -> View:
    """The stream at the position as its strongest features and an error, with what all of them miss on other text."""
    record, at, block = found.record, stage.position, f"blocks.{found.layer}."
    is_elsewhere, blocks = found.layer != context.layer, list[Block]()
    if is_elsewhere:
        blocks.append(Paragraph(f"None were fitted after layer {context.layer + 1}: n does it, in the background."))
    title = f"features after layer {record.layer}: {stage.here}"
    if not at:
        words = "The first token has none: its stream is far longer than all others. → the next."
        return View("features", title, words, blocks, is_elsewhere=is_elsewhere)
    stream = stage.trace[f"{block}resid_post"][at]
    parts, squared = token_parts(found, stream), float((stream - found.autoencoder.bias).square().sum())
    rows = []
    for number, activation, part in parts.features:
        bias = float(found.autoencoder.encoder_bias[number])
        dot, before, a, along, length = (
            significant(each, 4) for each in (activation - bias, bias, activation, part * squared / activation, squared)
        )
        encoded = f"encoder · (stream − bias) + encoder bias = {dot} + {before} = {a}"
        divided = f"activation × direction · (stream − bias) / |stream − bias|² = {a} × {along} / {length}"
        raised = " ".join(each.strip() for each in changed_most(context, found, number, RAISED))
        number_, active = (
            Cell(str(number), number, named(f"{block}{FEATURE}", number)),
            Cell(a, activation, note=encoded),
        )
        rows.append([Cell(raised), active, _share(part, divided), number_])
    error = _share(parts.error, "1 − the shares of all features")
    rows.append([Cell("error", style="strong"), Cell(""), error, Cell("")])
    total = [Cell("stream − bias"), Cell(""), Cell("100.0%", 1.0, note="The shares and the error add up to it."), Cell("")]
    columns = [Column("raises", "left"), Column("activation", optional=1), Column("share"), Column("feature")]
    own, noise = (significant(record.effects[each].kl[0], 2) for each in (FEATURES, NOISE))
    sentence = (
        f"{counted(len(rows) - 1, 'feature')} make {probability(1 - parts.error, 0)} of {stage.here}. "
        f"{'On' if record.than_noise < 0 else 'Doubt them: on'} other text they cost KL {own}, noise as long {noise}."
    )
    blocks += [Table(columns, rows, total=total), _judged(record)]
    return View("features", title, sentence, blocks, is_elsewhere=is_elsewhere)


def _share(share: float, formula: str) -> Cell:
    """A share of the stream, of which none need be positive."""
    return Cell(f"{fixed(100 * share, 1)}%", share, bar=max(-1.0, min(1.0, share)), note=f"{formula} = {significant(share, 4)}")


def _spread(value: Spread, *, sign: bool = False) -> str:
    return f"{significant(value[0], 2, sign=sign)} ± {significant(value[1], 2)}"


def _judged(record: FeaturesRecord) -> Table:
    """What all features miss on other text, beside a control."""
    (mean, low, high), chance, effects = record.explained, record.explained_by_chance, record.effects
    folds = f"1 − squared error / squared distance from the mean; features: {probability(low)} to {probability(high)} in folds"
    variance = (Cell(probability(max(0.0, each)), each, note=folds) for each in (mean, chance))
    rows = [[Cell("variance explained"), *variance, Cell("random directions")]]
    for name, words in (("KL divergence", "Σ p ln(p / q) to the model's p"), ("added loss", "nats")):
        pair = [effects[each].kl if name.startswith("KL") else effects[each].cost for each in (FEATURES, NOISE)]
        note = f"{words}: mean and standard error over windows"
        cells = (Cell(_spread(each, sign=name == "added loss"), each[0], note=note) for each in pair)
        rows.append([Cell(name), *cells, Cell(NOISE)])
    title = f"all {whole(record.features)} in the stream's place at {whole(record.places)} places of the {record.part}"
    columns = [Column("", "left"), Column("features"), Column("control"), Column("", "left", optional=1)]
    return Table(columns, rows, title=title)


def layer_of(ref: str, otherwise: int) -> int:
    """The layer, 0-based, of a feature's number."""
    layer = ref.removeprefix("blocks.").partition(".")[0]
    return int(layer) if layer.isdecimal() else otherwise


def card_view(context: ExperimentContext, found: Features, ref: str) -> View:
    """What a feature is about: where it is strongest, what it does to the logits, what it costs to take it out.

    Raises: UserError: if there is no such feature, or no text.
    """
    name, places = split(ref)
    is_one = name == f"blocks.{found.layer}.{FEATURE}" and len(places) == 1 and places[0].isdecimal()
    record, number = found.record, int(places[0]) if is_one else -1
    if not 0 <= number < record.features:
        raise UserError(f"There is no {ref} here; features are 0 to {record.features - 1}.")
    card, stage = feature_card(context, found, activity(context, found), number), f"explain {ref}"
    title = f"feature {number} after layer {record.layer}"
    if not card.strongest:
        return View(stage, title, "Active nowhere in this text: there is nothing to show of it.", [])
    (own, error), (chance, other) = card.ablated, card.ablated_by_chance
    judged = "" if abs(own - chance) > 2 * (error**2 + other**2) ** 0.5 else "not clearly more than "
    sentence = f"Active at {probability(card.active)} of places. Taken out it adds {_spread(card.ablated)} nats to the loss, "
    room, most = max(12, ((context.width or 80) - BESIDE_TEXT) // 2), card.strongest[0].activation
    rows = list[list[Cell]]()
    for each in (*card.strongest, *card.weaker):
        value = Cell(fixed(each.activation, 2), each.activation, bar=each.activation / most, note="its activation at this place")
        rows.append([value, Cell(each.before[-room:]), Cell(f"[{each.token}]", style="strong"), Cell(each.after[:room])])
    columns = [Column("activation"), Column("before"), Column("token", "left"), Column("after", "left")]
    blocks: list[Block] = [
        Paragraph(f"Raises the logits of: {' '.join(card.raises)}\nLowers those of: {' '.join(card.lowers)}"),
        Table(
            columns,
            rows,
            title=f"strongest places, {record.part}; then {len(card.weaker)} weaker",
        ),
    ]
    return View(stage, title, f"{sentence}{judged}a direction by chance: {_spread(card.ablated_by_chance)}.", blocks)


def without_features(context: ExperimentContext, why: str = "") -> View:
    """The view of a run whose folder has no features that can be used, with the way to them where it has a text."""
    run = context.run_name
    try:
        context.tokens()
    except UserError as error:
        return View("features", "features", str(error), [])
    words = why or f"{run} has no features yet: directions of the stream, a few of which make up each token."
    more = f"n fits them after layer {context.layer + 1}, in the background; {{ }} another layer."
    return View(NO_FEATURES, "features", words, [Paragraph(more)])
