"""The sentence of an attention score's terms: what adds most, and what sets its key apart from the next one."""

import re
from typing import Any

import numpy as np
import pytest

from lab.inspect.stages import score_parts_stage
from lab.views.blocks import Matrix
from tests.lab.engine.conftest import PROMPT, InProcessEngine

NUMBER = r"(−?[\d.e−]+)"


@pytest.mark.parametrize("most", [score_parts_stage.MOST_PARTS, 4], ids=["every part", "a few parts"])
@pytest.mark.parametrize(("layer", "head", "at"), [(0, 0, 11), (0, 1, 3), (1, 0, 11), (1, 1, 7), (1, 1, 1), (1, 0, 0)])
def test_the_sentence_names_the_term_that_adds_most_and_the_one_that_sets_the_key_apart(
    layer: int, head: int, at: int, most: int, tiny: Any, engine: InProcessEngine, oracle_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_parts_stage, "MOST_PARTS", most)
    ids = tiny.tokenizer.encode(PROMPT)
    oracle = oracle_of(tiny, ids)
    view = engine.view(stage="why", layer=layer, head=head, position=at)
    (matrix,) = (block for block in view.blocks if isinstance(block, Matrix))
    names, few = matrix.row_labels, len(matrix.row_labels) <= most and matrix.row_labels[-1].endswith(score_parts_stage.OTHERS)
    order = np.argsort(-oracle.values[f"blocks.{layer}.attn.pattern"][head, at, : at + 1], kind="stable").tolist()
    every = [
        "token",
        "position",
        *(f"{what} 1{n}" for what, n in (("head", ".1"), ("head", ".2"), ("mlp", "")) if layer),
        "biases",
    ]

    def table(key: int) -> np.ndarray[Any, Any]:
        found = oracle.score_parts(layer, head, at, key)
        if few:
            kept = [every.index(name) for name in names[:-1]]
            rest = [index for index in range(len(every)) if index not in kept]
            for _ in range(2):
                found = np.concatenate([found[kept], found[rest].sum(0, keepdims=True)]).T
        return found

    def figure(text: str) -> float:
        return float(text.replace("−", "-"))

    first = table(order[0])
    assert matrix.values.numpy() == pytest.approx(first, abs=1e-4)
    said = re.search(
        rf"a score of {NUMBER}; of this, most is what “(.+?)” wrote into the query × what “(.+?)” wrote into the key: {NUMBER}\.",
        view.sentence,
    )
    assert said is not None, view.sentence
    assert figure(said[1]) == pytest.approx(first.sum(), abs=0.01)
    assert matrix.selected == (names.index(said[2]), names.index(said[3])) == np.unravel_index(first.argmax(), first.shape)
    assert figure(said[4]) == pytest.approx(first.max(), abs=0.01)
    compared = re.search(
        rf"with {NUMBER}; the largest difference is in “(.+?)” × “(.+?)”: {NUMBER} against {NUMBER}\.", view.sentence
    )
    assert (compared is None) == (at == 0), "the first token has no other key"
    if compared is not None:
        other = table(order[1])
        pair = names.index(compared[2]), names.index(compared[3])
        assert pair == np.unravel_index((first - other).argmax(), other.shape)
        assert [figure(compared[each]) for each in (1, 4, 5)] == pytest.approx([other.sum(), first[pair], other[pair]], abs=0.01)
