"""A sample of a text in two parts, one to learn from and one held out, small enough to be looked at again and again."""

from typing import NamedTuple

from lab.data.corpus import Corpus

SEEN, HELD = 600_000, 40_000
"""Bytes of the two parts, at most."""
PARTS = 20
"""Places that each part is taken from."""
HELD_SHARE = 0.1
FEWEST = 64
"""Bytes that the held-out part has at least."""


class TextSample(NamedTuple):
    seen: bytes
    held: bytes
    """From the last tenth."""


def text_sample(corpus: Corpus) -> TextSample | None:
    """The sample; None for a text with too little to hold out. Reads the text once. Raises: UserError as `open_corpus`."""
    data = b"".join(_thinned(corpus))
    held = int(len(data) * HELD_SHARE)
    return TextSample(spread(data[:-held], SEEN), spread(data[-held:], HELD)) if held >= FEWEST else None


def _thinned(corpus: Corpus) -> list[bytes]:
    """A part of every chunk of the text, so that all together are some times as long as both parts."""
    share = min(1.0, 10 * (SEEN + HELD) / max(1, corpus.bytes))
    return [chunk[: max(1, round(share * len(chunk)))].encode() for chunk in corpus.chunks()]


def spread(data: bytes, most: int) -> bytes:
    """So many bytes of it at most, from places all over it."""
    if len(data) <= most:
        return data
    step = len(data) // PARTS
    return b"".join(data[at * step : at * step + most // PARTS] for at in range(PARTS))
