"""Experiments on text and tokens: vocabularies, words and pieces, ids, the number of tokens, the rules that clean a text."""

import re
from bisect import bisect
from collections import Counter
from collections.abc import Iterator
from functools import cache

from lab.core.errors import UserError
from lab.core.number_format import bytes_, count, counted, fixed, probability, whole
from lab.data.cleaning.measure_funnel import measure_funnel
from lab.data.cleaning.rule_registry import BY_NAME
from lab.experiments.experiment_context import TRAINING, ExperimentContext, Ids
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.tokenization.learnable_text import words_of
from lab.views.blocks import Block, Cell, Column, Table, View
from lab.views.number_tables import LEFT, by_columns, integer, integers, number, share
from models.check import check
from models.config import END_OF_TEXT, TokenizerError, TokenKind
from models.tokenizers.token_labels import NO_TOKEN, printable, with_spaces
from models.tokenizers.tokenizer import Tokenizer


@cache
def gpt2_tokenizer() -> Tokenizer:
    """GPT-2's tokenizer, read once. Nothing is downloaded: the engine could answer no other request during it.

    Raises: TokenizerError: if its files are not on this machine; the message says what to do.
    """
    return Tokenizer.gpt2(download=False)


PARTS: dict[TokenKind, str] = {
    "byte": "single bytes",
    "merge": "merges",
    "special": "special tokens",
    "unused": "ids without a token",
}


@experiment
def vocabulary(context: ExperimentContext) -> ExperimentResult:
    """Measures `vocabulary`, `single_bytes`, `merges` and `special` of GPT-2, and of the run with the prefix `own_`."""
    counts_by_name: dict[str, list[int]] = {}
    measures: dict[str, Measure] = {}
    names = ("vocabulary", "single_bytes", "merges", "special")
    tokenizers, missing = _own_and_gpt2(context)
    for prefix, name, tokenizer in tokenizers:
        counts = counts_by_name[name] = parts(tokenizer)
        measures |= {prefix + measure: n for measure, n in zip(names, (sum(counts), *counts), strict=False)}
    view = View("vocabulary", "vocabulary", _vocabulary_sentence(counts_by_name), [_vocabulary_table(counts_by_name)])
    return ExperimentResult(view, measures, missing)


def parts(tokenizer: Tokenizer) -> list[int]:
    """Counts of single bytes, merges, special tokens and ids without a token, one id after the other."""
    found = Counter(map(tokenizer.kind_of, range(tokenizer.vocab_size)))
    return [found[kind] for kind in PARTS]


def _vocabulary_sentence(counts_by_name: dict[str, list[int]]) -> str:
    sums = []
    for name, counts in counts_by_name.items():
        found = [whole(count) for count in counts if count]
        sums.append(f"{name}: {' + '.join(found)} {f'= {whole(sum(counts))} ' if len(found) > 1 else ''}tokens")
    return "; ".join(sums) + "."


def _vocabulary_table(counts_by_name: dict[str, list[int]]) -> Table:
    columns = [LEFT, *(Column(name) for name in counts_by_name)]
    largest = max(max(counts) for counts in counts_by_name.values())  # one scale: the same count has the same bar
    rows = [
        [Cell(part), *(integer(n[row], n[row] / largest) for n in counts_by_name.values())]
        for row, part in enumerate(PARTS.values())
        if part != PARTS["unused"] or any(n[row] for n in counts_by_name.values())
    ]
    total = [Cell("vocabulary"), *(integer(sum(counts)) for counts in counts_by_name.values())]
    return Table(columns, rows, title="tokens, counted", total=total)


def _own_and_gpt2(context: ExperimentContext) -> tuple[list[tuple[str, str, Tokenizer]], str]:
    """The run's tokenizer and GPT-2's, each after the prefix of its measures and its name; a sentence if GPT-2's is missing."""
    own = ("own_", context.run_name, context.tokenizer)
    try:
        return [own, ("", "GPT-2", gpt2_tokenizer())], ""
    except TokenizerError as error:
        return [own], str(error).rstrip(".") + "."


ENCODE_AND_DECODE_TEXT, IDS = "The big dog ran", "91, 860, 287, 11579"
MOST = 64
"""Tokens or ids shown."""


@experiment
def encode_and_decode(context: ExperimentContext) -> ExperimentResult:
    """Measures `same`: the text's ids are the given ones; `encoded` and `decoded` as text; `own_…` with the run's tokenizer.

    Raises: UserError: if the input `ids` is no list of whole numbers, or the input `text` is empty.
    """
    text, given = context.inputs.get("text", ENCODE_AND_DECODE_TEXT), _ids(context.inputs.get("ids", IDS))
    if not text:
        raise UserError("The text to encode is empty: type a word.")
    measures: dict[str, Measure] = {}
    blocks: list[Block] = []
    tokenizers, missing = _own_and_gpt2(context)
    for prefix, name, tokenizer in reversed(tokenizers):
        encoded = tokenizer.encode(text)
        decoded = ", ".join(f"“{_label(tokenizer, id_)}”" for id_ in given)
        measures |= {f"{prefix}same": encoded == given, f"{prefix}encoded": ", ".join(map(str, encoded))}
        measures |= {f"{prefix}decoded": decoded, f"{prefix}tokens": len(encoded)}
        blocks.append(_encode_and_decode_table(f"“{printable(text.encode())}” encoded by {name}", tokenizer, encoded))
        ids = ", ".join(map(str, given[:MOST]))
        blocks.append(_encode_and_decode_table(f"the ids {ids} decoded by {name}", tokenizer, given))
    sentence = missing or _encode_and_decode_sentence(measures, text)
    return ExperimentResult(View("encode_and_decode", "text ↔ ids", sentence, blocks), measures, missing)


def _label(tokenizer: Tokenizer, id_: int) -> str:
    """The token's label; `(no token)` for an id that is not in the vocabulary."""
    return tokenizer.label(id_) if id_ < tokenizer.vocab_size else NO_TOKEN


def _encode_and_decode_sentence(measures: dict[str, Measure], text: str) -> str:
    shown = printable(text.encode())
    if measures["same"]:
        return f"GPT-2's tokenizer gives “{shown}” exactly these ids."
    return f"GPT-2's tokenizer gives “{shown}” the ids {measures['encoded']}; the given ones decode to {measures['decoded']}."


def _encode_and_decode_table(title: str, tokenizer: Tokenizer, ids: list[int]) -> Table:
    rows = [[Cell(str(id_)), Cell(_label(tokenizer, id_)), Cell(_origin(tokenizer, id_), style="dim")] for id_ in ids[:MOST]]
    return Table([Column("id"), Column("token", "left"), Column("", "left")], rows, title=title)


def _origin(tokenizer: Tokenizer, id_: int) -> str:
    if id_ >= tokenizer.vocab_size:
        return f"ids are 0 to {tokenizer.vocab_size - 1}"
    rank = tokenizer.merge_rank(id_)
    if rank is not None:
        return f"merge {rank + 1:,}"
    return {"special": "special token", "byte": "single byte"}.get(tokenizer.kind_of(id_), "")


def _ids(text: str) -> list[int]:
    parts = text.replace(",", " ").split()
    if not parts or not all(part.isascii() and part.isdecimal() and len(part) <= 9 for part in parts):
        raise UserError(f"The ids must be whole numbers with commas between them, such as {IDS}.")
    return [int(part) for part in parts]


WORDS_AND_TOKENS_SAMPLE = 50_000
"""Tokens of the run's text whose words are counted."""
LISTED = 12
TRIED = "running runs ran tokenization unbelievable"
MOST_TRIED = 20
MOST_PIECES = 6
"""Tokens per word from which on words are counted together."""

_WORD = re.compile(r" ?[^\W\d_]+")
"""A run of letters with the space before it, as GPT-2's pattern splits it off."""


@experiment
def words_and_tokens(context: ExperimentContext) -> ExperimentResult:
    """Measures `one_token`, the share of words (each as often as it occurs) that are one token, `tokens_per_word`, and
    the mean number of times that a word of one token and a split one occur, `times_whole` and `times_split`; of the words of the
    input `words`, `tried` and `tried_whole`, the number of those that are one token.

    Raises: UserError: if the run's text cannot be read, or has no words.
    """
    words = Counter(_WORD.findall(context.sample_text(WORDS_AND_TOKENS_SAMPLE)))
    if not words:
        raise UserError(f"The text of {context.run_name} has no words of letters, so there is nothing to count.")
    token_counts = {word: len(context.tokenizer.encode(word)) for word in words}
    total = words.total()
    shares = Counter[int]()
    for word, often in words.items():
        shares[min(token_counts[word], MOST_PIECES)] += often
    mean = sum(token_counts[word] * often for word, often in words.items()) / total
    measures: dict[str, Measure] = {
        "one_token": shares[1] / total,
        "tokens_per_word": mean,
        "words": total,
        "distinct_words": len(words),
        "most_tokens": max(token_counts.values()),
        **_mean_times("times_whole", [often for word, often in words.items() if token_counts[word] == 1]),
        **_mean_times("times_split", [often for word, often in words.items() if token_counts[word] > 1]),
    }
    sizes = range(1, MOST_PIECES + 1)
    tried = [(word, token_counts.get(word) or len(context.tokenizer.encode(word)), words[word]) for word in _tried(context)]
    measures |= {"tried": len(tried), "tried_whole": sum(size == 1 for _, size, _ in tried)}
    blocks: list[Block] = [
        _examples(context.tokenizer, [(word, often) for word, _, often in tried], "words tried"),
        by_columns(
            f"words by their number of tokens, {whole(total)} counted",
            ("tokens", (f"{size}{' or more' if size == MOST_PIECES else ''}" for size in sizes)),
            ("words", (integer(shares[size]) for size in sizes)),
            ("share", (share(shares[size] / total) for size in sizes)),
        ),
    ]
    split = [(word, often) for word, often in words.most_common() if token_counts[word] > 1][:LISTED]
    if split:
        blocks.append(_examples(context.tokenizer, split, "the most frequent split words"))
    sentence = (
        f"Of the words of {context.run_name}'s text ({whole(total)} counted), {probability(shares[1] / total)} are one token; a "
        f"word has {fixed(mean, 2)} tokens on average."
    )
    return ExperimentResult(View("words_and_tokens", "words and tokens", sentence, blocks), measures)


def _mean_times(name: str, times: list[int]) -> dict[str, Measure]:
    return {name: sum(times) / len(times)} if times else {}


def _tried(context: ExperimentContext) -> list[str]:
    """The words of the input, each after a space, as within a text. Raises: UserError: if there are none, or too many."""
    words = context.inputs.get("words", TRIED).split()
    if not 1 <= len(words) <= MOST_TRIED:
        raise UserError(f"The words to try must be 1 to {MOST_TRIED} with spaces between them, such as {TRIED}.")
    return [f" {word}" for word in words]


def _examples(tokenizer: Tokenizer, words: list[tuple[str, int]], title: str) -> Table:
    pieces = ("|".join(map(tokenizer.label, tokenizer.encode(word))) for word, _ in words)
    names, times = [word.strip() for word, _ in words], (whole(often) for _, often in words)
    return by_columns(title, (Column("word", "left"), names), ("times", times), (Column("tokens", "left"), pieces))


WEBTEXT_BYTES = 40e9
"""Size of WebText, GPT-2's training text: "a total of 40 GB of text" (Radford et al. 2019, section 2.1)."""
TRAINING_TOKENS_SAMPLE = 100_000
"""Tokens of the run's text that are counted."""


@experiment
def training_tokens(context: ExperimentContext) -> ExperimentResult:
    """Measures `bytes_per_token` of GPT-2's tokenizer on the run's text, and `tokens`: the input `bytes` divided by it.

    Raises: UserError: if the run's text cannot be read, or `bytes` is no number.
    """
    size = context.number("bytes", WEBTEXT_BYTES, 1, 1e15)
    text = context.sample_text(TRAINING_TOKENS_SAMPLE)
    data = text.encode()
    measures: dict[str, Measure] = {"bytes": size, "sample_bytes": len(data)}
    tokenizers, missing = _own_and_gpt2(context)
    tokenizers.reverse()
    tokens = [len(tokenizer.encode(text)) for _, _, tokenizer in tokenizers]
    lengths = [len(data) / each for each in tokens]
    sizes = [size / each for each in lengths]
    for (prefix, _, _), *found in zip(tokenizers, tokens, lengths, sizes, strict=True):
        measures |= dict(zip((f"{prefix}sample_tokens", f"{prefix}bytes_per_token", f"{prefix}tokens"), found, strict=True))
    table = by_columns(
        f"{bytes_(len(data))} of the text of {context.run_name}",
        (Column("tokenizer", "left"), (name for _, name, _ in tokenizers)),
        ("tokens of the sample", map(integer, tokens)),
        ("bytes/token", (number(each, 2) for each in lengths)),
        (f"tokens in {bytes_(size)}", (Cell(count(each), each, bar=each / max(sizes)) for each in sizes)),
    )
    name, each = tokenizers[0][1], lengths[0]
    sentence = (
        f"At {fixed(each, 2)} bytes per token of {name}'s tokenizer, {bytes_(size)} of text are {count(size / each)} tokens."
    )
    return ExperimentResult(View("training_tokens", "tokens of a training text", sentence, [table]), measures, missing)


PHRASE = "running runs ran"
MOST_WORDS, MOST_CHARACTERS = 40, 400


@experiment
def pieces(context: ExperimentContext) -> ExperimentResult:
    """Measures `own` and `gpt2`, the numbers of tokens, `own_shared` and `gpt2_shared`, those in more than one word, and their
    numbers, `own_shared_tokens` and `gpt2_shared_tokens`. The input `phrase` is the text.

    Raises: UserError: if the phrase is empty.
    """
    phrase = context.inputs.get("phrase", PHRASE)[:MOST_CHARACTERS]
    words = words_of(phrase)[:MOST_WORDS]
    if not words:
        raise UserError("The phrase is empty: type a few words.")
    tokenizers, missing = _own_and_gpt2(context)
    found = {name: _split(tokenizer, words) for _, name, tokenizer in tokenizers}
    measures: dict[str, Measure] = {}
    for prefix, split in zip(("own", "gpt2"), found.values(), strict=False):
        shared = _shared(split)
        measures |= {prefix: sum(map(len, split)), f"{prefix}_shared": ", ".join(shared), f"{prefix}_shared_tokens": len(shared)}
    cut = {name: (Cell("│".join(each).replace(" ", "␣"), style="strong") for each in split) for name, split in found.items()}
    table = by_columns(
        "│ between tokens, ␣ for a space",
        (Column("word", "left"), (with_spaces(word.encode()) for word in words)),
        *((Column(f"tokens of {name}", "left"), cells) for name, cells in cut.items()),
        total=[Cell("all"), *(Cell(whole(sum(map(len, split)))) for split in found.values())],
    )
    return ExperimentResult(View("pieces", "words as tokens", _pieces_sentence(found), [table]), measures, missing)


def _split(tokenizer: Tokenizer, words: list[str]) -> list[list[str]]:
    """The tokens of each word. BPE merges only inside words, so that each can be encoded by itself."""
    return [[tokenizer.label(id_) for id_ in tokenizer.encode(word)] for word in words]


def _shared(split: list[list[str]]) -> list[str]:
    """The tokens in more than one of the words, the longest first."""
    often = Counter(token for tokens in {tuple(tokens) for tokens in split} for token in set(tokens))
    return sorted((token for token, count in often.items() if count > 1), key=lambda token: (-len(token), token))


def _pieces_sentence(found: dict[str, list[list[str]]]) -> str:
    said = []
    for name, split in found.items():
        shared = _shared(split)
        if len(split) < 2:
            said.append(f"{name}: {counted(len(split[0]), 'token')}")
        elif shared:
            said.append(f"{name}: the words share “{shared[0]}”" + (f" and {whole(len(shared) - 1)} more" if shared[1:] else ""))
        else:
            said.append(f"{name}: no token is in two different words")
    return "; ".join(said) + "."


RULES_ALONE_TEXT = "python"
MEASURED = ("symbol-lines", "boilerplate", "duplicate-paragraphs", "duplicate-lines")
"""The rules that the lesson asks about, quick ones."""


@experiment
def rules_alone(context: ExperimentContext) -> ExperimentResult:
    """Measures, for each rule, the bytes that it takes, by its name with underscores; `most`, the title of the rule that takes
    most, its `share` of the text, and the `bytes` of the text.

    Raises: UserError: if the text does not come with this Python.
    """
    taken: dict[str, int] = {}
    size = 0
    for rule in MEASURED:
        size, taken[rule] = _measured(rule)
        check()
    order = sorted(MEASURED, key=lambda rule: -taken[rule])
    most = BY_NAME[order[0]].title
    found, largest = [taken[rule] for rule in order], max(1, taken[order[0]])
    table = by_columns(
        "",
        (Column("rule", "left"), (BY_NAME[rule].title for rule in order)),
        ("takes", (Cell(bytes_(each), float(each)) for each in found)),
        ("of the text", (Cell(probability(each / size), each / size, bar=each / largest) for each in found)),
    )
    measures: dict[str, Measure] = {rule.replace("-", "_"): taken[rule] for rule in MEASURED}
    measures |= {"most": most, "bytes": size, "share": taken[order[0]] / size}
    sentence = f"Of these rules, each by itself, “{most}” takes most of the {bytes_(size)}: {bytes_(taken[order[0]])}."
    return ExperimentResult(View("rules_alone", "each rule by itself", sentence, [table]), measures)


@cache
def _measured(rule: str) -> tuple[int, int]:
    """Bytes of the text and those that a rule takes. They never change while the lab is open."""
    funnel = measure_funnel(RULES_ALONE_TEXT, rules=(rule,))
    return funnel.raw_bytes, funnel.raw_bytes - funnel.kept_bytes


MOST_TOKENS = 1 << 25
"""Tokens of each part of the text whose words are counted, from its beginning; each million takes about half a second."""
AT_ONCE = 1 << 17
"""Tokens between two checks."""

_LETTERS = re.compile(r"[^\W\d_]+")


def _words(context: ExperimentContext, ids: Ids) -> Iterator[list[str]]:
    """The words of tokens, some at a time; one that is cut in two is in the later."""
    rest, ids = b"", ids[:MOST_TOKENS]
    for start in range(0, len(ids), AT_ONCE):
        data = rest + context.tokenizer.decode_bytes(ids[start : start + AT_ONCE].tolist()).replace(END_OF_TEXT.encode(), b"\n")
        end = max(data.rfind(b" "), data.rfind(b"\n")) + 1 if start + AT_ONCE < len(ids) else len(data)
        rest = data[end:]
        yield _LETTERS.findall(data[:end].decode("utf-8", "replace"))


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
    first_words = ("first words of the text", map(whole, distinct))
    table = by_columns("", first_words, ("different ones", integers(distinct.values())))
    sentence = f"The {part} has {whole(words)} words, {whole(len(known))} of them different."
    if held:
        measures |= {"held_words": held, "unknown": missed / held}
        sentence += f" Of the {whole(held)} words of the validation text {probability(missed / held)} are not among them."
    missing = "" if held else f"The validation text of {context.run_name} has no words."
    return ExperimentResult(View("word_vocabulary", "a vocabulary of words", sentence, [table]), measures, missing)
