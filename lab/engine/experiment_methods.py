"""The engine's method `experiment`: one of `lab.experiments` on a model and a prompt."""

from dataclasses import dataclass

from lab.engine.method_registry import ExperimentParams
from lab.engine.prompt_trace import check_place, resolve_edits, token_ids
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_registry import run_experiment
from lab.experiments.experiment_result import ExperimentResult
from lab.inspect.model_cache import ModelCache
from models.unembed import Slices


@dataclass(frozen=True)
class ExperimentMethods:
    models: ModelCache

    def experiment(self, params: ExperimentParams) -> Slices[ExperimentResult]:
        """The picture and the measures of an experiment. The prompt may be empty. Raises: UserError."""
        opened = self.models.model(params.run, params.checkpoint, fresh=True)
        check_place(opened, params.layer, params.head)
        prompt = token_ids(opened, params.text, params.ids) if params.text or params.ids else []
        context = ExperimentContext(
            opened=opened,
            traces=self.models.traces,
            prompt=prompt,
            position=params.position,
            layer=params.layer,
            head=params.head,
            sampling=params.sampling,
            edits=(yield from resolve_edits(self.models, opened, params)),
            inputs=params.inputs,
        )
        result = yield from run_experiment(params.name, context)
        result.view.step = opened.step
        return result
