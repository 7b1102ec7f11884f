"""Loops of greedy decoding and what filters keep, against the second GPT-2 and closed forms."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from lab.core.errors import UserError
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_registry import run_experiment
from lab.experiments.generation import FILTERS
from lab.experiments.greedy_loops import MOST_TIMES, find_loop, whole_sentence
from lab.inspect.model_cache import TraceCache, load_open_model
from lab.runs.find_runs import open_run
from lab.views.blocks import Matrix
from tests.lab.engine.conftest import PROMPT
from tests.lab.experiments.conftest import Measure, TinyRun, rows
from tests.models.oracle import Oracle


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("", None),
        ("aa", None),
        ("aaa", (0, 1, 3)),
        ("xyzabab", None),
        ("xyzababab", (3, 2, 3)),
        ("xyababababa", (2, 2, 4)),
        ("abcabcabcd", None),
        ("the cat. the cat. the cat. ", (0, 9, 3)),
        ("aabaabaab", (0, 3, 3)),
    ],
)
def test_a_loop_is_the_shortest_phrase_that_stands_three_times_at_the_end(text: str, loop: tuple[int, int, int] | None) -> None:
    assert find_loop([ord(letter) for letter in text]) == loop


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", None),
        ("dog ran. It saw a cat. It", " It saw a cat."),
        ("dog ran. O. It saw a cat.", " It saw a cat."),
        ("x = 1\ndef f(x):\n", "def f(x):\n"),
        ("one and the only one. And", None),
        ("a. " + "very " * 30 + "long. It saw a cat.", " It saw a cat."),
    ],
)
def test_what_is_repeated_without_a_loop_is_a_whole_sentence(text: str, sentence: str | None) -> None:
    found = whole_sentence(list(text), 40)
    assert (found and text[found[0] : sum(found)]) == sentence


@pytest.mark.parametrize("penalty", [1.0, 1.5])
def test_greedy_decoding_and_the_phrase_by_its_repeats(
    penalty: float, tiny: TinyRun, measure: Measure, oracle_of: Callable[..., Oracle]
) -> None:
    found = measure("greedy_loop", tiny, "The", inputs={"penalty": str(penalty)})
    prompt = tiny.tokenizer.encode("The")
    ids, probabilities = list(prompt), []
    while len(ids) < tiny.model.config.context:
        values = oracle_of(tiny, ids).values
        logits = values["logits"][-1].copy()
        for id_ in set(ids):
            logits[id_] = logits[id_] / penalty if logits[id_] > 0 else logits[id_] * penalty
        ids.append(int(logits.argmax()))
        probabilities.append(values["probability"][-1, ids[-1]])
    written = ids[len(prompt) :]
    assert found.measures["tokens"] == len(written)
    assert found.measures["mean"] == pytest.approx(math.exp(np.log(probabilities).mean()), rel=1e-4)
    loop = find_loop(written)
    assert found.measures["loops"] == (loop is not None)
    pieces = [tiny.tokenizer.decode([id_]) for id_ in written]
    start, length = loop[:2] if loop else whole_sentence(pieces, tiny.model.config.context // 3) or (0, 6)
    seam = 0 if loop else 1
    text, start = ids, len(prompt) + start
    while loop and start > 1 and text[start - 1] == text[start - 1 + length]:
        start -= 1
    phrase = text[start : start + length]
    start = next(at for at in range(1, len(text)) if text[at : at + length] == phrase)
    means = [row[1].value for row in rows(found)]
    assert len(means) == max(1, min(MOST_TIMES, tiny.model.config.context // length)) == found.measures["stood"] + 1  # type: ignore[operator]
    before = text[:start][-max(1, tiny.model.config.context + 1 - len(means) * length) :]
    whole = before + phrase * len(means)
    table = oracle_of(tiny, whole[:-1]).values["probability"]
    for time, mean in enumerate(means):
        places = range(len(before) + time * length + seam, len(before) + (time + 1) * length)
        assert mean == pytest.approx(math.exp(np.mean([np.log(table[at - 1, whole[at]]) for at in places])), rel=1e-4)
    nats = [
        [-math.log(table[len(before) + time * length + at - 1, phrase[at]]) for at in range(seam, length)]
        for time in range(len(means))
    ]
    later = np.mean(nats[1:], 0)
    assert found.measures["again"] == pytest.approx(math.exp(-later.mean()), rel=1e-4)
    assert found.measures["risen"] == (later < nats[0]).sum()
    assert found.measures["rises"] == (
        later.mean() < np.mean(nats[0]) - math.log(1.05) and 2 * (later < nats[0]).sum() > len(later)
    )
    assert f"with penalty {penalty:g}" in found.view.sentence or penalty == 1
    with pytest.raises(UserError, match="penalty must be a number from 1 to 10"):
        measure("greedy_loop", tiny, inputs={"penalty": "0.5"})


def test_a_phrase_that_the_prompt_has_does_not_count_as_new() -> None:
    """The loop of the lesson's prompt begins in the prompt: there its letters cannot be known, so they are improbable."""
    opened = load_open_model(open_run("induction"), "best")
    context = ExperimentContext(opened, TraceCache(), opened.tokenizer.encode("kQzmWbkQ"))
    found = run_experiment("greedy_loop", context)
    assert found.measures["loops"]
    assert found.measures["length"] == 6
    letters = "kQzmWbkQ".index(str(found.measures["phrase"]))
    assert letters == 1, "the first letter of a text has no probability"
    assert rows(found)[0][1].value == found.measures["first"] < 0.1, "of 52 letters"
    assert found.measures["rises"]
    assert float(found.measures["again"]) > 0.5


def test_each_filter_keeps_what_its_rule_says(tiny: TinyRun, measure: Measure, oracle_of: Callable[..., Oracle]) -> None:
    found = measure("filters", tiny)
    plain = oracle_of(tiny, tiny.tokenizer.encode(PROMPT)).values["probability"][-1]
    for row, settings in zip(rows(found), FILTERS.values(), strict=True):
        p = plain ** (1 / settings.temperature) / (plain ** (1 / settings.temperature)).sum()
        order = np.argsort(-p, kind="stable")
        kept = order[: settings.top_k or len(p)]
        if settings.top_p < 1:
            kept = order[: 1 + int((p[order].cumsum() < settings.top_p).sum())]
        if settings.min_p:
            kept = order[p[order] >= settings.min_p * p.max()]
        assert row[1].text == str(len(kept)), row[0].text
        assert row[2].value == pytest.approx(plain[kept].sum(), abs=1e-5)
        assert row[3].value == pytest.approx(p.max() / p[kept].sum(), abs=1e-5)
    picture = found.view.blocks[0]
    assert isinstance(picture, Matrix)
    cut = np.isnan(picture.values.numpy()).sum(1)
    assert cut[list(FILTERS).index("top-k 5")] == len(picture.column_labels) - 5
    assert found.measures["top_k_5"] == found.measures["t2_top_k_5"] == 5
