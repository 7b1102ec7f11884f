"""`llmlab features` on the demo, whose features ship with the lab."""

import json

from tests.fixture_types import Call


def test_the_shipped_features_are_shown_at_once_and_a_tokens_shares_add_up(llmlab: Call) -> None:
    record = json.loads(llmlab("features", "demo", "--json").out)["record"]
    assert record["explained"][0] > 0.9 > record["explained_by_chance"]
    divergences = [record["effects"][name]["kl"][0] for name in ("features", "random directions", "zero")]
    assert divergences == sorted(divergences)
    parts = json.loads(llmlab("features", "demo", "-p", "The big dog", "--json").out)
    assert abs(sum(share for _, _, share in parts["features"]) + parts["error"] - 1) < 1e-5
    shown = llmlab("features", "demo", "-p", "The big dog").out
    assert shown.splitlines()[-1].lstrip().startswith("error")


def test_what_there_is_not_is_refused(llmlab: Call) -> None:
    llmlab("features", "demo", "--feature", "9999").assert_mistake("features are 0 to 511")
    other = 1 + json.loads(llmlab("features", "demo", "--json").out)["record"]["layer"]
    llmlab("features", "demo", "--layer", str(other)).assert_mistake("--fit fits some after layer")
