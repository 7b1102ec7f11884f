"""Measure the funnel of a text: read it once through the chosen rules, without changing anything on disk."""

from collections.abc import Callable, Iterable

from lab.core.number_format import bytes_, whole
from lab.data.cleaning.funnel import Funnel
from lab.data.cleaning.funnel_meter import FunnelMeter
from lab.data.corpus import Corpus, ReadProgress
from lab.data.text_source import open_corpus
from lab.runs.run_schema import DEFAULT_RULES

BYTE_ORDER_MARK_BYTES = 3


def measure_funnel(
    source: str,
    encoding: str | None = None,
    rules: Iterable[str] = DEFAULT_RULES,
    progress: ReadProgress | None = None,
    on_wait: Callable[[], None] | None = None,
) -> Funnel:
    """The funnel of a text. `progress` counts bytes of its files, and may raise to cancel.

    Raises:
        UserError: as `open_corpus`; where the text cannot be read or decoded; if there is no rule of a name.
    """
    return funnel_of(open_corpus(source, encoding, on_wait, rules), progress)


def funnel_of(corpus: Corpus, progress: ReadProgress | None = None) -> Funnel:
    """The funnel of a corpus that has not been measured yet; its sizes are known afterwards.

    Raises:
        UserError: where the text cannot be read or decoded.
    """
    meter = FunnelMeter(corpus.cleaning, excerpts=True)
    corpus.measure(progress, meter)
    return Funnel(
        source=corpus.source,
        encoding=corpus.encoding,
        file_bytes=corpus.file_bytes,
        raw_bytes=meter.raw_bytes,
        kept_bytes=meter.kept_bytes,
        documents=meter.documents,
        kept_documents=meter.kept_documents,
        steps=corpus.funnel,
        excerpts=meter.excerpts(),
        reasons=meter.reasons(),
        decoding=decoding_in_words(corpus, meter.raw_bytes),
        notes=meter.notes,
    )


def decoding_in_words(corpus: Corpus, raw_bytes: int) -> str:
    """The effect of decoding in words; empty where the text is the files' bytes."""
    encoding, file_bytes = corpus.encoding, corpus.file_bytes
    if encoding.replace("_", "-") in ("utf-8", "ascii"):
        marks, rest = divmod(file_bytes - raw_bytes, BYTE_ORDER_MARK_BYTES)
        if not 0 < marks <= corpus.opened_documents or rest:
            return ""
        return "a byte-order mark is dropped (3 bytes)" if marks == 1 else f"{whole(marks)} byte-order marks are dropped"
    names = "several encodings" if encoding == "auto" else encoding if corpus.opened_documents == 1 else f"UTF-8 or {encoding}"
    return f"decoded from {names} ({bytes_(file_bytes)}) into UTF-8 ({bytes_(raw_bytes)})"
