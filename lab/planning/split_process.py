"""Read the split of a text in a process of its own: the cleaning rules would take a screen's time."""

import msgspec

from lab.core.parallel.reply_process import Progress, Reply, answer, ask_process
from lab.planning.sequence_preview import TextSplit, read_split


class SplitRequest(msgspec.Struct, frozen=True):
    """A text, and the rules that clean it."""

    source: str
    encoding: str | None
    rules: tuple[str, ...]


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
    return SplitReply(split=read_split(request.source, request.encoding, progress, request.rules))


if __name__ == "__main__":
    answer(SplitRequest, _work)
