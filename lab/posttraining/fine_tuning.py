"""Supervised fine-tuning (SFT): the pretraining loss, on the tokens of given answers alone."""

import random
from collections.abc import Iterator, Sequence

import torch

from lab.posttraining.answers import Answerer
from lab.posttraining.policy_gradient import answer_batch
from lab.posttraining.progress_log import SftStep
from lab.posttraining.question_pairs import QuestionPair
from lab.posttraining.settings import PosttrainSettings
from models.gpt import GPT
from models.optimizers.lr_schedule import schedule_factor
from models.optimizers.optimizer import make_optimizer

WARMUP = 0.08
"""Share of the steps over which the learning rate rises: AdamW's first steps are of full size whatever the gradient."""
FINAL_LR = 0.1
CLIP = 1.0
"""Largest norm of a gradient, as in pretraining."""


def sft_steps(settings: PosttrainSettings) -> int:
    """Steps of SFT: whole batches only."""
    return max(1, settings.pairs // settings.sft_batch) * settings.epochs


def fine_tune(model: GPT, answerer: Answerer, pairs: Sequence[QuestionPair], settings: PosttrainSettings) -> Iterator[SftStep]:
    """Train the model in place, a step at a time. Each epoch is in another order, which the seed decides.

    There is no weight decay: it would pull the weights to zero, away from what pretraining found.
    """
    optimizer = make_optimizer(model, settings.sft_lr, weight_decay=0.0)
    order, steps, step = random.Random(settings.seed), sft_steps(settings), 0
    batch = min(settings.sft_batch, len(pairs))
    model.train()
    for _ in range(settings.epochs):
        shuffled = order.sample(pairs, len(pairs))
        for start in range(0, len(pairs) - batch + 1, batch):
            lr = settings.sft_lr * schedule_factor("cosine", (step + 1) / steps, WARMUP, FINAL_LR)
            for group in optimizer.param_groups:
                group["lr"] = lr
            ids, targets = answer_batch([answerer.example(pair) for pair in shuffled[start : start + batch]])
            loss = model.loss(ids, targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            step += 1
            yield SftStep(step=step, steps=steps, loss=float(loss.detach()), lr=lr)
    model.eval()
