"""Interventions in Inspect: ablate (switch off) a head, an MLP or a token, scale, force, patch, steer; targets and effect."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from msgspec import structs
from textual.actions import parse
from textual.binding import Binding

from lab.engine.client import EngineDied, EngineError
from lab.engine.method_registry import EFFECT, LensParams
from lab.inspect.intervention_effect import Cost, Effect, in_short
from lab.inspect.interventions import (
    Intervention,
    Interventions,
    ModelPart,
    Source,
    describe_interventions,
    find_intervention,
    name_of,
    remove_intervention,
    set_intervention,
    still_valid,
    toggle_intervention,
)
from lab.inspect.stages.stage_registry import IN_LAYERS, LAYER
from lab.views.blocks import LensPath, Token
from lab.views.number_refs import next_token
from screens.about_key import KEYLESS, About, described, keyless
from screens.dialogs.ask import AskText
from screens.inspect.inspect_part import Actions, InspectHost, InspectPart, Ready
from screens.inspect.selection import Prompt, Selection, position_in, toggled_aside
from screens.inspect.widgets.inspect_columns import InspectColumns
from screens.widgets.token_strip import TokenStrip

PARTS: dict[str, ModelPart] = {
    **dict.fromkeys(("tokens", "embed"), "tokens"),
    **{stage.name: "attn.z" for stage in LAYER["attention"]},
    **dict.fromkeys(("attn_out", "resid_mid"), "attn_out"),
    **{stage.name: "mlp_out" for stage in LAYER["mlp"]},
}
"""Step: the part that is ablated there."""

PATCHED: dict[str, ModelPart] = {
    **PARTS,
    **dict.fromkeys(("tokens", "embed", "ln1"), "resid_pre"),
    **dict.fromkeys(("resid_mid", "ln2"), "resid_mid"),
    "resid_post": "resid_post",
}
"""Step: the part that is patched from the second prompt there."""

ALL_OF: dict[ModelPart, str] = {"attn_out": ", all its heads", "mlp_out": ", all its neurons"}
"""The extent of a part of which a step shows a sum."""

_IN_HEAD = re.compile(r"blocks\.(\d+)\.attn\.([\w.]+)\[(\d+)(?:,(\d+))?(?:,(\d+))?")
_POSITION_FIRST = "qkvz"
"""Numbers of a head whose first index is the position and whose second the head; of all others the first is."""
_WHOLE = re.compile(r"blocks\.(\d+)\.(attn_out|mlp)")
_TOKEN = re.compile(r"(?:tokens|embed|pos_embed)\[(\d+)")
_FEATURE = re.compile(r"blocks\.(\d+)\.feature\[(\d+)\]")
_BY_KEY = ("pattern", "attn_scores", "scores_raw", "shifted", "exp", "weighted_v")
"""Numbers of a head whose third index is a key."""


class Target(NamedTuple):
    """A part of the model, and the chosen token."""

    part: ModelPart
    layer: int
    head: int
    position: int
    token: str

    @property
    def name(self) -> str:
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
    inside = selection.stage in IN_LAYERS
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


def from_second(at: Target, path: LensPath, second: Prompt, tokens: tuple[Token, ...]) -> Intervention | None:
    """The intervention that puts a vector of the second prompt, whose tokens are `tokens`, in the target's place: that of the
    position as far from the end. None where the second prompt has none."""
    there = len(tokens) - (len(path.tokens) - at.position)
    if there < 0:
        return None
    source = Source(text=second.text, ids=second.ids, position=there, token=tokens[there].label)
    return Intervention(
        part=at.part, how="patch", layer=at.layer, head=at.head, position=at.position, token=at.token, source=source
    )


def _label(path: LensPath, position: int) -> str:
    return path.tokens[position].label if position < len(path.tokens) else ""


EMBED, ATTENTION, MLP = "embed + position", "attention", "mlp"
GROUPS = {"attn.z": ATTENTION, "attn_out": ATTENTION, "resid_mid": ATTENTION, "mlp_out": MLP, "resid_post": MLP}
"""Part of a layer that an intervention changes, by the value that it replaces."""

DIRECTIONS = """\
A direction to add to the residual stream at every position:
A | B              from the end of prompt B to that of A
token WORD         a token's embedding
mean NAME: CLASS   a property's, as in mean space next: space
probe NAME: CLASS  the weights of a probe for it
feature N          of the run's sparse autoencoder
“without” before it takes it out; an empty line undoes it. + and - change how strong it is: α, in lengths of the stream."""
STRENGTH_STEP = 0.25
"""What a key adds to α."""
STRENGTH = "Strength α, in mean lengths of the stream there: 0 adds nothing, −1 steers the other way."
FACTOR = "Multiply the output of {} by a factor: 0 ablates, 1 changes nothing, 2 doubles, −1 negates."

NOTHING_HERE = "Nothing to ablate at this step: go to an attention or MLP step, or to the tokens to hide one."
A_PART_OF_A_LAYER = "a step of a head, the attention or the MLP"


A_STEERING, ALPHA = "a steering", "steering strength alpha more less"
STRONGER = "Steer more: a larger strength α; - less, or the other way"
MOST = 1000
"""Largest factor or strength, without its sign."""


def is_steered(selection: Selection) -> bool:
    return any(each.how == "steer" for each in selection.interventions)


def _is_in_a_layer(selection: Selection) -> bool:
    return PARTS.get(selection.stage, "tokens") != "tokens"


class InterventionKeys(InspectPart):
    """Keeps the interventions in the selection, so that every question carries them."""

    BINDINGS = described(
        Binding("x", "do('switch')", "Ablate", id="inspect.switch", tooltip="Ablate the head or MLP, hide the token, or restore"),
        About(
            "Switch off and change",
            synonyms="ablate ablation off disable knock out switch hide mask",
            rank=15,
            matters=lambda selection: selection.stage in PARTS,
            needs="a step of a head, the attention, the MLP or a token",
        ),
        keyless("do('effect')", "inspect.effect", "Effect of the interventions on the ranking", "Effect"),
        About(synonyms="before after kl ablation change ranking", needs="an intervention"),
        keyless("do('mean')", "inspect.mean", "Ablate to zero, or to the mean over the prompt", "Zero/mean"),
        About(synonyms="ablation zero", matters=_is_in_a_layer, needs=A_PART_OF_A_LAYER),
        keyless("do('scale')", "inspect.scale", "Multiply the head or MLP of this step by a factor", "Scale"),
        About(synonyms="multiply amplify negate factor", matters=_is_in_a_layer, needs=A_PART_OF_A_LAYER),
        keyless(
            "do('attend_only')", "inspect.look_at", "Make the head attend to one token only: the cursor's or chosen", "Force"
        ),
        About(synonyms="force attention pattern", matters=lambda at: PARTS.get(at.shows) == "attn.z", needs="a step of a head"),
        keyless("do('patch')", "inspect.patch", "Activation patching: use the second prompt's vector here", "Patch"),
        About(synonyms="causal tracing copy vector", needs="a second prompt"),
        keyless("do('steer')", "inspect.steer", "Steer: add a direction to the stream after this layer, or take it out", "Steer"),
        About(synonyms="steering activation addition direction concept feature project projection without strength alpha"),
        Binding("equals_sign,plus", "do('strength', 1)", "Strength", id="inspect.stronger", key_display="+ -", tooltip=STRONGER),
        About("Switch off and change", also=("inspect.weaker",), synonyms=ALPHA, rank=8, matters=is_steered, needs=A_STEERING),
        Binding("minus", "do('strength', -1)", "Weaker", id="inspect.weaker", show=False, tooltip="Steer less, or the other way"),
        About(synonyms=ALPHA, needs=A_STEERING),
        keyless("do('all_on')", "inspect.all_on", "Undo all interventions", "Undo all"),
        About(synonyms="restore reset interventions ablation", needs="an intervention"),
        keyless(
            "do('interventions')", "inspect.interventions", "Interventions: effect, scale, patch, steer, undo", "Interventions"
        ),
        About(synonyms="ablate ablation change"),
    )

    def __init__(self, host: InspectHost, columns: InspectColumns, second: TokenStrip, keep_for_undo: Callable[[], None]) -> None:
        """`second` shows the second prompt's tokens."""
        super().__init__(host)
        self._keep_for_undo = keep_for_undo
        self._columns, self._list, self._second = columns, columns.interventions, second
        self._list.remove_made = self.remove
        self._path: tuple[Selection, LensPath] | None = None
        self._effect: tuple[Selection, Effect] | None = None
        """The newest lens path and effect, and the selections that they answer."""
        self._to_mean = False
        self._dropped = 0
        self._is_new = False
        """True until the effect of the key just pressed is told."""
        self._told: tuple[Selection, str] | None = None
        """The effect told last, as long as nothing else is selected."""

    def is_enabled(self, action: str) -> bool:
        if action in ("effect", "all_on"):
            return bool(self._host.selection.interventions)
        if action == "strength":
            return is_steered(self._host.selection)
        return action != "patch" or self._host.selection.second is not None

    def _target(self, *, patch: bool = False) -> Target | None:
        """Part of the model that a key changes now."""
        model = self._host.model
        return target(self._host.selection, model.path, self._ref, patch=patch) if isinstance(model, Ready) else None

    @property
    def told(self) -> str:
        """The effect of the last key, as long as nothing else is selected."""
        return self._told[1] if self._told is not None and self._told[0] == self._host.selection else ""

    @property
    def hint(self) -> str:
        """The effect of x here, for the status line."""
        found, made = self._target(), self._host.selection.interventions
        if self._feature is not None:
            return f"x {'restores' if self._feature in made else 'takes out'} {self._feature.toward}"
        if found is None:
            return ""
        new = switch(found, self._to_mean)
        word = "restores" if new in made else "hides" if new.how == "hide" else "ablates"
        mean = " (to its mean)" if self._to_mean and new.how == "mean" else ""
        whole = "" if self._host.is_on_numbers else ALL_OF.get(found.part, "")  # beside a number there is less room
        return f"x {word} {found.name}{whole}{mean}" + (" · c before and after" if made else "")

    def _change(self, interventions: Interventions) -> None:
        if interventions != self._host.selection.interventions:
            self._is_new = True
            self._keep_for_undo()
            self._host.selection = replace(self._host.selection, interventions=interventions, trail=())

    def actions(self) -> Actions:
        return (
            *(self.do_switch, self.do_interventions, self.do_effect, self.do_mean, self.do_scale, self.do_attend_only),
            *(self.do_patch, self.do_steer, self.do_strength, self.do_all_on),
        )

    @property
    def _feature(self) -> Intervention | None:
        """What takes the feature out whose card is in view."""
        if (card := _FEATURE.fullmatch("".join(self._host.selection.trail[-1:]))) is None:
            return None
        return Intervention(part="resid_post", how="without", layer=int(card[1]), toward=f"feature {card[2]}")

    def do_switch(self) -> None:
        found = self._target()
        if (feature := self._feature) is not None:
            self._change(toggle_intervention(self._host.selection.interventions, feature))
        elif found is None:
            self._host.say(NOTHING_HERE)
        else:
            self._change(toggle_intervention(self._host.selection.interventions, switch(found, self._to_mean)))

    def do_interventions(self) -> None:
        """The actions without a key, each with what it does."""
        keys = [each for each in self.BINDINGS[:-1] if isinstance(each, Binding) and each.key.startswith(KEYLESS)]
        possible = (each for each in keys if self.is_enabled(str(parse(each.action)[2][0])))
        lines = [(each.description, each.tooltip, each.action) for each in possible]
        self._host.start(self._offer("interventions", lines), "menu")

    def do_effect(self) -> None:
        self._host.selection = toggled_aside(self._host.selection, "effect", next_token(self._ref))

    def do_mean(self) -> None:
        """Switch between zero and mean ablation; an ablation at this step switches too."""
        self._to_mean = not self._to_mean
        found, interventions = self._target(), self._host.selection.interventions
        made = find_intervention(interventions, switch(found, self._to_mean).target) if found else None
        if found is not None and made is not None and made.how in ("off", "mean"):
            self._change(set_intervention(interventions, switch(found, self._to_mean)))
        else:
            self._host.say("x now ablates to the mean over the prompt." if self._to_mean else "x now ablates to zero.")

    def do_scale(self) -> None:
        found, steered = self._target(), self._steered
        if self._host.selection.stage == "resid_post" and steered is not None and steered.how == "steer":
            self._host.start(self._scale(steered, STRENGTH), "scale")
        elif found is None or found.part == "tokens":
            self._host.say("Only a head, an attention or an MLP can be scaled: go to one of their steps.")
        else:
            new = Intervention(part=found.part, how="scale", layer=found.layer, head=found.head, factor=0.5)
            self._host.start(self._scale(new, FACTOR.format(found.name)), "scale")

    async def _scale(self, made: Intervention, words: str) -> None:
        answer = await self._host.ask(AskText(f"scale {made.object}", words, f"{made.factor:g}", refuse=_no_factor, select=True))
        if answer is None:
            return
        new, interventions = structs.replace(made, factor=_factor(answer)), self._host.selection.interventions
        old = find_intervention(interventions, new.target)
        if new.how == "steer" or new.factor != 1:
            self._change(set_intervention(interventions, new))
        elif old is not None:
            self._change(remove_intervention(interventions, old))

    def do_attend_only(self) -> None:
        found, model, selection = self._target(), self._host.model, self._host.selection
        if found is None or found.part != "attn.z" or not isinstance(model, Ready):
            self._host.say("Only a head can be made to attend to one token: go to an attention step.")
            return
        key = key_under(selection, model.path, self._ref)
        token = _label(model.path, key)
        new = Intervention(part="attn.z", how="attend", layer=found.layer, head=found.head, position=key, token=token)
        self._change(toggle_intervention(selection.interventions, new))

    def do_patch(self) -> None:
        found, model, selection = self._target(patch=True), self._host.model, self._host.selection
        tokens = self._second.tokens
        if selection.second is None or not isinstance(model, Ready):
            return
        if found is None:
            self._host.say("Nothing to patch at this step: go to a step within a layer.")
        elif not tokens or (new := from_second(found, model.path, selection.second, tokens)) is None:
            self._host.say("The second prompt has no token at that distance from its end.")
        else:
            self._change(toggle_intervention(selection.interventions, new))

    @property
    def _steered(self) -> Intervention | None:
        """What steers the stream after the layer in view, or takes a direction out of it."""
        selection = self._host.selection
        return find_intervention(selection.interventions, ("resid_post", selection.layer, 0, None))

    def do_steer(self) -> None:
        self._host.start(self._steer(self._host.selection.layer, self._steered), "scale")

    async def _steer(self, layer: int, old: Intervention | None) -> None:
        was = "" if old is None else f"without {old.toward}" if old.how == "without" else old.toward
        title = f"steer after layer {layer + 1}"
        answer = await self._host.ask(AskText(title, DIRECTIONS, was or "happy | sad", select=not was))
        if answer is None:
            return
        word, _, rest = answer.strip().partition(" ")
        if not answer.strip():
            if old is not None:
                self.remove(old)
        elif word == "without":
            await self._change_if_possible(Intervention(part="resid_post", how="without", layer=layer, toward=rest.strip()))
        else:
            factor = old.factor if old is not None and old.how == "steer" else 0.5
            new = Intervention(part="resid_post", how="steer", layer=layer, toward=answer.strip(), factor=factor)
            await self._change_if_possible(new)

    def do_strength(self, by: int) -> None:
        """Steer more or less: after the layer in view, else by what was made last."""
        made = self._host.selection.interventions
        chosen = max((each for each in made if each.how == "steer"), key=lambda each: (each is self._steered, made.index(each)))
        if abs(factor := chosen.factor + by * STRENGTH_STEP) <= MOST:
            self._change(tuple(structs.replace(each, factor=factor) if each is chosen else each for each in made))

    async def _change_if_possible(self, new: Intervention) -> None:
        """Make an intervention unless the engine refuses it, such as for a direction that it cannot find."""
        selection = self._host.selection
        asked = replace(selection, interventions=set_intervention(selection.interventions, new))
        try:
            await self._host.session.engine.call(EFFECT, asked.params(LensParams))
        except EngineError as error:
            self._host.fail(str(error), isinstance(error, EngineDied))
        else:
            self._change(set_intervention(self._host.selection.interventions, new))

    def do_all_on(self) -> None:
        self._change(())

    def remove(self, intervention: Intervention) -> None:
        self._change(remove_intervention(self._host.selection.interventions, intervention))

    def selection_changed(self, old: Selection, new: Selection) -> None:
        if (old.interventions, old.aside) == (new.interventions, new.aside):
            return
        self._list.made, self._list.cost = new.interventions, None
        self._columns.steps.changed = changed_groups(new.interventions)
        if not new.interventions:
            self._list.effect = None
            if self._list.has_focus:
                self._host.focus_steps()
            if self._is_new:
                self._host.say("No interventions: the model is unchanged.")
            self._is_new = False
            if new.aside == "effect":
                self._host.call_later(self._leave_effect)

    def _leave_effect(self) -> None:
        selection = self._host.selection
        if selection.aside == "effect" and not selection.interventions:
            self._host.selection = selection.on_stage()

    def take_effect(self, selection: Selection, effect: Effect) -> None:
        """Show the effect of the interventions on the prediction at the position."""
        self._effect = selection, effect
        self._show_prediction()
        if selection.interventions != self._host.selection.interventions:
            return
        self._list.effect = effect
        if self._is_new:
            self._is_new = False
            newest = selection.interventions[-1]
            unseen = newest.how == "hide" and effect.position <= (newest.position or 0)
            rest = "only later tokens change: → moves there" if unseen else "c before and after · u undoes"
            rest = f"{rest} · + - strength" if is_steered(selection) else rest
            words = f"{describe_interventions(selection.interventions)}: {in_short(effect)} · {rest}"
            self._told = self._host.selection, words
            self._host.say(words)

    def take_cost(self, interventions: Interventions, cost: Cost) -> None:
        """Show what directions cost on ordinary text: below the effect, and in words as long as that is told."""
        if interventions == self._host.selection.interventions:
            self._list.cost = cost
            if self.told and self._effect is not None:
                self._told = self._host.selection, f"{in_short(self._effect[1])} · {cost.in_words}"
                self._host.say_location()

    def take_path(self, selection: Selection, path: LensPath) -> None:
        """Show the prediction; undo interventions at positions when the context window has slid."""
        self._path = selection, path
        self._show_prediction()
        now = self._host.selection
        if path.dropped > self._dropped and now.interventions:
            self._host.selection = replace(now, interventions=still_valid(now.interventions, 0))
        self._dropped = path.dropped

    def _show_prediction(self) -> None:
        """Show the prediction, and its change where the effect that came last is on it."""
        if self._path is None:
            return
        (selection, path), effect = self._path, None
        if self._effect is not None and self._effect[0].path_key == selection.path_key:
            effect = self._effect[1]
        for panel in self._columns.predictions:
            panel.path, panel.effect = path, effect


def changed_groups(interventions: Interventions) -> frozenset[str]:
    """The groups of the forward pass that interventions change; a hidden token is one of `tokens`."""
    groups = set()
    for each in interventions:
        if each.part == "tokens":
            groups.add("tokens")
        elif each.part == "resid_pre":
            groups.add(f"{each.layer} {MLP}" if each.layer else EMBED)
        else:
            groups.add(f"{each.layer + 1} {GROUPS[each.part]}")
    return frozenset(groups)


def _factor(text: str) -> float:
    return float(text.strip().replace(",", ".").replace("−", "-"))


def _no_factor(text: str) -> str:
    """The reason why a text is not a factor; "" if it is one."""
    try:
        good = abs(_factor(text)) <= MOST
    except ValueError:
        good = False
    return "" if good else f"A factor or a strength is a number from −{MOST} to {MOST}, not {text!r}."
