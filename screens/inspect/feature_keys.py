"""Features in Inspect: the view of a token's, and the fit of a run's in the background."""

import asyncio

from textual.binding import Binding

from lab.engine.client import EngineDied, EngineError
from lab.engine.method_registry import FIT_FEATURES, FeaturesParams
from lab.views.blocks import NO_FEATURES
from screens.about_key import About, described, keyless
from screens.inspect.engine_session import SECONDS_BETWEEN_LOOKS
from screens.inspect.inspect_part import Actions, InspectHost, InspectPart
from screens.inspect.selection import toggled_aside


class FeatureKeys(InspectPart):
    """Keeps the fit that goes on, which lasts as long as the engine."""

    BINDINGS = described(
        keyless("do('features')", "inspect.features", "Features: the token as a few directions and an error", "Features"),
        About(synonyms="sparse autoencoder sae dictionary monosemantic interpretability superposition"),
        Binding("n", "do('fit_features')", "Fit", id="inspect.fit_features", tooltip="New features, fitted in the background"),
        About(is_listed=False, rank=1, needs="the view of features, and none after this layer"),
        Binding("x", "do('stop_fit')", "Stop", id="inspect.stop_fit", tooltip="Stop the fit of features"),
        About(is_listed=False, rank=1, needs="features that are being fitted"),
    )

    def __init__(self, host: InspectHost) -> None:
        super().__init__(host)
        self._fit: FeaturesParams | None = None  # the one that goes on

    def actions(self) -> Actions:
        return self.do_features, self.do_fit_features, self.do_stop_fit

    def is_enabled(self, action: str) -> bool:
        view, is_here = self._host.view.view, self._host.selection.aside == "features"
        if action == "stop_fit":
            selection = self._host.selection
            return is_here and self._fit is not None and (selection.run, selection.layer) == (self._fit.run, self._fit.layer)
        can_fit = view is not None and (view.stage == NO_FEATURES or view.is_elsewhere)
        return action == "features" or (is_here and self._fit is None and can_fit)

    def would_be_lost(self) -> str:
        return f"the features of {self._fit.run}, which are being fitted" if self._fit else ""

    def do_features(self) -> None:
        self._host.selection = toggled_aside(self._host.selection, "features", None)

    def do_fit_features(self) -> None:
        self._fit = self._host.selection.params(FeaturesParams, stage="features")
        self._host.start(self._fit_features(self._fit), "fit features")

    def do_stop_fit(self) -> None:
        self._host.workers.cancel_group(self._host, "fit features")

    async def _fit_features(self, params: FeaturesParams) -> None:
        fit = asyncio.create_task(self._host.session.engine.call(FIT_FEATURES, params))
        try:
            await asyncio.wait({fit}, timeout=SECONDS_BETWEEN_LOOKS)  # the engine has begun, and can tell how far it is
            self._host.ask_again()
            await fit
        except EngineError as error:
            self._host.fail(str(error), isinstance(error, EngineDied))
        else:
            self._host.notify(f"The features of {params.run} after layer {params.layer + 1} are fitted.", markup=False)
        finally:
            fit.cancel()
            self._fit = None
            self._host.refresh_bindings()
