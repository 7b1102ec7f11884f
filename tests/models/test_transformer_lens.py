"""The trace against TransformerLens, where that library is installed."""

import re
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor

from models.gpt import GPT
from models.trace import Trace

SHAPE = {"layers": 2, "heads": 4, "width": 32, "context": 24, "vocab_size": 61}
IDS = [(5 * i * i + 2 * i + 1) % 61 for i in range(17)]
NOT_THERE = re.compile(r".*\.scores_raw")
"""Names of the lab's own."""


@pytest.fixture(scope="module")
def model(make_model: Any) -> GPT:
    return make_model(4, **SHAPE)


@pytest.fixture(scope="module")
def trace(model: GPT) -> Trace:
    return Trace(model, IDS)


def hooked(twin: Any, shape: Any) -> Any:
    """A GPT-2 of Hugging Face's as TransformerLens had it before version 4."""
    import transformer_lens
    from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights

    config = transformer_lens.HookedTransformerConfig(
        n_layers=shape.layers,
        d_model=shape.width,
        n_ctx=shape.context,
        d_head=shape.head_width,
        n_heads=shape.heads,
        d_vocab=shape.vocab_size,
        act_fn="gelu_new",
        normalization_type="LN",
        device="cpu",
    )
    lens = transformer_lens.HookedTransformer(config)
    lens.load_state_dict(convert_gpt2_weights(twin, config), strict=False)
    return lens


def cached(twin: Any, shape: Any) -> dict[str, Tensor]:
    """What TransformerLens itself names on the way through a GPT-2 of Hugging Face's, without the batch dimension."""
    if version("transformer-lens") < "4":
        lens = hooked(twin, shape)
    else:
        from tokenizers import Tokenizer
        from tokenizers.models import WordLevel
        from transformer_lens.model_bridge import TransformerBridge
        from transformers import PreTrainedTokenizerFast

        words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"a": 0}, "a")), eos_token="a", pad_token="a")
        lens = TransformerBridge.boot_transformers("gpt2", hf_model=twin, tokenizer=words, device="cpu")
    with torch.no_grad():
        logits, cache = lens.run_with_cache(torch.tensor([IDS]))
    return {"logits": logits[0]} | {name: value[0] for name, value in dict(cache).items()}


@pytest.mark.skipif(find_spec("transformer_lens") is None, reason="needs the extra transformer-lens")
def test_every_array_is_transformer_lenss_of_that_name(model: GPT, trace: Trace, make_twin: Any) -> None:
    theirs = cached(make_twin(model), model.config)
    has_out = any(name.endswith("ln1.hook_out") for name in theirs)
    compared = set()
    for name in trace.names():
        before, dot, last = name.rpartition(".")
        value = theirs.get(f"{before}{dot}hook_{last}", theirs.get(name))
        if value is None:
            assert NOT_THERE.fullmatch(name) or (last == "out" and not has_out), name
            continue
        own = trace[name]
        assert own.shape == value.shape, name
        finite = own.isfinite()
        assert (own - value)[finite].abs().max() <= 1e-4, name
        compared.add(name)
    assert len(compared) >= len(trace.names()) - 2 - (0 if has_out else 5)
