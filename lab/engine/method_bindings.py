"""The implementation of each of the engine's methods, bound to its entry in `lab.engine.method_registry`."""

from lab.engine import method_registry as table
from lab.engine.experiment_methods import ExperimentMethods
from lab.engine.model_methods import ModelMethods
from lab.engine.one_step_methods import OneStepMethods
from lab.engine.prompt_methods import PromptMethods
from lab.engine.server import Implementation, implement
from lab.inspect.model_cache import ModelCache


def implementations(models: ModelCache) -> list[Implementation]:
    """All methods, over one cache of models and traces."""
    model, prompt = ModelMethods(models), PromptMethods(models)
    return [
        implement(table.OPEN, model.open),
        implement(table.RELEASE, model.release),
        implement(table.LENS, prompt.lens),
        implement(table.VIEW, prompt.view),
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
