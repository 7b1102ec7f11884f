"""Training on prompts with answers: the loss and tokens of a step, what a model learns, and its answers without a cache."""

import torch
import torch.nn.functional as F  # noqa: N812

from lab.training.posttraining.answers import greedy_answers
from lab.training.posttraining.sft_and_rl import train
from models.config import ModelConfig
from models.gpt import GPT

END = 0


def small_model() -> GPT:
    return GPT(ModelConfig(layers=1, heads=2, width=16, context=12, vocab_size=9), seed=3)


def test_a_step_trains_on_the_answers_tokens_alone() -> None:
    model = small_model()
    batch = [([1, 2], [3, END]), ([4], [5, 6, END])]
    with torch.no_grad():
        log_probs = [
            F.log_softmax(model(torch.tensor([prompt + answer])), -1)[0, len(prompt) - 1 + at, target]
            for prompt, answer in batch
            for at, target in enumerate(answer)
        ]
    first, second = list(train(model, lambda: batch, 2, 1e-3))
    assert abs(first.loss + sum(map(float, log_probs)) / 5) < 1e-5
    assert [(first.number, first.tokens), (second.number, second.tokens)] == [(1, 8), (2, 16)]
    assert second.loss < first.loss


def test_learned_answers_end_and_equal_those_without_a_cache() -> None:
    model = small_model()
    batch = [([1, 2], [3, END]), ([4], [5, 6, END]), ([7, 7, 7], [8, 8, 1, END])]
    for _ in train(model, lambda: batch, 150, 1e-2, weight_decay=0.0):
        pass
    prompts = [prompt for prompt, _ in batch]
    assert greedy_answers(model, prompts, END, 6) == [answer for _, answer in batch]
    assert greedy_answers(model, prompts, END, 2) == [answer[:2] for _, answer in batch]
    for prompt in ([5, 5], [6]):  # never seen: the same as token by token
        ids = list(prompt)
        while len(ids) < len(prompt) + 5 and ids[-1] != END:
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
        assert greedy_answers(model, [prompt], END, 5) == [ids[len(prompt) :]]
