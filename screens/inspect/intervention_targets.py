"""Targets of the intervention keys: the part of the model that the step or the number under the cursor belongs to."""

import re
from typing import NamedTuple

from lab.inspect.interventions import Intervention, ModelPart, Source, name_of
from lab.views.blocks import LensPath, Token
from screens.inspect.selection import Prompt, Selection, position_in

PARTS: dict[str, ModelPart] = {
    **dict.fromkeys(("tokens", "embed"), "tokens"),
    **dict.fromkeys(("ln1", "qkv", "scores", "matrix", "heads", "thumbnails", "values"), "attn.z"),
    **dict.fromkeys(("attn_out", "resid_mid"), "attn_out"),
    **dict.fromkeys(("ln2", "mlp", "neurons", "resid_post"), "mlp_out"),
}
"""Step: the part that is ablated there."""

PATCHED: dict[str, ModelPart] = {
    **PARTS,
    **dict.fromkeys(("tokens", "embed", "ln1"), "resid_pre"),
    **dict.fromkeys(("resid_mid", "ln2"), "resid_mid"),
    "resid_post": "resid_post",
}
"""Step: the part that is patched from the second prompt there."""

_IN_HEAD = re.compile(r"blocks\.(\d+)\.attn\.([\w.]+)\[(\d+)(?:,(\d+))?(?:,(\d+))?")
_POSITION_FIRST = "qkvz"
"""Numbers of a head whose first index is the position and whose second the head; of all others the first is."""
_WHOLE = re.compile(r"blocks\.(\d+)\.(attn_out|mlp)")
_TOKEN = re.compile(r"(?:tokens|embed|pos_embed)\[(\d+)")
_BY_KEY = ("pattern", "attn_scores", "scores_raw", "shifted", "exp", "weighted_v")
"""Numbers of a head whose third index is a key."""


class Target(NamedTuple):
    """A part of the model; `place` and `token` are the token's that is chosen."""

    part: ModelPart
    layer: int
    head: int
    position: int
    token: str

    @property
    def in_words(self) -> str:
        return name_of(self.part, self.layer, self.head, f"{self.position + 1} “{self.token}”")


def target(selection: Selection, path: LensPath, ref: str = "", *, patch: bool = False) -> Target | None:
    """The part that the number called `ref` belongs to, else that of the step; None where there is nothing to change.

    With `patch`, what can be taken from another prompt there, which may be the residual stream itself.
    """
    at = position_in(selection, path)
    here = at, _label(path, at)
    found = _IN_HEAD.match(ref)
    if found:
        return Target("attn.z", int(found[1]), int(found[4] if found[2][0] in _POSITION_FIRST and found[4] else found[3]), *here)
    found = _WHOLE.match(ref)
    if found and not patch:
        return Target("attn_out" if found[2] == "attn_out" else "mlp_out", int(found[1]), 0, *here)
    found = _TOKEN.match(ref)
    if found and not patch and int(found[1]) < len(path.tokens):
        return Target("tokens", 0, 0, int(found[1]), _label(path, int(found[1])))
    part = (PATCHED if patch else PARTS).get(selection.stage)
    if part is None:
        return None
    inside = selection.stage not in ("tokens", "embed")
    return Target(part, selection.layer if inside else 0, selection.head if part == "attn.z" else 0, *here)


def key_under(selection: Selection, path: LensPath, ref: str = "") -> int:
    """The token that a head is to attend to: the key of the number called `ref`, else the chosen token."""
    found = _IN_HEAD.match(ref)
    if found and found[5] is not None and found[2].removesuffix(".norm") in _BY_KEY:
        return int(found[5])
    return position_in(selection, path)


def switch(at: Target, mean: bool) -> Intervention:
    """The intervention that ablates the target to zero, or with `mean` to its mean."""
    if at.part == "tokens":
        return Intervention(part="tokens", how="hide", position=at.position, token=at.token)
    return Intervention(part=at.part, how="mean" if mean else "off", layer=at.layer, head=at.head)


def scaled(at: Target, factor: float) -> Intervention:
    return Intervention(part=at.part, how="scale", layer=at.layer, head=at.head, factor=factor)


def attend_only(at: Target, key: int, path: LensPath) -> Intervention:
    """The intervention that makes the target, a head, attend to the key alone."""
    return Intervention(part="attn.z", how="attend", layer=at.layer, head=at.head, position=key, token=_label(path, key))


def from_second(at: Target, path: LensPath, second: Prompt, tokens: tuple[Token, ...]) -> Intervention | None:
    """The intervention that puts the second prompt's vector in the target's place, positions aligned from the end.

    `tokens` are the second prompt's. None where it has no token so far from its end.
    """
    there = aligned(at.position, len(path.tokens), len(tokens))
    if there is None:
        return None
    source = Source(text=second.text, ids=second.ids, position=there, token=tokens[there].label)
    return Intervention(
        part=at.part, how="patch", layer=at.layer, head=at.head, position=at.position, token=at.token, source=source
    )


def aligned(position: int, length: int, other: int) -> int | None:
    """The position as far from the end of `other` tokens as `position` is from that of `length`; None where there is none."""
    there = other - (length - position)
    return there if there >= 0 else None


def _label(path: LensPath, position: int) -> str:
    return path.tokens[position].label if position < len(path.tokens) else ""
