"""The entry of a stage, and the context of its view: a trace, its tokens' names, and the cursor's position, layer and head."""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from lab.inspect.model_cache import CachedTrace, OpenModel
from lab.views.blocks import Cell, Parity, View
from lab.views.number_tables import Numbers
from models.config import ModelConfig, SamplingSettings
from models.unembed import unembed

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer
    from models.trace import Trace


LensName = Literal["logit", "Jacobian", "tuned"]
LENSES: tuple[LensName, ...] = get_args(LensName)

MOST_CHARACTERS = 40
"""Of the prompt in a sentence."""


@dataclass(frozen=True)
class PromptTokens:
    """The tokens within the context window, one of them chosen."""

    tokenizer: "Tokenizer"
    ids: list[int]
    position: int
    """0-based within the window."""

    def label(self, index: int) -> str:
        return self.tokenizer.label(self.ids[index])

    def name(self, index: int) -> str:
        """A token as the label of a row: its number, counted from 1, and the token."""
        return f"{index + 1:>{len(str(len(self.ids)))}} {self.label(index)}"

    def quoted(self, index: int) -> str:
        """A token in a sentence; with its number where the prompt has it more than once."""
        twice = self.ids.count(self.ids[index]) > 1
        return f"“{self.label(index)}”{f' (token {index + 1})' if twice else ''}"

    @property
    def text(self) -> str:
        """The prompt up to the chosen token, in a sentence; of a long one the end."""
        words = self.tokenizer.decode(self.ids[: self.position + 1]).replace("\n", "␊")
        return f"“{words}”" if len(words) <= MOST_CHARACTERS else f"“…{words[-MOST_CHARACTERS:]}”"

    @property
    def here(self) -> str:
        """The chosen token, in a sentence."""
        return self.quoted(self.position)


@dataclass(frozen=True)
class Draw:
    """The next token's distribution, and the token that sampling draws from it."""

    before: Numbers
    """(V,) at temperature 1 with no filter."""
    after: Numbers
    """(V,) what is drawn from; 0 for tokens filtered out."""
    kept: Numbers
    order: Numbers
    """Ids by falling probability."""
    ends: Numbers
    """Cumulative probability at each of them."""
    u: float
    id: int

    def rank(self, id_: int) -> int:
        """0-based rank of an id by probability."""
        return int(np.flatnonzero(self.order == id_)[0])

    def interval(self, id_: int) -> tuple[float, float]:
        """The id's interval of the cumulative probability."""
        rank = self.rank(id_)
        return (float(self.ends[rank - 1]) if rank else 0.0), float(self.ends[rank])


@dataclass(frozen=True)
class StageContext:
    opened: OpenModel
    traced: CachedTrace
    prompt: list[int]
    """All token ids of the prompt, those before the window too."""
    earlier: int
    """Tokens before the prompt, counted in the position that a draw is for."""
    position: int
    """0-based within the window."""
    sampling: SamplingSettings
    layer: int = 0
    head: int = 0
    width: int | None = None
    """Width of the screen in columns, if known."""
    lens: LensName = "logit"
    """Lens of the grid; another than the logit lens reads by the model's fitted `lenses`."""

    @property
    def dropped(self) -> int:
        """Tokens of the prompt before the window."""
        return len(self.prompt) - len(self.ids)

    @property
    def config(self) -> ModelConfig:
        return self.opened.model.config

    @property
    def tokenizer(self) -> "Tokenizer":
        return self.opened.tokenizer

    @property
    def trace(self) -> "Trace":
        return self.traced.trace

    @property
    def ids(self) -> list[int]:
        return self.trace.ids

    @property
    def block(self) -> str:
        """Prefix of the names of this layer's values."""
        return f"blocks.{self.layer}."

    @property
    def layer_name(self) -> str:
        return f"layer {self.layer + 1}"

    def array(self, name: str) -> Numbers:
        """The trace's value of that name, float32, not copied."""
        return self.trace[name].numpy()

    def heads(self, name: str) -> Numbers:
        """One of q, k, v and z with the heads first, (H, T, D)."""
        return self.array(name).swapaxes(0, 1)

    def row(self, name: str) -> Numbers:
        """The value (T, ...) at the position, in float64."""
        row: Numbers = self.array(name)[self.position].astype(np.float64)
        return row

    def changed(self, name: str, *index: int) -> bool:
        """True if an intervention changes the value called `name` at these first indices."""
        return any(edit.name == name and edit.changes(index) for edit in self.trace.edits)

    def before(self, name: str, *index: int) -> str:
        """The trace's name of the value before interventions: `name` itself, unless one changes it there."""
        return f"{name}.before" if self.changed(name, *index) else name

    def off(self, part: str, head: int | None = None, layer: int | None = None) -> str:
        """`✗ off` or `✗ mean-ablated` where an intervention does that to a whole part, such as `mlp_out` or a head's `attn.z`; a
        head is off with its layer's attention. "" elsewhere."""
        block = f"blocks.{self.layer if layer is None else layer}."
        names = {block + part, *([f"{block}attn_out"] if part == "attn.z" else [])}
        for edit in reversed(self.trace.edits):
            if edit.name in names and edit.head in (None, head) and edit.position is None:
                if edit.action == "mean":
                    return "✗ mean-ablated"
                if edit.action == "scale" and edit.scale == 0:
                    return "✗ off"
        return ""

    def part_cell(self, name: str, off: str) -> Cell:
        """The name of a part in a table, crossed out where it is `off`."""
        return Cell(f"{name} {off}", style="struck") if off else Cell(name)

    def weight(self, name: str) -> Numbers:
        """The model's weight of that name, float32, not copied."""
        return self.opened.model.get_parameter(name).detach().float().numpy()

    @cached_property
    def prompt_tokens(self) -> PromptTokens:
        return PromptTokens(self.tokenizer, self.ids, self.position)

    def label(self, index: int) -> str:
        return self.prompt_tokens.label(index)

    def name(self, index: int) -> str:
        """A token as the label of a row: its number, counted from 1, and the token."""
        return self.prompt_tokens.name(index)

    def quoted(self, index: int) -> str:
        """A token in a sentence; with its number where the prompt has it more than once."""
        return self.prompt_tokens.quoted(index)

    @property
    def here(self) -> str:
        """The token at the position, in a sentence."""
        return self.prompt_tokens.here

    @cached_property
    def logits(self) -> Numbers:
        """Logits of the token after the position, (V,), float64."""
        if self.traced.logits is not None:
            return self.traced.logits[self.position].double().numpy()
        last, at = f"blocks.{self.config.layers - 1}.resid_post", self.position
        return self.traced.get_or_compute("logits", at, lambda: self.trace.lens(last, [at])[0].double().numpy())

    @property
    def answer(self) -> int:
        """The most probable token after the position."""
        return int(self.logits.argmax())

    def unembed(self, vectors: Numbers) -> Numbers:
        """Dot products (n, V) of vectors (n, C) with every row of the token embedding, float32."""
        import torch

        products = unembed(self.opened.model, torch.from_numpy(vectors.astype(np.float32)))
        return products.numpy()

    @property
    def draws_for(self) -> int:
        """0-based position in the whole text of the token after the position, which the draw is for."""
        return self.earlier + self.dropped + self.position + 1

    @property
    def window(self) -> list[int]:
        """The ids up to the position, which a repetition penalty is for."""
        return self.ids[: self.position + 1]

    def draw(self) -> Draw:
        """The next token as `models.sampling.generate` would draw it with this seed."""
        return self.traced.get_or_compute(("draw", self.draws_for, self.sampling), self.position, self._draw)

    def _draw(self) -> Draw:
        import torch

        from models.sampling import distribution, draw, uniform

        found = distribution(torch.from_numpy(self.logits), self.sampling, self.window)
        u = uniform(self.sampling.seed, self.draws_for)
        order = found.after.argsort(descending=True, stable=True)
        return Draw(
            before=found.before.numpy(),
            after=found.after.numpy(),
            kept=found.kept.numpy(),
            order=order.numpy(),
            ends=found.after[order].cumsum(-1).numpy(),
            u=u,
            id=draw(found.after, u),
        )

    def parity(self, name: str, shown: Numbers, *at: int | slice) -> Parity:
        """`shown` against the model's own value of that name at those indices: the fast path's where it is cached."""
        fast = self.traced.fast.get(name)
        own = (self.array(name) if fast is None else fast.numpy())[at]
        assert own.shape == shown.shape, (name, own.shape, shown.shape)
        finite = np.isfinite(own) & np.isfinite(shown)
        delta = float(np.abs(own[finite] - shown[finite]).max(initial=0.0))
        largest = float(np.abs(own[finite]).max(initial=0.0))
        return Parity(f"{name} · {'trace' if fast is None else 'fast path'}", delta, int(finite.sum()), largest)


TOKEN_KEYS = ("sample", "tour", "view", "head", "edit", "switch")
HEAD_KEYS = ("head", "layer", "view", "switch")
MLP_KEYS = ("layer", "switch")
SAMPLING_KEYS = ("sample", "settings")

PATTERN_CODE = {
    "gpt.py: Attention.forward": ("z = causal_attention",),
    "attention_kernels.py: causal_attention": ("attn_scores =", "pattern ="),
}
"""The lines that compute the attention pattern, for the stages that show it."""


@dataclass(eq=False)
class Stage:
    """A stage of the forward pass, as the decorator of the function of its view, which gives it its name."""

    title: str
    tour: str
    """The tour's sentence, with numbers by their names in `screens.inspect.tour`."""
    keys: tuple[str, ...] = ()
    """Actions of Inspect that come first in the key bar."""
    _: KW_ONLY
    code: Mapping[str, tuple[str, ...]]
    """Functions of `models` that compute it, as `gpt.py: Attention.forward`, each with the first words of its own lines."""
    layer_key: bool = True
    """False where the key bar leaves out the next layer."""
    of_head: bool = False
    """True if one head is shown."""
    computes: str = ""
    """Value of the layer that the stage computes and an intervention may replace, by its name in the trace."""
    reads: str = ""
    """Value of the layer that the stage starts from, as an intervention has left it."""
    name: str = field(init=False)
    view: Callable[[StageContext], View] = field(init=False)

    def __call__(self, view: Callable[[StageContext], View]) -> "Stage":
        self.name, self.view = view.__name__, view
        return self

    @property
    def ends_part(self) -> bool:
        """True for the last stage of a part of the model: the residual stream has what the part adds."""
        return self.computes.startswith("resid")
