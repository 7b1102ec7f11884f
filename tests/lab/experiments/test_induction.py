"""Learning in context on random runs, against the second GPT-2, and on the bundled run that has induction heads."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lab.experiments.induction import Losses, twice_in_words
from lab.inspect.open_model import load_open_model
from lab.runs.find_runs import open_run
from lab.training.model_insights import repeats
from models.trace_edits import Edit
from tests.lab.engine.conftest import Oracle
from tests.lab.experiments.conftest import MakeTextRun, Measure, TinyRun, rows

OracleOf = Callable[..., Oracle]


def sequences(tiny: TinyRun) -> list[list[int]]:
    ids = np.fromfile(tiny.run.path / "tokens.bin", "<u2").astype(int)[: tiny.run.config.data.split]
    found = repeats(np.unique(ids), tiny.run.config.model.context, tiny.run.config.train.seed)
    assert found is not None
    return found.tolist()  # type: ignore[no-any-return]


def losses(oracle_of: OracleOf, tiny: TinyRun, ids: list[int], edits: tuple[Edit, ...] = ()) -> np.ndarray:
    """−ln p of each token but the first."""
    table = oracle_of(tiny, ids[:-1], edits).values["probability"]
    return -np.log(table[range(len(ids) - 1), ids[1:]])


def test_the_losses_of_both_times_and_of_another_sequence(text_run: MakeTextRun, measure: Measure, oracle_of: OracleOf) -> None:
    tiny = text_run()
    found, twice = measure("repeated_sequence", tiny), sequences(tiny)
    length = len(twice[0]) // 2
    assert all(row[:length] == row[length:] and len(set(row)) == length for row in twice)
    own = np.stack([losses(oracle_of, tiny, row) for row in twice])
    other = [[*row[:length], *before[:length]] for row, before in zip(twice, [twice[-1], *twice], strict=False)]
    expected = {
        "sequences": len(twice),
        "repeated": length,
        "first_loss": own[:, : length - 1].mean(),
        "second_loss": own[:, length:].mean(),
        "another_loss": np.mean([losses(oracle_of, tiny, row)[length:] for row in other]),
    }
    expected["in_context_gain"] = expected["first_loss"] - expected["second_loss"]
    gains = own[:, : length - 1].mean(1) - own[:, length:].mean(1)
    expected["gain_error"] = gains.std(ddof=1) / math.sqrt(len(gains))
    assert {name: found.measures[name] for name in expected} == pytest.approx(expected, abs=1e-4)
    assert not found.measures["is_gain"]
    assert "Here" in found.view.sentence, "random weights copy nothing"
    assert rows(found)[0][1].value == pytest.approx(own[:, 0].mean(), abs=1e-4)


def test_a_head_is_ablated_by_its_mean_and_the_scores_are_its_attention_to_the_token_after(
    text_run: MakeTextRun, measure: Measure, oracle_of: OracleOf
) -> None:
    tiny = text_run()
    found, twice = measure("induction_head", tiny), sequences(tiny)
    length = len(twice[0]) // 2
    patterns: dict[tuple[int, int], float] = {}
    for layer in range(2):
        for head in range(2):
            each = [oracle_of(tiny, row).values[f"blocks.{layer}.attn.pattern"][head] for row in twice]
            patterns[layer, head] = float(np.mean([p[t, t - length + 1] for p in each for t in range(length, 2 * length)]))
    best = max(patterns, key=lambda place: patterns[place])
    assert found.measures["head"] == f"{best[0] + 1}.{best[1] + 1}"
    assert found.measures["score"] == pytest.approx(patterns[best], abs=1e-5)
    table = {row[0].text: row for row in rows(found)}
    for layer, head in patterns:
        edits = (Edit(f"blocks.{layer}.attn.z", "mean", head=head),)
        expected = np.mean([losses(oracle_of, tiny, row, edits)[length:] for row in twice])
        assert table[f"{layer + 1}.{head + 1}"][1].value == pytest.approx(expected, abs=1e-4)
    assert found.measures["lost"] == 0.0
    assert "no gain to lose" in found.view.sentence


def test_over_training_each_snapshot_counts_and_without_any_it_is_said(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    found = measure("repeats_over_training", tiny)
    assert found.missing == found.view.sentence
    assert (len(rows(found)), [name for name in found.measures if name.startswith("jump")]) == (1, [])
    (tiny.run.path / "snapshots").mkdir()
    for step, seed in ((0, 5), (40, 6), (100, None)):
        tiny.save(f"snapshots/{step:08d}", step, seed)
    found = measure("repeats_over_training", tiny)
    assert [row[0].text for row in rows(found)] == ["0", "40", "100"]
    alone = measure("repeated_sequence", tiny).measures
    assert found.measures["last_gain"] == pytest.approx(alone["in_context_gain"])
    gains = [row[1].value - row[2].value for row in rows(found)]  # type: ignore[operator]
    assert found.measures["jump"] == pytest.approx(max(np.diff(gains)))
    assert found.measures["jump_share"] == 0.0


@pytest.fixture(scope="module")
def bundled() -> Any:
    opened = load_open_model(open_run("induction"), "best")
    return TinyRun(opened.run, opened.model, opened.tokenizer)


@pytest.mark.parametrize(
    ("name", "holds", "says"),
    [
        (
            "repeated_sequence",
            lambda m: m["is_gain"] and m["in_context_gain"] > 2 and m["second_loss"] < m["another_loss"] - 2,
            "in context",
        ),
        (
            "repeats_over_training",
            lambda m: m["jump_share"] > 0.5 and m["jump_end"] > 0.05 and m["last_score"] > 0.3,
            "of the gain",
        ),
        ("induction_head", lambda m: m["has_head"] and m["lost"] > 0.5 and m["other_previous"] > 0.3, "the token before"),
    ],
)
def test_the_bundled_run_shows_what_the_lesson_says(
    name: str, holds: Callable[[Any], bool], says: str, bundled: TinyRun, measure: Measure
) -> None:
    found = measure(name, bundled, prompt="abc")
    assert holds(found.measures), found.measures
    assert says in found.view.sentence


@pytest.mark.parametrize(
    ("first", "second", "another", "says"),
    [
        (5.0, 2.0, 6.0, "3.00 less, with the same weights"),
        (5.0, 5.5, 6.0, "more. Here it does not help"),
        (5.0, 4.9, 6.0, "the gain is small: less than 5% of the first"),
        (5.0, 4.0, 3.9, "but so does another one in its place (3.90): here the repeat itself does not help"),
    ],
)
def test_the_sentence_says_why_a_gain_is_none(first: float, second: float, another: float, says: str) -> None:
    spread = np.array([[0.0], [0.01], [-0.01], [0.0]])
    losses = Losses(first + spread, second - spread, another + spread)
    assert says in twice_in_words(losses)


def test_the_sentence_names_the_error_of_a_gain_that_may_be_chance() -> None:
    spread = np.array([[1.0], [-1.0], [2.0], [-2.0]])
    assert "no clear gain: its standard error is" in twice_in_words(Losses(5 + spread, 4.9 - spread, 6 + spread))
