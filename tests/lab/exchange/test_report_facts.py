"""The facts of a run in words."""

from msgspec.structs import replace

from lab.exchange.report_facts import cleaning_in_words
from lab.runs.run_schema import CleaningStep
from tests.lab.runs.made_up_runs import config


def test_what_each_cleaning_rule_took_or_added() -> None:
    steps = (
        CleaningStep(rule="line-endings", bytes_in=1000, bytes_out=1000),
        CleaningStep(rule="boilerplate", bytes_in=1000, bytes_out=188, removed=812),
        CleaningStep(rule="emails", bytes_in=188, bytes_out=194, before=11, after=17),
    )
    data = replace(config().data, cleaning=tuple(step.rule for step in steps), funnel=steps)
    assert cleaning_in_words(data) == "line-endings, boilerplate (−812 B), emails (+6 B)"
    assert cleaning_in_words(replace(data, cleaning=())) == "none"
