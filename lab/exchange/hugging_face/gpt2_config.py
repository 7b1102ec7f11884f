"""config.json of a Hugging Face GPT-2: read within bounds, refused where the lab's GPT-2 computes something else, and written."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from lab.core.errors import UserError
from lab.core.safe_open import LARGEST_CONFIG, decode_json, read_regular
from lab.core.visible_text import quoted, shortened, visible
from models.config import ConfigError, ModelConfig

EPSILON = 1e-5
"""As in `models.gpt`, whose import would load torch."""
ARCHITECTURES = ("GPT2LMHeadModel", "GPT2Model")

Size = Annotated[int, Meta(ge=0, le=1 << 62)]
"""What a model may have is bounded by `ModelConfig`, in words."""
Word = Annotated[str, Meta(max_length=500)]
Share = Annotated[float, Meta(ge=0, le=1)]


class _Kind(msgspec.Struct):
    model_type: Word = ""


class GPT2Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that decide a GPT-2's numbers, with the defaults of `transformers.GPT2Config`."""

    architectures: Annotated[list[Word], Meta(max_length=100)] | None = None
    vocab_size: Size = 50257
    n_positions: Size = 1024
    n_embd: Size = 768
    n_layer: Size = 12
    n_head: Size = 12
    n_inner: Size | None = None
    activation_function: Word = "gelu_new"
    layer_norm_epsilon: float = 1e-5
    embd_pdrop: Share = 0.1
    attn_pdrop: Share = 0.1
    resid_pdrop: Share = 0.1
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True


def read_gpt2_config(path: Path, shown: str) -> tuple[ModelConfig, bool]:
    """The shape of the model that config.json describes, and True if its head is its token embedding by these settings.

    `shown` names its folder in messages.

    Raises:
        DamagedFileError: if the file is no regular one, too large, or no JSON of this form.
        UserError: if the model is no GPT-2, computes something that the lab's does not, or is beyond the lab's bounds.
    """
    try:
        raw = read_regular(path, LARGEST_CONFIG)
    except OSError as error:
        raise UserError(f"{visible(str(path))} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    kind = decode_json(path, raw, _Kind).model_type
    if kind != "gpt2":
        named = f"a {quoted(kind, 40)}" if kind else "of no named type"
        raise UserError(f"The model in {shown} cannot be imported: it is {named}, and the lab is for GPT-2.")
    settings = decode_json(path, raw, GPT2Settings)
    if problem := _difference(settings):
        raise UserError(f"The model in {shown} cannot be imported: {problem}.")
    dropouts = {settings.embd_pdrop, settings.attn_pdrop, settings.resid_pdrop}
    try:
        model = ModelConfig(
            layers=settings.n_layer,
            heads=settings.n_head,
            width=settings.n_embd,
            context=settings.n_positions,
            vocab_size=settings.vocab_size,
            dropout=min(dropouts) if len(dropouts) == 1 and max(dropouts) < 1 else 0.0,
        )
    except ConfigError as error:
        raise UserError(f"The model in {shown} cannot be imported: {error}") from error
    return model, settings.tie_word_embeddings


def _difference(settings: GPT2Settings) -> str:
    """The first setting in which the model differs from GPT-2, in words; empty if there is none."""
    other = [name for name in settings.architectures or () if name not in ARCHITECTURES]
    inner, activation = settings.n_inner, settings.activation_function
    differences = (
        (other, f"its architecture is {shortened(', '.join(map(visible, other)), 100)}, not a plain GPT-2"),
        (activation != "gelu_new", f"its activation is {quoted(activation, 40)}, not gelu_new"),
        (
            settings.layer_norm_epsilon != EPSILON,
            f"its layer_norm_epsilon is {settings.layer_norm_epsilon:g}, and GPT-2's is {EPSILON:g}",
        ),
        (not settings.scale_attn_weights, "its attention scores are not divided by √d (scale_attn_weights is false)"),
        (settings.scale_attn_by_inverse_layer_idx, "its attention scores are divided by the layer's number, too"),
        (settings.add_cross_attention, "it has cross-attention"),
        (
            inner is not None and inner != 4 * settings.n_embd,
            f"its MLP is {inner or 0:,} wide (n_inner), and GPT-2's is 4 times the width, {4 * settings.n_embd:,}",
        ),
    )
    return next((words for differs, words in differences if differs), "")


def generation_config_json(model: ModelConfig, end_of_text: int | None) -> dict[str, Any]:
    """The content of generation_config.json: text ends where the context does, beyond which transformers has no positions."""
    tokens = {} if end_of_text is None else dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), end_of_text)
    return {"max_length": model.context} | tokens


def gpt2_config_json(model: ModelConfig, dtype: str, end_of_text: int | None) -> dict[str, Any]:
    """The content of config.json; `dtype` is torch's name of the weights' type, `end_of_text` the id of that token."""
    settings = GPT2Settings(
        architectures=["GPT2LMHeadModel"],
        vocab_size=model.vocab_size,
        n_positions=model.context,
        n_embd=model.width,
        n_layer=model.layers,
        n_head=model.heads,
        embd_pdrop=model.dropout,
        attn_pdrop=model.dropout,
        resid_pdrop=model.dropout,
    )
    tokens = {"bos_token_id": end_of_text, "eos_token_id": end_of_text}
    built: dict[str, Any] = msgspec.to_builtins(settings)
    # Older versions of transformers read the type under its second name.
    return {"model_type": "gpt2"} | built | tokens | {"dtype": dtype, "torch_dtype": dtype}
