"""The source code of a stage: the lines of `models/` that compute it, with the shapes that they give for this prompt.

A stage names functions, and in each the first words of its own lines. The text is read from the file; the shapes are those of
the variables while the function itself runs on the prompt.
"""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from operator import attrgetter
from types import CodeType, FrameType, FunctionType
from typing import Any

from lab.inspect.stages.stage_context import StageContext
from lab.inspect.stages.stage_registry import IN_LAYERS, STAGES
from lab.views.blocks import Block, Cell, Column, Paragraph, Table, View

Shapes = Mapping[int, Mapping[str, tuple[int, ...]]]
"""By line of the file, each variable that the line sets and its shape; `→` is what is returned."""

DEFAULT_WIDTH = 76
NUMBER = 6
"""Columns of a line's number, with its mark."""
LEAST_CODE = 50
"""Columns of code, below which the shapes stand under the lines rather than beside them."""
RETURNED = "→"
KERNELS = "attention_kernels.py: causal_attention"
KERNEL_NOTE = (
    "In fp32 the model runs torch's fused kernel in place of the plain products. Both compute the same; the shapes are from a "
    "second call, with kernel=“plain”."
)


def source_code(context: StageContext, name: str) -> View:
    """The functions of a stage, its own lines marked, each with its shapes."""
    stage, width = STAGES[name], context.width or DEFAULT_WIDTH
    shapes: dict[str, Shapes] = context.traced.get_or_compute(("source code", context.sampling), 0, lambda: live_shapes(context))
    blocks: list[Block] = [_table(function, own, shapes[function], width) for function, own in stage.code.items()]
    if KERNELS in stage.code:
        blocks.append(Paragraph(KERNEL_NOTE))
    where = f"{context.layer_name} · " if name in IN_LAYERS else ""
    sentence = f"▸ marks the lines that compute this stage{_letters(context, stage.code)}."
    return View("code", f"{where}{stage.title} · code", sentence, blocks)


def _letters(context: StageContext, functions: Iterable[str]) -> str:
    """The sizes of this prompt by the letters of the functions' comments."""
    config, tokens = context.config, len(context.ids)
    words = f"B = 1 (batch), T = {tokens} (tokens), S = {tokens} (keys), C = {config.width} (width), H = {config.heads} (heads), "
    words += f"D = C / H = {config.head_width}, V = {config.vocab_size} (vocabulary)"
    comments = "".join(line.partition("  # ")[2] for function in functions for line in lines_of(function).values())
    found = [size for size in words.split(", ") if re.search(rf"\b{size[0]}\b", comments)]
    return f"; for this prompt {', '.join(found)}" if found else ""


def function_of(name: str) -> FunctionType:
    """The function of `models` that is called `gpt.py: Attention.forward`."""
    file, _, path = name.partition(".py: ")
    found: FunctionType = attrgetter(path)(import_module(f"models.{file.replace('/', '.')}"))
    return found


def lines_of(name: str) -> dict[int, str]:
    """The lines of a function by their number in the file, without its docstring."""
    lines, first = inspect.getsourcelines(function_of(name))
    text = textwrap.dedent("".join(lines))
    (function,) = ast.parse(text).body
    assert isinstance(function, ast.FunctionDef)
    doc = function.body[0] if ast.get_docstring(function) is not None else None
    skipped = range(doc.lineno, (doc.end_lineno or 0) + 1) if doc else ()
    return {first + at - 1: line for at, line in enumerate(text.splitlines(), 1) if at not in skipped and line.strip()}


def live_shapes(context: StageContext) -> dict[str, Shapes]:
    """The shapes in all functions that a stage names: of the prompt's forward pass, attention written out, and a draw.

    The forward pass is that of one layer, since all have the same shapes.
    """
    import torch

    from models.attention_kernels import causal_attention
    from models.gpt import GPT, KVCache
    from models.sampling import distribution, draw

    whole, ids = context.opened.model, context.ids
    one_layer = replace(context.config, layers=1)
    with torch.device("meta"):
        model = GPT(one_layer).eval()
    model.wte, model.wpe, model.h, model.ln_f = whole.wte, whole.wpe, whole.h[:1], whole.ln_f
    q, k, v = (context.trace[f"blocks.{context.layer}.attn.{part}"].transpose(0, 1)[None] for part in "qkv")

    def run() -> None:
        context.tokenizer.encode(context.tokenizer.decode(ids))
        model(torch.tensor([ids]), KVCache(replace(one_layer, context=len(ids))))
        causal_attention(q, k, v, kernel="plain")
        draw(distribution(torch.from_numpy(context.logits), context.sampling, context.window).after, context.draw().u)

    names = {name for stage in STAGES.values() for name in stage.code}
    with torch.inference_mode():
        found = _recorded(run, {function_of(name).__code__ for name in names})
    return {name: found[function_of(name).__code__] for name in names}


def _recorded(run: Callable[[], None], functions: set[CodeType]) -> dict[CodeType, dict[int, dict[str, tuple[int, ...]]]]:
    """The shapes of the variables that each line of `functions` sets when it is first reached during `run`."""
    found: dict[CodeType, dict[int, dict[str, tuple[int, ...]]]] = {code: {} for code in functions}

    def called(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        before: dict[str, Any] = {}
        line = frame.f_lineno

        def stepped(frame: FrameType, event: str, returned: object) -> Callable[..., Any]:
            nonlocal before, line
            now = dict(frame.f_locals)
            changed = {name: value for name, value in now.items() if value is not before.get(name)}
            for name, value in (changed | ({RETURNED: returned} if event == "return" else {})).items():
                shape = (len(value),) if isinstance(value, list) else getattr(value, "shape", None)
                if isinstance(shape, tuple):
                    found[frame.f_code].setdefault(line, {}).setdefault(name, tuple(shape))
            before, line = now, frame.f_lineno
            return stepped

        return stepped(frame, event, None) if frame.f_code in functions else None

    outer = sys.gettrace()
    sys.settrace(called)
    try:
        run()
    finally:
        sys.settrace(outer)
    return found


def _table(name: str, own: tuple[str, ...], shapes: Shapes, width: int) -> Table:
    """The function's own lines whole, the others on one row each; their shapes beside them, or below where it is narrow."""
    lines = lines_of(name)
    said = {number: _in_words(shapes.get(number, {})) for number in lines}
    beside = width - NUMBER - 4 - max(map(len, said.values()))
    is_beside = beside >= LEAST_CODE
    room = beside if is_beside else width - NUMBER - 2
    rows: list[list[Cell]] = []
    for number, line in lines.items():
        is_marked = line.strip().startswith(own)
        below = "" if is_beside else " " * (len(line) - len(line.lstrip()) + 4) + said[number]
        pieces = [*_wrapped(line, room), *textwrap.wrap(below, room)] if is_marked else [_cut(line, room)]
        for at, piece in enumerate(pieces):
            texts = [f"{'▸' if is_marked else ' '}{number:>{NUMBER - 2}}", piece, said[number]] if at == 0 else ["", piece, ""]
            rows.append([Cell(text, style="strong" if is_marked else "dim") for text in texts[: 2 + is_beside]])
    columns = [Column(title, align="left") for title in ("line", "code", "shape")[: 2 + is_beside]]
    return Table(columns, rows, title=f"models/{name}")


def _cut(line: str, room: int) -> str:
    return line if len(line) <= room else f"{line[: room - 1]}…"


def _wrapped(line: str, room: int) -> list[str]:
    """The line on as many rows as it needs, a comment that does not fit on one of its own."""
    code, _, comment = line.partition("  # ")
    hanging = " " * (len(line) - len(line.lstrip()) + 4)
    pieces = textwrap.wrap(code, room, subsequent_indent=hanging, break_on_hyphens=False)
    if comment and len(pieces[-1]) + len(comment) + 4 <= room:
        pieces[-1] += f"  # {comment}"
    elif comment:
        pieces.append(_cut(f"{hanging}# {comment}", room))
    return pieces


def _in_words(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """`q, k, v (1, 4, 9, 24)`: names of one shape together."""
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for name, shape in shapes.items():
        by_shape.setdefault(shape, []).append(name)
    return " · ".join(f"{', '.join(names)} {shape}" for shape, names in by_shape.items())
