"""Result of a scaling experiment as a view: the sizes, the fitted lines with their tests, and sentences about these runs."""

import math

from lab.core.number_format import count, duration, fixed, probability, significant, whole
from lab.planning.memorization import memorizing_epochs
from lab.scaling.scaling_plan import DECAY_BEGINS
from lab.scaling.scaling_result import TEST_SHARE, FittedLaw, ScalingResult, SizeResult
from lab.views.blocks import Block, Cell, Column, Paragraph, Table, View

ALIKE = 0.005
"""Relative difference of losses up to which two sizes are called alike."""
STRAIGHT = 0.1
"""Misfit of a law up to which its points lie on a line, as far as a plot shows."""
CLOSE = 0.1
"""Relative error of a prediction up to which it came true."""
NONE = "·"


def scaling_view(result: ScalingResult) -> View:
    """The table of the sizes, that of the fitted lines once there are some, and the sentences."""
    blocks: list[Block] = [size_table(result)]
    if (lines := lines_table(result)) is not None:
        blocks.append(lines)
    blocks += [Paragraph(sentence) for sentence in sentences(result)]
    return View("scaling", "sizes after the same minutes", "", blocks)


def size_table(result: ScalingResult) -> Table:
    """A row for each size that has begun."""
    ends = [each.end.loss for each in result.sizes if each.end is not None]
    best = min(ends, default=math.inf)
    longest = max((each.curve.last.loss for each in result.sizes if each.curve.last is not None), default=1.0)
    columns = [
        Column("size", "left"),
        Column("parameters"),
        Column("layers × width", optional=2),
        Column("lr", optional=1),
        Column("tokens"),
        Column("epochs", optional=3),
        Column("FLOPs", optional=4),
        Column("loss, same minutes" if result.tokens is not None else "loss", "left"),
    ]
    if result.tokens is not None:
        columns.append(Column(f"same {count(result.tokens)} tokens"))
    rows = [_size_row(each, result, best, longest) for each in result.sizes]
    selected = next((at for at, each in enumerate(result.sizes) if each.end is not None and each.end.loss == best), None)
    return Table(columns, rows, selected=selected)


def _size_row(each: SizeResult, result: ScalingResult, best: float, longest: float) -> list[Cell]:
    curve, last = each.curve, each.curve.last
    is_best = each.end is not None and each.end.loss == best
    style = "strong" if is_best else ""
    cells = [
        Cell(f"{curve.number}"),
        Cell(whole(curve.parameters), float(curve.parameters), note="All parameters, those of the embedding included."),
        Cell(f"{curve.model.layers} × {curve.model.width}"),
        Cell(f"{curve.lr:g}"),
        Cell(count(last.tokens) if last else NONE),
        Cell(fixed(curve.epochs, 1)),
        Cell(flops_in_words(last.flops) if last else NONE),
        Cell(fixed(last.loss), last.loss, bar=last.loss / longest, style=style) if last else Cell(NONE),
    ]
    if result.tokens is not None:
        cells.append(Cell(NONE if each.same_tokens is None else fixed(each.same_tokens)))
    return cells


def flops_in_words(flops: float) -> str:
    """A number of floating-point operations, such as 3.4e12."""
    digits, _, exponent = f"{flops:.1e}".partition("e")
    return f"{digits}e{int(exponent)}"


def lines_table(result: ScalingResult) -> Table | None:
    """The fitted lines and their tests; None where nothing has been fitted yet."""
    if result.tokens is None:
        return None
    of_sizes = f"size {len(result.sizes)}"
    last = result.compute.points[-1][0] if result.compute.points else 0.0
    rows = [
        *_line_row("sizes, same tokens", "N", result.parameters, of_sizes),
        *_line_row("lowest loss by compute", "C", result.compute, f"C > {flops_in_words(TEST_SHARE * last)}"),
    ]
    columns = [
        Column("line through", "left"),
        Column(f"{above_floor(result)} ∝", "left"),
        Column("ten times", optional=2),
        Column("off the line", optional=1),
        Column("fitted without", "left", optional=3),
        Column("predicted"),
        Column("measured"),
    ]
    return Table(columns, rows, title="fitted in log-log, least squares") if rows else None


def _line_row(points: str, symbol: str, fitted: FittedLaw, left_out: str) -> list[list[Cell]]:
    law, test = fitted.law, fitted.held_out
    if law is None:
        return []
    error = f" ± {fixed(law.error, 2)}" if law.error is not None and symbol == "N" else ""
    off = "Root mean square distance of the points from the line, in ln(loss)."
    return [
        [
            Cell(points),
            Cell(f"{symbol}^{fixed(-law.exponent, 2)}{error}", -law.exponent),
            Cell(f"× {significant(10**-law.exponent, 2)}", note=f"Factor on the loss for ten times {symbol}."),
            Cell(probability(law.misfit, 0), law.misfit, note=off),
            Cell(left_out if test else NONE),
            Cell(fixed(test.predicted) if test else NONE),
            Cell(fixed(test.measured) if test else NONE),
        ]
    ]


def above_floor(result: ScalingResult) -> str:
    """Name of the quantity that is fitted: `loss − 0.349`."""
    return "loss" if result.floor is None else f"loss − {fixed(result.floor)}"


def sentences(result: ScalingResult) -> list[str]:
    """The sentences, most important first, once all sizes have finished."""
    if result.tokens is None:
        return []
    largest, first = "without the largest", "on the first third of the compute"
    found = [
        _same_minutes(result),
        _same_tokens(result, result.tokens),
        _trust(result.parameters, "The line over parameters", largest),
        _trust(result.compute, "The line over compute", first),
        _floor(result),
        _decay(result),
        _memorized(result),
    ]
    return [sentence for sentence in found if sentence]


def _same_minutes(result: ScalingResult) -> str:
    """The best size after the same minutes, and the reason why that is not the largest, where it is not."""
    ended = [(each, each.end) for each in result.sizes if each.end is not None]
    if len(ended) < len(result.sizes):
        return ""
    best, end = min(ended, key=lambda pair: pair[1].loss)
    largest, its_end = ended[-1]
    head = f"After the same {duration(best.curve.seconds)}, {_named(best)} has the lowest loss, {fixed(end.loss)}"
    alike = [each for each, point in ended if each is not best and point.loss - end.loss <= ALIKE * end.loss]
    if alike:
        head += f"; {_listed([f'size {each.curve.number}' for each in alike])} {'is' if len(alike) == 1 else 'are'} alike"
    if best is largest:
        fewest = all(its_end.tokens < point.tokens for _, point in ended[:-1])
        return f"{head}, although it has seen the fewest tokens, {count(its_end.tokens)}." if fewest else f"{head}."
    head += f". The largest has {fixed(its_end.loss)}"
    if its_end.tokens >= end.tokens:
        return f"{head}, though it has seen no fewer tokens."
    times = significant(end.tokens / its_end.tokens, 2)
    return f"{head}: each of its tokens costs more, so that in the same time it has seen {times} times fewer."


def _same_tokens(result: ScalingResult, tokens: float) -> str:
    """The order of the sizes after the same tokens."""
    known = [each.same_tokens for each in result.sizes if each.same_tokens is not None]
    if len(known) < len(result.sizes):
        return ""
    head = f"After the same {count(tokens)} tokens"
    worse = next((at for at in range(1, len(known)) if known[at] >= known[at - 1]), None)
    if worse is None:
        return f"{head} every larger size has a lower loss than the one before: it learns more from each token."
    pair = f"size {worse + 1} has {fixed(known[worse])}, size {worse} {fixed(known[worse - 1])}"
    return f"{head} the loss does not fall with every size: {pair}."


def _trust(fitted: FittedLaw, name: str, without: str) -> str:
    """The test of a line: the loss that it predicts, fitted without the measured one."""
    law, test = fitted.law, fitted.held_out
    if law is None:
        return ""
    if law.exponent <= 0:
        return f"{name} does not fall, so that it predicts nothing of use."
    off = probability(law.misfit, 0)
    bent = f" Its points lie {off} off it on average: they are on no straight line." if law.misfit > STRAIGHT else ""
    if test is None:
        return bent.strip().replace("Its", f"{name}: its", 1)
    error = f"{probability(abs(test.error), 0)}{' of what is above the floor' if test.floor else ''}"
    if abs(test.error) <= CLOSE:
        verdict = f"right within {error}"
    else:
        verdict = f"too {'high' if test.error > 0 else 'low'} by {error}: trust it no further than its points reach"
    numbers = f"it predicts {fixed(test.predicted)} where {fixed(test.measured)} was measured"
    return f"{name}: fitted {without}, {numbers}, {verdict}.{bent}"


def _floor(result: ScalingResult) -> str:
    if result.floor is None:
        return "No floor is subtracted, since the entropy of this text is not known: the lines bend above it somewhere."
    return (
        f"{fixed(result.floor)} is the true entropy of the text in nats per token. No model gets quite there: a window begins "
        "within a story, whose beginning is then not known."
    )


def _decay(result: ScalingResult) -> str:
    """The fall of the loss with the learning rate at the end, which no line contains."""
    pairs = [(each.curve.before_decay, each.end) for each in result.sizes]
    falls = [before[-1].loss - end.loss for before, end in pairs if before and end is not None]
    if len(falls) < len(result.sizes) or min(falls) <= 0:
        return ""
    return (
        f"Both lines go through losses at the full learning rate. Its fall in the last {probability(1 - DECAY_BEGINS, 0)} of the "
        f"time lowered the loss by another {fixed(min(falls))} to {fixed(max(falls))}."
    )


def _memorized(result: ScalingResult) -> str:
    """The sizes that have seen the text so often that they may memorize it."""
    many = []
    for each in result.sizes:
        curve, last = each.curve, each.curve.last
        if last is not None and curve.epochs > memorizing_epochs(curve.model, round(last.tokens / curve.epochs)):
            many.append(f"size {curve.number} has seen it {significant(curve.epochs, 2)} times")
    return f"The text is short: {_listed(many)}. A longer text gives a truer line." if many else ""


def _named(each: SizeResult) -> str:
    return f"size {each.curve.number} ({count(each.curve.parameters)} parameters)"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
