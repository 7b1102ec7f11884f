"""Speculative decoding: the model's own distribution in closed form whatever the draft, and the text of decoding one by one."""

import math
from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest
import torch

from models.config import ModelConfig, SamplingSettings
from models.gpt import GPT
from models.sampling import generate
from models.speculative import Draft, ModelDraft, checked, speculate, text_draft

GRID = 60
MIDPOINTS = [(at + 0.5) / GRID for at in range(GRID)]
GREEDY = SamplingSettings(greedy=True)
CONFIG = ModelConfig(layers=2, heads=2, width=8, context=24, vocab_size=7)
TEXT = np.array([0, 1, 2, 0, 1, 3, 0, 1, 2, 5, 6, 6, 4, 1, 2, 2], np.uint16)


def model(seed: int = 1) -> GPT:
    """A model whose greedy text is not one token repeated."""
    found = GPT(CONFIG, seed=seed).eval()
    with torch.no_grad():
        for weight in found.parameters():
            weight.mul_(12.0 if weight.dim() > 1 else 1.0)
    return found


@pytest.mark.parametrize(
    ("p", "q"),
    [
        ([0.5, 0.3, 0.2], [0.2, 0.2, 0.6]),
        ([0.1, 0.0, 0.9], [0.5, 0.5, 0.0]),
        ([0.25, 0.25, 0.5], [0.25, 0.25, 0.5]),
        ([1.0, 0.0, 0.0], [0.0, 0.6, 0.4]),
    ],
)
def test_a_checked_token_has_the_models_distribution_whatever_the_draft_s(p: list[float], q: list[float]) -> None:
    after = [0.0, 0.5, 0.5]
    tensors = [torch.tensor(each, dtype=torch.float64) for each in (p, q, after)]
    found, second = np.zeros(3), np.zeros((3, 3))
    for token, u, last in product(range(3), MIDPOINTS, MIDPOINTS):
        weight = q[token] / GRID**2
        if weight:
            first, *more = checked([tensors[0], tensors[2]], [tensors[1]], [token], [u], last)
            found[first] += weight
            for other in more:
                second[first, other] += weight
    assert np.abs(found - p).max() < 2 / GRID
    kept = np.minimum(p, q)
    assert np.abs(second - kept[:, None] * after).max() < 2 / GRID, "after a token that was kept comes one of the model's own"


DRAFTS = {
    "itself": lambda: ModelDraft(model()),
    "another model": lambda: ModelDraft(model(2)),
    "counts": lambda: text_draft(TEXT, 7),
}


@pytest.mark.parametrize("name", DRAFTS)
@pytest.mark.parametrize("ahead", [1, 3, 4])
def test_the_greedy_text_is_that_of_one_by_one(name: str, ahead: int) -> None:
    for begin in ([0, 1], [3], [5, 5, 2, 0]):
        plain = [token.id for token in generate(model(), begin, 20, GREEDY)]
        assert len(set(plain)) > 1
        passes = list(speculate(model(), DRAFTS[name](), begin, 20, GREEDY, ahead))
        assert [token for each in passes for token in each] == plain
        assert all(1 <= len(each) <= ahead + 1 for each in passes)
        if name == "itself":
            assert len(passes) == math.ceil(20 / (ahead + 1))


@torch.no_grad()
def test_sampled_texts_are_as_frequent_as_the_model_says() -> None:
    big, draft, texts = model(), text_draft(TEXT, 7), 400
    found = Counter(
        tuple(token for each in speculate(big, draft, [0], 2, SamplingSettings(seed=seed), 1) for token in each)
        for seed in range(texts)
    )
    first = torch.softmax(big(torch.tensor([[0]]))[0, -1], -1)
    for a, b in product(range(7), range(7)):
        p = float(first[a] * torch.softmax(big(torch.tensor([[0, a]]))[0, -1], -1)[b])
        assert abs(found[a, b] / texts - p) < 4.5 * math.sqrt(max(p * (1 - p), 1e-4) / texts), (a, b)


@torch.inference_mode()
def test_a_draft_s_logits_are_those_of_its_model_also_where_the_text_has_changed() -> None:
    draft: Draft = ModelDraft(model())
    for ids in ([1, 2], [1, 2, 3], [1, 2, 3, 4], [1, 2, 5], [1, 2, 5, 6, 0, 0], [4]):
        assert torch.allclose(draft(ids), model()(torch.tensor([ids]))[0, -1], atol=1e-4), ids


def test_a_draft_of_counts_counts_what_follows_two_tokens_or_one_where_the_two_never_stand() -> None:
    draft = text_draft(TEXT, 7)
    pairs = Counter(pairwise(TEXT.tolist()))
    for ids, counts in (
        ([4, 0, 1], {2: 2, 3: 1}),
        ([3, 2], {after: pairs[2, after] for after in (0, 5, 2)}),
        ([6], {6: 1, 4: 1}),
    ):
        assert torch.exp(draft(ids)).round().int().tolist() == [counts.get(token, 0) for token in range(7)], ids
