"""Interventions: a head ablated, an MLP halved, a token hidden, a vector patched from another prompt, the stream steered.

Plain data that screen and engine share. The engine turns each into the edits of a forward pass (`models.trace_edits`); a vector
of a patch is named by its prompt and position, a direction by a text, and only the engine has the numbers. No torch here.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from lab.core.number_format import MINUS, listed
from lab.core.visible_text import visible
from models.trace_edits import Edit

How = Literal["off", "mean", "scale", "attend", "hide", "patch", "steer", "without"]

ModelPart = Literal["attn.z", "attn_out", "mlp_out", "tokens", "resid_pre", "resid_mid", "resid_post"]
"""The changed value, by its name in the trace; `tokens` is one token as all later ones see it."""


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """The source of a patch: another prompt and the position in it, 0-based within its window; `token` is the token there."""

    text: str = ""
    ids: tuple[int, ...] | None = None
    position: int = 0
    token: str = ""


class Intervention(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One change to the forward pass, which takes one or several edits.

    `how`:
        "off"     zero ablation: a head's z, the attention's or the MLP's output times 0
        "mean"    mean ablation: at every position the mean over the prompt's positions
        "scale"   times `factor`
        "attend"  the head attends only to the token at `position`, from there on
        "hide"    no later token sees the token at `position`, in any head of any layer
        "patch"   at `position`, the vector of `source`
        "steer"   plus `factor` mean lengths of the stream there, in the direction `toward`, at every position
        "without" less what lies along the direction `toward`
    """

    part: ModelPart
    how: How
    layer: int = 0
    """0-based, as `head`; shown 1-based."""
    head: int = 0
    factor: float = 0.0
    position: int | None = None
    """0-based within the window."""
    token: str = ""
    """Printable form of the token at `position`."""
    source: Source | None = None
    toward: str = ""
    """Direction of the stream, as the input of that name of the experiment `steering` has it."""

    @property
    def target(self) -> tuple[str, int, int, int | None]:
        """The target; of two interventions on one target only the newer one counts."""
        position = self.position if self.how in ("hide", "patch") else None
        return self.part, self.layer, self.head if self.part == "attn.z" else 0, position

    @property
    def is_along_direction(self) -> bool:
        return self.how in ("steer", "without")

    @property
    def object(self) -> str:
        """The target in words: `head 2.1` is head 1 of layer 2."""
        return name_of(self.part, self.layer, self.head, f"{(self.position or 0) + 1} “{self.token}”")

    @property
    def description(self) -> str:
        """`head 2.1 off`, `mlp 3 × 0.5`, `head 1.4 attends only to 2 “dog”`."""
        token = f"{(self.position or 0) + 1} “{self.token}”"
        match self.how:
            case "off":
                return f"{self.object} off"
            case "mean":
                return f"{self.object} mean-ablated"
            case "scale":
                return f"{self.object} × {self.factor:.4g}".replace("-", MINUS)
            case "attend":
                return f"{self.object} attends only to {token}"
            case "hide":
                return f"{self.object} hidden"
            case "patch":
                there = f"{self.source.position + 1} “{self.source.token}”" if self.source is not None else ""
                return f"{self.object} at {token} from prompt 2, {there}"
            case "steer":
                factor = f"{self.factor:.4g}".replace("-", MINUS)
                return f"steered by {self.direction} × {factor} after layer {self.layer + 1}"
            case "without":
                return f"without {self.direction} after layer {self.layer + 1}"

    @property
    def direction(self) -> str:
        """`“happy” − “sad”`, or `token cat`."""
        one, bar, other = (part.strip() for part in visible(self.toward).partition("|"))
        return f"“{one}” {MINUS} “{other}”" if bar else one

    def edits(self, layers: int, value: Sequence[float] | None = None) -> tuple[Edit, ...]:
        """The edits it takes in a model of so many layers; `value` is the vector of a patch or a
        direction: what α = 1 adds, or a vector of length 1 to take out."""
        name = f"blocks.{self.layer}.{self.part}"
        head = self.head if self.part == "attn.z" else None
        match self.how:
            case "hide":
                return tuple(Edit(f"blocks.{layer}.attn.attn_scores", "hide", key=self.position) for layer in range(layers))
            case "attend":
                return (Edit(f"blocks.{self.layer}.attn.pattern", "attend", head=head, key=self.position),)
            case "patch":
                return (Edit(name, "patch", head=head, position=self.position, value=tuple(value or ())),)
            case "mean":
                return (Edit(name, "mean", head=head),)
            case "steer":
                return (Edit(name, "add", scale=self.factor, value=tuple(value or ())),)
            case "without":
                return (Edit(name, "project", value=tuple(value or ())),)
            case _:
                return (Edit(name, "scale", head=head, scale=self.factor if self.how == "scale" else 0.0),)


Interventions = tuple[Intervention, ...]


def name_of(part: str, layer: int, head: int, token: str = "") -> str:
    """A part of the model in words, layers and heads counted from 1."""
    number = layer + 1
    return {
        "attn.z": f"head {number}.{head + 1}",
        "attn_out": f"attention {number}",
        "mlp_out": f"mlp {number}",
        "tokens": f"token {token}",
        "resid_pre": f"stream into layer {number}",
        "resid_mid": f"stream after attention {number}",
        "resid_post": f"stream after mlp {number}",
    }[part]


def toggle_intervention(made: Interventions, new: Intervention) -> Interventions:
    """`made` with `new` replacing that on the same target; without `new` if it was there already."""
    return remove_intervention(made, new) if new in made else (*_others(made, new), new)


def set_intervention(made: Interventions, new: Intervention) -> Interventions:
    """`made` with `new` replacing that on the same target."""
    return (*_others(made, new), new)


def remove_intervention(made: Interventions, gone: Intervention) -> Interventions:
    return tuple(each for each in made if each != gone)


def _others(made: Interventions, new: Intervention) -> Interventions:
    """Interventions of `made` that stay beside `new`: a change of all positions replaces the patches of single ones."""
    whole = new.how not in ("hide", "patch")
    return tuple(each for each in made if each.target != new.target and not (whole and each.target[:3] == new.target[:3]))


def find_intervention(made: Interventions, target: tuple[str, int, int, int | None]) -> Intervention | None:
    """The intervention on a target, if any."""
    return next((each for each in made if each.target == target), None)


def still_valid(made: Interventions, same: int) -> Interventions:
    """Interventions still valid where only the first `same` tokens of the prompt are unchanged."""
    return tuple(each for each in made if each.position is None or each.position < same)


def describe_interventions(made: Iterable[Intervention]) -> str:
    """`head 2.1 off and mlp 3 × 0.5`."""
    return listed([each.description for each in made])


def edits_of(made: Interventions, layers: int, borrow: Callable[[Intervention], Sequence[float]]) -> tuple[Edit, ...]:
    """The edits of all, patches last, so that they win at their position; `borrow` gives the vector of a patch or direction."""
    ordered = sorted(made, key=lambda each: each.how == "patch")
    vectors = [borrow(each) if each.how == "patch" or each.is_along_direction else None for each in ordered]
    return tuple(edit for each, vector in zip(ordered, vectors, strict=True) for edit in each.edits(layers, vector))
