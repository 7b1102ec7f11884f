"""Properties of a token in its text, for probes: each a class for every place of a window, or none.

The text of a token is its bytes decoded alone, so that a character that is spread over several tokens counts as no letter.
"""

import math
import string
from collections.abc import Callable, Sequence

import numpy as np
import regex

from lab.core.errors import UserError
from lab.core.number_format import whole
from lab.experiments.experiment_context import Ids
from models.check import check
from models.tokenizers.tokenizer import Tokenizer

NONE = -1
"""Class of a place that has none: it is not asked about."""
MOST_CLASSES = 30
"""Classes of the property `token two back`: its most frequent tokens."""
LONGEST_WORD = 8
"""Letters from which on words count as one class."""
LINE_PARTS, LINE_PART = 6, 10
"""Classes of the position in a line, and characters of each; the last one has all further ones."""
LONGEST_PATTERN, MOST_REPEATS, PATTERN_SECONDS = 500, 10_000, 1.0
"""Of a typed pattern: its characters, the product of the numbers of times that it must repeat things, which the package `regex`
writes out in memory, and the longest time in all windows."""
_LEAST_TIMES = regex.compile(r"\{(\d+)")

Labels = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Property = Callable[[Sequence[str]], list[int]]
"""The texts of a window's tokens in, a class for each of them out."""


def space_follows(texts: Sequence[str]) -> list[int]:
    """1 where the next token begins with a space or a line break, else 0."""
    return [int(after[:1].isspace()) for after in texts[1:]] + [NONE]


def place_in_line(texts: Sequence[str]) -> list[int]:
    """Characters since the last line break, in tens; none before the first break of the window."""
    found, since = list[int](), None
    for text in texts:
        found.append(NONE if since is None else min(since // LINE_PART, LINE_PARTS - 1))
        head, line_break, tail = text.rpartition("\n")
        since = len(tail) if line_break else None if since is None else since + len(head) + len(tail)
    return found


def inside_quotes(texts: Sequence[str]) -> list[int]:
    """1 where a quotation is open after the token; a line break closes it. None before the first break of the window."""
    found, is_open = list[int](), None
    for text in texts:
        for character in text:
            if character == "\n":
                is_open = False
            elif is_open is not None and character in '"“”„«»':
                is_open = {'"': not is_open, "“": True, "„": True, "«": True}.get(character, False)
        found.append(NONE if is_open is None else int(is_open))
    return found


def first_letter(texts: Sequence[str]) -> list[int]:
    """The first letter of the word that the token ends in, a to z as 0 to 25; none where it ends in no such word."""
    found, word = list[int](), ""
    for text in texts:
        word = (word + text).rpartition(" ")[2].lower()
        word = word[next((len(word) - at for at, letter in enumerate(reversed(word)) if not letter.isalpha()), 0) :]
        found.append(string.ascii_lowercase.find(word[0]) if word else NONE)
    return found


def word_length(texts: Sequence[str]) -> list[int]:
    """Letters of the word so far, at most `LONGEST_WORD`; 0 after anything else than a letter."""
    found, length = list[int](), 0
    for text in texts:
        for letter in text:
            length = length + 1 if letter.isalpha() else 0
        found.append(min(length, LONGEST_WORD))
    return found


LETTERS_SO_FAR = [*map(str, range(LONGEST_WORD)), f"{LONGEST_WORD} or more"]
TENS = [f"{part * LINE_PART}–{(part + 1) * LINE_PART - 1}" for part in range(LINE_PARTS - 1)]

PROPERTIES: dict[str, tuple[Property, list[str]]] = {
    "space next": (space_follows, ["no space", "space"]),
    "first letter of the word": (first_letter, list(string.ascii_lowercase)),
    "letters of the word so far": (word_length, LETTERS_SO_FAR),
    "place in the line": (place_in_line, [*TENS, f"{(LINE_PARTS - 1) * LINE_PART} on"]),
    "inside quotes": (inside_quotes, ["outside", "inside"]),
}
"""Properties by name, each with the names of its classes. To add one, write its function and a line here."""
TWO_BACK, PATTERN = "token two back", "pattern"


def labels(name: str, ids: Ids, tokenizer: Tokenizer, pattern: str = "") -> tuple[Labels, list[str]]:
    """The class of every place of windows (B, T), as (B, T) with `NONE` where there is none, and the classes' names.

    Raises: UserError: if there is no such property, or the pattern is none.
    """
    if name == TWO_BACK:
        return _two_back(ids, tokenizer)
    texts = [[tokenizer.decode([id_]) for id_ in row] for row in ids.tolist()]
    if name == PATTERN:
        return _matched(texts, pattern), ["no match", "match"]
    if name not in PROPERTIES:
        raise UserError(f"There is no property called {name}; the properties are {', '.join((*PROPERTIES, TWO_BACK, PATTERN))}.")
    classes_of, class_names = PROPERTIES[name]
    return np.array([classes_of(row) for row in texts], dtype=np.int64), class_names


def _two_back(ids: Ids, tokenizer: Tokenizer) -> tuple[Labels, list[str]]:
    """The id two tokens before, among the most frequent ones."""
    earlier = ids[:, :-2]
    values, counts = np.unique(earlier, return_counts=True)
    kept = values[np.argsort(-counts, kind="stable")][:MOST_CLASSES]
    classes = np.full(int(ids.max()) + 1, NONE)
    classes[kept] = np.arange(len(kept))
    found = np.full(ids.shape, NONE, dtype=np.int64)
    found[:, 2:] = classes[earlier]
    return found, [tokenizer.label(int(id_)) for id_ in kept]


def compiled(pattern: str) -> "regex.Pattern[str]":
    """The regular expression that a user has typed. Raises UserError in a sentence that does not repeat it."""
    if not pattern:
        raise UserError("Type a regular expression, such as \\d+ for digits.")
    if len(pattern) > LONGEST_PATTERN:
        raise UserError(f"The pattern has {whole(len(pattern))} characters; type one of at most {LONGEST_PATTERN}.")
    if math.prod(max(1, int(times)) for times in _LEAST_TIMES.findall(pattern)) > MOST_REPEATS:
        raise UserError(f"The pattern repeats things more than {whole(MOST_REPEATS)} times; type a smaller number in braces.")
    try:
        return regex.compile(pattern)
    except RecursionError as error:
        raise UserError("The pattern is nested too deeply; type a simpler one.") from error
    except (regex.error, ValueError) as error:  # ValueError: flags that exclude each other
        raise UserError(f"The pattern is no regular expression: {error}.") from error


def _matched(texts: Sequence[Sequence[str]], pattern: str) -> Labels:
    """1 for each token of which a character is in a match of the regular expression, else 0."""
    expression, found = compiled(pattern), np.zeros((len(texts), len(texts[0])), dtype=np.int64)
    try:
        for row, pieces in enumerate(texts):
            ends = np.cumsum([len(piece) for piece in pieces])
            for match in expression.finditer("".join(pieces), timeout=PATTERN_SECONDS / len(texts)):
                first, last = np.searchsorted(ends, [match.start(), match.end() - 1], side="right")
                found[row, first : last + 1] |= match.end() > match.start()
            check()
    except (TimeoutError, MemoryError) as error:  # MemoryError: `regex` has a bound of its own on what a search remembers
        raise UserError("The pattern takes too long on this text; type a simpler one.") from error
    return found
