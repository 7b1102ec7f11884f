"""The implementation of each of the engine's methods, bound to its entry in `lab.engine.method_registry`."""

from dataclasses import dataclass
from pathlib import Path

from lab.core.safetensors_file import read_metadata
from lab.engine import method_registry as table
from lab.engine.method_registry import ExperimentParams, OpenParams, ReleaseParams
from lab.engine.one_step_methods import OneStepMethods
from lab.engine.prompt_methods import PromptMethods, check_place, resolve_edits, token_ids
from lab.engine.server import Implementation, implement
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_registry import run_experiment
from lab.experiments.experiment_result import ExperimentResult
from lab.inspect.model_cache import ModelCache
from lab.inspect.open_model import OpenModel
from lab.runs.evaluation_coverage import during_training
from lab.runs.run_summary import origin_in_short
from lab.views.blocks import ModelFacts
from models.parameter_count import parameter_count
from models.unembed import Slices


@dataclass(frozen=True)
class ModelMethods:
    models: ModelCache

    def open(self, params: OpenParams) -> ModelFacts:
        """Load the checkpoint if it is not held or its file has changed. Raises: UserError."""
        opened = self.models.model(params.run, params.checkpoint, fresh=True)
        config, run = opened.model.config, opened.run
        share = during_training(run.config.data, run.status())
        return ModelFacts(
            run=run.name,
            checkpoint=opened.checkpoint,
            step=opened.step,
            layers=config.layers,
            heads=config.heads,
            width=config.width,
            context=config.context,
            vocab_size=config.vocab_size,
            parameters=parameter_count(config),
            tokenizer=opened.tokenizer.kind,
            origin=origin_in_short(run.config),
            val_loss=_val_loss(opened),
            val_on=share.loss_suffix if share else "",
        )

    def release(self, params: ReleaseParams) -> bool:
        """Forget all of a run."""
        self.models.release(Path(params.path))
        return True


def _val_loss(opened: OpenModel) -> float | None:
    """Validation loss of the step whose weights these are, None where it was not evaluated."""
    metadata = read_metadata(Path(opened.identity[0])) or {}
    if "val_loss" in metadata:
        return float(metadata["val_loss"])
    return {metric.step: metric.val_loss for metric in opened.run.metrics(evaluated=True).read()}.get(opened.step)


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


def implementations(models: ModelCache) -> list[Implementation]:
    """All methods, over one cache of models and traces."""
    model, prompt = ModelMethods(models), PromptMethods(models)
    return [
        implement(table.OPEN, model.open),
        implement(table.RELEASE, model.release),
        implement(table.LENS, prompt.lens),
        implement(table.VIEW, prompt.view),
        implement(table.CODE, prompt.code),
        implement(table.EXPLAIN, prompt.explain),
        implement(table.ATTRIBUTION, prompt.attribution),
        implement(table.EVIDENCE, prompt.evidence),
        implement(table.EFFECT, prompt.effect),
        implement(table.COMPARE, prompt.compare),
        implement(table.GUESS, prompt.guess),
        implement(table.SAMPLE, prompt.sample),
        implement(table.SAVE_TRACE, prompt.save_trace),
        implement(table.PROMPT_REPORT, prompt.prompt_report),
        implement(table.ONE_STEP, OneStepMethods().one_step),
        implement(table.EXPERIMENT, ExperimentMethods(models).experiment),
    ]
