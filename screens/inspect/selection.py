"""Selection in Inspect, as one immutable value, and its moves through the forward pass. No widget, no engine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from lab.engine.method_registry import PromptParams
from lab.experiments.attention_heads import BUILT
from lab.inspect.interventions import Interventions, still_valid
from lab.inspect.stages.stage_context import LensName
from lab.inspect.stages.stage_registry import OF_ANY_LAYER
from lab.views.blocks import Destination, LensPath, ModelFacts, StageEntry
from models.config import SamplingSettings

P = TypeVar("P", bound=PromptParams)

UNCHANGED = SamplingSettings()
"""The model's own distribution."""


@dataclass(frozen=True)
class Prompt:
    """The inspected tokens: a text as typed, or ids once sampled tokens have been appended."""

    text: str = ""
    ids: tuple[int, ...] | None = None
    earlier: int = 0
    """Tokens of the prompt before `ids`, which had already left the window when the ids were taken over."""
    appended: int = 0
    """Number of the last `ids` that were sampled after what was typed."""
    is_cut: bool = False
    """True when the end of `text` was cut off, so that only the ids say what stands before those appended."""


@dataclass(frozen=True)
class Selection:
    """Run, checkpoint, prompt, position, step, head, and a side view in place of the step."""

    run: str
    checkpoint: str = "best"
    prompt: Prompt = Prompt()
    position: int | None = None
    """0-based within the window; None is the last token."""
    sampling: SamplingSettings = UNCHANGED
    stage: str = "tokens"
    layer: int = 0
    head: int = 0
    width: int = 80
    """Room for the view, in columns."""
    interventions: Interventions = ()
    """Changes made in the model, oldest first."""
    second: Prompt | None = None
    """A second prompt, without interventions."""
    aside: str = ""
    """View in the place of the step, such as "attribution"; "" is the step itself."""
    candidate: int | None = None
    """The token that these are about; None is the one that the model finds most probable."""
    against: int | None = None
    """The token that the attribution compares it with."""
    built: str = BUILT
    """The head built by hand."""
    by_size: bool = True
    """True when the attribution lists its parts by size."""
    lens: LensName = "logit"
    """Lens of the grid of every token and layer."""
    trail: tuple[str, ...] = ()
    """The numbers being explained, from the first down to the one in view."""

    @property
    def shows(self) -> str:
        """The stage of the selected view, as the view itself says it."""
        return f"explain {self.trail[-1]}" if self.trail else self.aside or self.stage

    def on_stage(self) -> "Selection":
        """The step itself, without side view or explanation."""
        return replace(self, aside="", candidate=None, against=None, trail=())

    @property
    def model(self) -> tuple[str, str]:
        return self.run, self.checkpoint

    @property
    def path_key(self) -> tuple[Any, ...]:
        """Everything that the lens path depends on."""
        return self.run, self.checkpoint, self.prompt, self.position, self.sampling, self.interventions

    def params(self, kind: type[P], /, **own: Any) -> P:
        """The selection as parameters of this kind, by the names of their fields; `own` are the values of others."""
        prompt, second = self.prompt, self.second or Prompt()
        known = {
            **vars(self),
            **{"text": prompt.text, "ids": prompt.ids, "earlier": prompt.earlier},
            **{"second_text": second.text, "second_ids": second.ids, "width_hint": self.width},
            **own,
        }
        return kind(**{name: known[name] for name in kind.__struct_fields__ if name in known})


def index_of(selection: Selection, steps: Sequence[StageEntry]) -> int:
    """Index of the selected step; where the model has no such layer, of the same stage in the last one; else 0."""
    matching = [(index, step.layer) for index, step in enumerate(steps) if step.stage == selection.stage]
    exact = [index for index, layer in matching if layer is None or layer == selection.layer]
    return exact[0] if exact else matching[-1][0] if matching else 0


def at_step(selection: Selection, step: StageEntry) -> Selection:
    """The selection moved to `step`; a step outside the layers leaves the layer as it was, to come back to."""
    return replace(selection.on_stage(), stage=step.stage, layer=selection.layer if step.layer is None else step.layer)


def at_destination(selection: Selection, to: Destination) -> Selection:
    """The selection moved to a place of the forward pass."""
    layer = selection.layer if to.layer is None else to.layer
    position = selection.position if to.position is None else to.position
    head = selection.head if to.head is None else to.head
    return replace(selection.on_stage(), stage=to.stage, layer=layer, head=head, position=position)


def in_head(selection: Selection, facts: ModelFacts, by: int) -> Selection:
    """The same view `by` heads on; after the last comes the first."""
    return replace(selection, head=(selection.head + by) % facts.heads, trail=())


def in_layer(selection: Selection, steps: Sequence[StageEntry], by: int) -> Selection:
    """The same stage `by` layers on; from a step that shows no layer's own, the nearest step within a layer in that direction."""
    layered = [index for index, step in enumerate(steps) if step.layer is not None]
    here = index_of(selection, steps)
    if not layered:
        return selection
    if steps[here].layer is not None or selection.stage in OF_ANY_LAYER or selection.aside == "features":
        last = steps[layered[-1]].layer or 0
        return replace(selection, layer=min(max(selection.layer + by, 0), last), trail=())
    ahead = [index for index in layered if (index > here) == (by > 0)]
    return at_step(selection, steps[ahead[0] if by > 0 else ahead[-1]]) if ahead else selection


def position_in(selection: Selection, path: LensPath) -> int:
    """The selected position, 0-based within the window of `path`."""
    last = len(path.tokens) - 1
    return last if selection.position is None else min(selection.position, last)


def at_position(selection: Selection, path: LensPath, position: int) -> Selection:
    """Another position, or the last one if there are not so many."""
    moved = None if position >= len(path.tokens) - 1 else max(0, position)
    return replace(selection, position=moved, candidate=None, against=None, trail=())


def with_prompt(selection: Selection, prompt: Prompt) -> Selection:
    """The last token of another prompt."""
    kept = still_valid(selection.interventions, same_tokens(selection.prompt, prompt))
    return replace(selection, prompt=prompt, position=None, candidate=None, against=None, trail=(), interventions=kept)


def same_tokens(old: Prompt, new: Prompt) -> int:
    """Number of tokens at the beginning of two prompts that are known to be the same, at the same places."""
    if old.ids is not None and new.ids is not None:
        differ = [i for i, (a, b) in enumerate(zip(old.ids, new.ids, strict=False)) if a != b]
        return 0 if old.earlier != new.earlier else min([len(old.ids), len(new.ids), *differ[:1]])
    one = old if new.ids is None else new
    if old.text != new.text or one.earlier or one.ids is None:
        return 0
    return len(one.ids) - one.appended


def alone(selection: Selection, prompt: Prompt) -> Selection:
    """The second prompt as if it were the only one, at its last token."""
    return replace(selection.on_stage(), prompt=prompt, second=None, interventions=(), position=None)


def beside(selection: Selection, path: LensPath, second: Selection, second_path: LensPath) -> Selection:
    """`second`, which is the second prompt alone, at the position as far from its end as the selected one is from its own."""
    behind = len(path.tokens) - 1 - position_in(selection, path)
    position = max(0, len(second_path.tokens) - 1 - behind) if behind else None
    return replace(second, position=position)


def with_token(prompt: Prompt, path: LensPath, id: int) -> Prompt:
    """`prompt`, whose lens path is `path`, with one more token; held as ids, for sampled tokens are not tokenized again."""
    if prompt.ids is None:
        prompt = replace(prompt, ids=tuple(token.id for token in path.tokens), earlier=path.dropped)
    return replace(prompt, ids=(*(prompt.ids or ()), id), appended=prompt.appended + 1)


def within(selection: Selection, facts: ModelFacts) -> Selection:
    """The selection with layer, head and interventions that this model has."""
    kept = tuple(each for each in selection.interventions if each.layer < facts.layers and each.head < facts.heads)
    return replace(
        selection, layer=min(selection.layer, facts.layers - 1), head=min(selection.head, facts.heads - 1), interventions=kept
    )


def cut_after(prompt: Prompt, path: LensPath, position: int | None) -> Prompt:
    """`prompt`, whose lens path is `path`, without what comes after the position within the window. None is its end."""
    if position is None or position >= len(path.tokens) - 1:
        return prompt
    ids = tuple(token.id for token in path.tokens) if prompt.ids is None else prompt.ids
    less = len(path.tokens) - 1 - position
    return replace(
        prompt,
        ids=ids[: len(ids) - less],
        earlier=path.dropped if prompt.ids is None else prompt.earlier,
        appended=max(0, prompt.appended - less),
        is_cut=prompt.is_cut or less > prompt.appended,
    )


def toggled_aside(selection: Selection, aside: str, token: int | None) -> Selection:
    """`aside` in the place of the step, about `token` (None: the one it was about before); once more, the step itself."""
    if selection.aside == aside and not selection.trail and token in (None, selection.candidate):
        return selection.on_stage()
    candidate = selection.candidate if token is None else token
    return replace(selection, aside=aside, trail=(), candidate=candidate, against=None)


def after_refusal(selection: Selection, answered: Selection | None) -> Selection:
    """The selection that is still in view when the engine has refused: one level up, in the model and prompt `answered` last."""
    if selection.trail:
        selection = replace(selection, trail=selection.trail[:-1])
    elif selection.aside:
        selection = selection.on_stage()
    elif selection.stage == "lens":
        selection = replace(selection, lens="logit")
    if answered is None or (selection.model, selection.prompt) == (answered.model, answered.prompt):
        return selection
    run, checkpoint = answered.model
    return replace(selection, run=run, checkpoint=checkpoint, prompt=answered.prompt, position=answered.position)
