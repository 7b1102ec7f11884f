"""Experiments that count in the run's text: its different words, and the ways in which the same tokens go on."""

import re
from bisect import bisect
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from lab.core.errors import UserError
from lab.core.number_format import counted, fixed, probability, whole
from lab.experiments.experiment_context import TRAINING, ExperimentContext, Ids, doubling
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.views.blocks import Cell, Column, Table, View
from lab.views.number_tables import number
from models.check import check
from models.config import END_OF_TEXT

MOST_TOKENS = 1 << 25
"""Tokens of each part of the text whose words are counted, from its beginning; each million takes about half a second."""
AT_ONCE = 1 << 17
"""Tokens between two checks."""

_WORD = re.compile(r"[^\W\d_]+")


def _words(context: ExperimentContext, ids: Ids) -> Iterator[list[str]]:
    """The words of tokens, some at a time; one that is cut in two is in the later."""
    rest, ids = b"", ids[:MOST_TOKENS]
    for start in range(0, len(ids), AT_ONCE):
        data = rest + context.tokenizer.decode_bytes(ids[start : start + AT_ONCE].tolist()).replace(END_OF_TEXT.encode(), b"\n")
        end = max(data.rfind(b" "), data.rfind(b"\n")) + 1 if start + AT_ONCE < len(ids) else len(data)
        rest = data[end:]
        yield _WORD.findall(data[:end].decode("utf-8", "replace"))


@experiment
def word_vocabulary(context: ExperimentContext) -> ExperimentResult:
    """Measures of the run's training text: `words`, the different ones among them, `distinct`, those of its first half,
    `distinct_half`, and their ratio `growth`; and `unknown`, the share of the validation text's `held_words` that are not in it.
    `part` is the training text, or its beginning where it has more than `MOST_TOKENS`.

    A word is a run of letters; “The” and “the” are two. Raises: UserError: if the text cannot be read, or has no words.
    """
    train, val = context.tokens()
    known, words, held, missed = dict[str, int](), 0, 0, 0  # each word with the number of words before it
    for some in _words(context, train):
        for word in some:
            known.setdefault(word, words)
            words += 1
        check()
    for some in _words(context, val):
        held, missed = held + len(some), missed + sum(word not in known for word in some)
        check()
    if words < 2:
        raise UserError(f"The text of {context.run_name} has no words of letters, so there is nothing to count.")
    places = list(known.values())
    distinct = {size: bisect(places, size - 1) for halved in range(4) if (size := words >> halved)}
    half = distinct[words // 2]
    part = TRAINING if len(train) <= MOST_TOKENS else f"beginning of the {TRAINING} ({whole(MOST_TOKENS)} tokens)"
    measures: dict[str, Measure] = {"part": part, "words": words, "distinct": len(known), "distinct_half": half}
    measures["growth"] = len(known) / half
    table = Table(
        [Column("first words of the text"), Column("different ones")],
        [[Cell(whole(n)), Cell(whole(each), value=float(each), bar=each / len(known))] for n, each in distinct.items()],
    )
    sentence = f"The {part} has {whole(words)} words, {whole(len(known))} of them different."
    if held:
        measures |= {"held_words": held, "unknown": missed / held}
        sentence += f" Of the {whole(held)} words of the validation text {probability(missed / held)} are not among them."
    missing = "" if held else f"The validation text of {context.run_name} has no words."
    return ExperimentResult(View("word_vocabulary", "a vocabulary of words", sentence, [table]), measures, missing)


FLOOR_TOKENS = 1 << 18
ONE_BY_ONE = 8
"""Context lengths up to which each has its entropy; then each is twice the one before."""


@experiment
def loss_floor(context: ExperimentContext) -> ExperimentResult:
    """Measures of the run's training text, in nats: `floor`, below which no model's mean loss can be on all its windows as long
    as this model's context, and `floor_apart`, the same on those side by side; `floor_one` and `floor_last`, with one token to go
    on and with a whole window; `decided` is the length from which on each context goes on in one way only, if there is one.

    After a context that occurs n times the best forecast is how often each token followed it, and its loss is the entropy of
    these counts (Shannon 1948). A window gives 1, 2, … tokens to go on; `floor` is the mean of these entropies.

    Raises: UserError: if the text cannot be read, or is too short.
    """
    ids = np.asarray(context.tokens()[0][:FLOOR_TOKENS], np.int64)
    window = context.config.context
    most = min(window, len(ids) // 2)
    if most < 1:
        raise UserError(f"The training text of {context.run_name} has {counted(len(ids), 'token')}; two are needed.")
    lengths = sorted({*range(1, min(ONE_BY_ONE, most) + 1), *doubling(most)})
    numbers = ids  # of each place, the number of the context that ends there: equal where its tokens are
    floors: dict[int, float] = {}
    for before, length in pairwise([0, *lengths]):
        if before:
            further = length - before
            numbers[further:] = numbers[further:] * (numbers.max() + 1) + numbers[:-further]
        numbers = np.unique(numbers, return_inverse=True)[1].astype(np.int64)
        check()
        floors[length] = _entropy(numbers[most - 1 : -1], ids[most:])  # the same places each time: more context never knows less
        check()
        if floors[length] == 0:
            break
    rows = ids[: (len(ids) - 1) // most * most].reshape(-1, most)
    following, numbers, apart = ids[1 : rows.size + 1].reshape(-1, most), rows[:, 0], list[float]()
    for column in range(most):
        apart.append(_entropy(numbers, following[:, column]))
        numbers = np.unique(numbers * (ids.max() + 1) + following[:, column], return_inverse=True)[1].astype(np.int64)
    # Between two lengths the entropy is at least that of the longer one; beyond the last, at least 0.
    total = sum((length - before) * floors[length] for before, length in pairwise([0, *floors]))
    measures: dict[str, Measure] = {
        "tokens": len(ids),
        "window": window,
        "floor": total / window,
        "floor_apart": sum(apart) / window,
        "floor_one": floors[1],
        "floor_last": floors.get(window, 0.0),
    }
    if floors[length] == 0:
        measures["decided"] = length
    table = Table(
        [Column("tokens to go on"), Column("least loss")],
        [[Cell(whole(length)), number(floor, 3, bar=floor / max(floors[1], 1e-9))] for length, floor in floors.items()],
        title=f"entropy of the next token after the same tokens, nats, in {whole(len(ids))} tokens",
        total=[Cell(f"mean of a window of {whole(window)}"), number(total / window, 3)],
    )
    sentence = (
        f"After the same token this text goes on in different ways: the least loss is {fixed(floors[1], 3)}. Over all windows of "
        f"{whole(window)} tokens no model's loss on it can be below {fixed(total / window, 3)}, over those side by side below "
        f"{fixed(sum(apart) / window, 3)}."
    )
    return ExperimentResult(View("loss_floor", "the least loss that is possible", sentence, [table]), measures)


def _entropy(contexts: Ids, following: Ids) -> float:
    """Mean entropy of what follows, over contexts that are equal where their numbers are, by counts, in nats."""
    pairs = contexts * (following.max() + 1) + following
    times, together = (np.unique(each, return_counts=True)[1] for each in (contexts, pairs))
    return max(0.0, float((times * np.log(times)).sum() - (together * np.log(together)).sum()) / len(contexts))
