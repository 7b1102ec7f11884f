"""The engine's methods about a run's features: their views, and the fit, beside which all else is answered."""

from dataclasses import dataclass, field
from pathlib import Path

from lab.core.errors import UserError
from lab.core.number_format import probability
from lab.engine.method_registry import FeaturesParams
from lab.engine.prompt_methods import placed, trace_prompt
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.features import fit_features, nearest_features, save_features
from lab.experiments.features_view import card_view, token_features, without_features
from lab.inspect.model_cache import ModelCache
from lab.views.blocks import View


@dataclass(frozen=True)
class FeatureMethods:
    models: ModelCache
    _done: dict[Path, tuple[int, float]] = field(default_factory=dict)  # layer and share that is done of each run's fit

    def features(self, params: FeaturesParams) -> View:
        """A token's features, or the card of one; partial while they are fitted. Raises: UserError."""
        opened = self.models.model(params.run, params.checkpoint)
        if (fit := self._done.get(opened.run.path)) is not None and fit[0] == params.layer:
            after, done = f"after layer {fit[0] + 1}", probability(fit[1], 0)
            words = f"Features of {opened.run.name} {after} are being fitted: {done}. x stops; all else can be used."
            return View("fitting", "features", words, [], is_partial=True)
        context = ExperimentContext(opened, self.models.traces, layer=params.layer, width=params.width_hint or 0)
        try:
            if (found := nearest_features(context)) is None:
                return without_features(context)
        except UserError as error:
            is_moment = params.checkpoint.isdecimal()  # of the training, whose features would replace those of its end
            return View("features", "features", str(error), []) if is_moment else without_features(context, str(error))
        stage = trace_prompt(self.models, params)
        return placed(card_view(context, found, params.ref) if params.ref else token_features(context, stage, found), stage)

    def fit_features(self, params: FeaturesParams) -> bool:
        """Fit features to a run's training text and keep them in its folder. Raises: UserError."""
        opened = self.models.model(params.run, params.checkpoint)

        def told(share: float) -> None:
            opened.refuse_released()
            self._done[opened.run.path] = params.layer, share

        told(0.0)
        try:
            found = fit_features(ExperimentContext(opened, self.models.traces), params.layer, told=told)
            save_features(opened.run, found)
            opened.directions.clear()  # that of a feature is another now
        finally:
            self._done.pop(opened.run.path, None)
        return True
