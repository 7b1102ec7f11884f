"""Study of preferences: a judge with a hidden rule chooses between answers, a reward model learns from that, a policy from it.

The reward model is the policy's start with a scalar head, trained on pairs (Bradley-Terry; Ouyang et al. 2022, "Training language
models to follow instructions with human feedback"). The policy is trained as in post-training. Over the KL divergence the judge's
points rise, then fall, while the score goes on rising (Gao et al. 2023, "Scaling Laws for Reward Model Overoptimization").
"""

import copy
import math
import random
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from lab.studies.study_job import Record
from lab.training.posttraining.answers import Example, answer_batch, decode
from lab.training.posttraining.sft_and_rl import descend, policy_step, train
from models.chunked_cross_entropy import IGNORE_INDEX
from models.config import ModelConfig
from models.gpt import GPT
from models.optimizers import make_optimizer

ANIMALS = ("dog", "cat", "fox", "bear", "duck", "frog")
KIND = ("kind", "gentle", "happy", "brave", "clever")
UNKIND = ("rude", "mean", "lazy", "cruel")
PLAIN = ("small", "big", "old", "young", "brown")
END = "."
WORDS = (END, "describe", "a", *ANIMALS, *KIND, *UNKIND, *PLAIN)
IDS = {word: index for index, word in enumerate(WORDS)}
MOST_WORDS = 10
"""Longest answer, with its end."""
FEW_WORDS = 6
"""Words up to which the judge does not mind the length."""
JUDGE_TEMPERATURE = 0.5
"""The judge chooses A with probability sigmoid(difference of points / this)."""
BETA = 0.5
"""KL penalty of the second policy, in standard deviations of the reward model's score per nat."""
GROUP = 8
"""Answers to one prompt in a round."""
BLOCK = 4
"""Rounds that make a point of a curve."""


class Sizes(NamedTuple):
    """The size of the study."""

    pretraining: int = 240
    pairs: int = 600
    held_out: int = 400
    epochs: int = 10
    rounds: int = 100
    prompts: int = 32


class Pair(NamedTuple):
    """Two answers to one prompt, the one that the judge chose first."""

    chosen: Example
    other: Example


Block = tuple[str, float, float, float, str]
"""Some rounds of a policy: its name, mean KL, score and points, and an answer."""


def prompt_of(animal: str) -> list[int]:
    return [IDS["describe"], IDS[animal]]


def words_of(example: Example) -> list[str]:
    return [WORDS[index] for index in example[1]]


def points(words: Sequence[str], animal: str) -> float:
    """The hidden rule: 1 for each different kind word, −1 for each unkind one and each word said again, −½ for each word beyond
    six, −2 unless the answer ends with the animal that was asked for."""
    body = [word for word in words if word != END]
    different = set(body)
    kind, unkind = len(different.intersection(KIND)), len(different.intersection(UNKIND))
    ends_well = [*words[-2:]] == [animal, END]
    too_long = max(0, len(body) - FEW_WORDS)
    return kind - unkind - (len(body) - len(different)) - 0.5 * too_long - (0.0 if ends_well else 2.0)


def judged(example: Example) -> float:
    return points(words_of(example), WORDS[example[0][1]])


class RewardModel(nn.Module):
    """A GPT with a scalar head: the score of an answer is the head's mean over the places where its words are written."""

    def __init__(self, start: GPT) -> None:
        super().__init__()
        self.gpt = copy.deepcopy(start)
        self.head = nn.Linear(start.config.width, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.mean, self.deviation = 0.0, 1.0
        """Of the scores of the start's answers; `scores` are counted from there."""

    def forward(self, examples: Sequence[Example]) -> Tensor:
        """Scores (B,) as they were learned."""
        ids, targets = answer_batch(examples)
        is_answer = (targets != IGNORE_INDEX).float()  # (B, T)
        scores: Tensor = self.head(self.gpt.hidden(ids))[..., 0]  # (B, T)
        return (scores * is_answer).sum(1) / is_answer.sum(1)

    @torch.no_grad()
    def scores(self, examples: Sequence[Example]) -> Tensor:
        """Scores (B,) in standard deviations above the mean of the start's answers."""
        return (self.forward(examples) - self.mean) / self.deviation


def sample(model: GPT, animals: Sequence[str], generator: torch.Generator) -> list[Example]:
    """An answer to the prompt of each animal, drawn at temperature 1."""
    prompts = [prompt_of(animal) for animal in animals]

    def draw(logits: Tensor) -> Tensor:
        return torch.multinomial(logits.softmax(-1), 1, generator=generator)

    return list(zip(prompts, decode(model, prompts, IDS[END], MOST_WORDS, draw), strict=True))


def text_example(chance: random.Random) -> Example:
    """A line of the text that the policy starts from: three different words about an animal."""
    animal, described = chance.choice(ANIMALS), chance.sample((*KIND, *UNKIND, *PLAIN), 3)
    return prompt_of(animal), [IDS[word] for word in ("a", *described, animal, END)]


def judge_pairs(model: GPT, count: int, chance: random.Random, generator: torch.Generator) -> list[Pair]:
    """Pairs of the model's answers as the judge chose. Those to which its rule gives equal points are left out."""
    pairs: list[Pair] = []
    while len(pairs) < count:
        animals = [chance.choice(ANIMALS) for _ in range(64)]
        for a, b in zip(sample(model, animals, generator), sample(model, animals, generator), strict=True):
            difference = judged(a) - judged(b)
            if difference and len(pairs) < count:
                takes_a = chance.random() < 1 / (1 + math.exp(-difference / JUDGE_TEMPERATURE))
                pairs.append(Pair(a, b) if takes_a else Pair(b, a))
    return pairs


@torch.no_grad()
def accuracy(reward: RewardModel, pairs: Sequence[Pair]) -> float:
    """Share of the pairs in which the chosen answer has the higher score."""
    chosen, other = reward([pair.chosen for pair in pairs]), reward([pair.other for pair in pairs])
    return float((chosen > other).float().mean())


def study(record: Record, sizes: Sizes = Sizes()) -> None:  # noqa: B008
    chance, generator = random.Random(record.seed), torch.Generator().manual_seed(record.seed)
    config = ModelConfig(layers=2, heads=4, width=64, context=16, vocab_size=len(WORDS))
    start = GPT(config, record.seed)
    for step in train(start, lambda: [text_example(chance) for _ in range(64)], sizes.pretraining, lr=3e-3):
        record.done(0.1 * step.number / sizes.pretraining)
    pairs, held_out = (judge_pairs(start, count, chance, generator) for count in (sizes.pairs, sizes.held_out))
    reward = RewardModel(start)
    _train_reward(record, reward, pairs, held_out, sizes.epochs, chance)
    _show_pairs(record, reward, held_out)
    scores = reward(sample(start, [chance.choice(ANIMALS) for _ in range(512)], generator)).detach()
    reward.mean, reward.deviation = float(scores.mean()), float(scores.std())
    record.plot("KL", "reward model and judge", x="KL divergence from the start, nats", y="score and points", low=None, high=None)
    rows: list[Block] = []
    for beta in (0.0, BETA):
        rows += _train_policy(record, start, reward, beta, sizes, chance, generator)
    columns = ("policy", "KL", "score", "judge", "one of its answers")
    record.table("answers", "answers on the way", columns, rows)


def _train_reward(
    record: Record, reward: RewardModel, pairs: list[Pair], held_out: Sequence[Pair], epochs: int, chance: random.Random
) -> None:
    """Train on −log sigmoid(score of the chosen − score of the other), the accuracy drawn after each epoch."""
    record.plot(
        "reward model", "pairs in which it agrees with the judge", x="pairs trained on", y="right pairs", low=0.4, high=1.0
    )
    optimizer = make_optimizer(reward, 3e-4)
    for epoch in range(1, epochs + 1):
        chance.shuffle(pairs)
        for at in range(0, len(pairs), 32):
            some = pairs[at : at + 32]
            loss = -logsigmoid(reward([pair.chosen for pair in some]) - reward([pair.other for pair in some])).mean()
            descend(loss, reward, optimizer)
        for name, some in (("trained on", pairs), ("held out", list(held_out))):
            record.point("reward model", name, epoch * len(pairs), accuracy(reward, some))
        record.done(0.1 + 0.15 * epoch / epochs)
    right = accuracy(reward, held_out)
    judge = fmean(judged(pair.chosen) > judged(pair.other) for pair in held_out)
    record.measure(pairs=len(pairs), epochs=epochs, tested=len(held_out), accuracy=right, judge_accuracy=judge)


@torch.no_grad()
def _show_pairs(record: Record, reward: RewardModel, pairs: Sequence[Pair]) -> None:
    """The first held-out pairs, with the choices of the judge and of the reward model."""
    rows = []
    for index, (chosen, other) in enumerate(pairs[:10]):
        is_a = (7 * index + len(chosen[1])) % 2 == 0  # in no order that gives the choice away
        a, b = (chosen, other) if is_a else (other, chosen)
        picks_a = bool(reward([a]) > reward([b]))
        rows.append((*(" ".join(words_of(each)) for each in (a, b)), *("A" if is_ else "B" for is_ in (is_a, picks_a))))
    record.table("pairs", "choices of which no model has learned", ("A", "B", "judge", "reward model"), rows)


def _train_policy(
    record: Record,
    start: GPT,
    reward: RewardModel,
    beta: float,
    sizes: Sizes,
    chance: random.Random,
    generator: torch.Generator,
) -> list[Block]:
    """Train a copy of the start against the reward model; rows of its first, best (by the judge) and last block of rounds."""
    policy, name = copy.deepcopy(start), f"β {beta:g}"
    optimizer = make_optimizer(policy, 4e-4, weight_decay=0.0)
    block: list[tuple[float, float, float]] = []
    blocks: list[Block] = []
    for number in range(1, sizes.rounds + 1):
        animals = [animal for animal in chance.choices(ANIMALS, k=sizes.prompts) for _ in range(GROUP)]
        examples = sample(policy, animals, generator)
        rewards = reward.scores(examples)
        kl = policy_step(policy, start, examples, rewards, beta, GROUP, optimizer)
        block.append((kl, float(rewards.mean()), fmean(map(judged, examples))))
        if number % BLOCK == 0:
            kl, score, quality = (fmean(column) for column in zip(*block, strict=True))
            record.point("KL", f"score, {name}", kl, score)
            record.point("KL", f"judge, {name}", kl, quality)
            blocks.append((name, kl, score, quality, " ".join(words_of(examples[0]))))
            block = []
            record.done((0.65 if beta else 0.25) + 0.35 * number / sizes.rounds)
    first, best, last = blocks[0], max(blocks, key=lambda block: block[3]), blocks[-1]
    for when, (_, kl, score, quality, _) in (("first", first), ("best", best), ("last", last)):
        ending = f"{when}_{'braked' if beta else 'free'}"
        record.measure(**{f"kl_{ending}": kl, f"score_{ending}": score, f"points_{ending}": quality})
    if not beta:
        record.measure(rise=best[3] - first[3], fall=best[3] - last[3])
    return [first, best, last]
