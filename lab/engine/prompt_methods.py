"""The engine's methods about a prompt: lens, view, explain, attribution, evidence, effect, compare, guess, sample, save_trace
and prompt_report.

Each is computed in slices, so that a view that is waited for does not wait for another request.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace

from lab.core.atomic_io import write_export
from lab.core.errors import UserError
from lab.engine.method_registry import (
    AttributionParams,
    CompareParams,
    EffectParams,
    EvidenceParams,
    ExplainParams,
    GuessParams,
    LensParams,
    PromptReportParams,
    SampleParams,
    SaveTraceParams,
    ViewParams,
)
from lab.engine.prompt_trace import trace_prompt
from lab.inspect.guesses.attention_guess import attention_question
from lab.inspect.guesses.next_token_guess import next_token_question
from lab.inspect.intervention_effect import Effect, effect
from lab.inspect.interventions import all_in_words
from lab.inspect.logit_attribution_view import attribution
from lab.inspect.model_cache import ModelCache
from lab.inspect.prompt_report import PromptReport, prompt_report
from lab.inspect.stages.head_attention import head_attention
from lab.inspect.stages.intervention_notes import add_intervention_notes
from lab.inspect.stages.logit_lens import lens_path
from lab.inspect.stages.stage_context import StageContext
from lab.inspect.stages.stage_registry import stage_view
from lab.inspect.trace_export import npz_slices
from lab.inspect.trace_summary import summarize
from lab.inspect.training_text_evidence_view import evidence
from lab.inspect.two_prompts_view import two_prompts
from lab.views.blocks import LensPath, SavedTrace, Token, View
from lab.views.guess_question import GuessQuestion
from lab.views.number_explanation import Explanation
from models.unembed import Slices

SUMMARY_TOP = 20
"""Predictions that the summary of a trace lists at each position."""


@dataclass(frozen=True)
class PromptMethods:
    models: ModelCache

    def lens(self, params: LensParams) -> Slices[LensPath]:
        """The logit lens of every stage, and the most probable next tokens. Raises: UserError."""
        return (yield from lens_path((yield from trace_prompt(self.models, params))))

    def view(self, params: ViewParams) -> Slices[View]:
        """The view of a stage of the forward pass. Raises: UserError."""
        context = yield from trace_prompt(self.models, params)
        return _placed(
            add_intervention_notes((yield from stage_view(params.stage, context)), context, params.interventions), context
        )

    def explain(self, params: ExplainParams) -> Slices[Explanation]:
        """Any number of the prompt's views, as its formula over numbers that can be explained in turn. Raises: UserError."""
        from lab.inspect.explain_number import Explainer
        from lab.inspect.formulas.quantities import UnknownNumberError

        context = yield from trace_prompt(self.models, params)
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

    def attribution(self, params: AttributionParams) -> Slices[View]:
        """Direct logit attribution of a token. Raises: UserError."""
        context = yield from trace_prompt(self.models, params)
        return _placed(attribution(context, params.candidate, params.against, params.by_size), context)

    def evidence(self, params: EvidenceParams) -> Slices[View]:
        """The training text's evidence for a token. Raises: UserError."""
        context = yield from trace_prompt(self.models, params)
        return _placed((yield from evidence(context, params.candidate)), context)

    def effect(self, params: EffectParams) -> Slices[Effect]:
        """The prediction at the position without and with the edits and interventions. Raises: UserError."""
        before = yield from trace_prompt(self.models, replace(params, edits=(), interventions=()))
        after = yield from trace_prompt(self.models, params)
        words = all_in_words(params.interventions) or f"{len(params.edits)} edits"
        found = effect(before.logits, after.logits, before.tokenizer.label, words, before.here, before.position)
        return replace(found, step=after.opened.step)

    def compare(self, params: CompareParams) -> Slices[View]:
        """The prompt beside a second one, aligned from the end. Raises: UserError."""
        first = yield from trace_prompt(self.models, params)
        other = replace(params, text=params.second_text, ids=params.second_ids, position=None, edits=(), interventions=())
        second = yield from trace_prompt(self.models, other)
        behind = len(first.ids) - 1 - first.position
        return _placed(two_prompts(first, dataclasses.replace(second, position=max(0, len(second.ids) - 1 - behind))), first)

    def guess(self, params: GuessParams) -> Slices[GuessQuestion]:
        """A question for the learner, with its answer. Raises: UserError."""
        context = yield from trace_prompt(self.models, params)
        return attention_question(context) if params.about == "attention" else next_token_question(context)

    def sample(self, params: SampleParams) -> Slices[Token]:
        """The token that the view of stage `sample` shows as drawn at the last position. Raises: UserError."""
        context = yield from trace_prompt(self.models, params)
        drawn = context.draw()
        return Token(drawn.id, context.tokenizer.label(drawn.id), float(drawn.before[drawn.id]))

    def save_trace(self, params: SaveTraceParams) -> Slices[SavedTrace]:
        """Write what `llmlab trace` would, with the edits and interventions. Raises: UserError."""
        context, path = (yield from trace_prompt(self.models, params)), Path(params.path)
        if params.kind == "npz":
            yield from npz_slices(path, context.trace)
        else:
            opened = context.opened
            found = summarize(
                context.trace,
                opened.tokenizer,
                run=opened.run.name,
                checkpoint=opened.checkpoint,
                step=opened.step,
                dropped=context.dropped + context.earlier,
                top=SUMMARY_TOP,
            )
            write_export(path, [msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"])
        return SavedTrace(len(context.trace.names()) if params.kind == "npz" else 0, path.stat().st_size)

    def prompt_report(self, params: PromptReportParams) -> Slices[PromptReport]:
        """The prompt's part of a report, with the edits and interventions. Raises: UserError."""
        context = yield from trace_prompt(self.models, params)
        words = all_in_words(params.interventions) or (f"{len(params.edits)} edits" if params.edits else "")
        dropped = context.dropped + context.earlier
        return (yield from prompt_report(context.opened, context.traced, dropped=dropped, interventions=words))


def _placed(view: View, context: StageContext) -> View:
    """The view with what the screen shows around it: the head's attention, and the step of the weights."""
    view.attention, view.step = head_attention(context), context.opened.step
    return view
