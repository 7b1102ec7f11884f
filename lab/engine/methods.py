"""The implementation of each of the engine's methods, bound to its entry in `lab.engine.method_table`."""

from lab.engine import method_table as table
from lab.engine.model_methods import ModelMethods
from lab.engine.one_step_methods import OneStepMethods
from lab.engine.sampling_methods import SamplingMethods
from lab.engine.server import Implementation, implement, implement_stream
from lab.engine.trace_methods import TraceMethods
from lab.engine.view_methods import ViewMethods
from lab.inspect.model_cache import ModelCache


def implementations(models: ModelCache) -> list[Implementation]:
    """All methods, over one cache of models and traces."""
    model, view, sampling, trace = ModelMethods(models), ViewMethods(models), SamplingMethods(models), TraceMethods(models)
    return [
        implement(table.OPEN, model.open),
        implement(table.RELEASE, model.release),
        implement(table.LENS, view.lens),
        implement(table.VIEW, view.view),
        implement(table.EXPLAIN, view.explain),
        implement(table.ATTRIBUTION, view.attribution),
        implement(table.EVIDENCE, view.evidence),
        implement(table.EFFECT, view.effect),
        implement(table.COMPARE, view.compare),
        implement(table.SAMPLE, sampling.sample),
        implement_stream(table.GENERATE, sampling.generate),
        implement(table.TRACE_ARRAYS, trace.trace_arrays),
        implement(table.SAVE_TRACE, trace.save_trace),
        implement(table.ONE_STEP, OneStepMethods().one_step),
    ]
