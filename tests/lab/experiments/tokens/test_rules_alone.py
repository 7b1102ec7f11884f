"""Rules by themselves, against the funnel of one of them."""

from lab.data.cleaning.measure_funnel import measure_funnel
from tests.lab.experiments.conftest import MakeTextRun, Measure


def test_each_rule_takes_what_its_own_funnel_says(text_run: MakeTextRun, measure: Measure) -> None:
    found = measure("rules_alone", text_run()).measures
    funnel = measure_funnel("python", rules=("duplicate-paragraphs",))
    assert found["duplicate_paragraphs"] == funnel.raw_bytes - funnel.kept_bytes
    assert found["bytes"] == funnel.raw_bytes
    rules = {name: value for name, value in found.items() if name not in ("most", "bytes", "share")}
    assert max(rules, key=lambda name: int(rules[name])).replace("_", " ") == found["most"]
