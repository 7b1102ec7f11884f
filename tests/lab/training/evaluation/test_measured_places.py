"""Measured places: spread over the text, and their predictions against a trace."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from lab.data.token_file import TokenFile, token_dtype
from lab.runs.run_folder import Run
from lab.training.evaluation.model_insights import PLACES, ModelInsights, spread_places
from models.gpt import GPT
from models.tokenizers.tokenizer import Tokenizer
from models.trace import Trace


def test_places_are_the_first_letters_of_even_parts_with_room_before_them() -> None:
    ids = np.array([1, 1, 1, 1, 0, 1, 1, 0, 0, 1, 0, 0])
    assert spread_places(ids, 4, 4, {1}) == [5, 6, 9], "parts begin at 4, 6, 8 and 10; the last has no letter"
    assert spread_places(ids, 4, 1, {1}) == [5]
    assert spread_places(ids, 12, 4, {1}) == []
    assert spread_places(np.array([], np.int64), 0, 4, {1}) == []


def test_a_place_s_prediction_is_that_of_a_trace(tiny_run: Callable[..., Run]) -> None:
    run = tiny_run()
    tokenizer = Tokenizer.load(run.tokenizer_path)
    model = GPT(run.config.model, seed=1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4.0)
    tokens = TokenFile(run.tokens_path, token_dtype(256))
    found = ModelInsights(run.config, tokens, tokenizer).measure(model, 0, []).places
    assert len(found) == PLACES
    validation = tokens[run.config.data.split : run.config.data.tokens].astype(np.int64)
    given = len(found[0].before)
    letters = {id for id in set(validation.tolist()) if chr(id).isalpha()}
    stops = spread_places(validation, given, PLACES, letters)
    for place, stop in zip(found, stops, strict=True):
        p = Trace(model, validation[stop - given : stop].tolist())["logits"][-1].double().softmax(-1).numpy()
        assert place.truth == chr(validation[stop])
        assert place.truth_probability == pytest.approx(p[validation[stop]], rel=2e-3)
        assert [value for _, value in place.top] == pytest.approx(np.sort(p)[::-1][:8].tolist(), rel=2e-3)
    assert len({place.truth_probability for place in found}) > 1
