"""Edits of a forward pass, as plain data: ablate a head, scale an MLP, force attention, patch a vector.

Nothing here needs torch. `models.trace.apply` carries them out, in the given order.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from models.config import ModelConfig

Action = Literal["scale", "mean", "attend", "hide", "patch", "add", "project"]

_NAME = re.compile(r"blocks\.(\d+)\.(attn\.z|attn\.attn_scores|attn\.pattern|attn_out|mlp_out|resid_pre|resid_mid|resid_post)")


@dataclass(frozen=True)
class Edit:
    """One change to one value of a trace, named as the trace names it. Everything computed after it sees the change.

    `action`:
        "scale"   multiplies by `scale`; 0 switches off. On `attn.z` that is one head (all, if `head` is None), whose share of
                  `attn_out` is scaled with it, while the attention's output bias stays, since it belongs to no head. On
                  `attn_out` and `mlp_out` the bias is scaled too: off means that nothing is added to the residual stream.
        "mean"    replaces each position's vector by the mean over the prompt's positions.
        "attend"  on `attn.pattern`: the query attends to position `key` only. Queries before `key` cannot and stay unchanged.
                  `attn_scores` keep what the model itself computed.
        "hide"    on `attn.attn_scores`: no query after position `key` sees it, its score being -inf: the softmax
                  redistributes its weight. The token still sees itself: a query always has one key.
        "patch"   replaces the vector at `position` by `value`: `width` numbers, on `attn.z` of one head `head_width`.
        "add"     adds `scale` times `value`, `width` numbers, at every position (Turner et al. 2023); no edit of heads.
        "project" takes out what lies along `value`, `width` numbers of length 1: x − (x · value) value.
    `position` limits the edit to one position (one query, for "attend" and "hide"); None is all of them.

    A patched `resid_post` is what the next layer starts from.
    """

    name: str
    action: Action
    head: int | None = None
    position: int | None = None
    key: int | None = None
    scale: float = 0.0
    value: tuple[float, ...] | None = None

    def check(self, config: ModelConfig, tokens: int) -> None:
        """Raise ValueError, in one sentence, unless this edit can be made in a prompt of `tokens` tokens."""
        match = _NAME.fullmatch(self.name)
        if not match or int(match[1]) >= config.layers:
            layers = f"{config.layers} layer{'' if config.layers == 1 else 's'}"
            raise ValueError(f"{self.name} cannot be edited in a model of {layers}.")
        per_head = match[2].startswith("attn.")
        if self.head is not None and not (per_head and 0 <= self.head < config.heads):
            raise ValueError(f"{self.name} has no head {self.head}.")
        if self.position is not None and not 0 <= self.position < tokens:
            raise ValueError(f"position {self.position} is not in a prompt of {tokens} tokens.")
        belongs = {"attn.pattern": "attend", "attn.attn_scores": "hide"}.get(match[2])
        if (belongs or self.action) != self.action or (belongs is None and self.action in ("attend", "hide")):
            raise ValueError(f"{self.action} is no edit of {self.name}.")
        if self.action == "hide" and not (self.key is not None and 0 <= self.key < tokens and self.key != self.position):
            raise ValueError(
                f"position {self.key} cannot be hidden from {'later queries' if self.position is None else 'itself'}."
            )
        if self.action == "attend" and not (self.key is not None and 0 <= self.key <= self._last_query(tokens)):
            raise ValueError(f"a query at position {self._last_query(tokens)} cannot attend to position {self.key}.")
        if self.action == "patch":
            width = config.head_width if per_head else config.width
            if self.position is None or (per_head and self.head is None):
                raise ValueError(f"a patch of {self.name} needs a position{' and a head' * per_head}.")
            if self.value is None or len(self.value) != width:
                raise ValueError(f"a patch of {self.name} needs {width} numbers.")
        if self.action in ("add", "project") and (per_head or self.value is None or len(self.value) != config.width):
            raise ValueError(f"a direction for {self.name} needs {config.width} numbers, and is none of a head's.")

    def changes(self, index: Sequence[int]) -> bool:
        """True if it changes a number at these indices of its value, as in the trace; trailing indices left out may be any."""
        by_head = self.name.endswith((".attn.z", ".attn.pattern", ".attn.attn_scores"))
        position, head, key = (*index, None, None, None)[:3]
        if by_head and not self.name.endswith(".attn.z"):
            position, head = head, position
        if by_head and None not in (self.head, head) and head != self.head:
            return False
        if None not in (self.position, position) and position != self.position:
            return False
        if self.action == "attend" and self.key is not None and position is not None:
            return position >= self.key
        if self.action == "hide" and self.key is not None:
            return (position is None or position > self.key) and key in (None, self.key)
        return True

    def _last_query(self, tokens: int) -> int:
        return tokens - 1 if self.position is None else self.position
