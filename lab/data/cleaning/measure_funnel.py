"""Measure the funnel of a text, in a process of its own where a screen waits: the rules would take its time. And its view.

The text is read once through the chosen rules; nothing on disk is changed unless the cleaned text is to be saved.
"""

from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec

from lab.core.child_process import Progress, Reply, answer, ask_process
from lab.core.number_format import bytes_, probability, signed_bytes, whole
from lab.core.visible_text import shortened
from lab.data.cleaning.funnel_meter import Funnel, FunnelMeter
from lab.data.cleaning.rule_registry import BY_NAME
from lab.data.corpus import Corpus, ReadProgress
from lab.data.text_source import open_corpus
from lab.runs.run_schema import DEFAULT_RULES
from lab.views.blocks import Block, Cell, Column, Paragraph, Table, View
from models.tokenizers.token_labels import printable

BYTE_ORDER_MARK_BYTES = 3


def measure_funnel(
    source: str, encoding: str | None = None, rules: Iterable[str] = DEFAULT_RULES, progress: ReadProgress | None = None
) -> Funnel:
    """The funnel of a text. `progress` counts bytes of its files, and may raise to cancel.
    Raises UserError as `open_corpus`; where the text cannot be read or decoded; if there is no rule of a name."""
    return funnel_of(open_corpus(source, encoding, None, rules), progress)


def funnel_of(corpus: Corpus, progress: ReadProgress | None = None) -> Funnel:
    """The funnel of a corpus that has not been measured yet; its sizes are known afterwards.
    Raises UserError where the text cannot be read or decoded."""
    meter = FunnelMeter(corpus.cleaning, excerpts=True)
    sizes = corpus.measure(progress, meter)
    return Funnel(
        source=corpus.source,
        encoding=corpus.encoding,
        file_bytes=corpus.file_bytes,
        raw_bytes=meter.raw_bytes,
        kept_bytes=meter.kept_bytes,
        documents=meter.documents,
        kept_documents=meter.kept_documents,
        steps=sizes.funnel,
        excerpts=meter.excerpts(),
        reasons=meter.reasons(),
        decoding=describe_decoding(corpus, meter.raw_bytes),
        notes=meter.notes,
    )


def describe_decoding(corpus: Corpus, raw_bytes: int) -> str:
    """The effect of decoding in words; empty where the text is the files' bytes."""
    encoding, file_bytes = corpus.encoding, corpus.file_bytes
    if encoding.replace("_", "-") in ("utf-8", "ascii"):
        marks, rest = divmod(file_bytes - raw_bytes, BYTE_ORDER_MARK_BYTES)
        if not 0 < marks <= corpus.opened_documents or rest:
            return ""
        return "a byte-order mark is dropped (3 bytes)" if marks == 1 else f"{whole(marks)} byte-order marks are dropped"
    names = "several encodings" if encoding == "auto" else encoding if corpus.opened_documents == 1 else f"UTF-8 or {encoding}"
    return f"decoded from {names} ({bytes_(file_bytes)}) into UTF-8 ({bytes_(raw_bytes)})"


class FunnelRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A text, the rules to measure, and the path to save the cleaned text at; "" for none. `replace` allows a file there."""

    source: str
    encoding: str | None
    rules: tuple[str, ...]
    save: str = ""
    replace: bool = False


class FunnelReply(Reply, frozen=True, omit_defaults=True):
    """Progress in bytes of the files; at the end the funnel, or the bytes that were saved."""

    funnel: Funnel | None = None
    saved: int | None = None


async def run_funnel_process(request: FunnelRequest, progress: Progress) -> FunnelReply:
    """The last reply of a process for this request. Cancelling the awaiting task ends the process.
    Raises UserError if the text cannot be read, or not be saved."""
    return await ask_process(__name__, request, FunnelReply, progress, work="reading of the text")


def _work(request: FunnelRequest, progress: Progress) -> FunnelReply:
    from lab.data.cleaning.save_text import check_target, save_text

    if not request.save:
        return FunnelReply(funnel=measure_funnel(request.source, request.encoding, request.rules, progress))
    corpus = open_corpus(request.source, request.encoding, cleaning=request.rules)
    path, replace = Path(request.save), request.replace
    check_target(path, corpus, replace=replace)
    return FunnelReply(
        saved=save_text(corpus, path, lambda written: progress(written, max(written, corpus.file_bytes)), replace=replace)
    )


if __name__ == "__main__":
    answer(FunnelRequest, _work)


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
        rows.append(
            _row(f"[x] {BY_NAME[rule].title}", signed_bytes(step.bytes_out - step.bytes_in), step.bytes_out, raw, passages)
        )
    rows.append(_row("kept text", "", funnel.kept_bytes, raw, ""))
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
