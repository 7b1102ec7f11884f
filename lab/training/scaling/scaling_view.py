"""Result of a scaling experiment as a view: the sizes, the fitted lines with their tests, and sentences about these runs."""

import math

from lab.core.number_format import count, duration, fixed, listed, probability, scientific, significant, whole
from lab.core.visible_text import visible
from lab.planning.default_hyperparameters import memorizing_epochs
from lab.runs.run_folder import ACTIVE
from lab.runs.run_summary import PHASES
from lab.training.scaling.scaling_experiment import ScalingProgress, SizeProgress
from lab.training.scaling.scaling_plan import DECAY_BEGINS, ScalingPlan
from lab.training.scaling.scaling_result import TEST_SHARE, FittedLaw, ScalingResult, SizeCurve
from lab.views.blocks import Block, Cell, Column, Paragraph, Table, View
from models.parameter_count import parameter_count

ALIKE = 0.005
"""Relative difference of losses up to which two sizes are called alike."""
MOST_MISFIT_OF_A_LINE = 0.1
"""Misfit of a law up to which its points lie on a line, as far as a plot shows."""
CLOSE = 0.05
"""Relative error of a prediction up to which it came true."""
BUSY = 1.6
"""Time of a step, relative to the one that was measured before, from which the minutes are said not to compare."""
NONE = "·"


def scaling_view(result: ScalingResult) -> View:
    """The table of the sizes, that of the fitted lines once there are some, and the sentences."""
    blocks: list[Block] = [size_table(result)]
    if (lines := lines_table(result)) is not None:
        blocks.append(lines)
    blocks += [Paragraph(sentence) for sentence in sentences(result)]
    return View("scaling", "sizes after the same minutes", "", blocks)


def plan_view(plan: ScalingPlan) -> View:
    """The sizes that will be trained, and how long that takes."""
    rows = [
        [
            Cell(str(number)),
            Cell(whole(parameter_count(model)), float(parameter_count(model))),
            Cell(f"{model.layers} × {model.width}"),
            Cell(duration(60 * plan.minutes)),
        ]
        for number, model in enumerate(plan.models(), 1)
    ]
    columns = [Column("size", "left"), Column("parameters"), Column("layers × width"), Column("trained for")]
    text = plan.text.replace("\n", ", ")
    words = (
        f"They are trained on {visible(text)}, one after the other, in the background and at low priority: "
        f"{duration(plan.seconds)} of training; preparing, evaluations and samples come on top. It goes on when you leave."
    )
    return View("scaling plan", "what will be trained", "", [Table(columns, rows), Paragraph(words)])


def progress_view(progress: ScalingProgress, result: ScalingResult) -> View:
    """The state of each size: how much of its time it has been trained, and its latest loss."""
    last = {each.name: each.last for each in result.sizes}
    rows = []
    for size in progress.sizes:
        point = last.get(size.name)
        sign, word = PHASES.get(size.phase, ("○", size.phase))
        rows.append(
            [
                Cell(str(size.number)),
                Cell(f"{sign} {word}"),
                Cell(probability(size.done, 0), size.done, bar=size.done),
                Cell(duration(size.seconds)),
                Cell(count(point.tokens) if point else NONE),
                Cell(
                    fixed(point.loss) if point else NONE, point.loss if point else None, note="Validation loss, nats per token."
                ),
            ]
        )
    columns = [
        Column("size", "left"),
        Column("state", "left"),
        Column("trained", "left"),
        Column("time", optional=1),
        Column("tokens", optional=2),
        Column("loss"),
    ]
    return View("scaling progress", "training", "", [Table(columns, rows)])


def state_line(progress: ScalingProgress, plan: ScalingPlan) -> str:
    """The state of the experiment in one line, with how much is left of what is being done."""
    words = work_line(progress, plan)
    if progress.phase != "running":
        return words
    if progress.doing.words:
        return f"{words}: {probability(progress.doing.share, 0)}" if progress.doing.share else words
    now = _present_size(progress)
    left = 60 * plan.minutes - now.seconds
    if now.phase != "training" or left < 1:
        return words
    return f"{words}, {duration(round(left))} left of its {duration(60 * plan.minutes)}"


def work_line(progress: ScalingProgress, plan: ScalingPlan) -> str:
    """The state of the experiment in one line, without numbers that change all the time."""
    if progress.phase == "none":
        return "Nothing is trained yet."
    done = sum(size.phase == "finished" for size in progress.sizes)
    if progress.phase == "finished":
        return f"All {done} sizes are trained"
    if progress.phase == "stopped":
        return f"Stopped: {done} of {len(progress.sizes)} sizes are trained"
    if progress.doing.words:
        return visible(progress.doing.words)
    now = _present_size(progress)
    if now.phase not in ACTIVE:
        doing = "starting"
    elif now.phase == "training" and now.seconds > 60 * plan.minutes - 1:
        doing = "evaluated on more of the text"
    else:
        doing = now.phase
    return f"size {now.number} of {len(progress.sizes)} is {doing}"


def _present_size(progress: ScalingProgress) -> SizeProgress:
    """The size in training, or the next one."""
    return next((size for size in progress.sizes if size.phase != "finished"), progress.sizes[-1])


def size_table(result: ScalingResult) -> Table:
    """A row for each size that has begun. Bars are of what is above the floor."""
    ends = [each.end.loss for each in result.sizes if each.end is not None]
    best = min(ends, default=math.inf)
    highest = max((each.last.loss for each in result.sizes if each.last is not None), default=1.0)
    columns = [
        Column("size", "left"),
        Column("parameters"),
        Column("layers × width", optional=2),
        Column("lr", optional=1),
        Column("tokens"),
        Column("epochs", optional=3),
        Column("FLOPs", optional=4),
        Column("loss (nats), same minutes" if result.tokens is not None else "loss (nats)", "left"),
    ]
    if result.tokens is not None:
        columns.append(Column(f"same {count(result.tokens)} tokens"))
    rows = [
        _size_row(each, result, best, highest) + ([] if result.tokens is None else [_same_tokens_cell(each, loss)])
        for each, loss in zip(result.sizes, result.same_tokens, strict=True)
    ]
    return Table(columns, rows, title="at the last evaluation while training")


def _size_row(each: SizeCurve, result: ScalingResult, best: float, highest: float) -> list[Cell]:
    last, floor = each.last, result.floor or 0.0
    is_best = each.end is not None and each.end.loss == best
    cells = [
        Cell(f"{each.number}"),
        Cell(whole(each.parameters), float(each.parameters), note="All parameters, those of the embedding included."),
        Cell(f"{each.model.layers} × {each.model.width}"),
        Cell(f"{each.lr:g}"),
        Cell(count(last.tokens) if last else NONE),
        Cell(fixed(each.epochs, 1)),
        Cell(scientific(last.flops) if last else NONE),
    ]
    if last is None:
        return [*cells, Cell(NONE)]
    bar = (last.loss - floor) / (highest - floor)
    words = f"{fixed(last.loss)} {'lowest' if is_best else ''}".rstrip()
    note = "Validation loss; the bar is what is above the entropy." if floor else ""
    return [*cells, Cell(words, last.loss, bar=bar, note=note, style="strong" if is_best else "")]


def _same_tokens_cell(each: SizeCurve, loss: float | None) -> Cell:
    if loss is not None:
        return Cell(fixed(loss))
    return Cell(NONE, note=f"Too late: first evaluated at the full rate after {_first_evaluated(each)}.")


def _first_evaluated(each: SizeCurve) -> str:
    """The tokens that a size had seen at its first evaluation at the full learning rate."""
    return f"{count(each.before_decay[0].tokens)} tokens"


def lines_table(result: ScalingResult) -> Table | None:
    """The fitted lines and their tests; None where nothing has been fitted yet."""
    if result.tokens is None:
        return None
    of_sizes = f"size {len(result.sizes)}"
    last = result.compute.points[-1][0] if result.compute.points else 0.0
    rows = _line_rows(f"{len(result.parameters.points)} sizes, same tokens", "N", result.parameters, of_sizes)
    rows += _line_rows("lowest for its compute", "C", result.compute, f"C > {scientific(TEST_SHARE * last)}")
    columns = [
        Column("line through", "left"),
        Column("loss ∝" if result.floor is None else f"loss − {fixed(result.floor)} ∝", "left"),
        Column("ten times", optional=2),
        Column("off the line", optional=1),
        Column("fitted without", "left", optional=3),
        Column("predicted"),
        Column("measured"),
    ]
    return Table(columns, rows, title="fitted in log-log, least squares") if rows else None


def _line_rows(points: str, symbol: str, fitted: FittedLaw, left_out: str) -> list[list[Cell]]:
    law, predicted = fitted.law, fitted.predicted
    if law is None:
        return []
    test = (left_out, fixed(predicted), fixed(fitted.points[-1][1])) if predicted is not None else (NONE, NONE, NONE)
    error = f" ± {fixed(law.error, 2)}" if law.error is not None and symbol == "N" else ""
    off = "Root mean square distance of the points from the line, in ln(loss)."
    return [
        [
            Cell(points),
            Cell(f"{symbol}^{fixed(-law.exponent, 2)}{error}", -law.exponent),
            Cell(f"× {significant(10**-law.exponent, 2)}", note=f"Factor on the loss for ten times {symbol}."),
            Cell(probability(law.misfit, 0), law.misfit, note=off),
            *map(Cell, test),
        ]
    ]


def sentences(result: ScalingResult) -> list[str]:
    """The sentences, most important first, once all sizes have finished."""
    if result.tokens is None:
        return []
    largest, first = "without the largest", "on the first third of the compute"
    found = [
        _same_minutes(result),
        _same_tokens(result, result.tokens),
        _not_compared(result, result.tokens),
        _trust(result.parameters, "The line over parameters", largest),
        _trust(result.compute, "The line over compute", first),
        "An evaluation after training is on more of a long text, and may differ a little: Home shows that of your runs.",
        _floor(result),
        _decay(result),
        _memorized(result),
        _busy(result),
    ]
    return [sentence for sentence in found if sentence]


def _same_minutes(result: ScalingResult) -> str:
    """The best size after the same minutes, and the reason why that is not the largest, where it is not."""
    ended = [(each, each.end) for each in result.sizes if each.end is not None]  # all have, where there are sentences
    best, end = min(ended, key=lambda pair: pair[1].loss)
    largest, its_end = ended[-1]
    head = f"After the same {duration(best.seconds)}, {_named(best)} has the lowest loss, {fixed(end.loss)}"
    alike = [each for each, point in ended if each is not best and point.loss - end.loss <= ALIKE * end.loss]
    if alike:
        head += f"; {listed([f'size {each.number}' for each in alike])} {'is' if len(alike) == 1 else 'are'} alike"
    if best is largest:
        fewest = all(its_end.tokens < point.tokens for _, point in ended[:-1])
        return f"{head}, although it has seen the fewest tokens, {count(its_end.tokens)}." if fewest else f"{head}."
    head += f". The largest has {fixed(its_end.loss)}"
    if its_end.tokens >= end.tokens:
        return f"{head}, though it has seen no fewer tokens."
    head += f": in the same time it has seen {significant(end.tokens / its_end.tokens, 2)} times fewer tokens"
    step, its_step = best.step_seconds, largest.step_seconds
    if step is None or its_step is None:
        return f"{head}."
    return f"{head}, as one of its steps took {_milliseconds(its_step)}, one of size {best.number} {_milliseconds(step)}."


def _same_tokens(result: ScalingResult, tokens: float) -> str:
    """The order of the sizes after the same tokens."""
    known = [loss for loss in result.same_tokens if loss is not None]
    if len(known) < len(result.sizes):
        return ""
    head = f"After the same {count(tokens)} tokens"
    worse = next((at for at in range(1, len(known)) if known[at] >= known[at - 1]), None)
    if worse is None:
        return f"{head} every larger size has a lower loss than the one before: it learns more from each token."
    pair = f"size {worse + 1} has {fixed(known[worse])}, size {worse} {fixed(known[worse - 1])}"
    return f"{head} the loss does not fall with every size: {pair}."


def _not_compared(result: ScalingResult, tokens: float) -> str:
    """The sizes without a loss after the same tokens, with the reason."""
    late = [f"size {each.number} after {_first_evaluated(each)}" for each in result.sizes if each.loss_after(tokens) is None]
    if not late:
        return ""
    return f"Too late for a loss after {count(tokens)} tokens, first evaluated at the full learning rate: {listed(late)}."


def _trust(fitted: FittedLaw, name: str, without: str) -> str:
    """The test of a line: the loss that it predicts, fitted without the measured one."""
    law, predicted = fitted.law, fitted.predicted
    if law is None:
        return ""
    if law.exponent <= 0:
        return f"{name} does not fall, so that it predicts nothing of use."
    misfit = probability(law.misfit, 0)
    bent = (
        f" Its points lie {misfit} off it on average: they are on no straight line." if law.misfit > MOST_MISFIT_OF_A_LINE else ""
    )
    if predicted is None:
        return bent.strip().replace("Its", f"{name}: its", 1)
    measured = fitted.points[-1][1]
    off = (predicted - law.floor) / (measured - law.floor) - 1
    error = f"{probability(abs(off), 0)}{' of what is above the floor' if law.floor else ''}"
    if abs(off) <= CLOSE:
        verdict = f"right within {error}"
    else:
        verdict = f"too {'high' if off > 0 else 'low'} by {error}: trust it no further than its points reach"
    numbers = f"it predicts {fixed(predicted)} where {fixed(measured)} was measured"
    thin = " Only two points were left, and a line goes through any two: a weak test." if len(fitted.points) == 3 else ""
    return f"{name}: fitted {without}, {numbers}, {verdict}.{thin}{bent}"


def _floor(result: ScalingResult) -> str:
    if result.floor is None:
        return "No floor is subtracted, since the entropy of this text is not known: the lines bend above it somewhere."
    return (
        f"{fixed(result.floor)} is the true entropy of the text in nats per token. No model gets quite there: a window begins "
        "within a story, whose beginning is then not known."
    )


def _decay(result: ScalingResult) -> str:
    """The fall of the loss while the learning rate falls at the end, which no line contains."""
    pairs = [(each.before_decay, each.end) for each in result.sizes]
    falls = [before[-1].loss - end.loss for before, end in pairs if before and end is not None]
    if len(falls) < len(result.sizes) or min(falls) <= 0:
        return ""
    return (
        f"Both lines go through losses at the full learning rate. In the last {probability(1 - DECAY_BEGINS, 0)} of the time, in "
        f"which the rate falls, the loss fell by another {fixed(min(falls))} to {fixed(max(falls))}; how much it would "
        "have at the full rate was not measured."
    )


def _memorized(result: ScalingResult) -> str:
    """The sizes that have seen the text so often that they may memorize it."""
    many = [
        f"size {each.number} has seen it {significant(each.epochs, 2)} times"
        for each in result.sizes
        if each.last is not None and each.epochs > memorizing_epochs(each.model, round(each.last.tokens / each.epochs))
    ]
    return f"The text is short: {listed(many)}. A longer text gives a truer line." if many else ""


def _busy(result: ScalingResult) -> str:
    """The size whose steps took the longest beside what was measured before, where that is so long that times do not compare."""
    slowed = [
        (each.step_seconds / each.timed_step, each.number, each.step_seconds, each.timed_step)
        for each in result.sizes
        if each.step_seconds and each.timed_step
    ]
    if not slowed or max(slowed)[0] < BUSY:
        return ""
    _, number, seconds, timed = max(slowed)
    return (
        f"Size {number} was slowed down: a step took {_milliseconds(seconds)}, and {_milliseconds(timed)} when it was timed. On "
        "a machine that does nothing else the same minutes compare better."
    )


def _milliseconds(seconds: float) -> str:
    return f"{significant(1000 * seconds, 2)} ms"


def _named(each: SizeCurve) -> str:
    return f"size {each.number} ({count(each.parameters)} parameters)"
