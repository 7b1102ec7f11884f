import math

import pytest
import torch
from transformers import get_cosine_with_min_lr_schedule_with_warmup

from models.config import ModelConfig
from models.gpt import GPT
from models.optim import lr_factor, make_optimizer

CONFIG = ModelConfig(layers=2, heads=2, width=8, context=16, vocab_size=23)


def test_matrices_and_embeddings_decay_and_nothing_else() -> None:
    model = GPT(CONFIG)
    decayed, kept = make_optimizer(model, 1e-3, 0.1).param_groups
    names = {id(weight): name for name, weight in model.named_parameters()}
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    assert {names[id(weight)].split(".")[-2] for weight in decayed["params"]} == {"wte", "wpe", "c_attn", "c_proj", "c_fc"}
    assert all(names[id(weight)].endswith("bias") or ".ln_" in f".{names[id(weight)]}" for weight in kept["params"])
    assert len(decayed["params"]) + len(kept["params"]) == len(names)


def test_the_first_update_is_adamw_in_closed_form() -> None:
    # after one step the bias-corrected averages are g and g², so that each weight moves by lr · g / (|g| + eps) after its decay
    model, lr, decay = GPT(CONFIG, 1).double(), 0.01, 0.1
    optimizer = make_optimizer(model, lr, decay, (0.9, 0.95))
    ids = torch.arange(16)[None]
    model.loss(ids, ids).backward()
    weight = model.wte.weight
    assert weight.grad is not None
    expected = weight.detach() * (1 - lr * decay) - lr * weight.grad / (weight.grad.abs() + 1e-8)
    optimizer.step()
    assert (weight - expected).abs().max() < 1e-12


def test_the_learning_rate_is_hugging_faces_cosine_with_warm_up() -> None:
    steps, warmup, final = 200, 20, 0.1
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = get_cosine_with_min_lr_schedule_with_warmup(optimizer, warmup, steps, min_lr_rate=final)
    for step in range(steps + 1):
        assert lr_factor(step / steps, warmup / steps, final) == pytest.approx(schedule.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize(
    ("progress", "warmup", "factor"), [(0.0, 0.0, 1.0), (2.0, 0.1, 0.2), (-1.0, 0.1, 0.0), (0.5, 0.0, 0.6), (1.0, 1.0, 1.0)]
)
def test_the_learning_rate_at_its_edges(progress: float, warmup: float, factor: float) -> None:
    assert math.isclose(lr_factor(progress, warmup, 0.2), factor, abs_tol=1e-12)
