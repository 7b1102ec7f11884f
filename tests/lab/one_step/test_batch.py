"""Batches of a step: those too long for the context or for the time there is."""

import numpy as np
import pytest

from lab.engine.method_registry import OneStepParams
from lab.engine.one_step_methods import OneStepMethods
from lab.one_step.batch import own_batch
from lab.runs.run_folder import Run
from lab.views.blocks import Table
from models.unembed import finish


def test_a_long_sentence_is_cut_to_the_context_and_says_so(trained: Run) -> None:
    answer = finish(OneStepMethods().one_step(OneStepParams(run=str(trained.path), text="abcdefghij" * 2)))
    assert len(answer.tokens) == 17  # a context of 16, and the token that its last predicts
    assert "last 3 tokens do not fit" in answer.view.sentence


def test_a_batch_that_takes_too_long_is_cut_and_the_view_says_so(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = own_batch(trained, 12, 1)
    monkeypatch.setattr("lab.one_step.batch.MOST_FLOPS", 2.5 * 6 * 7664 * 16)  # 2.5 windows of 16 tokens through 7,664 weights
    cut = own_batch(trained, 12, 1)
    assert np.array_equal(cut.ids, whole.ids[:2])
    assert cut.left_out == 2
    answer = finish(OneStepMethods().one_step(OneStepParams(run=str(trained.path))))
    assert answer.facts.windows == 2
    assert "2 more windows of the batch are left out" in answer.view.sentence
    answer = finish(OneStepMethods().one_step(OneStepParams(run=str(trained.path), stage="batch")))
    windows = next(block for block in answer.view.blocks if isinstance(block, Table))
    begins = [row[3].text for row in windows.rows]
    labels = [token.label for token in answer.tokens]
    assert begins[0].removesuffix("…") in {"".join(labels[:count]) for count in range(len(labels) + 1)}, "no token is cut"
