"""Facts of a run for its report: its text, its settings, its results, and its samples over time; and the charts of its curves:
axes, points and SVG paths, with no more points than a reader can tell apart."""

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.core.number_format import bytes_, count, duration, fixed, signed_bytes, significant, whole
from lab.core.visible_text import shortened, visible
from lab.data.statistics.copied_share import describe_copied
from lab.runs.run_history import LossHistory
from lab.runs.run_in_words import at_the_end, during_training, model_in_words, training_in_words
from lab.runs.run_schema import DataConfig, RunConfig, Sample, Status
from lab.runs.run_summary import origin_of, planned_length
from lab.runs.schema_parts import CopiedShare
from models.parameter_count import parameter_count

Fact = tuple[str, str]

MOST_SAMPLES = 12
"""Samples shown of each prompt: the first, the last, and those between at even distances."""
MOST_SAMPLE_CHARACTERS = 1500
MOST_PROMPTS = 5


def shown(text: str, most: int = 300) -> str:
    """Text from outside on one line, every odd character visible."""
    return visible(shortened(text, most))


def text_facts(config: RunConfig, copied: CopiedShare | None = None) -> list[Fact]:
    """Facts of the training text, in a run from before with the `copied` share that was measured since.

    Its path is left out: a report is shown to others.
    """
    data, tokenizer = config.data, config.tokenizer
    if not config.has_text:
        return [
            ("origin", shown(origin_of(config))),
            ("text", "not in this lab: the model was trained elsewhere"),
            ("tokenizer", f"{tokenizer.kind}, {whole(tokenizer.vocab_size)} tokens"),
        ]
    between = ", an end-of-text token between each two" if data.documents > 1 else ""
    documents = f"{whole(data.documents)}{between}{f'; left out: {shown(data.left_out)}' if data.left_out else ''}"
    facts = [
        *([("origin", shown(origin_of(config)))] if origin_of(config) else []),
        ("text", shown(data.name)),
        ("size", f"{bytes_(data.bytes)}, {whole(data.characters)} characters"),
        *([("documents", documents)] if data.documents > 1 or data.left_out else []),
        ("encoding", shown(data.encoding)),
        ("cleaning", describe_cleaning(data)),
        ("tokenizer", f"{tokenizer.kind}, {whole(tokenizer.vocab_size)} tokens"),
        (
            "tokens",
            f"{whole(data.tokens)} ({fixed((data.train_bytes + data.val_bytes) / max(1, data.tokens), 2)} bytes per token)",
        ),
        ("training part", f"{whole(data.split)} tokens"),
        ("validation part", f"{whole(data.tokens - data.split)} tokens: {data.holdout.in_words}"),
    ]
    if copied := data.copied or copied:
        facts.append(("validation", describe_copied(copied)))
    if data.entropy_bits_per_byte is not None:
        facts.append(("source entropy", f"{fixed(data.entropy_bits_per_byte)} bits/byte: no model can stay below it on new text"))
    if data.sha256:
        facts.append(("SHA-256", shown(data.sha256, 80)))
    return facts


def describe_cleaning(data: DataConfig) -> str:
    """The cleaning rules, and how much each took or added: `line-endings, boilerplate (−812 B), emails (+6 B)`."""
    changes = {step.rule: step.bytes_out - step.bytes_in for step in data.funnel}
    words = [f"{rule} ({signed_bytes(changes[rule])})" if changes.get(rule) else rule for rule in data.cleaning]
    return shown(", ".join(words), 1000) or "none"


def model_facts(config: RunConfig) -> list[Fact]:
    parameters = parameter_count(config.model)
    return [("parameters", f"{count(parameters)} ({whole(parameters)})"), *model_in_words(config.model)]


def training_facts(config: RunConfig) -> list[Fact]:
    if config.imported is not None:
        return [("training", "elsewhere: its settings are not known here")]
    return [("length", planned_length(config)), *training_in_words(config)]


def result_facts(config: RunConfig, status: Status, phase: str, history: LossHistory) -> list[Fact]:
    """The state of the run and its best losses."""
    if config.imported is not None:
        return [("imported", time.strftime("%Y-%m-%d", time.gmtime(config.created)))]
    step = max(status.step, history.latest.step if history.latest else 0)
    facts = [
        ("state", f"{phase}, step {whole(step)}"),
        ("made", time.strftime("%Y-%m-%d", time.gmtime(config.created))),
        ("time training", duration(status.seconds)),
    ]
    if status.device:
        facts.append(("device", shown(f"{status.device} {status.precision}".strip())))
    if history.last_training and history.last_training.loss is not None and history.smooth:
        facts.append(("training loss", f"{fixed(history.smooth[-1])} nats/token, running mean"))
    best = history.best_evaluation
    if best is not None and best.val_loss is not None:
        bits = f", {fixed(best.bits_per_byte)} bits/byte" if best.bits_per_byte is not None else ""
        part = during_training(config.data, status)
        on = f", on {part.in_words} of validation text" if part is not None else ""
        facts.append(("best validation loss", f"{fixed(best.val_loss)} nats/token{bits}, at step {whole(best.step)}{on}"))
    final = status.final
    if final is not None and final.val_loss is not None:
        bits = f", {fixed(final.bits_per_byte)} bits/byte" if final.bits_per_byte is not None else ""
        on = f"on {at_the_end(config.data, final).in_words} of validation text"
        facts.append(("validation loss at the end", f"{fixed(final.val_loss)} nats/token{bits}, {on}"))
    if history.last_training and history.last_training.grad_norm is not None:
        facts.append(("gradient norm", significant(history.last_training.grad_norm)))
    return facts


def samples_over_time(samples: Sequence[Sample]) -> list[tuple[str, list[tuple[str, str]], int]]:
    """Each prompt with a few of its samples in order, step and text, and the number of all."""
    by_prompt: dict[str, list[Sample]] = {}
    for sample in samples:
        by_prompt.setdefault(sample.prompt, []).append(sample)
    found = []
    for prompt, all_of_it in list(by_prompt.items())[:MOST_PROMPTS]:
        last = len(all_of_it) - 1
        places = sorted({round(index * last / (MOST_SAMPLES - 1)) for index in range(MOST_SAMPLES)})
        chosen = [all_of_it[place] for place in places] if last >= MOST_SAMPLES else all_of_it
        texts = [(whole(each.step), visible(shortened(each.text, MOST_SAMPLE_CHARACTERS), keep="\n")) for each in chosen]
        found.append((visible(shortened(prompt, 300), keep="\n"), texts, len(all_of_it)))
    return found


WIDTH, HEIGHT = 860, 300
"""Size of a chart in its own units, the labels' place included."""
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 14, 34
"""Space around the plot for the labels."""
FRAME = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM}

WIDE_RANGE = 5
"""Ratio of the largest to the smallest number from which on a logarithmic axis shows more of a curve."""

MOST_BUCKETS = 300
"""Buckets of steps that a long line is thinned to; the lowest and the highest number of each are kept."""

Numbers = NDArray[np.floating]
Point = tuple[float, float]
Chart = dict[str, Any]


def thinned(xs: Numbers, ys: Numbers, buckets: int = MOST_BUCKETS) -> list[Point]:
    """The finite points, of a long line the lowest and the highest of each of so many buckets, in order of x."""
    finite = np.isfinite(xs) & np.isfinite(ys)
    xs, ys = xs[finite], ys[finite]
    if len(xs) > 2 * buckets:
        chosen = set()
        edges = np.linspace(0, len(xs), buckets + 1).astype(int)
        for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            chosen |= {start + int(ys[start:end].argmin()), start + int(ys[start:end].argmax())}
        kept = np.array(sorted(chosen | {0, len(xs) - 1}))
        xs, ys = xs[kept], ys[kept]
    return list(zip(xs.tolist(), ys.tolist(), strict=True))


def chart(
    title: str,
    unit: str,
    lines: Sequence[tuple[str, str, Numbers, Numbers]],
    levels: Sequence[tuple[str, float]] = (),
    *,
    from_zero: bool = False,
) -> Chart | None:
    """A chart of (name, kind, x, y) lines and (name, y) levels, as its template needs it; None without a finite number to draw.

    The kind of a line is its CSS class: `faint`, `training`, `validation` or `rate`. `points` are numbers of the run, never
    averages of several; `marks`, of a line whose points are marked, their places on the picture. `x` are the first and the last
    step, ticks a text and its place each.
    """
    series = [(name, kind, thinned(xs, ys)) for name, kind, xs, ys in lines]
    series = [each for each in series if each[2]]
    if not series:
        return None
    xs = [x for _, _, points in series for x, _ in points]
    ys = [y for _, _, points in series for _, y in points] + [value for _, value in levels]
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1)
    y_low, y_high = (0.0 if from_zero else min(ys)), max(ys)
    logarithmic = y_low > 0 and y_high / y_low > WIDE_RANGE
    scaled = math.log if logarithmic else float
    room = (scaled(y_high) - scaled(y_low)) * 0.04 or abs(y_high) * 0.1 or 1.0
    bottom, top = scaled(y_low) - (0 if from_zero else room), scaled(y_high) + room
    grid = round_logarithmic(y_low, y_high) if logarithmic else round_numbers(bottom, top, 6)

    def x_at(x: float) -> float:
        return round(LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT), 1)

    def y_at(y: float) -> float:
        return round(HEIGHT - BOTTOM - (scaled(y) - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM), 1)

    def line(name: str, kind: str, points: list[Point]) -> dict[str, Any]:
        places = [(x_at(x), y_at(y)) for x, y in points]
        marks = places if kind == "validation" and len(places) <= 120 else []
        path = "M" + "L".join(f"{x:g},{y:g}" for x, y in places)
        return {"name": name, "kind": kind, "points": points, "path": path, "marks": marks}

    def level(name: str, value: float) -> dict[str, Any]:
        y = y_at(value)
        is_low = y > HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) / 4  # where a falling curve leaves room for the name on the left
        return {"name": name, "value": value, "y": y, "is_low": is_low}

    return {
        "title": title,
        "unit": f"{unit}, logarithmic" if logarithmic else unit,
        "x": (x_low, x_high),
        "lines": [line(*each) for each in series],
        "levels": [level(*each) for each in levels],
        "x_ticks": [(count(value), x_at(value)) for value in round_numbers(x_low, x_high, 8)],
        "y_ticks": [(f"{value:g}", y_at(value)) for value in grid],
    }


def round_numbers(low: float, high: float, most: int) -> list[float]:
    """At most about `most` round numbers from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def round_logarithmic(low: float, high: float) -> list[float]:
    """The numbers 1, 2 and 5 times a power of ten between `low` and `high`, of a wide range the powers alone."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) <= 4 else (1,)
    return [found for power in powers for factor in factors if low <= (found := float(f"{factor}e{power}")) <= high]
