"""Policy gradient of a reward with a KL penalty, from sampled answers: REINFORCE with a leave-one-out baseline (RLOO).

The policy π is a model that answers a prompt x with tokens y. The objective is

    J = E[reward(y) − β log(π(y|x) / π_ref(y|x))] = E[reward] − β KL(π ‖ π_ref)

(Ziegler et al. 2019, "Fine-Tuning Language Models from Human Preferences"), and its gradient E[A ∇ log π(y|x)] with the
advantage A: an answer's penalized reward minus the mean of the other answers to the same prompt (Kool et al. 2019, "Buy 4
REINFORCE samples, get a baseline for free!"; Ahmadian et al. 2024, "Back to Basics: Revisiting REINFORCE Style Optimization").
The baseline does not depend on the answer itself, so the estimate is unbiased. GRPO (Shao et al. 2024, "DeepSeekMath") uses the
mean of the whole group and divides by its standard deviation.

Rows are answers, those to one prompt next to each other: G in a group, B in all. N counts the tokens of all answers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.chunked_cross_entropy import IGNORE_INDEX
from models.gpt import GPT

Example = tuple[list[int], list[int]]
"""Ids of a prompt and of the answer to it."""


def answer_batch(examples: list[Example]) -> tuple[Tensor, Tensor]:
    """Ids and targets (B, T) of prompts with their answers, padded at the end. Only an answer's tokens are targets: at all other
    places the target is `IGNORE_INDEX`, so that the loss is on the answers alone."""
    width = max(len(prompt) + len(answer) for prompt, answer in examples) - 1
    ids = torch.zeros(len(examples), width, dtype=torch.long)
    targets = torch.full((len(examples), width), IGNORE_INDEX)
    for row, (prompt, answer) in enumerate(examples):
        whole = torch.tensor([*prompt, *answer])
        ids[row, : len(whole) - 1] = whole[:-1]
        targets[row, len(prompt) - 1 : len(whole) - 1] = whole[len(prompt) :]
    return ids, targets


@dataclass(frozen=True)
class AnswerTokens:
    """The tokens of a batch's answers, one after the other."""

    log_probs: Tensor
    """(N, V) of all next tokens, before each token."""
    chosen: Tensor
    """(N,) of the tokens that were written."""
    row: Tensor
    """(N,) the answer that each belongs to."""
    rows: int

    def per_answer(self, values: Tensor) -> Tensor:
        """Sums (B,) of values (N,) over each answer."""
        return torch.zeros(self.rows, dtype=values.dtype).index_add(0, self.row, values)


def answer_tokens(model: GPT, ids: Tensor, targets: Tensor) -> AnswerTokens:
    """Log probabilities that the model gives the targets of `answer_batch`."""
    mask = targets != IGNORE_INDEX  # (B, T)
    log_probs = torch.log_softmax(model.unembed(model.hidden(ids)[mask]), -1)  # (N, V)
    chosen = log_probs.gather(1, targets[mask][:, None])[:, 0]  # (N,)
    return AnswerTokens(log_probs, chosen, mask.nonzero()[:, 0], len(ids))


def kl_per_answer(policy: AnswerTokens, reference: AnswerTokens) -> Tensor:
    """KL divergence of the policy from the reference (B,), in nats, each estimated from one sampled answer.

    The sum, over the answer's tokens, of the exact KL between the two next-token distributions there. Its mean over sampled
    answers is KL(π ‖ π_ref) by the chain rule, with no more variance than that of log π − log π_ref (Amini et al. 2025, "Better
    Estimation of the Kullback-Leibler Divergence Between Language Models"), and it is never negative.
    """
    each = (policy.log_probs.exp() * (policy.log_probs - reference.log_probs)).sum(-1)  # (N,)
    return policy.per_answer(each).clamp(min=0.0)


def leave_one_out(rewards: Tensor, group: int) -> Tensor:
    """Advantages (B,): each reward minus the mean of the others of its group."""
    grouped = rewards.view(-1, group)  # (B / G, G)
    others = (grouped.sum(1, keepdim=True) - grouped) / (group - 1)
    return (grouped - others).flatten()


def policy_loss(policy: AnswerTokens, reference: AnswerTokens, rewards: Tensor, beta: float, group: int) -> Tensor:
    """A scalar whose gradient is the estimate of −∇J from one batch; its value means nothing. Rewards are (B,)."""
    with torch.no_grad():
        log_ratio = policy.per_answer(policy.chosen - reference.chosen)  # (B,)
        advantages = leave_one_out(rewards - beta * log_ratio, group)
    return -(advantages * policy.per_answer(policy.chosen)).mean()
