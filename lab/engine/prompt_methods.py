"""The engine's methods about a prompt: lens, view, code, explain, attribution, evidence, effect, cost, compare, guess,
sample, save_trace and prompt_report, and the trace that all of them begin with.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace

from lab.core.atomic_io import write_export
from lab.core.errors import UserError
from lab.core.number_format import counted
from lab.engine.method_registry import (
    AttributionParams,
    CompareParams,
    EvidenceParams,
    ExplainParams,
    GuessParams,
    LensParams,
    PatchesParams,
    PromptParams,
    SampleParams,
    SaveTraceParams,
    ViewParams,
)
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.features import nearest_features
from lab.experiments.lens_distance import fitted_lenses
from lab.inspect.guess_questions import attention_question, next_token_question
from lab.inspect.intervention_effect import Cost, Effect, effect
from lab.inspect.interventions import Intervention, describe_interventions, edits_of
from lab.inspect.logit_attribution import attribution
from lab.inspect.measured_effects import patches_view
from lab.inspect.model_cache import ModelCache, OpenModel
from lab.inspect.source_code_view import source_code
from lab.inspect.stages.attention_scores_stage import head_attention
from lab.inspect.stages.logit_lens import lens_path
from lab.inspect.stages.stage_context import StageContext
from lab.inspect.stages.stage_registry import add_intervention_notes, check_place, stage_view
from lab.inspect.trace_export import PromptReport, prompt_report, summarize, write_npz
from lab.inspect.training_text_evidence_view import evidence
from lab.inspect.two_prompts_view import two_prompts
from lab.views.blocks import FEATURE, GuessQuestion, LensPath, SavedTrace, Token, View
from lab.views.number_explanation import Explanation
from models.config import SamplingSettings
from models.trace_edits import Edit

EMPTY_PROMPT = "The prompt is empty: GPT-2 predicts a token from those before it, so it needs at least one; type a word."


def trace_prompt(models: ModelCache, params: PromptParams) -> StageContext:
    """The traced prompt, at the position, layer and head of the parameters as far as they have them. Raises: UserError."""
    opened = models.model(params.run, params.checkpoint)
    layer, head, width = (params.layer, params.head, params.width_hint) if isinstance(params, ViewParams) else (0, 0, None)
    check_place(opened, layer, head)
    prompt = token_ids(opened, params.text, params.ids)
    window = prompt[-opened.model.config.context :]
    edits = resolve_edits(models, opened, params)
    traced = models.traces.trace(opened, window, edits)
    last = len(window) - 1
    position = params.position if isinstance(params, LensParams) else None
    return StageContext(
        opened=opened,
        traced=traced,
        prompt=prompt,
        earlier=params.earlier,
        position=last if position is None else max(0, min(position, last)),
        sampling=params.sampling if isinstance(params, LensParams | SampleParams) else SamplingSettings(),
        layer=layer,
        head=head,
        width=width,
    )


def resolve_edits(models: ModelCache, opened: OpenModel, params: PromptParams) -> tuple[Edit, ...]:
    """The edits of the forward pass, with the vectors of patches and directions. Raises: UserError."""
    config = opened.model.config
    vectors: dict[Intervention, list[float]] = {}
    for each in params.interventions:
        if not (0 <= each.layer < config.layers and 0 <= each.head < config.heads):
            has = f"{counted(config.layers, 'layer')} of {counted(config.heads, 'head')}"
            raise UserError(f"{opened.run.name} has no {each.object}: it has {has}.")
        if each.how == "patch":
            vectors[each] = _source_vector(models, opened, each)
        elif each.is_along_direction:
            vectors[each] = _direction(models, opened, each, params)
    return (*params.edits, *edits_of(params.interventions, config.layers, vectors.__getitem__))


def _source_vector(models: ModelCache, opened: OpenModel, patch: Intervention) -> list[float]:
    source = patch.source
    window = token_ids(opened, source.text, source.ids)[-opened.model.config.context :] if source is not None else []
    if source is None or not 0 <= source.position < len(window):
        raise UserError(f"The second prompt has no such token to take {patch.object} from.")
    traced = models.traces.trace(opened, window)
    value = traced.trace[f"blocks.{patch.layer}.{patch.part}"]
    at = value[source.position]
    return (at[patch.head] if value.dim() == 3 else at).tolist()


def _direction(models: ModelCache, opened: OpenModel, made: Intervention, params: PromptParams) -> list[float]:
    from lab.experiments.steering import named_direction

    if made.part != "resid_post":
        raise UserError(f"A direction is one of the stream after a layer, not of {made.object}.")
    prompt = token_ids(opened, params.text, params.ids)
    context = ExperimentContext(opened, models.traces, prompt, layer=made.layer, inputs={"toward": made.toward})
    vector, length = named_direction(context)
    return (vector * length if made.how == "steer" else vector).tolist()


def token_ids(opened: OpenModel, text: str, given: Sequence[int] | None) -> list[int]:
    """The prompt's token ids: those given, else those of the text. Raises: UserError."""
    ids = opened.tokenizer.encode(text) if given is None else list(given)
    if not ids:
        raise UserError(EMPTY_PROMPT)
    vocab_size = opened.model.config.vocab_size
    unknown = [id_ for id_ in ids if not 0 <= id_ < vocab_size]
    if unknown:
        raise UserError(f"{unknown[0]} is no token of {opened.run.name}: ids are 0 to {vocab_size - 1}.")
    return ids


SUMMARY_TOP = 20
"""Predictions that the summary of a trace lists at each position."""


@dataclass(frozen=True)
class PromptMethods:
    models: ModelCache

    def lens(self, params: LensParams) -> LensPath:
        """The logit lens of every stage, and the most probable next tokens. Raises: UserError."""
        return lens_path(trace_prompt(self.models, params))

    def view(self, params: ViewParams) -> View:
        """The view of a stage of the forward pass. Raises: UserError."""
        context = trace_prompt(self.models, params)
        if params.stage == "lens" and params.lens != "logit":
            fitted_lenses(ExperimentContext(context.opened, self.models.traces))
            context = dataclasses.replace(context, lens=params.lens)
        return placed(add_intervention_notes(stage_view(params.stage, context), context, params.interventions), context)

    def code(self, params: ViewParams) -> View:
        """The source code of a stage with the shapes of the prompt. Raises: UserError."""
        context = trace_prompt(self.models, params)
        return placed(source_code(context, params.stage), context)

    def explain(self, params: ExplainParams) -> Explanation:
        """Any number of the prompt's views, as its formula over numbers that can be explained in turn. Raises: UserError."""
        from lab.inspect.explain_number import Explainer
        from lab.inspect.formulas.quantities import UnknownNumberError

        context = trace_prompt(self.models, params)
        if f".{FEATURE}." in params.ref:
            nearest_features(ExperimentContext(context.opened, self.models.traces, layer=params.layer))
        explainer = context.traced.get_or_compute(
            ("explainer", context.sampling, context.draws_for - context.position),
            0,
            lambda: Explainer(
                context.opened.model,
                context.trace,
                context.tokenizer.label,
                lambda name: self.models.initial_weight(context.opened.run, name),
                lambda position: dataclasses.replace(context, position=position),
            ),
        )
        try:
            return replace(explainer.explain(params.ref), step=context.opened.step)
        except UnknownNumberError as error:
            raise UserError(str(error)) from error

    def attribution(self, params: AttributionParams) -> View:
        """Direct logit attribution of a token. Raises: UserError."""
        context = trace_prompt(self.models, params)
        return placed(attribution(context, params.candidate, params.against, params.by_size), context)

    def evidence(self, params: EvidenceParams) -> View:
        """The training text's evidence for a token. Raises: UserError."""
        context = trace_prompt(self.models, params)
        return placed(evidence(context, params.candidate), context)

    def effect(self, params: LensParams) -> Effect:
        """The prediction at the position without and with the edits and interventions. Raises: UserError."""
        before = trace_prompt(self.models, replace(params, edits=(), interventions=()))
        after = trace_prompt(self.models, params)
        words = describe_interventions(params.interventions) or f"{len(params.edits)} edits"
        found = effect(before.logits, after.logits, before.tokenizer.label, words, before.here, before.position)
        return replace(found, step=after.opened.step)

    def cost(self, params: LensParams) -> Cost:
        """What the interventions along directions cost on the run's text. Raises: UserError."""
        from lab.experiments.steering import directions_cost

        opened = self.models.model(params.run, params.checkpoint)
        context = ExperimentContext(opened, self.models.traces, token_ids(opened, params.text, params.ids))
        return directions_cost(context, tuple(each for each in params.interventions if each.is_along_direction))

    def compare(self, params: CompareParams) -> View:
        """The prompt beside a second one, aligned from the end. Raises: UserError."""
        first, second = self._both(params)
        return placed(two_prompts(first, second), first)

    def patches(self, params: PatchesParams) -> View:
        """Every patch from the second prompt into the first. Raises: UserError."""
        first, second = self._both(replace(params, edits=(), interventions=()))
        return placed(patches_view(first, second, params.candidate, params.against), first)

    def _both(self, params: CompareParams) -> tuple[StageContext, StageContext]:
        """Both prompts, the second's position as far from its end as the first's."""
        first = trace_prompt(self.models, params)
        other = replace(params, text=params.second_text, ids=params.second_ids, position=None, edits=(), interventions=())
        second = trace_prompt(self.models, other)
        behind = len(first.ids) - 1 - first.position
        return first, dataclasses.replace(second, position=max(0, len(second.ids) - 1 - behind))

    def guess(self, params: GuessParams) -> GuessQuestion:
        """A question for the learner, with its answer. Raises: UserError."""
        context = trace_prompt(self.models, params)
        return attention_question(context) if params.about == "attention" else next_token_question(context)

    def sample(self, params: SampleParams) -> Token:
        """The token that the view of stage `sample` shows as drawn at the last position. Raises: UserError."""
        context = trace_prompt(self.models, params)
        drawn = context.draw()
        before, after = float(drawn.before[drawn.id]), float(drawn.after[drawn.id])
        return Token(drawn.id, context.tokenizer.label(drawn.id), before, after)

    def save_trace(self, params: SaveTraceParams) -> SavedTrace:
        """Write what `llmlab trace` would, with the edits and interventions. Raises: UserError."""
        context, path = trace_prompt(self.models, params), Path(params.path)
        if params.kind == "npz":
            write_npz(path, context.trace)
        else:
            found = summarize(context.opened, context.trace, dropped=context.dropped + context.earlier, top=SUMMARY_TOP)
            write_export(path, [msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"])
        return SavedTrace(len(context.trace.names()) if params.kind == "npz" else 0, path.stat().st_size)

    def prompt_report(self, params: PromptParams) -> PromptReport:
        """The prompt's part of a report, with the edits and interventions. Raises: UserError."""
        context = trace_prompt(self.models, params)
        words = describe_interventions(params.interventions) or (f"{len(params.edits)} edits" if params.edits else "")
        dropped = context.dropped + context.earlier
        return prompt_report(context.opened, context.traced, dropped=dropped, interventions=words)


def placed(view: View, context: StageContext) -> View:
    """The view with what the screen shows around it: the head's attention, and the step of the weights."""
    view.attention, view.step = head_attention(context), context.opened.step
    return view
