import pytest

from lab.core.errors import UserError
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.lessons.conditions import MissingMeasureError, fill, parse_condition, parse_experiment_guess
from lab.views.blocks import GuessQuestion, View

OPTIONS = {
    "experiment": "gradient_descent",
    "question": "Does the loss fall?",
    "choice-a": "it falls",
    "right-a": "loss_after < loss_before",
    "choice-b": "it rises",
    "right-b": "loss_after > loss_before",
    "choice-c": "it stays",
    "answer": "From {loss_before:.2f} to {loss_after:.2f}.",
}


def ask(options: dict[str, str], missing: str = "", **measures: Measure) -> GuessQuestion:
    result = ExperimentResult(View("", "", "", []), measures, missing)
    return parse_experiment_guess(options).ask(result, "tiny", "The")


@pytest.mark.parametrize(("after", "right"), [(1.0, (0,)), (3.0, (1,)), (2.0, (2,))])
def test_the_right_choice_follows_the_measures(after: float, right: tuple[int, ...]) -> None:
    found = ask(OPTIONS, loss_before=2.0, loss_after=after)
    assert found.right == right
    assert found.answer == f"From 2.00 to {after:.2f}."
    assert [choice.label for choice in found.choices] == ["it falls", "it rises", "it stays"]


@pytest.mark.parametrize(("after", "why"), [(1.0, "down to 1.0"), (3.0, "up to 3.0"), (2.0, "the usual")])
def test_each_choice_may_have_a_reason_of_its_own(after: float, why: str) -> None:
    reasons = {"why": "the usual", "why-a": "down to {loss_after:.1f}", "why-b": "up to {loss_after:.1f}"}
    assert ask(OPTIONS | reasons, loss_before=2.0, loss_after=after).why == why


def test_where_no_choice_or_every_choice_holds_there_is_nothing_to_guess() -> None:
    two = {name: text for name, text in OPTIONS.items() if not name.endswith("-c")}
    found = ask(two, loss_before=2.0, loss_after=2.0)
    assert found.choices == ()
    assert "None of the choices holds on this model: From 2.00 to 2.00." in found.question
    both = {**two, "right-b": "loss_after != loss_before"}
    assert "Each of the choices holds" in ask(both, loss_before=2.0, loss_after=1.0).question
    assert ask(both, loss_before=2.0, loss_after=1.0).choices == ()


def test_the_identity_follows_the_model_the_question_and_what_it_is_asked_of() -> None:
    described = parse_experiment_guess(OPTIONS)
    result = ExperimentResult(View("", "", "", []), {"loss_before": 2.0, "loss_after": 1.0})
    asked = [described.ask(result, "tiny", prompt).identity for prompt in ("The", "The", "A")]
    assert asked[0] == asked[1] != asked[2]


def test_a_missing_measure_is_told() -> None:
    with pytest.raises(UserError, match=r"This cannot be guessed here: No text\."):
        ask(OPTIONS, missing="No text.", loss_before=2.0)
    with pytest.raises(UserError, match="measured no loss_after on this run"):
        ask(OPTIONS, loss_before=2.0)
    with pytest.raises(UserError, match="has a condition that cannot be used"):
        ask(OPTIONS, loss_before=2.0, loss_after="low")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"question": ""}, "needs the option question"),
        ({"choice-b": ""}, "needs the choices choice-a, choice-b"),
        ({"right-a": "loss_after falls"}, "is no comparison"),
        ({"answer": "{__class__}"}, "is no figure"),
        ({"right-f": "1 < 2"}, "right-f belongs to no choice"),
        ({"why-f": "So."}, "why-f belongs to no choice"),
        ({"choice-d": "it is gone"}, "more than one choice without a condition"),
    ],
)
def test_a_description_that_cannot_be_used_is_refused(change: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse_experiment_guess({**OPTIONS, **change})


MEASURES: dict[str, Measure] = {"loss": 2.5, "largest": 3, "ok": True, "name": "fast"}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("loss == 2.5", True),
        ("loss > 2.5", False),
        ("2 < loss and loss <= 2.5e0", True),
        ("loss != 2 and ok == true", True),
        ("ok == false", False),
        ('name == "fast"', True),
        ("loss < largest", True),
        ("loss >= -1", True),
    ],
)
def test_conditions(condition: str, holds: bool) -> None:
    assert parse_condition(condition).holds(MEASURES) is holds


@pytest.mark.parametrize(
    ("condition", "error", "words"),
    [
        ('name == "a and b" ', ValueError, "is no comparison"),
        ("ok == 1", ValueError, "compares a"),
        ('loss < "a"', ValueError, "compares a"),
        ("name > 3", ValueError, "compares a"),
        ("loss > 5 and gone == 1", MissingMeasureError, "gone"),
    ],
)
def test_a_condition_that_cannot_be_decided(condition: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        parse_condition(condition).holds(MEASURES)


def test_figures() -> None:
    measures = {"n": 50257, "x": 0.12345, "b": True, "t": "a\x1b*", "big": 1.02e10}
    text = "{n} {x} {x:.2f} {x:.2g} {x:.1%} {b} {t} {big:count} {big:bytes}"
    assert fill(text, measures, lambda words: f"<{words}>") == "50,257 0.123 0.12 0.12 12.3% yes <a␛*> 10.2B 10.2 GB"
    assert fill("{gone}\n\n{n}", measures) == "50,257"


@pytest.mark.parametrize(
    ("text", "of_all", "of_one"),
    [
        ("{p:.0%}", "20% (10% to 90%)", "50% (recorded 10% to 90%)"),
        ("{n}", "7", "7 (recorded 7)"),
        ("{name}", "dog", "dog"),
        ("{in p > 0.15}", "in 2 of 3 seeds", "in this run (in 2 of 3 seeds recorded)"),
        ("{in p > 0.95}", "in none of 3 seeds", "not in this run (in none of 3 seeds recorded)"),
        ("{in p < 1 and n == 7}", "in all 3 seeds", "in this run (in all 3 seeds recorded)"),
    ],
)
def test_a_figure_of_several_seeds_has_their_range_and_a_condition_counts_them(text: str, of_all: str, of_one: str) -> None:
    seeds = [{"p": p, "n": 7, "name": "dog"} for p in (0.2, 0.1, 0.9)]
    assert fill(text, {"p": 0.2, "n": 7, "name": "dog"}, str, seeds) == of_all
    assert fill(text, {"p": 0.5, "n": 7, "name": "dog"}, str, seeds, is_median=False) == of_one
    assert fill("{in p > 0.15}", {"p": 0.2}, str, seeds[:1]) == "in this run", "one recorded seed is no count"
    assert "(" not in fill(text, {"p": 0.5, "n": 7, "name": "dog"}), "one alone has no range"
    with pytest.raises(ValueError, match="is no comparison"):
        fill("{in p}", {"p": 0.5})
