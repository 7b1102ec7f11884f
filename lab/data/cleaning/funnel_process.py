"""Measure the funnel of a text, or save the cleaned text, in a process of its own: the rules would take a screen's time."""

from pathlib import Path

import msgspec

from lab.core.parallel.reply_process import Progress, Reply, answer, ask_process
from lab.data.cleaning.funnel import Funnel


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

    Raises:
        UserError: if the text cannot be read, or not be saved.
    """
    return await ask_process(__name__, request, FunnelReply, progress, work="reading of the text")


def _work(request: FunnelRequest, progress: Progress) -> FunnelReply:
    from lab.data.cleaning.measure_funnel import measure_funnel

    if request.save:
        return FunnelReply(saved=_save(request, progress))
    return FunnelReply(funnel=measure_funnel(request.source, request.encoding, request.rules, progress))


def _save(request: FunnelRequest, progress: Progress) -> int:
    """Write the cleaned text and return its bytes: see `save_text`."""
    from lab.data.cleaning.save_text import check_target, save_text
    from lab.data.text_source import open_corpus

    corpus = open_corpus(request.source, request.encoding, cleaning=request.rules)
    check_target(Path(request.save), corpus, replace=request.replace)
    return save_text(
        corpus, Path(request.save), lambda written: progress(written, max(written, corpus.file_bytes)), replace=request.replace
    )


if __name__ == "__main__":
    answer(FunnelRequest, _work)
