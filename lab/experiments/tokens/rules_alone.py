"""Four cleaning rules on the built-in reference of Python, each by itself: how much of the text each takes."""

from functools import cache

from lab.core.number_format import bytes_, probability
from lab.data.cleaning.measure_funnel import measure_funnel
from lab.data.cleaning.rule_registry import BY_NAME
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.views.blocks import Cell, Column, Table, View
from models.unembed import Slices

TEXT = "python"
MEASURED = ("symbol-lines", "boilerplate", "duplicate-paragraphs", "duplicate-lines")
"""The rules that the lesson asks about, quick ones; each takes a slice of the work."""


def rules_alone(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures, for each rule, the bytes that it takes, by its name with underscores; `most`, the title of the rule that takes
    most, its `share` of the text, and the `bytes` of the text.

    Raises:
        UserError: if the text does not come with this Python.
    """
    taken: dict[str, int] = {}
    size = 0
    for rule in MEASURED:
        size, taken[rule] = _measured(rule)
        yield
    order = sorted(MEASURED, key=lambda rule: -taken[rule])
    most = BY_NAME[order[0]].title
    table = Table(
        [Column("rule", "left"), Column("takes"), Column("of the text")],
        [
            [
                Cell(BY_NAME[rule].title),
                Cell(bytes_(taken[rule]), value=float(taken[rule])),
                Cell(probability(taken[rule] / size), value=taken[rule] / size, bar=taken[rule] / max(1, taken[order[0]])),
            ]
            for rule in order
        ],
    )
    measures: dict[str, Measure] = {rule.replace("-", "_"): taken[rule] for rule in MEASURED}
    measures |= {"most": most, "bytes": size, "share": taken[order[0]] / size}
    sentence = f"Of these rules, each by itself, “{most}” takes most of the {bytes_(size)}: {bytes_(taken[order[0]])}."
    return ExperimentResult(View("rules_alone", "each rule by itself", sentence, [table]), measures)


@cache
def _measured(rule: str) -> tuple[int, int]:
    """Bytes of the text and those that a rule takes. They never change while the lab is open."""
    funnel = measure_funnel(TEXT, rules=(rule,))
    return funnel.raw_bytes, funnel.raw_bytes - funnel.kept_bytes
