import itertools
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import lab.analysis.baselines
from lab.analysis.baselines import (
    BigramCounts,
    TextEntropy,
    ValidationText,
    baselines,
    bigram_sentence,
    bytes_per_token,
    run_entropy,
    text_entropy,
)
from lab.data.train_val_split import Ranges
from lab.runs.find_runs import open_run
from lab.runs.run_folder import Run
from lab.runs.run_history import LossHistory
from lab.runs.run_schema import DataConfig, FinalEvaluation, Metric, ValidationSegments
from tests.lab.runs.made_up_runs import config


def entropy_by_hand(ids: list[int]) -> tuple[float, float]:
    """By the definitions, one term after the other."""
    n = len(ids)
    unigram = -sum(count / n * math.log(count / n) for count in Counter(ids).values())
    pairs, this = Counter(itertools.pairwise(ids)), Counter(ids[:-1])
    bigram = -sum(count / (n - 1) * math.log(count / this[a]) for (a, _), count in pairs.items())
    return unigram, bigram


@given(st.lists(st.integers(0, 6), min_size=2, max_size=200))
def test_both_entropies_are_those_of_the_definition(ids: list[int]) -> None:
    found = text_entropy(np.array(ids, "<u2"), np.array([], "<u2"), 7)
    assert (found.unigram, found.bigram) == pytest.approx(entropy_by_hand(ids), abs=1e-9)


def validation_of(ids: list[int], end: list[int], vocab: int, evaluated: Ranges = ()) -> ValidationText:
    """The validation part beside the training part."""
    found = text_entropy(np.array(ids, "<u2"), np.array(end, "<u2"), vocab, evaluated).validation
    assert found is not None
    return found


def losses_by_hand(ids: list[int], end: list[int], vocab: int) -> tuple[float, float]:
    """Mean unigram and bigram loss of `end`, by the definitions, one token after the other."""
    counts, pairs, firsts = Counter(ids), Counter(itertools.pairwise(ids)), Counter(ids[:-1])

    def p(token: int) -> float:
        return (counts[token] + 1) / (len(ids) + vocab)

    def p_after(this: int, token: int) -> float:
        kinds = len({b for a, b in pairs if a == this})
        return (pairs[this, token] + kinds * p(token)) / (firsts[this] + kinds) if kinds else p(token)

    assert all(math.isclose(sum(p_after(this, token) for token in range(vocab)), 1.0) for this in range(vocab))
    after = [math.log(p_after(a, b)) for a, b in itertools.pairwise(end)]
    return -sum(math.log(p(token)) for token in end) / len(end), -sum(after) / len(after)


@given(st.lists(st.integers(0, 6), min_size=2, max_size=60), st.lists(st.integers(0, 6), min_size=2, max_size=60))
def test_both_losses_on_another_text_are_those_of_the_definition(ids: list[int], end: list[int]) -> None:
    found = validation_of(ids, end, 7)
    assert (found.unigram_loss, found.bigram_loss) == pytest.approx(losses_by_hand(ids, end, 7))


@given(
    st.lists(st.integers(0, 6), min_size=2, max_size=60),
    st.lists(st.integers(0, 6), min_size=2, max_size=60),
    st.lists(st.integers(0, 60), min_size=4, max_size=4),
)
def test_losses_of_the_tokens_that_evaluations_use_are_those_of_the_definition(
    ids: list[int], end: list[int], edges: list[int]
) -> None:
    a, b, c, d = sorted(min(edge, len(end)) for edge in edges)
    counts = BigramCounts.of(np.array(ids, "<u2"), 7)
    found = validation_of(ids, end, 7, ((a, b), (c, d)))
    tokens = [*range(a, b), *range(c, d)]
    if not tokens:
        assert found.evaluated is None
        assert found.losses(on_all=False) == found.losses(on_all=True)
        return
    each, pairs = counts.unigram_losses(), [0.0, *counts.bigram_losses(np.array(end, "<u2"))]
    assert found.evaluated is not None
    assert found.losses(on_all=False) == found.evaluated
    assert found.evaluated.unigram == pytest.approx(np.mean([each[end[token]] for token in tokens]))
    behind_another = [pairs[token] for token in tokens if token]
    assert found.evaluated.bigram == (pytest.approx(np.mean(behind_another)) if behind_another else None)
    assert found.losses(on_all=True) == (found.unigram_loss, found.bigram_loss)


def test_of_long_evaluation_segments_the_first_tokens_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    ids, end = [0, 1, 2] * 20, [0, 1, 2, 2, 1] * 8
    first = validation_of(ids, end, 3, ((0, 3), (10, 12)))
    monkeypatch.setattr(lab.analysis.baselines, "MOST_PAIRS", 5)
    assert validation_of(ids, end, 3, ((0, 3), (10, 30), (31, 40))).evaluated == first.evaluated


def test_a_validation_text_of_one_token_has_no_bigram_loss() -> None:
    found = validation_of([1, 2, 1], [2], 3)
    assert found.bigram_loss is None
    assert found.unigram_loss == pytest.approx(math.log(3))


def test_of_a_long_text_the_last_tokens_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.analysis.baselines, "MOST_TOKENS", 100)
    ids, end = np.array([0] * 100 + [1, 2] * 50, "<u2"), np.array([1, 2] * 50 + [0] * 100, "<u2")
    assert text_entropy(ids, end, 3) == text_entropy(ids[100:], end[:100], 3)


def test_the_entropy_of_a_run_is_of_its_training_part_alone(empty_run: object, home: Path) -> None:
    run: Run = empty_run()  # type: ignore[operator]
    assert run_entropy(run) is None
    training = [1, 2, 1, 3] * 225
    np.array(training + [200] * 100, "<u2").tofile(run.tokens_path)
    found = run_entropy(run)
    assert found is not None
    assert (found.unigram, found.bigram) == pytest.approx(entropy_by_hand(training))
    assert run_entropy(run) is found, "measured once"


def test_baselines_are_of_the_tokens_that_the_loss_beside_them_is_measured_on(empty_run: Callable[..., Run]) -> None:
    run = empty_run()
    data = run.config.data
    ids, end = [1, 2, 1, 3] * 225, [1, 2] * 25 + [3, 3] * 25
    np.array(ids + end, "<u2").tofile(run.tokens_path)
    segments = ValidationSegments(tokens=((data.split, data.split + 50),), bytes=data.val_bytes // 2, sha256="")
    changed = replace(run.config, data=replace(data, evaluated=segments))
    (run.path / "config.json").write_bytes(msgspec.json.encode(changed))
    found = run_entropy(open_run(run.name))
    known = [
        {baseline.short: baseline.loss for baseline in baselines(256, data, LossHistory(), found, final)}
        for final in (FINAL, None)
    ]
    part, whole = (validation_of(ids, each, 256) for each in (end[:50], end))
    assert [each["unigram"] for each in known] == pytest.approx([whole.unigram_loss, part.unigram_loss])
    assert [each["bigram"] for each in known] == pytest.approx([whole.bigram_loss, part.bigram_loss])
    assert f"lose {part.bigram_loss:.2f} on the same part of the validation text." in bigram_sentence(found, on_all=False)
    assert f"lose {whole.bigram_loss:.2f} on the validation text." in bigram_sentence(found, on_all=True)


def test_the_validation_part_is_compared_with_the_training_part_by_the_definitions() -> None:
    ids, end = [0, 1, 2, 0, 1, 0] * 50, [0, 3, 3, 1] * 20
    found = validation_of(ids, end, 4)
    cross, own = losses_by_hand(ids, end, 4)[0], entropy_by_hand(end)[0]
    assert (found.tokens, found.unigram_loss, found.unigram) == (80, pytest.approx(cross), pytest.approx(own))
    assert found.divergence == pytest.approx(cross - own - 2 / 160 - 2 / 600)


def test_two_samples_of_one_source_do_not_diverge() -> None:
    """On average: without what chance makes of it the divergence would be about 100 / 1,000 / 2."""
    random = np.random.default_rng(1)
    parts = [(random.integers(0, 100, 9000), random.integers(0, 100, 1000)) for _ in range(50)]
    found = [text_entropy(ids.astype("<u2"), end.astype("<u2"), 100).validation for ids, end in parts]
    assert np.mean([each.divergence for each in found if each]) == pytest.approx(0.0, abs=0.003)


FINAL = FinalEvaluation(step=2, tokens=40, bytes=100, val_loss=2.0, bits_per_byte=2 / math.log(2) / 2.5)


def data(entropy: float | None = None) -> DataConfig:
    return replace(config(entropy).data, split=250, train_bytes=880, val_bytes=120)


def test_the_source_s_entropy_is_turned_into_nats_a_token_as_the_evaluations_do() -> None:
    history = LossHistory()
    assert bytes_per_token(data(), history) == pytest.approx(120 / 50)
    # 2 nats a token in tokens of 4 bytes are 2 / ln 2 / 4 bits a byte
    history.add([Metric(step=1, tokens=1, epoch=0.0, seconds=0.0, val_loss=2.0, bits_per_byte=2 / math.log(2) / 4)])
    assert bytes_per_token(data(), history) == pytest.approx(4.0)
    known = baselines(100, data(0.5), history, None, None)
    assert [baseline.short for baseline in known] == ["uniform", "source"]
    assert known[0].loss == pytest.approx(math.log(100))
    assert known[1].loss == pytest.approx(0.5 * 4 * math.log(2))
    at_the_end = baselines(100, data(0.5), history, None, FINAL)  # in tokens of 2.5 bytes
    assert at_the_end[1].loss == pytest.approx(0.5 * 2.5 * math.log(2))


def test_baselines_say_of_how_much_of_the_text_they_are() -> None:
    text = TextEntropy(2.0, 1.0, ValidationText(100, 2.0, 2.25, 0.0, bigram_loss=1.5))
    whole, part = (
        baselines(256, replace(data(), split=split, tokens=split + 100), LossHistory(), text, None)
        for split in (10**7, 10**7 + 1)
    )
    assert [baseline.name for baseline in whole] == ["uniform baseline: ln V", "unigram, on validation", "bigram, on validation"]
    assert [baseline.loss for baseline in whole] == [pytest.approx(math.log(256)), 2.25, 1.5]
    assert part[1].name == "unigram of 10.0M tokens, on validation"
    assert "lose 1.50 on the validation text." in bigram_sentence(text, on_all=True)
    other = TextEntropy(2.0, 1.0, ValidationText(100, 2.0, 5.8, 3.0, bigram_loss=9.9))
    known = baselines(256, data(), LossHistory(), other, None)
    assert [baseline.short for baseline in known] == ["bigram", "unigram", "uniform"], "from the highest to the lowest"
    without = TextEntropy(2.0, 1.0)
    assert (len(baselines(256, data(), LossHistory(), without, None)), bigram_sentence(without, on_all=True)) == (1, "")
