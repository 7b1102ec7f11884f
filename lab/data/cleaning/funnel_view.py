"""The funnel as a view: the rules that changed a text and those left out, with what was left after each."""

from collections.abc import Collection

from lab.core.number_format import MINUS, bytes_, probability, whole
from lab.core.visible_text import shortened
from lab.data.cleaning.funnel import Funnel
from lab.data.cleaning.rule_registry import BY_NAME
from lab.views.blocks import Block, Cell, Column, Paragraph, Table, View
from models.tokenizers.token_labels import printable

EXCERPT = 60
"""Characters shown of a passage."""


def funnel_view(funnel: Funnel, left_out: Collection[str], name: str) -> tuple[View, list[str]]:
    """The view, and the rule of each row of its table; "" for the first and last row, which are the raw and the kept text."""
    steps = {step.rule: step for step in funnel.steps}
    changing = {name for name, step in steps.items() if step.passages_removed + step.passages_changed}
    shown = [rule for rule in BY_NAME if rule in left_out or rule in changing]
    quiet = len(steps) - sum(rule in steps for rule in shown)
    raw = max(1, funnel.raw_bytes)
    rows = [_row("raw text", "", funnel.raw_bytes, raw, "")]
    for rule in shown:
        step = steps.get(rule)
        if step is None:
            rows.append([Cell(f"[ ] {BY_NAME[rule].title}", style="dim"), Cell("off", style="dim"), Cell(""), Cell("")])
            continue
        passages = f"{whole(step.passages_removed + step.passages_changed)}"
        rows.append(_row(f"[x] {BY_NAME[rule].title}", _signed(step.bytes_out - step.bytes_in), step.bytes_out, raw, passages))
    rows.append(_row("kept", "", funnel.kept_bytes, raw, ""))
    columns = [Column("rule", "left"), Column("change"), Column("left"), Column("passages", optional=1)]
    blocks: list[Block] = [Table(columns, rows)]
    if quiet:
        what = "nothing changed" if shown else "nothing of it changed"
        blocks.append(Paragraph(f"{whole(quiet)} other rule{'s' if quiet > 1 else ''} on: {what}."))
    blocks += _example(funnel)
    return View("funnel", f"funnel of {name}", _sentence(funnel), blocks), ["", *shown, ""]


def _row(label: str, change: str, left: int, raw: int, passages: str) -> list[Cell]:
    return [
        Cell(label),
        Cell(change),
        Cell(bytes_(left), value=float(left), bar=left / raw if left <= raw else 1.0),
        Cell(passages),
    ]


def _signed(number: int) -> str:
    return "0 B" if not number else f"{MINUS if number < 0 else '+'}{bytes_(abs(number))}"


def _sentence(funnel: Funnel) -> str:
    if funnel.nothing_left:
        return funnel.nothing_left
    kept = probability(funnel.kept_bytes / funnel.raw_bytes) if funnel.raw_bytes else "0%"
    documents = ""
    if funnel.documents > 1:
        documents = f", {whole(funnel.kept_documents)} of {whole(funnel.documents)} documents"
    return f"{bytes_(funnel.raw_bytes)} of raw text, {bytes_(funnel.kept_bytes)} kept ({kept}{documents})."


def _example(funnel: Funnel) -> list[Block]:
    """The first passage that the rule with the largest change took or changed."""
    largest = max(funnel.steps, key=lambda step: abs(step.bytes_in - step.bytes_out), default=None)
    excerpts = funnel.excerpts.get(largest.rule, ()) if largest is not None else ()
    if largest is None or not excerpts or largest.bytes_in == largest.bytes_out:
        return []
    taken = next((span.text for span in excerpts[0].spans if span.kind == "taken" and span.text.strip()), "")
    if not taken:
        return []
    title = BY_NAME[largest.rule].title
    return [Paragraph(f"Taken by “{title}”: {shortened(printable(' '.join(taken.split()).encode()), EXCERPT)}")]
