"""Learning in context on random runs, against the second GPT-2, and on the bundled run that has induction heads."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from lab.experiments import induction
from lab.experiments.batch_passes import losses_of
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_registry import run_experiment
from lab.experiments.induction import Losses, twice_in_words
from lab.inspect.model_cache import TraceCache, load_open_model
from lab.runs.find_runs import open_run
from lab.training.model_insights import repeats
from models.gpt import GPT
from models.trace_edits import Edit
from tests.lab.experiments.conftest import MakeTextRun, Measure, TinyRun, rows
from tests.models.oracle import Oracle

OracleOf = Callable[..., Oracle]


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """As few sequences as a large model gets: the oracle is slow."""
    monkeypatch.setattr(induction, "SEQUENCES", 8)


def sequences(tiny: TinyRun) -> list[list[int]]:
    ids = np.fromfile(tiny.run.path / "tokens.bin", "<u2").astype(int)[: tiny.run.config.data.split]
    found = repeats(np.unique(ids), tiny.run.config.model.context, tiny.run.config.train.seed)
    assert found is not None
    return found.tolist()  # type: ignore[no-any-return]


def losses(oracle_of: OracleOf, tiny: TinyRun, ids: list[int], edits: tuple[Edit, ...] = ()) -> np.ndarray:
    """−ln p of each token but the first."""
    table = oracle_of(tiny, ids[:-1], edits).values["probability"]
    return -np.log(table[range(len(ids) - 1), ids[1:]])


@pytest.mark.usefixtures("eight")
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


@pytest.mark.usefixtures("eight")
def test_a_head_or_mlp_is_ablated_by_its_mean_and_the_scores_are_its_attention_to_the_token_after(
    text_run: MakeTextRun, measure: Measure, oracle_of: OracleOf, monkeypatch: pytest.MonkeyPatch
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
    ablated = {f"head {layer + 1}.{head + 1}": Edit(f"blocks.{layer}.attn.z", "mean", head=head) for layer, head in patterns}
    ablated |= {f"MLP {layer + 1}": Edit(f"blocks.{layer}.mlp_out", "mean") for layer in range(2)}
    assert set(table) == {"none", *ablated}
    for part, edit in ablated.items():
        edits = (edit,)
        expected = np.mean([losses(oracle_of, tiny, row, edits)[length:] for row in twice])
        assert table[part][1].value == pytest.approx(expected, abs=1e-4)
    assert found.measures["lost"] == 0.0
    assert "no gain to lose" in found.view.sentence
    monkeypatch.setattr(induction, "MOST_HEADS", 0)
    few = {row[0].text for row in rows(measure("induction_head", tiny))}
    assert {"none", "MLP 1", "MLP 2", f"head {found.measures['head']}"} < few < set(table), "of a large model not all heads"


@torch.no_grad()
def test_what_a_part_writes_is_kept_from_the_keys_of_one_head_alone(text_run: MakeTextRun) -> None:
    """Against the model's own forward pass with hooks."""
    tiny = text_run()
    model: GPT = tiny.model.eval()
    for weight in model.parameters():
        weight.mul_(6.0 if weight.dim() == 2 else 1.0)  # so that the keys matter
    rows, caught, width = np.array(sequences(tiny)), dict[str, torch.Tensor](), model.config.width
    block, head, head_width = model.blocks[1], 1, width // model.config.heads

    def changed_keys(module: torch.nn.Linear, _: object, out: torch.Tensor) -> torch.Tensor:
        x = caught["stream"] - caught["mlp"] + caught["mlp"].mean(1, keepdim=True)
        normed = F.layer_norm(x, (width,), block.ln_1.weight, block.ln_1.bias)
        at = slice(width + head * head_width, width + (head + 1) * head_width)
        out = out.clone()
        out[..., at] = F.linear(normed, module.weight, module.bias)[..., at]
        return out

    hooks = [
        model.blocks[0].mlp.register_forward_hook(lambda _, __, out: caught.update(mlp=out)),
        block.ln_1.register_forward_pre_hook(lambda _, given: caught.update(stream=given[0])),
        block.attn.c_attn.register_forward_hook(changed_keys),
    ]
    expected = F.cross_entropy(model(torch.from_numpy(rows[:, :-1])).mT, torch.from_numpy(rows[:, 1:]), reduction="none")
    for hook in hooks:
        hook.remove()
    torch.testing.assert_close(losses_of(model, rows, (0, None), (1, head)), expected, atol=1e-4, rtol=1e-4)
    assert float((losses_of(model, rows) - expected).abs().max()) > 1e-3, "the keys matter"


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
            lambda m: m["is_gain"] and m["sequences"] == 200 and m["gain_error"] < 0.1 < 1.5 < m["in_context_gain"],
            "in context",
        ),
        (
            "repeats_over_training",
            lambda m: m["jump_share"] > 0.5 and m["jump_end"] > 0.05 and m["last_score"] > 0.3,
            "of the gain",
        ),
        (
            "induction_head",
            lambda m: (
                m["has_head"]
                and m["lost"] > 0.5
                and m["back_head"] == "head 1.2"
                and m["back_score"] > 0.3
                # what the lesson says of the keys: MLP 1 matters more to them than what the head before writes itself
                and m["read_part"] == "MLP 1"
                and m["read_loss"] - m["second_loss"] > 3 * (m["back_read_loss"] - m["second_loss"])
            ),
            "the token before",
        ),
    ],
)
def test_the_bundled_run_shows_what_the_lesson_says(
    name: str, holds: Callable[[Any], bool], says: str, bundled: TinyRun, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name != "repeated_sequence":
        monkeypatch.setattr(induction, "SEQUENCES", 40)
    found = measure(name, bundled, prompt="abc")
    assert holds(found.measures), found.measures
    assert says in found.view.sentence


@pytest.mark.parametrize(
    ("first", "second", "another", "says"),
    [
        (5.0, 2.0, 6.0, "3.00 less (standard error 0.01, 4 sequences), with the same weights"),
        (5.0, 5.5, 6.0, "more. But another one in its place costs 6.00: to have seen the sequence saves 0.50."),
        (5.0, 5.5, 5.5, "more. Here it does not help"),
        (5.0, 4.9, 6.0, "the gain is small: less than 5% of the first"),
        (5.0, 4.0, 4.001, "but so does another one in its place (4.00): here the repeat itself does not help"),
        (5.0, 4.0, 3.9, "but so does another one in its place (3.90): here the repeat itself does not help"),
    ],
)
def test_the_sentence_says_why_a_gain_is_none(first: float, second: float, another: float, says: str) -> None:
    spread = np.array([[0.0], [0.01], [-0.01], [0.0]])
    losses = Losses(first + spread, second - spread, another + spread)
    assert says in twice_in_words(losses)


def test_a_repeat_that_saves_a_little_is_not_said_to_save_nothing() -> None:
    """On the demo places further on cost more, so that the second time does, too: less than another sequence there."""
    opened = load_open_model(open_run("demo"), "best")
    context = ExperimentContext(opened, TraceCache(), opened.tokenizer.encode("The"))
    found = run_experiment("repeated_sequence", context)
    assert found.measures["first_loss"] < found.measures["second_loss"] < found.measures["another_loss"]  # type: ignore[operator]
    assert "to have seen the sequence saves 0.0" in found.view.sentence
    assert not found.measures["is_gain"]


def test_the_sentence_names_the_error_of_a_gain_that_may_be_chance() -> None:
    spread = np.array([[1.0], [-1.0], [2.0], [-2.0]])
    assert "no clear gain: its standard error is" in twice_in_words(Losses(5 + spread, 4.9 - spread, 6 + spread))
