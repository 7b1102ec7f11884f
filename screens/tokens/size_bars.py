"""Bars of a text's characters, bytes and tokens on one scale, and its compression in bytes per token."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.core.number_format import counted, significant, whole
from lab.tokenization.token_facts import TextCounts
from screens.blocks.bars_and_shades import bar
from screens.widgets.text_fitting import Piece, fit


def compression(counts: TextCounts) -> str:
    """`4.33 bytes per token`; empty for an empty text."""
    return f"{significant(counts.bytes / counts.tokens)} bytes per token" if counts.tokens else ""


def size_lines(counts: TextCounts, width: int, lines: int) -> list[list[Piece]]:
    """The three bars, one under another where there are three lines, else side by side."""
    sizes = (("characters", counts.characters), ("bytes", counts.bytes), ("tokens", counts.tokens))
    longest = max(1, *(size for _, size in sizes))
    number = max(len(whole(size)) for _, size in sizes)
    words = compression(counts)
    if lines >= 3:
        room = max(1, width - 12 - number - cell_len(words) - 3)
        made = [
            [(fit(name, 10) + "  ", "dim"), (f"{whole(size):>{number}} ", "text"), (fit(bar(size / longest, room), room), "bar")]
            for name, size in sizes
        ]
        made[-1].append((f"  {words}", "strong"))
        return made
    texts = [f"{name} {whole(size)} " for name, size in sizes]
    room = (width - sum(map(cell_len, texts)) - cell_len(words) - 4) // 3
    if room < 3:
        return [[(fit("".join(f"{text} " for text in texts) + words, width), "text")]]
    pieces: list[Piece] = []
    for text, (_, size) in zip(texts, sizes, strict=True):
        pieces += [(text, "text"), (fit(bar(size / longest, room), room), "bar"), (" ", "text")]
    return [[*pieces, (words, "strong")]]


def comparison_lines(counts: Sequence[tuple[str, TextCounts]], name_width: int, width: int) -> list[list[Piece]]:
    """A bar of tokens for each tokenizer on one scale, with its compression."""
    longest = max(1, *(each.tokens for _, each in counts))
    digits = max(len(whole(each.tokens)) for _, each in counts)
    sizes = [" " * (digits - len(whole(each.tokens))) + counted(each.tokens, "token") for _, each in counts]
    widest = max(map(cell_len, sizes))
    words = [compression(each) for _, each in counts]
    most = max(map(cell_len, words))
    room = max(1, width - name_width - widest - most - 2)
    return [
        [
            (fit(name, name_width - 1) + " ", "dim"),
            (fit(size, widest) + " ", "text"),
            (fit(bar(each.tokens / longest, room), room), "bar"),
            (" " + fit(said, most, "right"), "strong"),
        ]
        for (name, each), size, said in zip(counts, sizes, words, strict=True)
    ]


class SizeBars(Widget):
    """One line, or three where the screen is tall."""

    COMPONENT_CLASSES = {"size-bars--text", "size-bars--dim", "size-bars--bar", "size-bars--strong"}
    DEFAULT_CSS = """
    SizeBars {
        height: 1; padding: 0 1;
        & > .size-bars--text { color: $foreground; }
        & > .size-bars--dim { color: $foreground 65%; }
        & > .size-bars--bar { color: $primary; }
        & > .size-bars--strong { text-style: bold; }
    }
    """

    counts: reactive[TextCounts] = reactive(TextCounts(0, 0, 0))

    def render_line(self, y: int) -> Strip:
        lines = size_lines(self.counts, self.content_size.width, self.content_size.height)
        pieces = lines[y] if y < len(lines) else []
        segments = [Segment(text, self.get_component_rich_style(f"size-bars--{role}")) for text, role in pieces]
        return Strip(segments).adjust_cell_length(self.content_size.width, self.rich_style)
