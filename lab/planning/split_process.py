"""Read the split of a text in a process of its own: the cleaning rules would take a screen's time."""

import os

import msgspec

from lab.core.parallel.reply_process import Progress, Reply, answer, ask_process
from lab.planning.sequence_preview import TextSplit, read_split
from lab.runs.origin.holdout import LAST_TENTH, Holdout


class SplitRequest(msgspec.Struct, frozen=True):
    """A text, the rules that clean it, and the choice of its validation part."""

    source: str
    encoding: str | None
    rules: tuple[str, ...]
    holdout: Holdout = LAST_TENTH
    aside: bool = False
    """At the lowest priority, beside other work."""


class SplitReply(Reply, frozen=True, omit_defaults=True):
    """Progress in bytes of the files; at the end the split."""

    split: TextSplit | None = None


async def run_split_process(request: SplitRequest, progress: Progress) -> TextSplit:
    """The split that a process reads. Cancelling the awaiting task ends the process.

    Raises:
        UserError: if the text cannot be read.
    """
    reply = await ask_process(__name__, request, SplitReply, progress, work="reading of the text")
    assert reply.split is not None, "a result has a split"
    return reply.split


def _work(request: SplitRequest, progress: Progress) -> SplitReply:
    if request.aside and hasattr(os, "nice"):
        os.nice(19)
    return SplitReply(split=read_split(request.source, request.encoding, progress, request.rules, request.holdout))


if __name__ == "__main__":
    answer(SplitRequest, _work)
