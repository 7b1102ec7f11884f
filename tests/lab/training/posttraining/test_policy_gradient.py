"""The masked loss, the policy gradient and the KL, against direct computations over all answers of a tiny model."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from lab.training.posttraining.answers import answer_batch, masked_loss
from lab.training.posttraining.sft_and_rl import answer_tokens, kl_per_answer, leave_one_out, policy_loss
from models.chunked_cross_entropy import IGNORE_INDEX
from models.config import ModelConfig
from models.gpt import GPT

V = 4
PROMPT = [1, 2, 3]
ANSWERS = [list(answer) for answer in itertools.product(range(V), repeat=2)]
REWARDS = torch.tensor([float(1 in answer) + 0.25 * answer[0] for answer in ANSWERS], dtype=torch.float64)
BETA = 0.3


@pytest.fixture(autouse=True)
def _exact(one_core: None) -> None:
    """One thread."""


def model(seed: int) -> GPT:
    """A model in float64 whose probabilities are far from equal."""
    made = GPT(ModelConfig(layers=1, heads=2, width=8, context=8, vocab_size=V), seed=seed).double()
    with torch.no_grad():
        for weight in made.parameters():
            weight.mul_(12 if weight.dim() == 2 else 1)
    return made.eval()


def answer_log_prob(policy: GPT, prompt: list[int], answer: list[int]) -> Tensor:
    """log π(answer | prompt), without padding or masks."""
    log_probs = torch.log_softmax(policy(torch.tensor([prompt + answer]))[0], -1)
    return sum((log_probs[len(prompt) - 1 + i, token] for i, token in enumerate(answer)), torch.zeros((), dtype=torch.float64))


def all_log_probs(policy: GPT) -> Tensor:
    return torch.stack([answer_log_prob(policy, PROMPT, answer) for answer in ANSWERS])


def gradients(loss: Tensor, policy: GPT) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, list(policy.parameters()))])


def test_the_loss_is_on_the_answers_alone_whatever_the_padding() -> None:
    policy = model(1)
    examples = [([1, 2, 3], [2, 0]), ([2], [1, 1, 0]), ([3, 1, 0, 2, 2], [0])]
    ids, targets = answer_batch(examples)
    direct = -sum(float(answer_log_prob(policy, prompt, answer).detach()) for prompt, answer in examples) / 6
    assert int((targets != IGNORE_INDEX).sum()) == 6
    assert float(policy.loss(ids, targets).detach()) == pytest.approx(direct, abs=1e-12)
    assert masked_loss(policy, examples) == pytest.approx(direct, abs=1e-12)
    ids, targets = answer_batch([([1, 2, 3], [2, 0])])
    assert (ids.tolist(), targets.tolist()) == ([[1, 2, 3, 2]], [[IGNORE_INDEX, IGNORE_INDEX, 2, 0]])


def test_log_probabilities_of_answers() -> None:
    policy = model(1)
    tokens = answer_tokens(policy, *answer_batch([(PROMPT, answer) for answer in ANSWERS]))
    assert torch.allclose(tokens.per_answer(tokens.chosen), all_log_probs(policy), atol=1e-12)
    assert float(all_log_probs(policy).detach().exp().sum()) == pytest.approx(1.0)


@pytest.mark.parametrize(("beta", "seed"), [(BETA, 1), (0.0, 3)], ids=["with a penalty", "without"])
def test_the_expected_policy_gradient_is_the_gradient_of_the_objective(beta: float, seed: int) -> None:
    """Over all groups of two answers, each with its probability."""
    policy, reference = model(seed), model(seed + 1)
    log_probs, before = all_log_probs(policy), all_log_probs(reference).detach()
    exact = gradients(-(log_probs.exp() * (REWARDS - beta * (log_probs - before))).sum(), policy)
    probabilities = log_probs.detach().exp()
    total = torch.zeros((), dtype=torch.float64)
    for pair in itertools.product(range(len(ANSWERS)), repeat=2):
        batch = answer_batch([(PROMPT, ANSWERS[answer]) for answer in pair])
        with torch.no_grad():
            reference_tokens = answer_tokens(reference, *batch)
        loss = policy_loss(answer_tokens(policy, *batch), reference_tokens, REWARDS[list(pair)], beta, group=2)
        total = total + probabilities[list(pair)].prod() * loss
    assert float(exact.norm()) > 0.1
    assert torch.allclose(gradients(total, policy), exact, atol=1e-10)


def test_the_mean_of_the_kl_estimates_is_the_exact_kl_with_less_variance_than_the_log_ratio() -> None:
    policy, reference = model(1), model(2)
    log_probs, before = all_log_probs(policy).detach(), all_log_probs(reference).detach()
    exact = float((log_probs.exp() * (log_probs - before)).sum())
    batch = answer_batch([(PROMPT, answer) for answer in ANSWERS])
    with torch.no_grad():
        each = kl_per_answer(answer_tokens(policy, *batch), answer_tokens(reference, *batch))
    probabilities = log_probs.exp()
    assert exact > 0.1
    assert float((probabilities * each).sum()) == pytest.approx(exact, abs=1e-12)
    assert (each >= 0).all()
    spread = float((probabilities * (each - exact) ** 2).sum())
    assert spread < float((probabilities * (log_probs - before - exact) ** 2).sum())
    with torch.no_grad():
        same = kl_per_answer(answer_tokens(policy, *batch), answer_tokens(policy, *batch))
    assert float(same.abs().max()) == 0.0


def test_the_baseline_of_an_answer_is_the_mean_of_the_others() -> None:
    rewards = torch.tensor([1.0, 0.0, 0.0, 0.5, 0.5, 0.5])
    assert leave_one_out(rewards, 3).tolist() == pytest.approx([1.0, -0.5, -0.5, 0.0, 0.0, 0.0])
    assert math.isclose(float(leave_one_out(torch.rand(12), 4).sum()), 0.0, abs_tol=1e-6)
