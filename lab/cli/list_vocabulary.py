"""List the tokens of a vocabulary: `llmlab tokenize --vocabulary`, as a table or JSON."""

import re
import sys
from collections.abc import Iterator
from itertools import islice

import click

from lab.cli.output import json_line
from lab.cli.tokenize_texts import BYTES_WIDTH
from lab.core.errors import UserError
from lab.core.visible_text import quoted
from lab.data.corpus import Corpus
from lab.runs.find_runs import open_run
from lab.tokenization.named_tokenizer import NamedTokenizer
from lab.tokenization.token_frequencies import frequencies_in_text
from lab.tokenization.vocabulary_facts import FILTERS, VocabularyFacts, VocabularyFilter, facts_in_run, origin_of
from lab.tokenization.vocabulary_index import VocabularyIndex, VocabularyOrder, parse_query

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

    Raises:
        UserError: if counts are needed and there are none.
    """
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
    id_width = max(2, len(str(len(index) - 1)))
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
        tokenizer = index.tokenizer
        return json_line(
            {
                "id": id,
                "bytes": index.tokens[id].hex(),
                "label": tokenizer.label(id),
                "merge_rank": tokenizer.merge_rank(id),
                "merge_of": tokenizer.parents(id),
                "count": int(frequencies.counts[id]) if frequencies is not None else None,
                "special": bool(index.special[id]),
                "whole_characters": not index.partial[id],
                "unreachable": bool(index.unreachable[id]),
                "embedding_like_never_used": bool(like_never_used[id]) if distances is not None else None,
                "embedding_distance_to_mean": float(distances.to_mean[id]) if distances is not None else None,
                "embedding_moved_since_init": float(moved[id]) if moved is not None else None,
            }
        )

    click.echo(json_line(head)[:-1] + ', "tokens": [', nl=False)
    separator = "\n"
    while part := [token(id) for id in islice(ids, LINES)]:
        click.echo(separator + ",\n".join(part), nl=False)
        separator = ",\n"
    click.echo("\n]}")
    sys.stdout.flush()
