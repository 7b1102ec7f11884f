"""The claims' files: all can be read, a bad one is refused with one sentence, and their figures are filled from measures."""

from pathlib import Path

import pytest

from lab.core.errors import UserError
from lab.data.default_prompts import first_prompt
from lab.experiments.experiment_registry import EXPERIMENTS
from lab.experiments.experiment_result import ExperimentResult
from lab.lessons.claim import Claim, check_claim, load_claims, parse_claim, unchecked
from lab.lessons.conditions import MissingMeasureError, fill, parse_condition
from lab.lessons.lesson import claim_titles
from lab.runs.find_runs import open_run
from lab.views.blocks import View
from tests.lab.engine.conftest import InProcessEngine

GOOD = """# Water is wet

experiment: vocabulary
true if: own_vocabulary == 3 and own_merges < 1
limit if: own_vocabulary == 4
source: a book

It has {own_vocabulary} tokens.

{gone:.1f} are gone.

## True
Wet.

## Write instead
Water.
"""


def parsed(text: str, name: str = "01-water.md") -> Claim:
    return parse_claim(Path(name), text, EXPERIMENTS)


def test_a_file_is_read() -> None:
    claim = parsed(GOOD)
    assert (claim.name, claim.number, claim.title, claim.sources) == ("water", 1, "Water is wet", ("a book",))
    assert claim.names == {"own_vocabulary", "own_merges", "gone"}
    assert claim.instead == "Water."


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("# Water is wet", "Water", "must begin with the claim itself"),
        ("experiment: vocabulary", "experiment: alchemy", "no experiment called alchemy; the experiments are vocabulary"),
        ("experiment: vocabulary\n", "", "no line experiment: NAME"),
        ("own_merges < 1", "own_merges is 1", "'own_merges is 1' is no comparison"),
        ("own_merges < 1", "__import__('os') == 1", "is no comparison"),
        ("true if: own_vocabulary == 3 and own_merges < 1\nlimit if: own_vocabulary == 4\n", "", "needs a condition"),
        ("source: a book", "colour: blue", "has a line 'colour: blue'"),
        ("source: a book", "experiment: parameters", "has a line 'experiment: parameters'"),
        ("It has {own_vocabulary} tokens.\n\n{gone:.1f} are gone.\n", "", "needs an explanation"),
        ("{gone:.1f}", "{gone:.1e}", "{gone:.1e} is no figure"),
        ("## Write instead\nWater.", "", "needs a part ## Write instead"),
        ("## True", "## Maybe", "a heading 'Maybe'"),
        ("## Write instead", "## True", "a heading 'True'"),
    ],
)
def test_a_bad_file_is_refused_with_one_sentence(old: str, new: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(UserError) as raised:
        parsed(GOOD.replace(old, new, 1))
    assert words in str(raised.value)
    assert "01-water.md" in str(raised.value)
    assert str(raised.value).endswith(".")
    assert "\n" not in str(raised.value)


def test_a_file_needs_a_number_and_a_name() -> None:
    with pytest.raises(UserError, match=r"needs a name such as 01-vocabulary\.md"):
        parsed(GOOD, "water.md")


def test_two_claims_of_one_name_are_refused(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"0{number}-water.md").write_text(GOOD)
    with pytest.raises(UserError, match=r"Two claims in .* are called water"):
        load_claims(tmp_path)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("loss == 2.5", True),
        ("loss > 2.5", False),
        ("2 < loss and loss <= 2.5e0", True),
        ("loss != 2 and ok == true", True),
        ("ok == false", False),
        ('name == "a and b" ', None),
        ('name == "fast"', True),
        ("loss < largest", True),
        ("loss >= -1", True),
    ],
)
def test_conditions(condition: str, holds: bool | None) -> None:
    measures = {"loss": 2.5, "largest": 3, "ok": True, "name": "fast"}
    if holds is None:
        with pytest.raises(ValueError, match="is no comparison"):
            parse_condition(condition)
    else:
        assert parse_condition(condition).holds(measures) is holds


def test_a_condition_compares_numbers_with_numbers() -> None:
    for condition in ("ok == 1", 'loss < "a"', "name > 3"):
        with pytest.raises(ValueError, match="compares a"):
            parse_condition(condition).holds({"loss": 2.5, "ok": True, "name": "fast"})


def test_a_missing_measure_is_never_overlooked() -> None:
    with pytest.raises(MissingMeasureError):
        parse_condition("loss > 5 and gone == 1").holds({"loss": 2.5})


def result(missing: str = "", **measures: bool | float | str) -> ExperimentResult:
    return ExperimentResult(View("", "", "", []), measures, missing)


def test_the_verdict_follows_the_measures() -> None:
    claim = parsed(GOOD)
    assert check_claim(claim, result(own_vocabulary=3, own_merges=0)).verdict == "true"
    assert check_claim(claim, result(own_vocabulary=4, own_merges=0)).verdict == "limit"
    assert check_claim(claim, result(own_vocabulary=5, own_merges=0)).verdict == "not so"
    found = check_claim(claim, result("The file is gone.", own_vocabulary=3))
    assert (found.verdict, found.words) == ("unchecked", "cannot be checked here: The file is gone.")
    assert unchecked(claim, "No.").explanation() == ""


def test_the_text_is_that_of_the_verdict_and_leaves_out_what_was_not_measured() -> None:
    claim = parsed(GOOD)
    assert check_claim(claim, result(own_vocabulary=3, own_merges=0)).explanation() == "Wet.\n\nIt has 3 tokens."
    assert (
        check_claim(claim, result(own_vocabulary=5, own_merges=0, gone=1.25)).explanation() == "It has 5 tokens.\n\n1.2 are gone."
    )


def test_figures() -> None:
    measures = {"n": 50257, "x": 0.12345, "b": True, "t": "a\x1b*", "big": 1.02e10}
    text = "{n} {x} {x:.2f} {x:.2g} {x:.1%} {b} {t} {big:count} {big:bytes}"
    assert fill(text, measures, lambda words: f"<{words}>") == "50,257 0.123 0.12 0.12 12.3% yes <a␛*> 10.2B 10.2 GB"
    assert fill("{gone}\n\n{n}", measures) == "50,257"


@pytest.mark.parametrize("claim", load_claims(), ids=lambda claim: claim.name)
def test_every_measure_of_a_claim_is_measured_on_the_demo(claim: Claim, shared_engine: InProcessEngine) -> None:
    from lab.engine.method_registry import ExperimentParams

    prompt = claim.prompt or first_prompt(open_run("demo"))
    params = ExperimentParams(run="demo", text=prompt, name=claim.experiment, inputs=dict(claim.inputs))
    found = shared_engine.experiment(params)
    optional = {"times_whole", "times_split"}  # of a word that the text does not have
    assert found.missing or claim.names <= found.measures.keys() | optional
    checked = check_claim(claim, found)
    assert found.missing or checked.verdict != "unchecked"
    assert "{" not in checked.explanation() + checked.instead()
    assert checked.instead()


def test_a_claim_from_outside_names_its_source() -> None:
    claims = {claim.name: claim for claim in load_claims()}
    assert "Radford et al. 2019" in claims["training-tokens"].sources[0]
    assert claims["parameters"].sources


def test_a_file_that_is_no_text_is_refused_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "01-water.md").write_bytes(b"# \xff\n")
    with pytest.raises(UserError, match="no UTF-8 text"):
        load_claims(tmp_path)


def test_the_titles_alone_are_those_of_the_claims() -> None:
    assert claim_titles() == {claim.name: claim.title for claim in load_claims()}
