"""Print tokens: those of a text in one tokenizer as a table, in several side by side, or as JSON, in a stream, whatever the
text's length; and those of a vocabulary, for `llmlab tokenize --vocabulary`."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from itertools import accumulate, islice
from typing import TYPE_CHECKING

import click
from rich.cells import cell_len

from lab.cli.output import json_line, table, wrapped, write_raw
from lab.core.errors import UserError
from lab.core.visible_text import quoted
from lab.data.corpus import Corpus
from lab.runs.find_runs import open_run
from lab.tokenization.named_tokenizer import NamedTokenizer, special_sentence
from lab.tokenization.token_frequencies import frequencies_in_text
from lab.tokenization.vocabulary_facts import FILTERS, VocabularyFacts, VocabularyFilter, facts_in_run, origin_of
from lab.tokenization.vocabulary_index import VocabularyIndex, VocabularyOrder, parse_query

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer

BYTES_WIDTH = 24
"""Columns of a token's bytes in hexadecimal: eight bytes; a longer token pushes its text aside."""
SIDE_WIDTH = 26
"""Columns of a tokenizer in the table of several."""
BORDER = "│"
CELLS_KEPT = 1 << 16

Chunks = Callable[[], Iterator[tuple[str, bool]]]
"""The text, from its start whenever it is called: in chunks, each with True where a document starts."""


@dataclass
class Totals:
    tokens: int = 0
    bytes: int = 0
    characters: int = 0
    special: str = ""
    """The first text of a special token that was met."""

    def add(self, text: str, ids: Sequence[int], sizes: Sequence[int], specials: Sequence[str]) -> None:
        """Add a part of the text and its ids; `sizes` are the bytes of every token."""
        self.tokens += len(ids)
        self.bytes += sum(map(sizes.__getitem__, ids))
        self.characters += len(text)
        if not self.special:
            self.special = min((each for each in specials if each in text), key=text.index, default="")

    @property
    def a_token(self) -> tuple[float, ...]:
        """Bytes and characters a token; empty where there is none."""
        return (self.bytes / self.tokens, self.characters / self.tokens) if self.tokens else ()

    @property
    def figures(self) -> dict[str, object]:
        bytes, characters = self.a_token or (None, None)
        counts = {"token_count": self.tokens, "text_bytes": self.bytes, "characters": self.characters}
        return counts | {"bytes_per_token": bytes, "characters_per_token": characters}

    @property
    def sentence(self) -> str:
        words = f"{self.tokens} tokens, {self.bytes} bytes, {self.characters} characters"
        return words + (": {:.2f} bytes and {:.2f} characters a token".format(*self.a_token) if self.tokens else "")


def _id_width(tokenizer: "Tokenizer") -> int:
    return max(2, len(str(tokenizer.vocab_size - 1)))


def _table_line(tokenizer: "Tokenizer", id: int) -> str:
    rank = tokenizer.merge_rank(id)
    merge = str(rank + 1) if rank is not None else tokenizer.kind_of(id)
    bytes = tokenizer.token_bytes(id).hex(" ")
    return f"{id:>{_id_width(tokenizer)}}  {merge:>7}  {bytes:<{BYTES_WIDTH}}  {tokenizer.label(id)}"


def _token_facts(tokenizer: "Tokenizer", id: int) -> dict[str, object]:
    facts = {"id": id, "bytes": tokenizer.token_bytes(id).hex(), "label": tokenizer.label(id)}
    return facts | {"merge_rank": tokenizer.merge_rank(id)}


def print_tokens(chunks: Chunks, name: str, tokenizer: "Tokenizer", *, special: bool, counts_only: bool) -> None:
    """One tokenizer's tokens as a table, a line each, and their number and compression."""
    line, totals = cache(partial(_table_line, tokenizer)), Totals()
    if not counts_only:
        click.echo(f"{'id':>{_id_width(tokenizer)}}  {'merge':>7}  {'bytes':<{BYTES_WIDTH}}  token")
    for ids in _encoded(chunks, tokenizer, special, totals):
        if ids and not counts_only:
            write_raw("\n".join(map(line, ids)) + "\n")
    click.echo(("" if counts_only else "\n") + wrapped(totals.sentence))
    _say_special(name, tokenizer, totals, special)


def print_side_by_side(chunks: Chunks, tokenizers: Mapping[str, "Tokenizer"], *, special: bool, counts_only: bool) -> None:
    """The tokens of several tokenizers in columns: a line for each piece of text at whose two ends all have a border."""
    totals = {name: Totals() for name in tokenizers}
    if not counts_only:
        click.echo("  ".join(map(_padded, tokenizers)).rstrip())
    lines = _shared_lines(list(tokenizers.values()))
    encoded = [_encoded(chunks, tokenizer, special, totals[name]) for name, tokenizer in tokenizers.items()]
    for ids in zip(*encoded, strict=True):
        if not counts_only and any(ids):
            write_raw("".join(f"{line}\n" for line in lines(ids)))
    if not counts_only:
        click.echo()
    figures = [
        [name, f"{tokenizers[name].vocab_size:,}", f"{total.tokens:,}", *([f"{each:.2f}" for each in total.a_token] or ["", ""])]
        for name, total in totals.items()
    ]
    click.echo(table(["tokenizer", "vocabulary", "tokens", "bytes a token", "characters a token"], figures, (1, 2, 3, 4)))
    for name, total in totals.items():
        _say_special(name, tokenizers[name], total, special)


def write_tokens_as_json(chunks: Chunks, tokenizers: Mapping[str, "Tokenizer"], *, special: bool, counts_only: bool) -> None:
    """One object for one tokenizer; for several, their objects in a list under `tokenizers`."""
    several = len(tokenizers) > 1
    if several:
        click.echo('{"tokenizers": [')
    for number, (name, tokenizer) in enumerate(tokenizers.items(), 1):
        head = {"tokenizer": name, "vocab_size": tokenizer.vocab_size, "special": special}
        click.echo(json_line(head)[:-1] + ("" if counts_only else ', "tokens": ['))
        totals = Totals()
        item = cache(lambda id, tokenizer=tokenizer: json_line(_token_facts(tokenizer, id)))
        parts = _encoded(chunks, tokenizer, special, totals)
        _write_items([] if counts_only else list(map(item, ids)) for ids in parts)
        note = special_sentence(tokenizer, totals.special, special) if totals.special else None
        end = "" if counts_only else "\n]"
        click.echo(f"{end}, {json_line(totals.figures | {'note': note})[1:]}" + ("," if number < len(tokenizers) else ""))
    if several:
        click.echo("]}")


def _write_items(parts: Iterable[list[str]]) -> None:
    """Write the items of a JSON list, a line each, as they come."""
    separator = ""
    for items in filter(None, parts):
        write_raw(separator + ",\n".join(items))
        separator = ",\n"


def _encoded(chunks: Chunks, tokenizer: "Tokenizer", special: bool, totals: Totals) -> Iterator[list[int]]:
    """The ids of each chunk; where the tokenizer has an end-of-text token, it stands between documents, and is no text."""
    sizes = [len(tokenizer.token_bytes(id)) for id in range(tokenizer.vocab_size)]
    specials = list(tokenizer.special)
    border = [] if tokenizer.end_of_text is None else [tokenizer.end_of_text]
    first = True
    for text, starts in chunks():
        ids = tokenizer.encode(text, special=special)
        totals.add(text, ids, sizes, specials)
        if starts and not first:
            totals.tokens += len(border)
            ids = border + ids
        first = False
        yield ids


def _shared_lines(tokenizers: Sequence["Tokenizer"]) -> Callable[[Sequence[list[int]]], Iterator[str]]:
    """A function that gives the lines of a chunk as each tokenizer encodes it: the tokens between two borders that all have.
    End-of-text tokens before it get a line of their own; the cell of a word that comes again is made once."""
    sizes = [[len(tokenizer.token_bytes(id)) for id in range(tokenizer.vocab_size)] for tokenizer in tokenizers]
    labels = [tokenizer.label for tokenizer in tokenizers]
    cell = lru_cache(maxsize=CELLS_KEPT)(lambda which, ids: _padded(BORDER.join(map(labels[which], ids))))

    def line(ids: Sequence[list[int]], starts: Sequence[int], stops: Sequence[int]) -> str:
        cells = (cell(which, tuple(ids[which][starts[which] : stops[which]])) for which in range(len(ids)))
        return "  ".join(cells).rstrip()

    def lines(ids: Sequence[list[int]]) -> Iterator[str]:
        ends = [list(accumulate(map(each.__getitem__, tokens))) for each, tokens in zip(sizes, ids, strict=True)]
        totals, at = [each[-1] for each in ends], [0] * len(ids)
        if min(totals) < max(totals):  # some have an end-of-text token for the border between two documents, and others have none
            border = [int(total == max(totals)) for total in totals]
            yield line(ids, at, border)
            at, ends = border, [[end - skipped * each[0] for end in each] for skipped, each in zip(border, ends, strict=True)]
        places = [{end: place + 1 for place, end in enumerate(each)} for each in ends]
        for end in sorted(set.intersection(*map(set, places)) - {0}):
            stops = [each[end] for each in places]
            yield line(ids, at, stops)
            at = stops

    return lines


def _padded(text: str) -> str:
    return text + " " * (SIDE_WIDTH - cell_len(text))


def _say_special(name: str, tokenizer: "Tokenizer", totals: Totals, special: bool) -> None:
    if totals.special:
        hint = "" if special else " --special reads it so."
        click.echo(f"{name}: {special_sentence(tokenizer, totals.special, special)}{hint}")


LINES = 1000
"""Tokens printed at a time."""
NO_BYTES = re.compile(r"\^?0x(?!(?:[0-9a-f]{2} ?)+$).+", re.IGNORECASE | re.DOTALL)
"""A malformed query for bytes. A search field takes it for text, as it may be half typed."""
FILTER_NAMES = tuple(each.replace(" ", "-") for each in FILTERS)
"""The filters as the command line has them."""


def list_vocabulary(
    name: str,
    named: NamedTokenizer,
    corpus: Corpus | None,
    query: str,
    kept: str,
    order: VocabularyOrder,
    *,
    reverse: bool,
    limit: int | None,
    as_json: bool,
) -> None:
    """Print the tokens that the query finds and the filter keeps, with their counts in the corpus, or in a run's training part.

    `name` is the tokenizer's as the user gave it.
    Raises UserError if counts are needed and there are none."""
    which: VocabularyFilter = FILTERS[FILTER_NAMES.index(kept)]
    facts, problem = _facts(named, corpus)
    if facts.frequencies is None and (order == "frequency" or which == "never used"):
        raise UserError(problem or "Counts need a text: give a TEXT or a --file, or the tokenizer of a run.")
    if order not in facts.orders:
        raise UserError(problem or "Embeddings need a model: give the tokenizer of a trained run, without a TEXT or --file.")
    if problem:
        click.echo(f"llmlab: {problem}", err=True)
    if NO_BYTES.fullmatch(query):
        raise UserError(
            f"{quoted(query)} is not bytes in hexadecimal, two digits each, such as 0xe2 80; \\x30x at its beginning finds text."
        )
    marks = facts.index.search(parse_query(query)) & facts.marks(which)
    ids = facts.ordered(marks, order, reverse=reverse).tolist()
    shown = iter(ids if limit is None else ids[:limit])
    if as_json:
        _write_json(facts, name, shown, len(ids))
    else:
        _write_table(facts, shown, len(ids))


def _facts(named: NamedTokenizer, corpus: Corpus | None) -> tuple[VocabularyFacts, str]:
    """The facts, and the reason why a run's tokens could not be counted."""
    index = VocabularyIndex(named.tokenizer)
    if corpus is not None:
        return VocabularyFacts(index, frequencies_in_text(corpus, named.tokenizer)), ""
    if named.source == "run":
        try:
            return facts_in_run(index, open_run(named.run)), ""
        except UserError as error:
            return VocabularyFacts(index), str(error)
    return VocabularyFacts(index), ""


def _write_table(facts: VocabularyFacts, ids: Iterator[int], found: int) -> None:
    index, frequencies = facts.index, facts.frequencies
    id_width = _id_width(index.tokenizer)
    count_width = max(5, len(f"{int(frequencies.counts.max()):,}")) if frequencies is not None else 0
    counted = f"  {'count':>{count_width}}" if frequencies is not None else ""
    click.echo(f"{'id':>{id_width}}{counted}  {'bytes':<{BYTES_WIDTH}}  token = merge of")

    def line(id: int) -> str:
        count = f"  {int(frequencies.counts[id]):>{count_width},}" if frequencies is not None else ""
        parents = index.tokenizer.parents(id)
        kind = index.tokenizer.kind_of(id)
        merge = f" = {origin_of(index.tokenizer, id)}" if parents else f"  {kind}" if kind in ("special", "unused") else ""
        label = f'"{index.tokenizer.label(id)}"'
        return f"{id:>{id_width}}{count}  {index.tokens[id].hex(' '):<{BYTES_WIDTH}}  {label}{merge}"

    while part := [line(id) for id in islice(ids, LINES)]:
        click.echo("\n".join(part))
    click.echo(f"\n{found:,} of {len(index):,} tokens found. {facts.sentence}")
    if frequencies is not None:
        click.echo(facts.candidates_sentence)


def _write_json(facts: VocabularyFacts, name: str, ids: Iterator[int], found: int) -> None:
    index, frequencies, distances = facts.index, facts.frequencies, facts.distances
    head = {
        "tokenizer": name,
        "vocab_size": len(index),
        "corpus": frequencies.corpus if frequencies is not None else None,
        "corpus_tokens": frequencies.total if frequencies is not None else None,
        "bytes_per_token": facts.bytes_per_token if frequencies is not None and frequencies.total else None,
        "never_used": frequencies.never_used if frequencies is not None else None,
        "unreachable": int(index.unreachable.sum()),
        "embedding_step": distances.step if distances is not None else None,
        "found": found,
    }
    like_never_used, moved = facts.like_never_used, distances.moved if distances is not None else None

    def token(id: int) -> str:
        return json_line(
            _token_facts(index.tokenizer, id)
            | {
                "merge_of": index.tokenizer.parents(id),
                "count": int(frequencies.counts[id]) if frequencies is not None else None,
                "special": bool(index.special[id]),
                "whole_characters": not index.partial[id],
                "unreachable": bool(index.unreachable[id]),
                "embedding_like_never_used": bool(like_never_used[id]) if distances is not None else None,
                "embedding_distance_to_mean": float(distances.to_mean[id]) if distances is not None else None,
                "embedding_moved_since_init": float(moved[id]) if moved is not None else None,
            }
        )

    click.echo(json_line(head)[:-1] + ', "tokens": [')
    _write_items(iter(lambda: [token(id) for id in islice(ids, LINES)], []))
    click.echo("\n]}")
