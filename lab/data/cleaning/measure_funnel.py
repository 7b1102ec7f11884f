"""Measure the funnel of a text, or save the cleaned text, in a process of its own where a screen waits. And the funnel's view.

The text is read once through the chosen rules. One document is saved as a file, atomically and never over a file that it is read
from; several as files of a new folder, which opens as the same documents, while one file would have no borders between them.
"""

import hashlib
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import msgspec

from lab.core.atomic_io import check_export, os_error_in_words, sync_folder, temporary_beside, write_export, write_synced
from lab.core.child_process import Progress, Reply, answer, ask_process
from lab.core.errors import UserError
from lab.core.number_format import bytes_, probability, signed_bytes, whole
from lab.core.visible_text import quoted, shortened
from lab.data.cleaning.funnel_meter import Funnel, FunnelMeter
from lab.data.cleaning.rule_registry import BY_NAME
from lab.data.corpus import DOCUMENT_BORDER, Corpus
from lab.data.text_source import open_corpus
from lab.data.train_val_split import TextChangedError
from lab.runs.run_schema import DEFAULT_RULES
from lab.views.blocks import Block, Cell, Column, Paragraph, Table, View
from models.tokenizers.token_labels import printable

NAME_BYTES = 150
"""Bytes of a document's own name in that of its file."""


def check_target(path: Path, corpus: Corpus, *, replace: bool) -> None:
    """Check that the text may be saved there. A file that exists may only be replaced with `replace`, and by one document.
    Raises UserError if it may not, or the text is read from this very file."""
    if corpus.opened_documents > 1 and os.path.lexists(path):
        shown = quoted(str(path))
        raise UserError(f"{shown} exists already; several documents are saved in a new folder, so choose another name.")
    target = check_export(path, replace=True)
    for read in corpus.paths if target.exists() else ():
        if os.path.exists(read) and os.path.samefile(target, read):
            raise UserError(f"{quoted(str(path))} is a file that the text is read from; save the cleaned text as another one.")
    check_export(path, replace=replace)


def problem_with_path(typed: str) -> str:
    """The reason why nothing can be saved at a path as it was typed, in a sentence; empty if there is none."""
    try:
        path = Path(typed.strip()).expanduser()
        if not typed.strip() or "\0" in typed:
            return "Type the path of a file."
        check_export(path, replace=True)
    except (UserError, RuntimeError) as error:  # a home that nobody has
        return f"{str(error).rstrip('.')}."
    return ""


def save_text(corpus: Corpus, path: Path, progress: Progress = lambda done, total: None, *, replace: bool = False) -> int:
    """Write the text as the corpus's rules leave it, as UTF-8, and return how many bytes that are.

    A file that is there is replaced at the end, in one step, if `replace` says so. Of several documents each that keeps some text
    is a file of a new folder, numbered in their order. `progress` counts bytes; it cancels by raising.
    Raises UserError if it cannot be written, or (TextChangedError) has changed since the corpus was measured.
    """
    written = 0

    def chunks() -> Iterator[tuple[int, bytes]]:
        """The text, each part with the number of its document."""
        nonlocal written
        number = 0
        digest = hashlib.sha256()
        for chunk in corpus.document_chunks():
            if chunk.starts and number:
                digest.update(DOCUMENT_BORDER)
            number += chunk.starts
            encoded = chunk.text.encode()
            digest.update(encoded)
            written += len(encoded)
            yield number, encoded
            progress(written, max(written, corpus.file_bytes))
        if corpus.is_measured and digest.hexdigest() != corpus.sha256:
            raise TextChangedError(corpus.source)

    if corpus.opened_documents <= 1:
        return write_export(path, (encoded for _, encoded in chunks()), replace=replace)
    try:
        _save_folder(corpus, path, chunks())
    except OSError as error:
        raise os_error_in_words(error, f"save the cleaned text as {quoted(str(path))}") from error
    return written


def _save_folder(corpus: Corpus, path: Path, chunks: Iterator[tuple[int, bytes]]) -> None:
    names = [os.path.basename(file.name).encode()[-NAME_BYTES:].decode(errors="ignore") for file in corpus.files if file.bytes]
    aside = temporary_beside(path)
    aside.mkdir()
    try:
        for number, parts in groupby(chunks, key=itemgetter(0)):
            name = f"{number:0{len(str(len(names)))}}-{names[number - 1]}"
            write_synced(aside / name, (encoded for _, encoded in parts))
        os.rename(aside, path)
        sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


BYTE_ORDER_MARK_BYTES = 3


def measure_funnel(
    source: str, encoding: str | None = None, rules: Iterable[str] = DEFAULT_RULES, progress: Progress | None = None
) -> Funnel:
    """The funnel of a text. `progress` counts bytes of its files, and may raise to cancel.
    Raises UserError as `open_corpus`; where the text cannot be read or decoded; if there is no rule of a name."""
    return funnel_of(open_corpus(source, encoding, None, rules), progress)


def funnel_of(corpus: Corpus, progress: Progress | None = None) -> Funnel:
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


def is_utf8(encoding: str) -> bool:
    return encoding.replace("_", "-") in ("utf-8", "ascii")


def describe_decoding(corpus: Corpus, raw_bytes: int) -> str:
    """The effect of decoding in words; empty where the text is the files' bytes."""
    encoding, file_bytes = corpus.encoding, corpus.file_bytes
    if is_utf8(encoding):
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
    if not request.save:
        return FunnelReply(funnel=measure_funnel(request.source, request.encoding, request.rules, progress))
    corpus = open_corpus(request.source, request.encoding, cleaning=request.rules)
    path, replace = Path(request.save), request.replace
    check_target(path, corpus, replace=replace)
    return FunnelReply(saved=save_text(corpus, path, progress, replace=replace))


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


if __name__ == "__main__":
    answer(FunnelRequest, _work)
