"""Status line of Inspect: the step, tokens outside the context window, and a hint on keys."""

from lab.core.number_format import whole
from screens.inspect.inspect_part import ModelState, Ready
from screens.inspect.selection import Selection, index_of
from screens.widgets.forward_pass_list import ForwardPassList


def location_text(selection: Selection, model: ModelState, steps: ForwardPassList, writing: str, hint: str, width: int) -> str:
    """The words for a line of `width` columns; `writing`: the pace of generation."""
    words = (f"{writing} · " if writing else "") + f"step {index_of(selection, steps.steps) + 1}/{len(steps.steps)}"
    dropped = model.path.dropped + selection.prompt.earlier if isinstance(model, Ready) else 0
    if dropped and isinstance(model, Ready):
        seen = whole(model.facts.context)
        words += f" · context {seen} tokens: {whole(dropped)} earlier ones (left of ┆) are cut off"
    words = f"{words} · {hint}" if hint else words
    rank = steps.rank_in_words
    return f"{words} · {rank}" if rank and len(words) + len(rank) + 3 <= width else words
