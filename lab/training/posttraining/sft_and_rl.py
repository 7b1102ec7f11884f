"""Supervised fine-tuning (SFT), the pretraining loss on the tokens of answers alone, and reinforcement learning in rounds.

The policy gradient of a reward with a KL penalty is REINFORCE with a leave-one-out baseline (RLOO). The policy π is a model that
answers a prompt x with tokens y. The objective is

    J = E[reward(y) − β log(π(y|x) / π_ref(y|x))] = E[reward] − β KL(π ‖ π_ref)

(Ziegler et al. 2019, "Fine-Tuning Language Models from Human Preferences"), and its gradient E[A ∇ log π(y|x)] with the
advantage A: an answer's penalized reward minus the mean of the other answers to the same prompt (Kool et al. 2019, "Buy 4
REINFORCE samples, get a baseline for free!"; Ahmadian et al. 2024, "Back to Basics: Revisiting REINFORCE Style Optimization").
The baseline does not depend on the answer itself, so the estimate is unbiased. GRPO (Shao et al. 2024, "DeepSeekMath") uses the
mean of the whole group and divides by its standard deviation.

Rows are answers, those to one prompt next to each other: G in a group, B in all. N counts the tokens of all answers.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lab.training.posttraining import answers
from lab.training.posttraining.answers import Answerer, Example, answer_batch
from lab.training.posttraining.posttraining_record import Model, PosttrainSettings, Round, SftStep, rl_lr_for
from lab.training.posttraining.question_pairs import QuestionPair
from models.chunked_cross_entropy import IGNORE_INDEX
from models.config import OptimizerName, SamplingSettings
from models.gpt import GPT
from models.learning_rate import schedule_factor
from models.optimizers import make_optimizer, set_muon_dtype


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


def policy_step(
    model: GPT, reference: GPT, examples: list[Example], rewards: Tensor, beta: float, group: int, optimizer: Optimizer
) -> float:
    """Make one step up the gradient of J on these answers of the model; return its mean KL from the reference before the step."""
    ids, targets = answer_batch(examples)
    with torch.no_grad():
        of_reference = answer_tokens(reference, ids, targets)
    policy = answer_tokens(model, ids, targets)
    kl = float(kl_per_answer(policy, of_reference).detach().mean())
    descend(policy_loss(policy, of_reference, rewards, beta, group), model, optimizer)
    return kl


WARMUP = 0.08
"""Share of the steps over which the learning rate rises: AdamW's first steps are of full size whatever the gradient."""
FINAL_LR = 0.1
CLIP = 1.0
"""Largest norm of a gradient, as in pretraining."""


class Step(NamedTuple):
    """A step of training on answers that has been made."""

    number: int
    """From 1."""
    loss: float
    """Mean over the answers' tokens of the batch before the step, in nats per token."""
    tokens: int
    """Tokens of prompts and answers trained on so far."""
    lr: float


def train(
    model: GPT,
    draw: Callable[[], list[Any]],
    steps: int,
    lr: float,
    weight_decay: float = 0.1,
    *,
    warmup: float = 0.05,
    rule: OptimizerName = "adamw",
    batch_of: Callable[[list[Any]], tuple[Tensor, Tensor]] = answer_batch,
) -> Iterator[Step]:
    """Train on batches of examples, a step for each `next`: the loss on answers alone, warm-up and a cosine.

    Between two steps the model may be evaluated, or the training given up. `batch_of` makes ids and targets of what is drawn.
    """
    optimizer, tokens = make_optimizer(model, lr, weight_decay, rule=rule), 0
    set_muon_dtype(optimizer, torch.float32)  # as all else here: bf16 takes twice the time on a processor without it
    for number in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate = lr * schedule_factor("cosine", number / steps, warmup, FINAL_LR)
        drawn = draw()
        model.train()
        loss = model.loss(*batch_of(drawn))
        descend(loss, model, optimizer)
        model.eval()
        tokens += sum(len(prompt) + len(answer) for prompt, answer in drawn)
        yield Step(number, float(loss.detach()), tokens, rate)


def descend(loss: Tensor, model: nn.Module, optimizer: Optimizer) -> None:
    """Make one step down the gradient of a loss."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    optimizer.step()


def sft_steps(settings: PosttrainSettings) -> int:
    """Steps of SFT: whole batches only."""
    return max(1, settings.pairs // settings.sft_batch) * settings.epochs


def fine_tune(model: GPT, answerer: Answerer, pairs: Sequence[QuestionPair], settings: PosttrainSettings) -> Iterator[SftStep]:
    """Train the model in place, a step at a time. Each epoch is in another order, which the seed decides.

    There is no weight decay: it would pull the weights to zero, away from what pretraining found.
    """
    order, steps = random.Random(settings.seed), sft_steps(settings)
    batch = min(settings.sft_batch, len(pairs))

    def batches() -> Iterator[list[Example]]:
        for _ in range(settings.epochs):
            shuffled = order.sample(pairs, len(pairs))
            for start in range(0, len(pairs) - batch + 1, batch):
                yield [answerer.example(pair) for pair in shuffled[start : start + batch]]

    for step in train(model, batches().__next__, steps, settings.sft_lr, 0.0, warmup=WARMUP):
        yield SftStep(step=step.number, steps=steps, loss=step.loss, lr=step.lr)


WARMUP_ROUNDS = 5
"""Rounds over which the learning rate rises."""
STORY_EVERY = 5
"""Rounds between measurements of the loss on ordinary stories."""


def reinforce(
    model: GPT,
    reference: GPT,
    answerer: Answerer,
    questions: Iterable[Sequence[QuestionPair]],
    rounds: int,
    stories: Sequence[str],
    settings: PosttrainSettings,
    name: Model,
) -> Iterator[Round]:
    """Train the model in place, a round at a time, and keep it near the reference if its name is `rl`: `rl-free` has no penalty.

    `questions` gives the questions of each of the `rounds` rounds, when the round begins.
    """
    beta = settings.beta if name == "rl" else 0.0
    lr = rl_lr_for(settings, model.config.width)
    optimizer = make_optimizer(model, lr, weight_decay=0.0)
    for number, asked in enumerate(questions, 1):
        examples, texts, rights = _sampled(model, answerer, asked, settings, number)
        rewards = torch.tensor(list(map(answers.reward, texts, rights)))
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, number / WARMUP_ROUNDS)
        measured = number % STORY_EVERY == 1 or number == rounds
        story_loss = answerer.story_loss(model, stories) if measured else None
        kl = policy_step(model, reference, examples, rewards, beta, settings.group, optimizer)
        yield Round(
            model=name,
            round=number,
            rounds=rounds,
            reward=float(rewards.mean()),
            **answers.measures([answer for _, answer in examples], texts, rights),
            kl=kl,
            story_loss=story_loss,
            question=asked[0].question,
            right=asked[0].right,
            answer=texts[0],
        )


def _sampled(
    model: GPT, answerer: Answerer, asked: Sequence[QuestionPair], settings: PosttrainSettings, number: int
) -> tuple[list[Example], list[str], list[str]]:
    """A group of answers to each question, their texts, and the right animal of each. Temperature 1: the policy itself."""
    examples: list[Example] = []
    rights: list[str] = []
    for index, pair in enumerate(asked):
        first = ((settings.seed * 100_000 + number) * len(asked) + index) * settings.group
        samplings = [SamplingSettings(seed=first + row) for row in range(settings.group)]
        prompt = answerer.tokenizer.encode(pair.prompt)
        examples += [(prompt, answer) for answer in answerer.sample(model, pair, samplings)]
        rights += [pair.right] * settings.group
    return examples, [answerer.tokenizer.decode(answer) for _, answer in examples], rights
