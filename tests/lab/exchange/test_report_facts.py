"""The facts of a run in words."""

from msgspec.structs import replace

from lab.exchange.report_facts import describe_cleaning, result_facts, training_facts
from lab.runs.loss_history import LossHistory
from lab.runs.run_schema import CleaningStep, FinalEvaluation, Status
from tests.lab.runs.made_up_runs import config


def test_what_each_cleaning_rule_took_or_added() -> None:
    steps = (
        CleaningStep(rule="line-endings", bytes_in=1000, bytes_out=1000),
        CleaningStep(rule="boilerplate", bytes_in=1000, bytes_out=188, removed=812),
        CleaningStep(rule="emails", bytes_in=188, bytes_out=194, before=11, after=17),
    )
    data = replace(config().data, cleaning=tuple(step.rule for step in steps), funnel=steps)
    assert describe_cleaning(data) == "line-endings, boilerplate (−812 B), emails (+6 B)"
    assert describe_cleaning(replace(data, cleaning=())) == "none"


def test_what_was_set_for_one_run_alone_is_told_of_that_one() -> None:
    made_up = config()
    assert not {"patience", "micro-batches"} & dict(training_facts(made_up)).keys()
    facts = dict(training_facts(replace(made_up, train=replace(made_up.train, patience=3, accumulate=4))))
    assert (facts["patience"], facts["micro-batches"]) == ("3 evaluations", "4 a step")


def test_each_validation_loss_has_the_text_that_it_is_of() -> None:
    made_up = config()
    data = replace(made_up.data, val_bytes=900)
    made_up = replace(made_up, data=data)
    assert dict(training_facts(made_up))["evaluated every"].endswith(" steps, and at the end")
    final = FinalEvaluation(step=40, tokens=300, bytes=900, val_loss=4.5, bits_per_byte=2.25)
    facts = dict(result_facts(made_up, Status(phase="finished", step=40, final=final), "finished", LossHistory()))
    assert facts["validation loss at the end"] == "4.500 nats/token, 2.250 bits/byte, on all 900 bytes of validation text"
