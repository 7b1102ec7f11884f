"""The arithmetic of accounts.py against the model's real tensors and torch's own counters."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from models.config import PRESETS, ModelConfig
from models.gpt import GPT, KVCache
from models.parameter_count import (
    activation_bytes,
    by_part,
    flops_per_token,
    inventory,
    kv_cache_bytes,
    multiplications,
    parameter_count,
)

TINY = ModelConfig(layers=3, heads=2, width=16, context=24, vocab_size=37)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_the_inventory_is_the_model(preset: str) -> None:
    config = PRESETS[preset].config(50257)
    with torch.device("meta"):
        model = GPT(config)
    stored = {weight.name: weight.shape for weight in inventory(config) if weight.tied_to is None}
    assert stored == {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    assert parameter_count(config) == sum(weight.numel() for weight in model.parameters()) == sum(by_part(config).values())


def test_numbers_that_are_known() -> None:
    assert parameter_count(PRESETS["gpt2"].config(50257)) == 124_439_808, "as OpenAI released"
    head = inventory(TINY)[-1]
    assert (head.tied_to, head.count, by_part(TINY)["output head"]) == ("wte.weight", 37 * 16, 0), "counted once"
    cache = KVCache(TINY)
    assert kv_cache_bytes(TINY, TINY.context) == cache.keys.nbytes + cache.values.nbytes


def test_flops_are_those_that_torch_counts() -> None:
    # in bf16, for then every product on a CPU is one that torch's counter knows
    model, batch = GPT(TINY), 2
    ids = torch.zeros(batch, TINY.context, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        with torch.autocast("cpu", torch.bfloat16):
            loss = model.loss(ids, ids)
        loss.backward()
    assert counter.get_total_flops() == flops_per_token(TINY) * batch * TINY.context


@pytest.mark.parametrize("tokens", [1, 7, TINY.context])
def test_multiplications_of_a_next_token_are_those_that_torch_counts(tokens: int) -> None:
    model = GPT(TINY).bfloat16().eval()
    ids = torch.zeros(1, tokens, dtype=torch.int64)

    def counted(ids: Tensor, cache: KVCache) -> int:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model.unembed(model.hidden(ids, cache)[0, -1:])
        return int(counter.get_total_flops()) // 2

    cache = KVCache(TINY, dtype=torch.bfloat16)
    with torch.no_grad():
        model.hidden(ids[:, :-1], cache) if tokens > 1 else None
    assert counted(ids[:, -1:], cache) == multiplications(TINY, tokens, 1)
    assert counted(ids, KVCache(TINY, dtype=torch.bfloat16)) == multiplications(TINY, tokens, tokens)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_activations_take_about_the_bytes_they_are_said_to(dropout: float) -> None:
    config, batch = PRESETS["nano"].config(300, dropout=dropout), 4
    model = GPT(config)
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids = torch.zeros(batch, config.context, dtype=torch.int64)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model.loss(ids, ids)
    saved = sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in own)
    assert loss.isfinite()
    assert activation_bytes(config, batch) == pytest.approx(saved, rel=0.05)
