"""Material of the checks: a run's weights, prompt and text, with every value of its forward pass."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from lab.data.token_file import TokenFile, token_dtype
from lab.runs.home_folder import demo
from lab.runs.run_folder import Run, tokenizer_of
from lab.runs.weights_file import load_model
from models.gpt import GPT
from models.trace import Trace

TEXT_TOKENS = 4096


@dataclass(frozen=True)
class Material:
    """A run and a prompt. Everything is read from the run's folder, in fp32 and without gradients."""

    run: Run
    prompt: str
    given: tuple[int, ...] = ()
    """Tokens in place of the prompt."""
    checkpoint: str = "best"

    @cached_property
    def loaded(self) -> tuple[GPT, int]:
        """The model, and the step of its weights."""
        return load_model(self.run, self.checkpoint)

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The weights by GPT-2's names; matrices are (out, in), as `x @ w.T + b` uses them."""
        return {name: weight.detach() for name, weight in self.loaded[0].named_parameters()}

    @property
    def heads(self) -> int:
        return self.run.config.model.heads

    @cached_property
    def ids(self) -> list[int]:
        """The prompt's tokens, as many as fit into the context."""
        found = list(self.given) or tokenizer_of(self.run).encode(self.prompt)
        return found[-self.run.config.model.context :]

    @cached_property
    def full(self) -> list[int]:
        """The first tokens of the run's text, a full context of them."""
        return self.text_ids[: self.run.config.model.context]

    @cached_property
    def text_ids(self) -> list[int]:
        """The beginning of the run's text in tokens; of the demo's, where it has none, as a model that was imported."""
        source = self.run if self.run.tokens_path.exists() else Run(demo())
        tokens = TokenFile(source.tokens_path, token_dtype(source.config.tokenizer.vocab_size))
        ids = [int(each) for each in tokens[:TEXT_TOKENS]]
        return ids if source is self.run else tokenizer_of(self.run).encode(tokenizer_of(source).decode(ids))

    @cached_property
    def text(self) -> bytes:
        """The same as bytes."""
        return self.decoded(self.text_ids).encode()

    def decoded(self, ids: list[int]) -> str:
        return tokenizer_of(self.run).decode(ids)

    @cached_property
    def trace(self) -> Trace:
        """The forward pass of the prompt."""
        return Trace(self.loaded[0], self.ids)

    def vectors(self, name: str, layer: int = 0) -> Tensor:
        """A value of the prompt's forward pass by its name in the layer, such as `attn.q`."""
        return self.trace[f"blocks.{layer}.{name}"].float()

    def of_layer(self, part: str, layer: int = 0) -> tuple[Tensor, ...]:
        """The weights of a part of a layer, such as `attn`: matrix and bias of the first product, then of the second."""
        first, second = {"attn": ("c_attn", "c_proj"), "mlp": ("c_fc", "c_proj")}[part]
        names = (f"{first}.weight", f"{first}.bias", f"{second}.weight", f"{second}.bias")
        return tuple(self.weights[f"h.{layer}.{part}.{name}"] for name in names)
