"""Layout of the page Split: the border on the text's length, tokens per parameter, and one window as input and target."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len

from lab.core.number_format import bytes_, count, counted, probability, significant, whole
from lab.data.statistics.copied_share import describe_copied
from lab.planning.sequence_preview import (
    COMPUTE_OPTIMAL,
    TextSplit,
    TrainingTokens,
    compute_optimal_sentence,
    windows_per_epoch,
)
from models.config import END_OF_TEXT
from models.parameter_count import parameter_count
from screens.widgets.piece_lines import LINE_END, PieceLine, words_lines
from screens.widgets.text_fitting import Piece, fit

TRAIN, VALIDATION = "█", "▒"
SHORTEST_NAME = 16
LABEL = 10
LONGEST_TOKEN = 18
RATIOS = (0.01, 1000.0)
"""Ends of the scale of tokens per parameter."""


def split_lines(of: TextSplit, width: int) -> list[PieceLine]:
    """The documents in a row, the text's length with its border, the text on both sides of it, and the share that is on both."""
    cells = max(8, width - 2)
    border = min(cells - 1, max(1, round(of.split / max(1, of.bytes) * cells)))
    share = probability(of.split / max(1, of.bytes))
    left = f"training {counted(of.split, 'byte')}, {share}"
    right = f"validation {whole(of.bytes - of.split)}"
    lines: list[PieceLine] = [documents_line(of, width)]
    if len(of.starts) > 1:
        marks = [" "] * cells
        for start in of.starts[1:]:
            marks[min(cells - 1, round(start / of.bytes * cells))] = "╷"
        lines.append([(" " + "".join(marks), "dim")])
    lines.append([("▕", "dim"), (TRAIN * border, "train"), (VALIDATION * (cells - border), "val"), ("▏", "dim")])
    gap = width - 1 - cell_len(left) - cell_len(right)
    lines.append([(f" {left}", "train"), (" " * max(1, gap), ""), (right, "val")])
    half = (width - 3) // 2
    before, after = of.before.replace("\n", LINE_END), of.after.replace("\n", LINE_END)
    lines.append([(_tail(before, half), "text"), (" ┃ ", "title"), (fit(after, half), "text")])
    return lines + (words_lines(f"{words}.", width, "dim") if (words := describe_copied(of.copied)) else [])


def _tail(text: str, width: int) -> str:
    shown = fit(text, cell_len(text) + 1).rstrip() if text else ""
    while cell_len(shown) > width - 1:
        shown = shown[max(1, cell_len(shown) - width) :]
    return ("…" + shown).rjust(width) if text else " " * width


def documents_line(of: TextSplit, width: int) -> PieceLine:
    """The first documents with the token between them, as many as fit."""
    number = len(of.documents)
    if number == 1:
        return [("one document, so no end-of-text token", "dim")]
    line: list[Piece] = [(f"{whole(number)} documents ", "dim")]
    used = cell_len(line[0][0])
    for at, document in enumerate(of.documents):
        name = document.name if cell_len(document.name) <= SHORTEST_NAME else f"{document.name[: SHORTEST_NAME - 1]}…"
        name = f"{fit(name, cell_len(name))} {bytes_(document.bytes)}"
        token = f" {END_OF_TEXT} " if at else ""
        if used + cell_len(token) + cell_len(name) + 2 > width:
            line.append((f"{token.rstrip()} …" if used + cell_len(token) + 2 <= width else " …", "dim"))
            break
        line += [(token, "key"), (name, "text")]
        used += cell_len(token) + cell_len(name)
    return line


def size_lines(tokens: TrainingTokens, preset: str, width: int) -> list[PieceLine]:
    """Tokens, windows and parameters, and the tokens per parameter on a scale with Chinchilla's."""
    config = tokens.model(preset)
    about = "" if tokens.is_exact else "about "
    parameters = parameter_count(config)
    windows = windows_per_epoch(tokens.train_tokens, config.context)
    ratio = tokens.train_tokens / parameters
    facts = [
        f"{about}{whole(tokens.train_tokens)} training tokens in {about}{whole(windows)} windows of {config.context} an epoch",
        f"{preset}: {count(parameters)} parameters, {significant(ratio)} tokens per parameter in one epoch",
    ]
    lines: list[PieceLine] = []
    joined = " · ".join(facts)
    lines += [[(joined, "title")]] if cell_len(joined) <= width else [[(fit(fact, width), "title")] for fact in facts]
    lines.append(ratio_scale(ratio, width))
    lines += words_lines(compute_optimal_sentence(tokens.train_tokens, config), width, "dim")
    return lines


def ratio_scale(ratio: float, width: int) -> PieceLine:
    """A logarithmic scale of tokens per parameter with this text's place and Chinchilla's; an arrow beyond its ends."""
    low, high = (math.log10(end) for end in RATIOS)
    left, right = f"{RATIOS[0]:g} ", f" {RATIOS[1]:,.0f} tokens per parameter"
    cells = max(20, min(72, width - cell_len(left) - cell_len(right)))

    def place(value: float) -> int:
        return round((min(high, max(low, math.log10(max(value, 1e-9)))) - low) / (high - low) * (cells - 1))

    row = ["─"] * cells
    mark = place(COMPUTE_OPTIMAL)
    row[mark] = "┼"
    words = f"{COMPUTE_OPTIMAL:.0f}"
    at = place(ratio)
    if not mark < at <= mark + len(words) and mark + len(words) < cells:
        row[mark + 1 : mark + 1 + len(words)] = words
    sign = "◂" if ratio < RATIOS[0] else "▸" if ratio > RATIOS[1] else "●"
    row[at] = sign
    return [(left, "dim"), ("".join(row[:at]), "mark"), (sign, "title"), ("".join(row[at + 1 :]), "mark"), (right, "dim")]


def window_title(tokens: TrainingTokens, index: int, context: int) -> str:
    shown = tokens.windows_to_show(context)
    of = whole(shown) if tokens.is_exact else f"the first {whole(shown)}"
    start = index * context
    return (
        f"window {whole(index + 1)} of {of} ←/→ · tokens {whole(start + 1)} to {whole(start + context)} · position t predicts t+1"
    )


def window_lines(tokens: TrainingTokens, index: int, context: int, width: int, *, as_ids: bool) -> list[PieceLine]:
    """A window as rows of position, input and target: the target is the input moved on by one token."""
    if not tokens.windows_to_show(context):
        return words_lines(f"The training part has fewer than {context + 1} tokens: not one window of {context}.", width, "wrong")
    window = tokens.window(index, context)
    names = [str(id) if as_ids else tokens.tokenizer.label(id) for id in window]
    cells = [fit(name, min(cell_len(name), LONGEST_TOKEN)) for name in names]
    lines: list[PieceLine] = []
    at = 0
    while at < len(window) - 1:
        widths: list[int] = []
        room = width - LABEL
        while at + len(widths) < len(window) - 1:
            place = at + len(widths)
            wide = max(cell_len(cells[place]), cell_len(cells[place + 1]), len(str(place + 1)))
            if widths and sum(widths) + len(widths) + wide > room:
                break
            widths.append(min(wide, room))
        lines += [
            _row("position", [str(at + place + 1) for place in range(len(widths))], widths, "dim"),
            _row("input", cells[at : at + len(widths)], widths, "text"),
            _row("target", cells[at + 1 : at + 1 + len(widths)], widths, "val"),
            [],
        ]
        at += len(widths)
    return lines[:-1]


def _row(label: str, texts: Sequence[str], widths: Sequence[int], kind: str) -> PieceLine:
    pieces: list[Piece] = [(fit(label, LABEL), "dim")]
    for number, (text, width) in enumerate(zip(texts, widths, strict=True)):
        pieces += [("│" if number else "", "mark"), (fit(text, width), kind)]
    return pieces
