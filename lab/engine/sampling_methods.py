"""The engine's methods `sample` (one token after the prompt) and `generate` (a stream of tokens)."""

from collections.abc import Iterator
from dataclasses import dataclass

from lab.core.errors import UserError
from lab.engine.method_table import GenerateParams, SampleParams
from lab.engine.prompt_trace import token_ids, trace_prompt
from lab.inspect.model_cache import ModelCache
from lab.views.blocks import Token
from models.unembed import Slices


@dataclass(frozen=True)
class SamplingMethods:
    models: ModelCache

    def sample(self, params: SampleParams) -> Slices[Token]:
        """The token that the view of stage `sample` shows as drawn at the last position. Raises: UserError."""
        context = yield from trace_prompt(self.models, params)
        drawn = context.draw()
        return Token(drawn.id, context.tokenizer.label(drawn.id), float(drawn.before[drawn.id]))

    def generate(self, params: GenerateParams) -> Iterator[Token]:
        """Positions are counted from the first of the ids, whatever `earlier` is. Raises: UserError."""
        opened = self.models.model(params.run, params.checkpoint)
        ids = token_ids(opened, params.text, params.ids)
        if params.n < 1:
            raise UserError(f"The number of tokens to write must be at least 1, not {params.n}.")
        if params.edits or params.interventions:
            raise UserError("Edits cannot be made while writing several tokens; sample them one by one.")

        from models.sampling import generate

        for drawn in generate(opened.model, ids, params.n, params.sampling):
            opened.refuse_released()
            yield Token(drawn.id, opened.tokenizer.label(drawn.id), drawn.probability)
