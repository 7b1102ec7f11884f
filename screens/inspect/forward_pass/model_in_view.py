"""Model in view: the prediction at every stage, and the parts of the model that interventions change."""

from collections.abc import Sequence

from lab.inspect.intervention_effect import Effect
from lab.inspect.interventions import Interventions
from lab.views.blocks import LensPath
from screens.inspect.inspect_part import InspectHost, InspectPart
from screens.inspect.selection import Selection
from screens.inspect.widgets.prediction_panel import PredictionPanel
from screens.widgets.forward_pass_list import ForwardPassDrawing

EMBED, ATTENTION, MLP = "embed + position", "attention", "mlp"
GROUPS = {"attn.z": ATTENTION, "attn_out": ATTENTION, "resid_mid": ATTENTION, "mlp_out": MLP, "resid_post": MLP}
"""Part of a layer that an intervention changes, by the value that it replaces."""


class ModelInView(InspectPart):
    """Keeps panels and drawing up to date, whatever stage is shown."""

    def __init__(self, host: InspectHost, drawing: ForwardPassDrawing, panels: Sequence[PredictionPanel]) -> None:
        super().__init__(host)
        self._drawing, self._panels = drawing, panels
        self._path: tuple[Selection, LensPath] | None = None
        self._effect: tuple[Selection, Effect] | None = None

    def selection_changed(self, old: Selection, new: Selection) -> None:
        if old.interventions != new.interventions:
            self._drawing.changed = changed_groups(new.interventions)

    def take_path(self, selection: Selection, path: LensPath) -> None:
        self._path = selection, path
        self._show()

    def take_effect(self, selection: Selection, effect: Effect) -> None:
        self._effect = selection, effect
        self._show()

    def _show(self) -> None:
        """Show the prediction, and its change where the effect that came last is on it."""
        if self._path is None:
            return
        selection, path = self._path
        is_of_path = self._effect is not None and self._effect[0].path_key == selection.path_key
        for panel in self._panels:
            panel.path, panel.effect = path, self._effect[1] if self._effect is not None and is_of_path else None


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
