"""Which parts of the model speak for a token: the shares of its logit as signed bars that add up to it."""

import numpy as np

from lab.core.errors import UserError
from lab.core.number_format import fixed, probability, significant
from lab.inspect.logit_attribution import Attribution, Contribution, attribute, parts
from lab.inspect.stages.logits_stage import largest
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Cell, Column, Note, Parity, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import decimals_for, term_decimals
from lab.views.softmax_table import softmax

CANDIDATES = 6
"""Other tokens that are offered to ask about."""
WHAT_IS_LEFT = "The model's logit − all shares: what rounding leaves, about 0."
WHAT_A_SHARE_IS = (
    "Each part wrote a vector into the residual stream. The output head reads their sum through the final norm; with that norm's "
    "scale held as it is here, what it reads from each of them adds up to the logit."
)


def attribution(context: StageContext, candidate: int | None = None, against: int | None = None, by_size: bool = True) -> View:
    """The shares of every part in the logit of `candidate` (the most probable token if None), or in how far that is above the
    logit of `against`; the largest first, or in the order of the computation.

    Raises:
        UserError: if the vocabulary has no such token.
    """
    token = context.answer if candidate is None else candidate
    for each in (token, against):
        check_token(context, each)
    model, trace, at = context.opened.model, context.trace, context.position
    found = context.traced.once("parts", at, lambda: parts(model, trace, at))
    shares = attribute(model, trace, at, token, against, found)
    what = _quoted(context, token)
    title = f"what speaks for {what}" + (f" rather than {_quoted(context, against)}" if against is not None else "")
    parity = Parity("sum of the shares · model's logit", abs(shares.leftover), 1)
    return View(
        "attribution",
        title,
        _sentence(context, shares),
        [_table(context, shares, by_size), Note(WHAT_A_SHARE_IS), _candidates(context)],
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
    return f"{about}. What speaks most for it: {_most(found.shares, 1)}; most against it: {_most(found.shares, -1)}."


def _most(shares: list[Contribution], sign: int) -> str:
    """The largest share on one side: `layer 4 mlp (+3.21)`."""
    side = [each for each in shares if each.value * sign > 0]
    if not side:
        return "nothing"
    most = max(side, key=lambda each: abs(each.value))
    return f"{most.label} ({significant(most.value, sign=True)})"


def _table(context: StageContext, found: Attribution, by_size: bool) -> Table:
    order = list(range(len(found.shares)))
    if by_size:
        order.sort(key=lambda part: -abs(found.shares[part].value))
    shares = [found.shares[part] for part in order]
    values = [each.value for each in shares]
    most = max((abs(value) for value in values), default=0.0) or 1.0
    decimals = decimals_for(values, found.logit, digits=3)
    places = term_decimals(np.array([*values, found.leftover]), found.logit, decimals)
    rows = [
        [Cell(each.label), Cell(fixed(each.value, places, sign=True), each.value, _name(context, found, part), each.value / most)]
        for part, each in zip(order, shares, strict=True)
    ]
    leftover = fixed(found.leftover, places, sign=True)
    rows.append([Cell("leftover (rounding)", style="dim"), Cell(leftover, found.leftover, note=WHAT_IS_LEFT, style="dim")])
    tokens = (found.token,) if found.against is None else (found.token, found.against)
    name = ref("logits" if found.against is None else "logits.over", context.position, *tokens)
    label = "= logit" if found.against is None else "= difference of the logits"
    total = [Cell(label), Cell(fixed(found.logit, decimals, sign=True), found.logit, name)]
    columns = [Column("part", align="left"), Column("share")]
    listed = "largest first" if by_size else "in the order of the computation"
    return Table(columns, rows, title=f"{len(shares)} parts, {listed}; ▒ against │ for █", total=total)


def _name(context: StageContext, found: Attribution, part: int) -> str:
    """Name of a part's share, parts being counted in the order of the computation."""
    if found.against is None:
        return ref("logits.share", context.position, part, found.token)
    return ref("logits.share.over", context.position, part, found.token, found.against)


def _candidates(context: StageContext) -> Table:
    """Tokens to ask about next; each number names its token."""
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
    return Table(columns, rows, title="candidates: with the cursor on one, a asks about it, v compares with it")
