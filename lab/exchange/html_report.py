"""HTML report of a run: one file with its curves, samples, text, settings and, for a prompt, what the model makes of it.

The template is in `report_template`; jinja2 escapes everything from outside, and a content security policy allows no network and
no script but the report's own.
"""

import base64
import hashlib
import time
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from lab.analysis.baselines import TextEntropy, baselines, run_entropy
from lab.analysis.diagnose import diagnosis_of
from lab.analysis.diagnosed_run import DiagnosedRun
from lab.analysis.run_sentence import reasons, verdict_line
from lab.core.colour_scales import RGB, colour, ink_on
from lab.core.number_format import fixed, probability, whole
from lab.core.visible_text import visible
from lab.exchange.report_facts import (
    FRAME,
    Chart,
    chart,
    model_facts,
    result_facts,
    samples_over_time,
    shown,
    text_facts,
    training_facts,
)
from lab.inspect.trace_export import PromptReport
from lab.runs.run_folder import Run
from lab.runs.run_history import LossHistory, RunFollower
from lab.runs.run_schema import FinalEvaluation, RunConfig
from lab.views.blocks import Prediction

LEVELS = 64
"""Steps of the colour scale in the attention pictures; the logit-lens grid has a CSS class for each."""

MOST_EVALUATIONS = 200
"""Rows of the table of evaluations."""


def html_report(run: Run, prompt: PromptReport | None = None) -> str:
    """The report as HTML. Raises: UserError: if the run's settings cannot be read."""
    read = RunFollower(run).read()  # in parts, so that a long run's lines are never in memory at once
    config, status = read.config, read.status
    history = read.history or LossHistory()
    entropy = run_entropy(run)
    judged = DiagnosedRun(config, status, history, read.phase, entropy, read.events)
    found = diagnosis_of(judged)
    charts = _charts(config, history, entropy, status.final)
    script = _template_file("report.js")
    evaluations = list(zip(history.eval_steps, history.val_losses, strict=True))[-MOST_EVALUATIONS:]
    return _template().render(
        run=shown(run.name),
        verdict=verdict_line(judged, found).text,
        summary=reasons(judged, found),
        style=_template_file("report.css") + _scale_css(),
        script=script,
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        charts=charts,
        frame=FRAME,
        evaluations=[(whole(int(step)), fixed(loss)) for step, loss in evaluations],
        samples=samples_over_time(read.samples),
        result_facts=result_facts(config, status, read.phase, history),
        text_facts=text_facts(config, judged.copied),
        model_facts=model_facts(config),
        training_facts=training_facts(config),
        prompt=None if prompt is None else prompt_section(prompt),
        data=_data(charts, prompt),
        version=_version(),
        date=time.strftime("%Y-%m-%d"),
    )


def _charts(config: RunConfig, history: LossHistory, entropy: TextEntropy | None, final: FinalEvaluation | None) -> list[Chart]:
    steps = history.steps.values
    known = baselines(config.model.vocab_size, config.data, history, entropy, final)
    found = [
        chart(
            "Loss",
            "nats per token",
            [
                ("training loss of a step", "faint", steps, history.losses.values),
                ("training loss, running mean", "training", steps, history.smooth.values),
                ("validation loss", "validation", history.eval_steps.values, history.val_losses.values),
            ],
            [(each.name, each.loss) for each in known],
        ),
        chart("Learning rate", "", [("learning rate", "rate", steps, history.lrs.values)], from_zero=True),
    ]
    return [each for each in found if each is not None]


def _data(charts: list[Chart], prompt: PromptReport | None) -> dict[str, Any]:
    """The numbers that the script reads on hover."""
    ramps = {"light": _ramp(False), "dark": _ramp(True)}
    return {
        "charts": [
            {
                "x": each["x"],
                **{name: FRAME[name] for name in ("left", "right", "width")},
                "lines": [
                    {"name": line["name"], "points": [(int(x), float(f"{y:.5g}")) for x, y in line["points"]]}
                    for line in each["lines"]
                ],
            }
            for each in charts
        ],
        "codes": CODES,
        "ramps": {name: [_css(rgb) for rgb in ramp] for name, ramp in ramps.items()},
        "inks": {name: [_css(ink_on(rgb)) for rgb in ramp] for name, ramp in ramps.items()},
        "prompt": None if prompt is None else prompt_data(prompt),
    }


def _ramp(dark: bool) -> list[RGB]:
    """The sequential scale in `LEVELS` steps."""
    return [colour("sequential", level / (LEVELS - 1), dark) for level in range(LEVELS)]


def _css(rgb: RGB) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in rgb)


def _scale_css() -> str:
    """Classes `q0` to `q63` and the variable `--ramp`: the sequential scale on light and on dark paper."""

    def rules(dark: bool) -> str:
        ramp = _ramp(dark)
        stops = ",".join(_css(rgb) for rgb in ramp[::7])
        cells = "".join(f".q{level}{{background:{_css(rgb)};color:{_css(ink_on(rgb))}}}" for level, rgb in enumerate(ramp))
        return f":root{{--ramp:linear-gradient(to right,{stops})}}{cells}"

    return f"{rules(False)}@media (prefers-color-scheme: dark){{{rules(True)}}}"


def _template_file(name: str) -> str:
    return (files("lab.exchange") / "report_template" / name).read_text(encoding="utf-8")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lab.exchange", "report_template"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    # Any text has its odd characters made visible; the page's own style, script and data are marked safe.
    environment.finalize = lambda value: visible(value, keep="\n") if type(value) is str else value
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    environment.filters["whole"] = lambda number: whole(int(number))
    environment.filters["loss"] = lambda number: fixed(number, 2)
    return environment.get_template("report.html.jinja")


def _version() -> str:
    try:
        return version("llmlab")
    except PackageNotFoundError:
        return "from a checkout"


def prompt_section(prompt: PromptReport) -> dict[str, Any]:
    """The section as text; the lens cells have a level from 0 to `LEVELS` − 1."""
    tokens = [
        {
            "label": visible(token.label),
            "id": token.id,
            "number": number,
            "probability": "" if token.probability is None else probability(token.probability),
        }
        for number, token in enumerate(prompt.tokens, 1)
    ][prompt.first :]
    rows = [
        (_stream(row.name), [_lens_cell(_stream(row.name), tokens[at], cell) for at, cell in enumerate(row.cells)])
        for row in prompt.lens
    ]
    notes = []
    if prompt.dropped:
        notes.append(f"The model does not see the first {whole(prompt.dropped)} tokens: they do not fit its context.")
    if prompt.first:
        notes.append(f"Shown are the last {whole(len(tokens))} tokens; attention to those before is left out.")
    return {
        "model": f"{whole(len(prompt.tokens))} tokens through the {prompt.checkpoint} weights of {visible(prompt.run)}, "
        f"step {whole(prompt.step)}.",
        "interventions": prompt.interventions,
        "notes": notes,
        "tokens": tokens,
        "first": prompt.first,
        "last_number": len(prompt.tokens),
        "heads": prompt.patterns[0].shape[0],
        "top": _bars(prompt.top[-1]),
        "lens": rows[::-1],  # the last layer first, as the model is read upwards
    }


def prompt_data(prompt: PromptReport) -> dict[str, Any]:
    """The numbers that the script draws: patterns of all heads as probability codes, next tokens at every position."""
    patterns = [layer.numpy() for layer in prompt.patterns]
    return {
        "first": prompt.first,
        "tokens": [visible(token.label) for token in prompt.tokens[prompt.first :]],
        "layers": len(patterns),
        "heads": len(patterns[0]),
        "patterns": "".join(encode(lower_triangle(head)) for layer in patterns for head in layer),
        "top": [_bars(row) for row in prompt.top],
    }


def _bars(predictions: Sequence[Prediction]) -> list[tuple[str, str, float]]:
    return [(visible(each.label), probability(each.probability), round(100 * each.probability, 2)) for each in predictions]


def _lens_cell(stream: str, token: dict[str, Any], cell: Sequence[Prediction]) -> tuple[str, int, str]:
    """Label, level and title."""
    listed = ", ".join(f"“{visible(each.label)}” {probability(each.probability)}" for each in cell)
    level = round(cell[0].probability * (LEVELS - 1))
    return visible(cell[0].label), level, f"{stream}, after “{token['label']}” (position {token['number']}): {listed}"


def _stream(name: str) -> str:
    """`blocks.0.resid_post` as `layer 1`."""
    _, layer, part = name.split(".")
    return "embedding" if part == "resid_pre" else f"layer {int(layer) + 1}"


DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
"""The digits of base 64, which need no escaping in HTML or JSON."""

CODES = 1003
"""0 is 0%, 1 is <0.1%, then one for each tenth of a percent, then >99.9% and 100%: as `lab.core.number_format` writes them."""


def codes(probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
    """The code of each probability, from 0 to `CODES` − 1."""
    p = probabilities.astype(np.float64)
    tenths = np.rint(p * 1000).astype(np.int64)
    found = np.clip(tenths + 1, 1, 1001)
    found = np.where((p < 1) & (tenths >= 1000), 1001, found)
    return np.where(p <= 0, 0, np.where(p >= 1, CODES - 1, found))


def encode(probabilities: NDArray[np.floating]) -> str:
    """Two characters for each probability, exact to the tenth of a percent that a reader sees, the more significant one first."""
    digits = np.array(list(DIGITS))
    found = codes(probabilities.ravel())
    pairs = np.stack([digits[found // 64], digits[found % 64]], axis=1)
    return "".join(pairs.ravel().tolist())


def lower_triangle(pattern: NDArray[np.floating]) -> NDArray[np.floating]:
    """The rows of a causal (n, n) pattern up to the diagonal, one after the other: n(n + 1) / 2 numbers."""
    rows, columns = np.tril_indices(len(pattern))
    return pattern[rows, columns]
