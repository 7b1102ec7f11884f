"""Layout of the page Clean: the rules with the funnel as bars, and one rule with its places before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.core.number_format import bytes_, counted, probability, signed_bytes, whole
from lab.data.cleaning.funnel_meter import Excerpt, ExcerptSpan, Funnel
from lab.data.cleaning.rule_registry import RULES, CleaningRule
from lab.runs.run_schema import CleaningStep
from screens.blocks.block_layout import bar
from screens.widgets.piece_lines import PieceLine, words_lines, wrap_pieces
from screens.widgets.text_fitting import Piece, fit

TITLE_WIDTH = 27
NUMBER_WIDTH = 10
SHARE_WIDTH = 7
LEAST_BAR = 6
TAKEN = "▒"
"""What a rule took of the text, behind what it left: told from `█` without colour."""
TAKEN_MARKS, ADDED_MARKS = ("[−", "−]"), ("{+", "+}")
"""Around text that a rule took, and around what it put there."""


@dataclass(frozen=True)
class RuleState:
    """The rules as the user has them now, and the last funnel, which may be of other rules."""

    rules: frozenset[str]
    selected: int
    """Index into `RULES`."""
    funnel: Funnel | None = None
    is_current: bool = False
    """True if the funnel is of these rules."""


def step_of(funnel: Funnel | None, rule: str) -> CleaningStep | None:
    """The rule's step of the funnel; None where it was off."""
    return next((step for step in funnel.steps if step.rule == rule), None) if funnel else None


def change(step: CleaningStep) -> int:
    """Bytes by which a rule changed the length of the text; negative where it took some."""
    return step.bytes_out - step.bytes_in


def funnel_bar(kept: int, taken: int, raw: int, width: int) -> list[Piece]:
    """A bar of `width` cells for `raw` bytes: what is left after a rule, then what the rule took. Anything taken shows."""
    if not raw:
        return [(" " * width, "")]
    if taken <= 0:
        text = bar((kept + taken) / raw, width)
        return [(text, "bar"), (" " * (width - len(text)), "")]
    cells = -(-min(width * 8, round((kept + taken) / raw * width * 8)) // 8)
    took = min(cells, max(1, round(taken / raw * width)))
    return [("█" * (cells - took), "bar"), (TAKEN * took, "val"), (" " * (width - cells), "")]


def funnel_lines(state: RuleState, width: int) -> list[PieceLine]:
    """The text as it is, a line per rule in the order in which they are applied, and the text that is left."""
    funnel = state.funnel
    raw = funnel.raw_bytes if funnel else 0
    bar = width - 5 - TITLE_WIDTH - NUMBER_WIDTH - SHARE_WIDTH - 2
    lines = [_end_line("raw text", raw, raw, funnel is not None, bar)]
    for at, rule in enumerate(RULES):
        is_on, step = rule.name in state.rules, step_of(funnel, rule.name)
        chosen = at == state.selected
        kind = "cursor" if chosen else "text" if is_on else "dim"
        head: list[Piece] = [("▌" if chosen else " ", "text"), (f"[{'x' if is_on else ' '}]", kind), (" ", kind)]
        head.append((fit(rule.title, TITLE_WIDTH), kind))
        lines.append([*head, *_numbers(step if is_on else None, is_on, state.is_current, raw, bar)])
    kept = funnel.kept_bytes if funnel else 0
    lines.append(_end_line("kept", kept, raw, funnel is not None, bar, old=not state.is_current))
    return lines


def _end_line(name: str, size: int, raw: int, known: bool, bar: int, *, old: bool = False) -> PieceLine:
    number = fit(bytes_(size) if known else "…", NUMBER_WIDTH, "right")
    share = fit(probability(size / raw) if known and raw else "", SHARE_WIDTH, "right")
    drawn = funnel_bar(size, 0, raw, bar) if bar >= LEAST_BAR and known else []
    return [(" " * 5 + fit(name, TITLE_WIDTH), "title"), (f"{number} {share} ", "dim" if old else "title"), *drawn]


def _numbers(step: CleaningStep | None, is_on: bool, is_current: bool, raw: int, bar: int) -> list[Piece]:
    if step is None:
        return [(fit("…" if is_on else "off", NUMBER_WIDTH, "right"), "dim")]
    number = change(step)
    words = fit(signed_bytes(number), NUMBER_WIDTH, "right")
    share = fit(_share(number, raw), SHARE_WIDTH, "right")
    pieces: list[Piece] = [(f"{words} {share} ", "text" if is_current else "dim")]
    if bar >= LEAST_BAR and number:  # a full bar beside "0%" would read as all of the text
        pieces += funnel_bar(step.bytes_out, -number, raw, bar)
    return pieces


def _share(number: int, raw: int) -> str:
    if not number or not raw:
        return "0%"
    return probability(abs(number) / raw)


def rule_lines(rule: CleaningRule, state: RuleState, excerpt: int, width: int, height: int = 0) -> list[PieceLine]:
    """A rule's effect on this text, one of its places before and after, or as many as fit, its explanation and who uses it."""
    about = words_lines(rule.explanation, width) + words_lines(rule.pipelines, width, "dim")
    about += words_lines(f"Here: {rule.difference}", width, "dim") if rule.difference else []
    step = step_of(state.funnel, rule.name) if rule.name in state.rules else None
    lines: list[PieceLine] = []
    if step is not None and state.funnel is not None:
        lines += words_lines(effect_sentence(step, state.funnel.raw_bytes), width, "title" if state.is_current else "dim")
        reasons = state.funnel.reasons.get(rule.name, ())
        if reasons:
            counts = " · ".join(f"{each.reason} {whole(each.passages)}" for each in reasons)
            lines += words_lines(counts, width, "dim")
        excerpts = state.funnel.excerpts.get(rule.name, ())
        for at in range(len(excerpts)):
            place = excerpt_lines(excerpts, (excerpt + at) % len(excerpts), width)
            if at and len(lines) + len(place) + len(about) > height:
                break
            lines += place
    return lines + about


def effect_sentence(step: CleaningStep, raw: int) -> str:
    parts = []
    if step.passages_removed:
        parts.append(f"removed {counted(step.passages_removed, 'passage')} ({bytes_(step.removed)})")
    if step.passages_changed:
        parts.append(f"changed {counted(step.passages_changed, 'passage')} ({bytes_(step.before)} into {bytes_(step.after)})")
    if not parts:
        return "Nothing in this text to take or to change."
    emptied = f"; {counted(step.documents_emptied, 'document')} emptied" if step.documents_emptied else ""
    sentence = " and ".join(parts)
    number = change(step)
    return f"{sentence[0].upper()}{sentence[1:]}: {signed_bytes(number)}, {_share(number, raw)} of the raw text{emptied}."


def excerpt_lines(excerpts: Sequence[Excerpt], at: int, width: int) -> list[PieceLine]:
    """One real place before and after the rule. Text that was taken or added is marked by signs, and by colour and lines."""
    excerpt = excerpts[at]
    arrows = " ←/→" if len(excerpts) > 1 else ""
    reason = f" · {excerpt.reason}" if excerpt.reason else ""
    lines: list[PieceLine] = [[(f"example {at + 1} of {len(excerpts)}{arrows}{reason}", "dim")]]
    lead, spans = split_lead(excerpt)
    margin = len("before ")
    for label, left_out, marks in (("before", "added", TAKEN_MARKS), ("after", "taken", ADDED_MARKS)):
        pieces: list[Piece] = [(lead, "text")] if lead else []
        for span in spans:
            if span.kind == left_out or not span.text:
                continue
            if span.kind == "kept":
                pieces.append((span.text, "text"))
            else:
                pieces += [(marks[0], "open"), (span.text, span.kind), (marks[1], "mark")]
        body = wrap_pieces(pieces, max(8, width - margin)) or [[("nothing", "dim")]]
        lines += [[(fit("" if number else label, margin), "dim"), *line] for number, line in enumerate(body)]
    return lines


def split_lead(excerpt: Excerpt) -> tuple[str, Sequence[ExcerptSpan]]:
    """The last line with text before the first change, and the spans from that change on: it is to be in sight at once."""
    at = next((at for at, span in enumerate(excerpt.spans) if span.kind != "kept"), 0)
    before = "".join(span.text for span in excerpt.spans[:at])
    start = before.rfind("\n", 0, len(before.rstrip("\n"))) + 1
    return ("…" if start else "") + before[start:], excerpt.spans[at:]
