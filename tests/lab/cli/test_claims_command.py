"""`llmlab claims`: verdicts on the demo, as text and as JSON."""

import json

from tests.fixture_types import Call


def test_a_claim_is_checked_and_printed(llmlab: Call) -> None:
    done = llmlab("claims", "--only", "mask")
    assert done.code == 0
    assert done.err == ""
    first, *rest = done.out.splitlines()
    assert first == "✗ not so: Each token attends to all the others"
    assert rest[0].startswith("  Write instead: Each token attends to itself and to earlier tokens.")
    assert all(len(line) <= 80 for line in rest)


def test_json_holds_all_that_was_measured(llmlab: Call) -> None:
    found = json.loads(llmlab("claims", "demo", "--only", "parameters", "--json").out)
    assert [(each["claim"], each["verdict"]) for each in found] == [("parameters", "limit")]
    assert found[0]["measures"]["gpt2_parameters"] == 124_439_808
    assert found[0]["measures"]["xl_parameters"] == 1_557_611_200


def test_an_unknown_claim_is_refused(llmlab: Call) -> None:
    llmlab("claims", "--only", "alchemy").assert_mistake("There is no claim called 'alchemy'", "--json lists their names")
