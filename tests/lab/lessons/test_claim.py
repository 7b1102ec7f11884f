import re
from pathlib import Path

import pytest

from lab.core.errors import UserError
from lab.data.default_prompts import first_prompt
from lab.engine.method_registry import ExperimentParams
from lab.experiments.experiment_result import ExperimentResult
from lab.lessons.claim import CheckedClaim, Claim, check_claim, load_claims, parse_claim
from lab.lessons.conditions import names_in
from lab.lessons.lesson import CLAIMS, titles
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


def parsed(text: str) -> Claim:
    return parse_claim(Path("01-water.md"), text)


def names_of(claim: Claim) -> set[str]:
    """Names of all measures that the verdict and the text need."""
    texts = (claim.explanation, *claim.by_verdict.values(), claim.instead)
    return set[str]().union(*(each.names for each in claim.conditions.values()), *map(names_in, texts))


def test_a_file_is_read() -> None:
    claim = parsed(GOOD)
    assert (claim.name, claim.number, claim.title, claim.sources) == ("water", 1, "Water is wet", ("a book",))
    assert names_of(claim) == {"own_vocabulary", "own_merges", "gone"}
    assert claim.instead == "Water."


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("# Water is wet", "Water", "must begin with the claim itself"),
        ("experiment: vocabulary\n", "", "needs a line experiment: NAME"),
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
        ("experiment: vocabulary", "experiment: vocabulary\nverdict: not so", "no experiment"),
        ("experiment: vocabulary", "verdict: perhaps", "which needs a source, no experiment, and true, limit, not so"),
    ],
)
def test_a_bad_file_is_refused_with_one_sentence(old: str, new: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(UserError) as raised:
        parsed(GOOD.replace(old, new, 1))
    assert words in str(raised.value)
    assert re.fullmatch(r".*01-water\.md.*\.", str(raised.value))


@pytest.mark.parametrize(
    ("name", "words"),
    [("water.md", r"needs a name such as 01-vocabulary\.md"), ("02-water.md", r"Two claims in .* are called water")],
)
def test_a_file_whose_name_cannot_be_is_refused(name: str, words: str, tmp_path: Path) -> None:
    for each in ("01-water.md", name):
        (tmp_path / each).write_text(GOOD)
    with pytest.raises(UserError, match=words):
        load_claims(tmp_path)


def result(missing: str = "", **measures: bool | float | str) -> ExperimentResult:
    return ExperimentResult(View("", "", "", []), measures, missing)


def test_the_verdict_and_its_text_follow_the_measures() -> None:
    claim = parsed(GOOD)
    true = check_claim(claim, result(own_vocabulary=3, own_merges=0))
    assert (true.verdict, true.explanation()) == ("true", "Wet.\n\nIt has 3 tokens."), "what was not measured is left out"
    assert check_claim(claim, result(own_vocabulary=4, own_merges=0)).verdict == "limit"
    not_so = check_claim(claim, result(own_vocabulary=5, own_merges=0, gone=1.25))
    assert (not_so.verdict, not_so.explanation()) == ("not so", "It has 5 tokens.\n\n1.2 are gone.")
    missing = check_claim(claim, result("The file is gone.", own_vocabulary=3))
    assert (missing.verdict, missing.reason) == ("unchecked", "The file is gone.")
    assert CheckedClaim(claim, "unchecked", "No.").explanation() == ""


def test_a_fact_of_sources_has_their_verdict_and_no_experiment() -> None:
    text = "# Water is wet\n\nverdict: not so\nsource: a book\n\nIt is not.\n\n## Write instead\nWater."
    claim = parsed(text)
    checked = check_claim(claim)
    assert (checked.verdict, checked.explanation(), checked.instead(), claim.sources) == (
        "not so",
        "It is not.",
        "Water.",
        ("a book",),
    )
    with pytest.raises(UserError, match="which needs a source"):
        parsed(text.replace("source: a book\n", ""))


MEASURED = [claim for claim in load_claims() if claim.experiment]


@pytest.mark.parametrize("claim", MEASURED, ids=lambda claim: claim.name)
def test_every_measure_of_a_claim_is_measured_on_the_demo(
    claim: Claim, shared_engine: InProcessEngine, small_experiments: None
) -> None:
    prompt = claim.prompt or first_prompt(open_run("demo"))
    params = ExperimentParams(run="demo", text=prompt, name=claim.experiment, inputs=dict(claim.inputs))
    found = shared_engine.experiment(params)
    optional = {"times_whole", "times_split"}  # of a word that the text does not have
    assert found.missing or names_of(claim) <= found.measures.keys() | optional
    checked = check_claim(claim, found)
    assert found.missing or checked.verdict != "unchecked"
    assert "{" not in checked.explanation() + checked.instead()
    assert checked.instead()
    assert all(condition.names for condition in claim.conditions.values()), "a condition that no measure decides"


def test_the_claims_have_sources_and_their_titles_are_read_alone() -> None:
    claims = {claim.name: claim for claim in load_claims()}
    assert "Radford et al. 2019" in claims["training-tokens"].sources[0]
    assert claims["parameters"].sources
    assert titles(CLAIMS) == {claim.name: claim.title for claim in load_claims()}
