"""What the engine can be asked, method by method. Each takes a params type of `lab.engine.protocol` and gives plain data of
`lab.views.blocks`."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from lab.core.atomic_io import os_error_in_words
from lab.core.errors import UserError
from lab.core.safetensors_file import read_metadata
from lab.engine.method_table import (
    ATTRIBUTION,
    COMPARE,
    EFFECT,
    EVIDENCE,
    EXPLAIN,
    GENERATE,
    LENS,
    ONE_STEP,
    OPEN,
    RELEASE,
    SAMPLE,
    SAVE_TRACE,
    TRACE_ARRAYS,
    VIEW,
    AttributionParams,
    CompareParams,
    EffectParams,
    EvidenceParams,
    ExplainParams,
    GenerateParams,
    LensParams,
    OpenParams,
    PromptParams,
    ReleaseParams,
    SampleParams,
    SaveTraceParams,
    TraceParams,
    ViewParams,
)
from lab.engine.one_step_methods import StepBench
from lab.engine.protocol import MAX_FRAME
from lab.engine.server import Implementation, Incremental, implement
from lab.inspect.intervention_effect import Effect, effect
from lab.inspect.interventions import Intervention, all_in_words, resolved
from lab.inspect.logit_attribution_view import attribution
from lab.inspect.model_cache import ModelCache, OpenModel
from lab.inspect.stages.intervention_notes import add_intervention_notes
from lab.inspect.stages.logit_lens import way
from lab.inspect.stages.stage_context import StageContext
from lab.inspect.stages.stage_registry import stage_view
from lab.inspect.trace_export import npz_slices, write_json
from lab.inspect.trace_summary import summarize
from lab.inspect.training_text_evidence_view import evidence
from lab.inspect.two_prompts_view import two_prompts
from lab.views.blocks import Array, LensPath, ModelFacts, SavedTrace, Token, View
from lab.views.number_explanation import Explanation
from models.edits import Edit
from models.parameter_count import parameter_count
from models.sampling_settings import SamplingSettings
from models.unembed import Slices, finish

if TYPE_CHECKING:
    from lab.inspect.explain_number import Explainer
    from models.trace import Trace

P = TypeVar("P", bound=PromptParams)
R = TypeVar("R")

EMPTY_PROMPT = "The prompt is empty: GPT-2 predicts a token from those before it, so it needs at least one; type a word."

SUMMARY_TOP = 20
"""Candidates that the summary of a trace lists for each prediction."""

LARGEST_TRACE = MAX_FRAME - (1 << 20)
"""Bytes of a trace's arrays that one answer can carry."""


class EngineMethods:
    def __init__(self) -> None:
        self.shelf = ModelCache()
        self.bench = StepBench()

    def implementations(self) -> list[Implementation]:
        traced = self._traced_first
        return [
            implement(OPEN, self.open),
            implement(RELEASE, self.release),
            implement(LENS, traced(self.lens_incremental)),
            implement(VIEW, traced(self.view_incremental)),
            implement(EXPLAIN, traced(self.explain)),
            implement(ATTRIBUTION, traced(self.attribution)),
            implement(EVIDENCE, traced(self.evidence)),
            implement(SAMPLE, traced(self.sample)),
            implement(GENERATE, self.generate),
            implement(TRACE_ARRAYS, traced(self.trace_arrays)),
            implement(SAVE_TRACE, traced(self.save_trace_incremental)),
            implement(EFFECT, traced(self.effect)),
            implement(COMPARE, traced(self.compare)),
            implement(ONE_STEP, self.bench.answer_incremental),
        ]

    def _traced_first(self, function: Callable[[P], R | Incremental[R]]) -> Callable[[P], Incremental[R]]:
        """The function, the traces that it looks at being made before it, a layer at a time: others get their turn in between."""

        def work(params: P) -> Slices[R]:
            for each in _looked_at(params):
                opened = self.shelf.model(each.run, each.checkpoint)
                window = _ids(opened, each.text, each.ids)[-opened.model.config.context :]
                yield from self.shelf.traced_incrementally(opened, window, self._edits(opened, each))
            result = function(params)
            return (yield from result.work) if isinstance(result, Incremental) else result

        return lambda params: Incremental(work(params))

    def release(self, params: ReleaseParams) -> bool:
        """Holds the run no longer."""
        self.shelf.release(Path(params.path))
        return True

    def open(self, params: OpenParams) -> ModelFacts:
        """Loads the checkpoint if it is not held or its file has changed. Raises: UserError."""
        opened = self.shelf.model(params.run, params.checkpoint, fresh=True)
        config = opened.model.config
        return ModelFacts(
            run=opened.run.name,
            checkpoint=opened.checkpoint,
            step=opened.step,
            layers=config.layers,
            heads=config.heads,
            width=config.width,
            context=config.context,
            vocab_size=config.vocab_size,
            parameters=parameter_count(config),
            tokenizer=opened.tokenizer.kind,
            val_loss=_val_loss(opened),
        )

    def lens(self, params: LensParams) -> LensPath:
        """Raises: UserError."""
        return finish(way(self._look(params, params.sampling, params.position)))

    def lens_incremental(self, params: LensParams) -> Incremental[LensPath]:
        """The same, so that a view that is waited for does not wait for it. Raises: UserError."""
        return Incremental(way(self._look(params, params.sampling, params.position)))

    def view(self, params: ViewParams) -> View:
        """Raises: UserError."""
        return finish(self._view(params))

    def view_incremental(self, params: ViewParams) -> Incremental[View]:
        """The same, so that nothing waits for a view of all layers. Raises: UserError."""
        return Incremental(self._view(params))

    def _view(self, params: ViewParams) -> Slices[View]:
        look = self._look(params, params.sampling, params.position, params.layer, params.head, params.width_hint)
        return add_intervention_notes((yield from stage_view(params.stage, look)), look, params.interventions)

    def explain(self, params: ExplainParams) -> Explanation:
        """Any number of the prompt's views, as its formula over numbers that can be explained in turn. Raises: UserError."""
        from lab.inspect.formulas.quantities import UnknownNumberError

        look = self._look(params, params.sampling)
        explainer = look.traced.once(
            ("explainer", look.sampling, look.draws_for - look.position), 0, lambda: self._explainer(look)
        )
        try:
            return explainer.explain(params.ref)
        except UnknownNumberError as error:
            raise UserError(str(error)) from error

    def attribution(self, params: AttributionParams) -> View:
        """Raises: UserError."""
        return attribution(self._look(params, params.sampling, params.position), params.candidate, params.against, params.by_size)

    def evidence(self, params: EvidenceParams) -> Incremental[View]:
        """In slices, so that a view that is waited for does not wait for a large text. Raises: UserError."""
        look = self._look(params, params.sampling, params.position)
        ids = _ids(look.opened, params.text, params.ids)[: look.dropped + look.position + 1]
        return Incremental(evidence(look, ids, params.candidate))

    def _explainer(self, look: StageContext) -> "Explainer":
        from lab.inspect.explain_number import Explainer

        return Explainer(
            look.opened.model,
            look.trace,
            look.tokenizer.label,
            lambda name: self.shelf.initial_weight(look.opened.run, name),
            lambda position: dataclasses.replace(look, position=position),
        )

    def sample(self, params: SampleParams) -> Token:
        """The token that the view of stage `sample` shows being drawn at the last position. Raises: UserError."""
        look = self._look(params, params.sampling)
        drawn = look.draw()
        return Token(drawn.id, look.tokenizer.label(drawn.id), float(drawn.before[drawn.id]))

    def generate(self, params: GenerateParams) -> Iterator[Token]:
        """Places are counted from the first of the ids, whatever `earlier` is. Raises: UserError."""
        opened = self.shelf.model(params.run, params.checkpoint)
        ids, sampling = _ids(opened, params.text, params.ids), params.sampling
        if params.n < 1:
            raise UserError(f"The number of tokens to write must be at least 1, not {params.n}.")
        if params.edits or params.interventions:
            raise UserError("Edits cannot be made while writing several tokens; sample them one by one.")

        def tokens() -> Iterator[Token]:
            from models.sampling import generate

            for drawn in generate(opened.model, ids, params.n, sampling):
                opened.refuse_released()
                yield Token(drawn.id, opened.tokenizer.label(drawn.id), drawn.probability)

        return tokens()

    def trace_arrays(self, params: TraceParams) -> dict[str, Array]:
        """Raises: UserError."""
        trace = self._look(params, SamplingSettings()).traced.trace
        names = trace.names() if params.names is None else params.names
        unknown = sorted(set(names) - set(trace.names()))
        if unknown:
            raise UserError(f"The trace has nothing called {unknown[0]}; names are like blocks.0.attn.pattern or logits.")
        return _arrays(trace, names)

    def effect(self, params: EffectParams) -> Effect:
        """What the edits and interventions do to the prediction at the position. Raises: UserError."""
        before = self._look(replace(params, edits=(), interventions=()), params.sampling, params.position)
        after = self._look(params, params.sampling, params.position)
        words = all_in_words(params.interventions) or f"{len(params.edits)} edits"
        return effect(before.logits, after.logits, before.tokenizer.label, words, before.here, before.position)

    def compare(self, params: CompareParams) -> View:
        """The prompt beside a second one. Raises: UserError."""
        first = self._look(params, params.sampling, params.position, params.layer, params.head, params.width_hint)
        other = _second(params)
        second = self._look(other, params.sampling, None, params.layer, params.head, params.width_hint)
        behind = len(first.ids) - 1 - first.position
        return two_prompts(first, dataclasses.replace(second, position=max(0, len(second.ids) - 1 - behind)))

    def _edits(self, opened: OpenModel, params: PromptParams) -> tuple[Edit, ...]:
        """What is to be done inside the forward pass, the vectors of other prompts looked up."""
        config = opened.model.config

        def borrow(patch: Intervention) -> list[float]:
            source = patch.source
            window = _ids(opened, source.text, source.ids)[-config.context :] if source is not None else []
            if source is None or not 0 <= source.position < len(window):
                raise UserError(f"The second prompt has no such token to take {patch.object} from.")
            trace = self.shelf.traced(opened, window).trace
            value = trace[f"blocks.{patch.layer}.{patch.part}"]
            at = value[source.position]
            row: list[float] = (at[patch.head] if value.dim() == 3 else at).tolist()
            return row

        for each in params.interventions:
            if not (0 <= each.layer < config.layers and 0 <= each.head < config.heads):
                raise UserError(f"{opened.run.name} has no {each.object}: it has {config.layers} layers of {config.heads} heads.")
        return (*params.edits, *resolved(params.interventions, config.layers, borrow))

    def save_trace_incremental(self, params: SaveTraceParams) -> Incremental[SavedTrace]:
        """Raises: UserError."""
        return Incremental(self.save_trace(params))

    def save_trace(self, params: SaveTraceParams) -> Slices[SavedTrace]:
        """Writes what `llmlab trace` would, with the changes that are made to the model. Raises: UserError."""
        look, path = self._look(params, SamplingSettings()), Path(params.path)
        try:
            if params.kind == "npz":
                yield from npz_slices(path, look.trace)
            else:
                opened = look.opened
                found = summarize(
                    look.trace,
                    opened.tokenizer,
                    run=opened.run.name,
                    checkpoint=opened.checkpoint,
                    step=opened.step,
                    dropped=look.dropped + look.earlier,
                    top=SUMMARY_TOP,
                )
                write_json(path, found)
        except OSError as error:
            raise os_error_in_words(error, f"write {path}") from error
        return SavedTrace(len(look.trace.names()) if params.kind == "npz" else 0, path.stat().st_size)

    def _look(
        self,
        params: PromptParams,
        sampling: SamplingSettings,
        position: int | None = None,
        layer: int = 0,
        head: int = 0,
        width: int | None = None,
    ) -> StageContext:
        opened = self.shelf.model(params.run, params.checkpoint)
        config = opened.model.config
        if not 0 <= layer < config.layers:
            raise UserError(f"There is no layer {layer + 1}: {opened.run.name} has {config.layers}.")
        if not 0 <= head < config.heads:
            raise UserError(f"There is no head {head + 1}: {opened.run.name} has {config.heads} in each layer.")
        ids = _ids(opened, params.text, params.ids)
        window = ids[-config.context :]
        last = len(window) - 1
        return StageContext(
            opened=opened,
            traced=self.shelf.traced(opened, window, self._edits(opened, params)),
            dropped=len(ids) - len(window),
            earlier=params.earlier,
            position=last if position is None else max(0, min(position, last)),
            sampling=sampling,
            layer=layer,
            head=head,
            width=width,
        )


def _looked_at(params: PromptParams) -> list[PromptParams]:
    """The params of every trace that is looked at to answer these."""
    if isinstance(params, EffectParams):
        return [replace(params, edits=(), interventions=()), params]
    return [params, _second(params)] if isinstance(params, CompareParams) else [params]


def _second(params: CompareParams) -> CompareParams:
    """The second prompt's, as the model itself takes it."""
    return replace(params, text=params.second_text, ids=params.second_ids, edits=(), interventions=())


def _ids(opened: OpenModel, text: str, given: tuple[int, ...] | None) -> list[int]:
    ids = opened.tokenizer.encode(text) if given is None else list(given)
    if not ids:
        raise UserError(EMPTY_PROMPT)
    strangers = [id_ for id_ in ids if not 0 <= id_ < opened.model.config.vocab_size]
    if strangers:
        raise UserError(f"{strangers[0]} is no token of {opened.run.name}: ids are 0 to {opened.model.config.vocab_size - 1}.")
    return ids


def _val_loss(opened: OpenModel) -> float | None:
    """Validation loss of the step whose weights these are, None where it was not evaluated."""
    metadata = read_metadata(Path(opened.identity[0])) or {}
    if "val_loss" in metadata:
        return float(metadata["val_loss"])
    losses = {metric.step: metric.val_loss for metric in opened.run.metrics().read() if metric.val_loss is not None}
    return losses.get(opened.step)


def _arrays(trace: "Trace", names: tuple[str, ...] | list[str]) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    size = 0
    for name in names:
        value = trace[name]
        size += 4 * value.numel()
        if size > LARGEST_TRACE:
            raise UserError("The whole trace is too large to hand over at once: ask for some of its names, or a shorter prompt.")
        arrays[name] = Array.of(value.float().numpy())
    return arrays
