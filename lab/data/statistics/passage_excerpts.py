"""A second pass over a text that fetches the beginnings of its repeated passages, and some of its rare words."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from os.path import commonprefix

from lab.data.statistics.repeated_passages import FoundPassage, Repeats
from lab.data.statistics.text_blocks import BLOCK_CHARACTERS, Part, TextBlocks

EXCERPT_CHARACTERS = 400
"""Characters of a passage that are kept to show it."""
MOST_COMPARED = 8
"""Copies of a passage that are compared beyond the windows it was found by."""
FARTHEST_COMPARED = 1 << 13
SHOWN_PLACES = 200

Read = Callable[[], Iterable[Part]]
"""Gives a text in parts, from its beginning each time."""
Check = Callable[[float], bool]
"""Called often, with the share of the work that is done; it may raise, to end the work. True asks for the statistics so far."""


@dataclass(frozen=True)
class RepeatedPassage:
    """A repeated passage: its beginning, its length, how many copies there are and where, as a share of the text."""

    excerpt: str
    length: int
    copies: int
    places: tuple[float, ...]
    """Beginnings of the first copies, 0 to 1."""


def fetch_excerpts(
    read: Read, size: int, repeats: Repeats, words: Sequence[tuple[int, int]], check: Check
) -> tuple[tuple[RepeatedPassage, ...], tuple[str, ...]]:
    """The passages with their beginnings, and the words at these (first, length) in lower case.

    Of a text of which not every window was looked at, a passage is first extended on both sides as far as its copies are equal.
    """
    reach = min(8 * repeats.spacing, FARTHEST_COMPARED) if repeats.spacing > 1 else 1
    spans = [(first, first + length) for first, length in words]
    for passage in repeats.passages:
        spans.append((passage.starts[0], passage.starts[0] + min(passage.length, EXCERPT_CHARACTERS)))
        for start in passage.starts[:MOST_COMPARED]:
            end = start + passage.length
            spans += [(max(0, start - reach), start), (end, end + reach)]
    texts = iter(texts_at(read, size, spans, check) if spans else ())
    rare = tuple(next(texts).lower() for _ in words)
    found = []
    for passage in repeats.passages:
        beginning = next(texts)
        sides = [(next(texts), next(texts)) for _ in passage.starts[:MOST_COMPARED]]
        found.append(_extended(passage, beginning, sides, repeats.spacing > 1, repeats.length))
    return tuple(sorted(found, key=lambda passage: -passage.length)), rare


def _extended(
    found: FoundPassage, beginning: str, sides: Sequence[tuple[str, str]], may_grow: bool, size: int
) -> RepeatedPassage:
    before = after = 0
    if may_grow and len(found.starts) <= MOST_COMPARED:
        room = min((b - a for a, b in zip(found.starts, found.starts[1:], strict=False)), default=0) - found.length
        before = min(room, len(commonprefix([side[0][::-1] for side in sides])))  # noqa: RUF071 - of texts
        after = min(room - before, len(commonprefix([side[1] for side in sides])))  # noqa: RUF071
    left = sides[0][0]
    excerpt = (left[len(left) - before :] + beginning)[:EXCERPT_CHARACTERS]
    outside = left[: len(left) - before][-1:]
    if outside.isalnum() and excerpt[:1].isalnum():
        excerpt = "…" + excerpt
    places = tuple((start - before) / size for start in found.starts[:SHOWN_PLACES])
    return RepeatedPassage(excerpt, found.length + before + after, len(found.starts), places)


def texts_at(read: Read, size: int, spans: Sequence[tuple[int, int]], check: Check) -> list[str]:
    """The text of each span of characters, line endings made alike, in one pass that ends after the last of them."""
    order = sorted(range(len(spans)), key=lambda at: spans[at])
    found = [""] * len(spans)
    open_spans: list[int] = []
    waiting = iter(order)
    upcoming = next(waiting, None)
    position = 0
    blocks = TextBlocks(read(), BLOCK_CHARACTERS)
    for block in blocks:
        end = position + len(block)
        while upcoming is not None and spans[upcoming][0] < end:
            open_spans.append(upcoming)
            upcoming = next(waiting, None)
        for at in open_spans:
            first, last = spans[at]
            found[at] += block[max(0, first - position) : max(0, last - position)]
        open_spans = [at for at in open_spans if spans[at][1] > end]
        position = end
        check(0.9 + 0.1 * min(1.0, blocks.read / size) if size else 1.0)
        if upcoming is None and not open_spans:
            break
    return found
