"""Parameters, FLOPs and memory of a model, computed from its configuration. Nothing here needs torch."""

from dataclasses import dataclass
from functools import lru_cache
from math import prod

from models.config import ModelConfig

BYTES = 4
"""Bytes of one fp32 number. Weights, gradients and the optimizer's state are fp32 in every run."""


@dataclass(frozen=True)
class Weight:
    """One tensor of the model. `name` is its name in the model's state, `part` the group that it is counted under.

    `tied_to` names the tensor that it shares its numbers with; a tied tensor is not stored and adds nothing to a total.
    """

    name: str
    part: str
    shape: tuple[int, ...]
    tied_to: str | None = None

    @property
    def count(self) -> int:
        return prod(self.shape)


def inventory(config: ModelConfig) -> list[Weight]:
    """Every tensor of the model, in the order a token meets them; the output head last, tied to the token embedding."""
    width, vocabulary = config.width, config.vocab_size
    found = [
        Weight("wte.weight", "token embedding", (vocabulary, width)),
        Weight("wpe.weight", "position embedding", (config.context, width)),
    ]
    for layer in range(config.layers):
        for name, part, shape in (
            ("ln_1", "norms", (width,)),
            ("attn.c_attn", "attention", (3 * width, width)),
            ("attn.c_proj", "attention", (width, width)),
            ("ln_2", "norms", (width,)),
            ("mlp.c_fc", "mlp", (4 * width, width)),
            ("mlp.c_proj", "mlp", (width, 4 * width)),
        ):
            found += [Weight(f"h.{layer}.{name}.weight", part, shape), Weight(f"h.{layer}.{name}.bias", part, shape[:1])]
    found += [Weight(f"ln_f.{name}", "norms", (width,)) for name in ("weight", "bias")]
    return [*found, Weight("lm_head.weight", "output head", (vocabulary, width), tied_to="wte.weight")]


@lru_cache(maxsize=1024)
def parameter_count(config: ModelConfig) -> int:
    """Number of parameters, the tied head counted once (with the embedding)."""
    return sum(weight.count for weight in inventory(config) if weight.tied_to is None)


def by_part(config: ModelConfig) -> dict[str, int]:
    """Parameters of each part, in order; they add up to `parameter_count`, the tied head being 0."""
    parts: dict[str, int] = {}
    for weight in inventory(config):
        parts[weight.part] = parts.get(weight.part, 0) + (weight.count if weight.tied_to is None else 0)
    return parts


def flops_per_token(config: ModelConfig) -> int:
    """Floating-point operations that training spends on one token of a full context: 6 N + 12 · layers · width · context.

    N are the weights that are multiplied by, 12 · layers · width² + vocab_size · width: looking up an embedding is no
    multiplication, while the tied head is one. Each costs a multiply and an add in the forward pass, and twice that in the
    backward pass (Kaplan et al. 2020, section 2.1). The second term is q·k and pattern·v, over all `context` keys, masked or
    not (Chowdhery et al. 2022, "PaLM", appendix B). Norms, GELU, softmax and the optimizer are left out. The forward pass is
    a third of it.
    """
    matrices = 12 * config.layers * config.width**2 + config.vocab_size * config.width
    return 6 * matrices + 12 * config.layers * config.width * config.context


def multiplications(config: ModelConfig, tokens: int, new: int) -> int:
    """Multiplications that the forward pass of the last `new` of `tokens` tokens takes to predict one next token.

    Each new token is multiplied by every weight of the layers, 12 · layers · width², and by the keys and values of all `tokens`,
    masked or not, 2 · layers · width · tokens; the head, vocab_size · width, is needed once. With a cache `new` is 1, without
    one it is `tokens`; the difference, (tokens − 1) · (12 · layers · width² + 2 · layers · width · tokens), is what the cache
    saves. Half of the floating-point operations that `flops_per_token` counts for a forward pass.
    """
    each = 12 * config.layers * config.width**2 + 2 * config.layers * config.width * tokens
    return new * each + config.vocab_size * config.width


def kv_cache_bytes(config: ModelConfig, tokens: int) -> int:
    """Bytes of the keys and values of `tokens` tokens in fp32: 2 · layers · width numbers a token."""
    return 2 * config.layers * config.width * tokens * BYTES


def training_bytes(config: ModelConfig, batch: int) -> int:
    """Peak memory of a training step in bytes, estimated for fp32 on a CPU; bf16 needs less, and torch itself comes on top.

    16 for each parameter (weight, gradient, AdamW's two averages), what the forward pass keeps for the backward one, and the
    head's gradient once more while it is being scaled.
    """
    return 4 * BYTES * parameter_count(config) + activation_bytes(config, batch) + BYTES * config.vocab_size * config.width


def activation_bytes(config: ModelConfig, batch: int) -> int:
    """Bytes that the forward pass of `batch` full contexts keeps for the backward one, in fp32 on a CPU.

    For each token, a layer keeps 16 vectors of the width: inputs and outputs of the two norms, q, k, v, z, and the MLP's two
    hidden ones of four widths each. The end of the model keeps three, and the head's gradient once. With dropout attention is
    written out, which keeps three rows of `context` for each head (the pattern, the mask, what is left of it), and every
    residual vector that is dropped from keeps its mask.
    """
    layer, end = 16 * config.width, 3 * config.width
    if config.dropout > 0.0:
        layer += 2 * config.width + 3 * config.heads * config.context
        end += config.width
    return BYTES * (batch * config.context * (config.layers * layer + end) + config.vocab_size * config.width)
