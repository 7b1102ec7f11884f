"""Evidence in the training text for a predicted token: next-token counts after the same context, the longest verbatim match."""

import os
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from lab.core.errors import UserError
from lab.core.number_format import probability, significant, whole
from lab.data.token_file import TokenFile, token_dtype
from lab.inspect.logit_attribution import check_token
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Block, Cell, Column, Paragraph, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import share
from lab.views.softmax_table import softmax
from models.check import check
from models.tokenizers.token_labels import printable

Ids = np.ndarray[Any, np.dtype[Any]]

CONTEXTS = (3, 2, 1)
"""Lengths of the contexts that are counted, in tokens."""
FOLLOWERS = 8
"""Next tokens listed."""
TOKENS_AT_ONCE = 1 << 22
"""Tokens scanned at one time: some milliseconds."""


class Following(msgspec.Struct):
    """Next tokens after the last `length` tokens of the prompt, in all of the training text."""

    length: int
    occurrences: int
    followers: list[tuple[int, int]]
    """(token id, how often), the most frequent first."""
    candidate: int
    """Count of the candidate."""


class Verbatim(Following):
    """The longest end of the prompt that the training text has verbatim."""

    first: int
    """Index of the token at which it first begins; the next token is at `first + length`."""


class Evidence(msgspec.Struct):
    """Counts and match for one prediction. `searched` is the number of training tokens."""

    searched: int
    following: list[Following]
    verbatim: Verbatim | None
    """None where not even the last token occurs in the training text with something after it."""


def search(tokens: Ids, split: int, prompt: Sequence[int], candidate: int) -> Evidence:
    """Evidence in the training part [0, split) of `tokens` for `candidate` after `prompt` (token ids, not empty)."""
    train = tokens[:split]
    # ends holds, for each occurrence of the last `length` tokens of the prompt, the index of the token that follows it
    found: list[Ids] = [np.empty(0, np.int64)]
    for start in range(0, len(train) - 1, TOKENS_AT_ONCE):
        found.append(np.flatnonzero(train[start : min(start + TOKENS_AT_ONCE, len(train) - 1)] == prompt[-1]) + start + 1)
        check()
    ends = np.concatenate(found)
    following: list[Following] = []
    verbatim: Verbatim | None = None
    for length in range(1, len(prompt) + 1):
        if length > 1:
            ends = ends[ends >= length]
            ends = ends[train[ends - length] == prompt[-length]]
        if not len(ends):
            break
        followers = _count(train[ends])
        count = dict(followers).get(candidate, 0)
        if length in CONTEXTS:
            following.append(Following(length, len(ends), followers[:FOLLOWERS], count))
        verbatim = Verbatim(length, len(ends), followers[:FOLLOWERS], count, int(ends[0]) - length)
        check()
    return Evidence(len(train), following[::-1], verbatim)


def _count(ids: Ids) -> list[tuple[int, int]]:
    values, counts = np.unique(ids, return_counts=True)
    order = np.lexsort((values, -counts))
    return [(int(values[i]), int(counts[i])) for i in order]


ENOUGH = 5
"""Occurrences from which on the text's frequencies are compared with the model's probabilities."""
LONG, FEW = 12, 3
"""Fewest tokens and most occurrences of a verbatim match that counts as memorized."""
AGREE, DEVIATIONS = 1.25, 1.96
"""Factor within which the model's probability agrees with the text's frequency; and standard deviations of the count, were each
token drawn with that probability (95% of draws are within), for few occurrences."""
AROUND = 14
"""Tokens of the text shown on either side of the match."""
MATCH_SHOWN = 24
"""Tokens of the match that are shown."""

NO_TEXT = "{run} has no {file} in its folder, so its training text cannot be searched."


def evidence(context: StageContext, candidate: int | None = None) -> View:
    """The training text's evidence for `candidate` (the most probable token if None) after the prompt up to the position, with
    the tokens before the window.

    Raises:
        UserError: if the vocabulary has no such token, or the text is damaged.
    """
    check_token(context, candidate)
    prompt = context.prompt[: context.dropped + context.position + 1]
    token = context.answer if candidate is None else candidate
    name = _quoted(context, [token])
    title = f"evidence in the training text: {name}"
    run = context.opened.run
    if not run.config.has_text:
        return View("evidence", title, f"{run.name} was imported: the text that it was trained on is not here.", [])
    if not os.path.lexists(run.tokens_path):
        return View("evidence", title, NO_TEXT.format(run=run.name, file=run.tokens_path.name), [])
    text = TokenFile(run.tokens_path, token_dtype(run.config.tokenizer.vocab_size)).ids
    split = run.config.data.split
    if len(text) != run.config.data.tokens:
        raise UserError(f"{run.tokens_path} holds {whole(len(text))} tokens instead of {whole(run.config.data.tokens)}.")
    found = search(text, split, prompt, token)
    given = softmax(context.logits)
    p = float(given[token])
    blocks: list[Block] = [_counts(context, found, prompt, token, p)]
    chosen = longest_frequent(found)
    if chosen is not None:
        blocks.append(_followers(context, found, chosen, prompt, given.tolist()))
    if found.verbatim is not None:
        blocks += [_match(context, found, found.verbatim, len(prompt), text), Paragraph(_excerpt(context, found.verbatim, text))]
    return View("evidence", title, verdict(context, found, prompt, token, p), blocks)


def longest_frequent(found: Evidence) -> Following | None:
    """The longest context that the text has often enough for frequencies; else the longest that it has."""
    often = (each for each in found.following if each.occurrences >= ENOUGH)
    return next(often, found.following[0] if found.following else None)


def verdict(context: StageContext, found: Evidence, prompt: Sequence[int], token: int, p: float) -> str:
    """One sentence: memorized, as frequent as in the text, more, less, rare, or new."""
    name, model = _quoted(context, [token]), f"the model gives it {probability(p)}"
    chosen, verbatim = longest_frequent(found), found.verbatim
    if chosen is None or verbatim is None:
        return f"New: the training text never has {_quoted(context, prompt[-1:])} with a token after it; {model}."
    after, frequency = _quoted(context, prompt[-chosen.length :]), chosen.candidate / chosen.occurrences
    memorized = verbatim.length >= LONG and verbatim.occurrences <= FEW and verbatim.candidate == verbatim.occurrences
    if memorized and frequency < 0.5:
        times = "once" if verbatim.occurrences == 1 else f"{verbatim.occurrences} times"
        return (
            f"Memorized, likely: the training text has the last {verbatim.length} tokens verbatim {times}, always followed by "
            f"{name}, though after {after} alone only {_of(chosen)}; {model}."
        )
    if chosen.candidate:
        counted = f"after {after} the training text has {name} {_of(chosen)}"
        relation = compared(chosen, p)
        if relation == "About as":
            return f"About as in the text: {counted}; {model}."
        others = ", or uses more tokens" if len(prompt) > chosen.length else ""
        return f"{relation} in the text: {counted}; {model}, so it has not learned this frequency yet{others}."
    shorter = next((each for each in found.following if each.candidate), None)
    if shorter is None:
        return f"New: the training text never has {name} right after {_quoted(context, prompt[-1:])}; {model}."
    where = f"after {_quoted(context, prompt[-shorter.length :])} {_of(shorter)}"
    if shorter.length > chosen.length:
        return f"Rare: the training text has {name} {where}, a rare context; {model}."
    return f"New in this context: the training text never has {name} after {after}, only {where}; {model}."


def compared(following: Following, p: float) -> str:
    """The model's probability of the candidate beside its frequency in the text: `About as`, `More than` or `Less than`."""
    frequency = following.candidate / following.occurrences
    if abs(p - frequency) <= DEVIATIONS * (p * (1 - p) / following.occurrences) ** 0.5 or p / AGREE <= frequency <= p * AGREE:
        return "About as"
    return "More than" if p > frequency else "Less than"


def _of(following: Following) -> str:
    """`80 of 402 times (19.9%)`."""
    frequency = probability(following.candidate / following.occurrences)
    return f"{whole(following.candidate)} of {whole(following.occurrences)} times ({frequency})"


def _shown(context: StageContext, ids: Sequence[int]) -> str:
    """Tokens as one line of text."""
    return printable(context.tokenizer.decode_bytes(ids))


def _quoted(context: StageContext, ids: Sequence[int]) -> str:
    return f"“{_shown(context, ids)}”"


def _counts(context: StageContext, found: Evidence, prompt: Sequence[int], token: int, p: float) -> Table:
    """Counts of the token after the last three, two and one tokens, and the model's probability."""
    name = _quoted(context, [token])
    rows = []
    for each in found.following:
        frequency = each.candidate / each.occurrences
        most = ", ".join(f"{_shown(context, [id_]).strip()} {whole(count)}" for id_, count in each.followers[:3])
        rows.append(
            [
                Cell(_quoted(context, prompt[-each.length :])),
                Cell(whole(each.occurrences), each.occurrences, note=_counted(found, context, prompt[-each.length :])),
                Cell(whole(each.candidate), each.candidate, note=_counted(found, context, [*prompt[-each.length :], token])),
                share(frequency, note=_divided(each.candidate, each.occurrences)),
                Cell(most, style="dim"),
            ]
        )
    missing = [length for length in (3, 2, 1) if length <= len(prompt) and all(each.length != length for each in found.following)]
    for length in reversed(missing):
        never = [Cell("0", 0), Cell(""), Cell("never", style="dim"), Cell("")]
        rows.insert(0, [Cell(_quoted(context, prompt[-length:]), style="dim"), *never])
    columns = [Column("after", "left"), *map(Column, ("occurrences", name, "frequency"))]
    columns.append(Column("most frequent", "left", optional=1))
    total = [Cell("model"), Cell(""), Cell(""), share(p, ref=ref("probability", context.position, token)), Cell("")]
    return Table(columns, rows, title=f"in {whole(found.searched)} training tokens", total=total)


def _counted(found: Evidence, context: StageContext, ids: Sequence[int]) -> str:
    """Note of a count, which has no formula."""
    return f"A count: occurrences of {_quoted(context, ids)} in the {whole(found.searched)} training tokens."


def _divided(count: int, of: int) -> str:
    return f"{whole(count)} / {whole(of)} = {significant(count / of, 6)}: two counts in the training text."


def _followers(context: StageContext, found: Evidence, chosen: Following, prompt: Sequence[int], given: list[float]) -> Table:
    """The tokens that follow the chosen context in the text, with the model's probabilities."""
    rows = [
        [
            Cell(context.tokenizer.label(id_)),
            Cell(whole(count), count, note=_counted(found, context, [*prompt[-chosen.length :], id_])),
            share(count / chosen.occurrences, note=_divided(count, chosen.occurrences)),
            share(given[id_], ref=ref("probability", context.position, id_)),
        ]
        for id_, count in chosen.followers
    ]
    rest = chosen.occurrences - sum(count for _, count in chosen.followers)
    if rest:
        p = max(0.0, 1 - sum(given[id_] for id_, _ in chosen.followers))
        shares = (share(each, style="dim") for each in (rest / chosen.occurrences, p))
        rows.append([Cell("others", style="dim"), Cell(whole(rest), rest, style="dim"), *shares])
    columns = [Column("next token", align="left"), Column("count"), Column("frequency"), Column("model")]
    return Table(columns, rows, title=f"next tokens in the text after {_quoted(context, prompt[-chosen.length :])}")


def _match(context: StageContext, found: Evidence, verbatim: Verbatim, length: int, text: Ids) -> Table:
    """The longest verbatim match of the prompt's end: length, occurrences, first place, next token."""
    all_of_it = " (all of it)" if verbatim.length == length else f" of {length}"
    fraction = verbatim.first / found.searched
    following = context.tokenizer.label(int(text[verbatim.first + verbatim.length]))
    rows = [
        [Cell("length in tokens"), Cell(whole(verbatim.length) + all_of_it, verbatim.length)],
        [Cell("occurrences"), Cell(whole(verbatim.occurrences), verbatim.occurrences)],
        [Cell("first at token"), Cell(f"{whole(verbatim.first + 1)} ({probability(fraction)} in)", verbatim.first + 1)],
        [Cell("next token there"), Cell(f"“{following}”")],
    ]
    title = "longest verbatim match with the end of the prompt"
    return Table([Column("", align="left"), Column("", align="left")], rows, title=title)


def _excerpt(context: StageContext, verbatim: Verbatim, text: Ids) -> str:
    """The text around the first match, which stands between » and «."""
    end = verbatim.first + verbatim.length
    start = max(verbatim.first, end - MATCH_SHOWN)
    parts = (text[max(0, start - AROUND) : start], text[start:end], text[end : end + AROUND])
    before, match, after = (_shown(context, part.tolist()) for part in parts)
    return f"First match, between » and «: … {before}»{match}«{after} …"
