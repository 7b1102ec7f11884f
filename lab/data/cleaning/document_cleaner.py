"""Documents through the chosen cleaning rules, as a stream: one rule after the other, in their fixed order."""

from collections.abc import Iterable, Iterator, Sequence

from lab.data.cleaning.cleaner import Cleaner
from lab.data.cleaning.funnel_meter import FunnelMeter
from lab.data.cleaning.rule_registry import BY_NAME, in_order
from lab.data.document_part import DocumentPart


def clean_documents(
    parts: Iterable[DocumentPart], rules: Sequence[str], meter: FunnelMeter | None = None
) -> Iterator[DocumentPart]:
    """The documents as the rules leave them. A part without text says how much has been read while a rule holds text back, or
    that a document begins of which nothing is left.

    `meter` measures what each rule takes.

    Raises:
        UserError: if there is no rule of a name.
    """
    cleaners = [BY_NAME[name].cleaner() for name in in_order(rules)]
    begun = False
    starts = True
    read = 0
    for part in parts:
        if part.starts and begun:
            yield DocumentPart(_through(cleaners, "", meter, last=True), read, starts)
        if part.starts:
            begun = starts = True
            if meter:
                meter.begin_document()
        read = part.read
        text = _through(cleaners, part.text, meter, last=False)
        if text or not starts:
            yield DocumentPart(text, read, starts)
            starts = False
    if begun:
        yield DocumentPart(_through(cleaners, "", meter, last=True), read, starts)
    if meter:
        meter.notes = tuple(note for cleaner in cleaners for note in cleaner.notes())


def _through(cleaners: list[Cleaner], text: str, meter: FunnelMeter | None, *, last: bool) -> str:
    if meter:
        meter.begin_part(text)
    for at, cleaner in enumerate(cleaners):
        text = cleaner.clean(text, last) if meter is None else meter.measured(at, cleaner, text, last)
    if meter:
        meter.end_part(text)
    return text
