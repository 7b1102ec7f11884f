"""HTML report of a run: one file with its curves, samples, text, settings and, for a prompt, what the model makes of it.

The template is in `report_template`; jinja2 escapes everything from outside, and a content security policy allows no network and
no script but the report's own.
"""

import base64
import hashlib
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Any

import jinja2

from lab.core.colour_scales import RGB, colour, ink_on
from lab.core.number_format import fixed, whole
from lab.core.visible_text import visible
from lab.exchange.prompt_section import CODES, prompt_data, prompt_section
from lab.exchange.report_charts import Chart, chart
from lab.exchange.report_facts import model_facts, result_facts, samples_over_time, shown, text_facts, training_facts
from lab.inspect.prompt_report import PromptReport
from lab.reports.baselines import baselines
from lab.reports.diagnosis.diagnose import diagnosis_of
from lab.reports.diagnosis.diagnosed_run import DiagnosedRun
from lab.reports.text_entropy import TextEntropy, run_entropy
from lab.reports.verdict_line import reasons, verdict_line
from lab.runs.loss_history import LossHistory
from lab.runs.run_folder import Run
from lab.runs.run_follower import RunFollower
from lab.runs.run_schema import FinalEvaluation, RunConfig

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
        evaluations=[(whole(int(step)), fixed(loss)) for step, loss in evaluations],
        samples=samples_over_time(read.samples),
        result_facts=result_facts(config, status, read.phase, history),
        text_facts=text_facts(config, judged.copied),
        model_facts=model_facts(config),
        training_facts=training_facts(config),
        prompt=None if prompt is None else prompt_section(prompt, LEVELS),
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
                "x": each.x,
                "left": each.left,
                "right": each.right,
                "width": each.width,
                "lines": [
                    {"name": line.name, "points": [(int(x), float(f"{y:.5g}")) for x, y in line.points]} for line in each.lines
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
    environment.finalize = _finalize
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    environment.filters["whole"] = lambda number: whole(int(number))
    environment.filters["loss"] = lambda number: fixed(number, 2)
    return environment.get_template("report.html.jinja")


def _finalize(value: Any) -> Any:
    """Any text of the page with every odd character visible; the page's own style, script and data are marked safe."""
    return visible(value, keep="\n") if type(value) is str else value


def _version() -> str:
    try:
        return version("llmlab")
    except PackageNotFoundError:
        return "from a checkout"
