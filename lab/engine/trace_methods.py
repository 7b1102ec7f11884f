"""The engine's methods `trace_arrays` and `save_trace`: the trace handed over, and written to a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.core.atomic_io import os_error_in_words
from lab.core.errors import UserError
from lab.engine.method_table import SaveTraceParams, TraceParams
from lab.engine.prompt_trace import trace_prompt
from lab.engine.protocol import MAX_FRAME
from lab.inspect.model_cache import ModelCache
from lab.inspect.trace_export import npz_slices, write_json
from lab.inspect.trace_summary import summarize
from lab.views.blocks import Array, SavedTrace
from models.unembed import Slices

if TYPE_CHECKING:
    from models.trace import Trace

SUMMARY_TOP = 20
"""Candidates that the summary of a trace lists for each prediction."""

LARGEST_TRACE = MAX_FRAME - (1 << 20)
"""Bytes of a trace's arrays that one answer can carry."""


@dataclass(frozen=True)
class TraceMethods:
    models: ModelCache

    def trace_arrays(self, params: TraceParams) -> Slices[dict[str, Array]]:
        """Raises: UserError."""
        trace = (yield from trace_prompt(self.models, params)).trace
        names = trace.names() if params.names is None else params.names
        unknown = sorted(set(names) - set(trace.names()))
        if unknown:
            raise UserError(f"The trace has nothing called {unknown[0]}; names are like blocks.0.attn.pattern or logits.")
        return _arrays(trace, names)

    def save_trace(self, params: SaveTraceParams) -> Slices[SavedTrace]:
        """Write what `llmlab trace` would, with the edits and interventions. Raises: UserError."""
        context, path = (yield from trace_prompt(self.models, params)), Path(params.path)
        try:
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
                write_json(path, found)
        except OSError as error:
            raise os_error_in_words(error, f"write {path}") from error
        return SavedTrace(len(context.trace.names()) if params.kind == "npz" else 0, path.stat().st_size)


def _arrays(trace: "Trace", names: Sequence[str]) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    size = 0
    for name in names:
        value = trace[name]
        size += 4 * value.numel()
        if size > LARGEST_TRACE:
            raise UserError("The whole trace is too large to hand over at once: ask for some of its names, or a shorter prompt.")
        arrays[name] = Array.of(value.float().numpy())
    return arrays
