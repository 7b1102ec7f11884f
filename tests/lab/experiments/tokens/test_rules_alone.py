"""Rules by themselves, against the funnel of one of them."""

from lab.data.cleaning.measure_funnel import measure_funnel
from lab.data.cleaning.rule_registry import BY_NAME
from lab.experiments.tokens import MEASURED
from lab.lessons.lesson import lessons
from tests.lab.experiments.conftest import MakeTextRun, Measure


def test_each_rule_takes_what_its_own_funnel_says(text_run: MakeTextRun, measure: Measure) -> None:
    found = measure("rules_alone", text_run()).measures
    funnel = measure_funnel("python", rules=("duplicate-paragraphs",))
    assert found["duplicate_paragraphs"] == funnel.raw_bytes - funnel.kept_bytes
    assert found["bytes"] == funnel.raw_bytes
    rules = {name: value for name, value in found.items() if name not in ("most", "bytes", "share")}
    assert set(rules) == {each.replace("-", "_") for each in MEASURED}
    lesson = next(each for each in lessons() if each.name == "cleaning")
    guess = next(step.live.options for step in lesson.steps if step.live and step.live.options.get("experiment") == "rules_alone")
    chosen = {guess[f"choice-{letter}"] for letter in "abcd"}
    assert chosen == {BY_NAME[rule].title for rule in MEASURED}, "the right one is among them, whichever it is"
    assert all(guess[f"right-{letter}"] == f'most == "{guess[f"choice-{letter}"]}"' for letter in "abcd")
    assert max(rules, key=lambda name: int(rules[name])).replace("_", " ") == found["most"]
