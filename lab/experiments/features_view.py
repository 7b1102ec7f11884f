"""The views of features in Inspect: a token's strongest ones as bars that add up with the error, and the card of one feature."""

from lab.core.errors import UserError
from lab.core.number_format import counted, fixed, probability, significant, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.features import FEATURES, NOISE, RANDOM, Features, FeaturesRecord, changed_most, feature_card, token_parts
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import FEATURE, NO_FEATURES, Block, Cell, Column, Paragraph, Table, View
from lab.views.number_refs import ref as named
from lab.views.number_refs import split

ENCODED = "ReLU(encoder · (stream − bias) + encoder bias) at this place"
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
    parts, rows = token_parts(found, stage.trace[f"{block}resid_post"][at]), list[list[Cell]]()
    for number, activation, part in parts.features:
        raised = " ".join(each.strip() for each in changed_most(context, found, number, RAISED))
        active = Cell(significant(activation, 4), activation, named(f"{block}{FEATURE}.activation", at, number))
        card = Cell(str(number), number, named(f"{block}{FEATURE}", number))
        rows.append([Cell(raised), active, _share(part, named(f"{block}{FEATURE}.share", at, number)), card])
    error = _share(parts.error, named(f"{block}{FEATURE}.error", at))
    rows.append([Cell("error", style="strong"), Cell(""), error, Cell("")])
    total = [Cell("stream − bias"), Cell(""), Cell("100.0%", 1.0, note="The shares and the error add up to it."), Cell("")]
    columns = [Column("raises", "left"), Column("activation", optional=1), Column("share"), Column("feature")]
    past = ", and the error points against it" if parts.error < 0 else ""  # so that the shares of the others pass 100%
    sentence = (
        f"{counted(len(rows) - 1, 'feature')} make {probability(1 - parts.error, 0)} of {stage.here}{past}. {doubt(record)}"
    )
    blocks += [Table(columns, rows, total=total), judged(record)]
    return View("features", title, sentence, blocks, is_elsewhere=is_elsewhere)


def _share(share: float, ref: str) -> Cell:
    """A share of the stream; a negative one has no bar, whose axis would take another column's room."""
    return Cell(f"{fixed(100 * share, 1)}%", share, ref, bar=max(0.0, min(1.0, share)))


def _spread(value: tuple[float, float], *, sign: bool = False) -> str:
    return f"{significant(value[0], 2, sign=sign)} ± {significant(value[1], 2)}"


def doubt(record: FeaturesRecord) -> str:
    own, noise = (significant(record.effects[each].kl[0], 2) for each in (FEATURES, NOISE))
    return f"{'On' if record.than_noise < 0 else 'Doubt them: on'} other text they cost KL {own}, noise as long {noise}."


def judged(record: FeaturesRecord) -> Table:
    """What it changes on other text to have all features in the stream's place, or a control."""
    shares = {FEATURES: (record.explained[0], 0), RANDOM: (record.explained_by_chance, 1)}
    low, high = (probability(each) for each in record.explained[1:])
    rows = list[list[Cell]]()
    for name, effect in record.effects.items():
        share, variance = shares.get(name), Cell("")
        if share is not None:
            sums = [significant(record.squares[at], 5) for at in (share[1], 2)] if record.squares else ["…", "…"]
            means = f"1 − mean squared error / mean squared distance from the mean = 1 − {sums[0]} / {sums[1]}"
            variance = Cell(probability(max(0.0, share[0])), share[0], note=f"{means}; features: {low} to {high} in folds")
        rows.append([Cell(name.split(" ")[0]), variance])
        for each, symbols in ((effect.kl, "Σ p ln(p / q)"), (effect.cost, "ln p − ln q of the token")):
            note = f"mean over windows of the mean of {symbols}, q with it in the stream; ± standard error"
            rows[-1].append(Cell(_spread(each, sign=each is effect.cost), each[0], note=note))
    title = (
        f"in the stream's place at {whole(record.places)} places of the {record.part}: all {whole(record.features)} features; "
        f"as controls noise as long as their error, as many random directions, the mean, zero"
    )
    columns = [Column("instead", "left"), Column("variance"), Column("KL divergence"), Column("added loss")]
    return Table(columns, rows, title=title)


def card_view(context: ExperimentContext, found: Features, ref: str) -> View:
    """What a feature is about: where it is strongest, what it does to the logits, what it costs to take it out.

    Raises: UserError: as `feature_card`, or if there is no text.
    """
    name, places = split(ref)
    is_one = name == f"blocks.{found.layer}.{FEATURE}" and len(places) == 1 and places[0].isdecimal()
    record, number = found.record, int(places[0]) if is_one else -1
    card, stage = feature_card(context, found, number), f"explain {ref}"
    title = f"feature {number} after layer {record.layer}"
    if not card.strongest:
        return View(stage, title, "Active nowhere in this text: there is nothing to show of it.", [])
    (own, error), (chance, other) = card.ablated, card.ablated_by_chance
    judged = "" if abs(own - chance) > 2 * (error**2 + other**2) ** 0.5 else "not clearly more than "
    sentence = f"Active at {probability(card.active)} of places. Taken out it adds {_spread(card.ablated)} nats to the loss, "
    room, most = max(12, ((context.width or 80) - BESIDE_TEXT) // 2), card.strongest[0].activation
    rows = list[list[Cell]]()
    for each in (*card.strongest, *card.weaker):
        value = Cell(fixed(each.activation, 2), each.activation, bar=each.activation / most, note=ENCODED)
        rows.append([value, Cell(each.before[-room:]), Cell(f"[{each.token}]", style="strong"), Cell(each.after[:room])])
    columns = [Column("activation"), Column("before"), Column("token", "left"), Column("after", "left")]
    blocks: list[Block] = [
        Paragraph(f"Direct effect on logits alone: raises {' '.join(card.raises)}\nand lowers {' '.join(card.lowers)}"),
        Table(columns, rows, title=f"strongest places, {record.part}; then {len(card.weaker)} weaker"),
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
