"""Settings of post-training with their defaults, and the reasons for these. No torch."""

from typing import Annotated

import msgspec
from msgspec import Meta

from lab.runs.run_schema import Fraction, Loss, Step

Rate = Annotated[float, Meta(gt=0, le=1)]
Few = Annotated[int, Meta(ge=1, le=100_000)]


class PosttrainSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides the result, beside the base model."""

    seed: Annotated[int, Meta(ge=0, le=1 << 31)] = 1
    pairs: Few = 400
    """Questions with answers to learn from: a small set. On the demo model it teaches the form of an answer and to name an animal
    of the story, not yet to look up which, so that there is something left to reinforce."""
    epochs: Annotated[int, Meta(ge=1, le=1000)] = 5
    hedged: Fraction = 0.1
    """Share of these answers that name both animals, as careless demonstrators hedge. Reinforcement can only find answers that
    the model sometimes gives."""
    sft_batch: Annotated[int, Meta(ge=1, le=1024)] = 16
    sft_lr: Rate = 4e-4
    """A tenth of the peak at which the demo model was pretrained, its lowest rate there: with 1e-3 it answered no better and its
    loss on stories rose by over a nat, with 4e-4 by less than a tenth."""
    held_out: Few = 100
    """Questions about other stories, for evaluations."""
    rounds: Step = 70
    """Rounds of reinforcement learning, each one update of the weights; done twice, with and without the KL penalty."""
    questions: Few = 16
    """Questions in a round."""
    group: Annotated[int, Meta(ge=2, le=1024)] = 8
    """Answers sampled to each: the others' mean reward is the baseline of one."""
    rl_lr: Rate = 4e-4
    """As in SFT, for a model of width 64; `rl_lr_for` gives that of a wider one. With 2e-4 the demo model had not learned which
    animal is asked for after 60 rounds, with 4e-4 it had."""
    beta: Loss = 0.2
    """Weight of the KL penalty, in reward per nat. To name both animals costs the SFT model about ln(1/0.1) = 2.3 nats, so 0.46,
    about as much as the half of the answers that it gets wrong would gain by it."""
    seconds: Annotated[float, Meta(gt=0, le=1e6)] = 540.0
    """Most seconds for all of it. Where they would not suffice, there are fewer rounds, the same number with and without."""


WIDTH = 64
"""The width that `rl_lr` is for."""


def rl_lr_for(settings: PosttrainSettings, width: int) -> float:
    """The learning rate of reinforcement learning for a model of this width: inversely proportional to it from `WIDTH` on.

    So scales the best rate of Adam for the matrices inside the layers (Yang et al. 2022, "Tensor Programs V"). With the same rate
    the reward of a model of width 128 fell again after twenty rounds.
    """
    return settings.rl_lr * min(1.0, WIDTH / width)
