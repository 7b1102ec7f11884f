"""Reinforcement learning in rounds: sample answers, reward them, one step of the policy gradient."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean

import torch

from lab.posttraining import reward
from lab.posttraining.answers import Answerer
from lab.posttraining.fine_tuning import CLIP
from lab.posttraining.policy_gradient import Example, answer_batch, answer_tokens, kl_per_answer, policy_loss
from lab.posttraining.progress_log import Model, Round
from lab.posttraining.question_pairs import QuestionPair
from lab.posttraining.settings import PosttrainSettings, rl_lr_for
from models.gpt import GPT
from models.optimizers.optimizer import make_optimizer
from models.sampling_settings import SamplingSettings

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

    `questions` gives those of each round, of which there are `rounds`; none is asked for before its round.
    """
    beta = settings.beta if name == "rl" else 0.0
    lr = rl_lr_for(settings, model.config.width)
    optimizer = make_optimizer(model, lr, weight_decay=0.0)
    for number, asked in enumerate(questions, 1):
        examples, texts, rights = _sampled(model, answerer, asked, settings, number)
        rewards = torch.tensor([reward.reward(text, right) for text, right in zip(texts, rights, strict=True)])
        ids, targets = answer_batch(examples)
        with torch.no_grad():
            before = answer_tokens(reference, ids, targets)
        policy = answer_tokens(model, ids, targets)
        with torch.no_grad():
            kl = float(kl_per_answer(policy, before).mean())
        optimizer.zero_grad()
        policy_loss(policy, before, rewards, beta, settings.group).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, number / WARMUP_ROUNDS)
        measured = number % STORY_EVERY == 1 or number == rounds
        story_loss = answerer.story_loss(model, stories) if measured else None
        optimizer.step()
        yield Round(
            model=name,
            round=number,
            rounds=rounds,
            reward=float(rewards.mean()),
            exact=fmean(reward.is_exact(text, right) for text, right in zip(texts, rights, strict=True)),
            several=fmean(len(reward.animals_named(text)) > 1 for text in texts),
            well_formed=fmean(map(reward.is_well_formed, texts)),
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
