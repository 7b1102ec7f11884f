"""The view of direct logit attribution: the contributions to a token's logit as signed bars that add up to it."""

import numpy as np

from lab.core.errors import UserError
from lab.core.number_format import fixed, probability, significant
from lab.inspect.logit_attribution import Attribution, Contribution, attribute, contributors
from lab.inspect.stages.logits_stage import largest
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Cell, Column, Paragraph, Parity, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import decimals_for, term_decimals
from lab.views.softmax_table import softmax

CANDIDATES = 6
"""Other tokens offered for attribution."""
LEFTOVER_NOTE = "The model's logit − all contributions: rounding error, about 0."
NOTE = (
    "The final norm's scale is frozen at its value here, so that the contributions add up to the logit. "
    "They are direct: what later layers make of a part is counted there, so an ablation of it can have another effect."
)


def attribution(context: StageContext, candidate: int | None = None, against: int | None = None, by_size: bool = True) -> View:
    """Contributions to the logit of `candidate` (the most probable token if None), or to its difference to that of `against`.

    The largest come first, or they stand in the order of the computation.

    Raises:
        UserError: if the vocabulary has no such token.
    """
    token = context.answer if candidate is None else candidate
    for each in (token, against):
        check_token(context, each)
    model, trace, at = context.opened.model, context.trace, context.position
    found = context.traced.get_or_compute("parts", at, lambda: contributors(model, trace, at))
    contributions = attribute(model, trace, at, token, against, found)
    title = f"direct logit attribution: {_quoted(context, token)}" + (
        f" vs {_quoted(context, against)}" if against is not None else ""
    )
    parity = Parity("sum of the contributions · model's logit", abs(contributions.leftover), 1, abs(contributions.logit))
    return View(
        "attribution",
        title,
        _sentence(context, contributions),
        [_table(context, contributions, by_size), _candidates(context), Paragraph(NOTE)],
        parity,
    )


def check_token(context: StageContext, token: int | None) -> None:
    """Raises: UserError, if the vocabulary has no such token."""
    if token is not None and not 0 <= token < context.config.vocab_size:
        raise UserError(f"{token} is no token of {context.opened.run.name}: ids are 0 to {context.config.vocab_size - 1}.")


def _quoted(context: StageContext, token: int) -> str:
    return f"“{context.tokenizer.label(token)}”"


def _sentence(context: StageContext, found: Attribution) -> str:
    token = _quoted(context, found.token)
    if found.against is None:
        about = f"After {context.here} the logit of {token} is {significant(found.logit)}"
    else:
        above = "above" if found.logit >= 0 else "below"
        about = f"After {context.here} the logit of {token} is {significant(abs(found.logit))} {above} that of "
        about += _quoted(context, found.against)
    return f"{about}. Largest contribution: {_most(found.contributions, 1)}; most negative: {_most(found.contributions, -1)}."


def _most(contributions: list[Contribution], sign: int) -> str:
    """The largest contribution of one sign: `layer 4 mlp (+3.21)`."""
    side = [each for each in contributions if each.value * sign > 0]
    if not side:
        return "none"
    most = max(side, key=lambda each: abs(each.value))
    return f"{most.label} ({significant(most.value, sign=True)})"


def _switched_off(context: StageContext) -> dict[str, str]:
    """The parts that an intervention has switched off, by their labels."""
    config = context.config
    heads = {
        f"layer {layer + 1} head {head + 1}": context.off("attn.z", head, layer)
        for layer in range(config.layers)
        for head in range(config.heads)
    }
    return heads | {f"layer {layer + 1} mlp": context.off("mlp_out", layer=layer) for layer in range(config.layers)}


def _table(context: StageContext, found: Attribution, by_size: bool) -> Table:
    order = list(range(len(found.contributions)))
    if by_size:
        order.sort(key=lambda part: -abs(found.contributions[part].value))
    contributions = [found.contributions[part] for part in order]
    values = [each.value for each in contributions]
    most = max((abs(value) for value in values), default=0.0) or 1.0
    decimals = decimals_for(values, found.logit, digits=3)
    places = term_decimals(np.array([*values, found.leftover]), found.logit, decimals)
    off = _switched_off(context)
    tokens = (found.token,) if found.against is None else (found.token, found.against)
    family = "logits.contribution" if found.against is None else "logits.contribution.over"
    rows = []
    for part, each in zip(order, contributions, strict=True):
        name = ref(family, context.position, part, *tokens)
        value = Cell(fixed(each.value, places, sign=True), each.value, name, each.value / most)
        rows.append([context.part_cell(each.label, off.get(each.label, "")), value])
    leftover = fixed(found.leftover, places, sign=True)
    rows.append([Cell("leftover (rounding)", style="dim"), Cell(leftover, found.leftover, note=LEFTOVER_NOTE, style="dim")])
    name = ref("logits" if found.against is None else "logits.over", context.position, *tokens)
    label = "= logit" if found.against is None else "= difference of the logits"
    total = [Cell(label), Cell(fixed(found.logit, decimals, sign=True), found.logit, name)]
    columns = [Column("part", align="left"), Column("contribution")]
    ends = significant(most)
    listed = "largest first" if by_size else "in order of computation"
    return Table(columns, rows, title=f"{len(contributions)} contributions, {listed}; ▒ −{ends} │ █ +{ends}", total=total)


def _candidates(context: StageContext) -> Table:
    """Tokens to attribute next; each number names its token."""
    probabilities = softmax(context.logits)
    rows = [
        [
            Cell(context.tokenizer.label(id_)),
            Cell(significant(float(context.logits[id_]), 4), float(context.logits[id_]), ref("logits", context.position, id_)),
            Cell(probability(float(probabilities[id_])), float(probabilities[id_]), ref("probability", context.position, id_)),
        ]
        for id_ in largest(context.logits, CANDIDATES)
    ]
    columns = [Column("token", align="left"), Column("logit"), Column("probability")]
    return Table(columns, rows, title="candidates: a attributes the one at the cursor, v compares with it")
