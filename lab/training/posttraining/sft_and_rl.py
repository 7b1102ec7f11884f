"""Supervised fine-tuning (SFT), the pretraining loss on the tokens of answers alone, and reinforcement learning in rounds."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lab.training.posttraining import answers
from lab.training.posttraining.answers import Answerer
from lab.training.posttraining.policy_gradient import Example, answer_batch, answer_tokens, kl_per_answer, policy_loss
from lab.training.posttraining.posttraining_schema import Model, PosttrainSettings, Round, SftStep, rl_lr_for
from lab.training.posttraining.question_pairs import QuestionPair
from models.config import OptimizerName, SamplingSettings, schedule_factor
from models.gpt import GPT
from models.optimizers import make_optimizer, set_muon_dtype

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
        rewards = torch.tensor([answers.reward(text, right) for text, right in zip(texts, rights, strict=True)])
        ids, targets = answer_batch(examples)
        with torch.no_grad():
            before = answer_tokens(reference, ids, targets)
        policy = answer_tokens(model, ids, targets)
        with torch.no_grad():
            kl = float(kl_per_answer(policy, before).mean())
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, number / WARMUP_ROUNDS)
        measured = number % STORY_EVERY == 1 or number == rounds
        story_loss = answerer.story_loss(model, stories) if measured else None
        descend(policy_loss(policy, before, rewards, beta, settings.group), model, optimizer)
        yield Round(
            model=name,
            round=number,
            rounds=rounds,
            reward=float(rewards.mean()),
            exact=fmean(answers.is_exact(text, right) for text, right in zip(texts, rights, strict=True)),
            several=fmean(len(answers.animals_named(text)) > 1 for text in texts),
            well_formed=fmean(map(answers.is_well_formed, texts)),
            length=fmean(len(answer) for _, answer in examples),
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
