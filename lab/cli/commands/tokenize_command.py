"""`llmlab tokenize`: show a text as tokens."""

import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import click

from lab.cli.command_registry import Within
from lab.cli.commands.train_command import tell_of_waiting
from lab.cli.completion import FILE, TEXT
from lab.cli.output import json_line, passing_line
from lab.core.errors import UserError
from lab.core.limits import Limit
from lab.core.number_format import counted
from lab.core.visible_text import visible
from lab.data.cleaning.rule_registry import parse_rules
from lab.tokenization.bpe_by_steps import BpeLearner, Merge
from lab.tokenization.learnable_text import LearnableText, read_training_part
from models.tokenizers.token_labels import printable

if TYPE_CHECKING:
    from lab.cli.print_tokens import Chunks
    from lab.data.corpus import Corpus
    from lab.tokenization.named_tokenizer import NamedTokenizer
    from lab.tokenization.vocabulary_index import VocabularyOrder


def learn_merges(source: str, encoding: str | None, clean: str, merges: int, as_json: bool) -> None:
    """Learn up to `merges` merges from the training part of a text, and print each at once. `clean` names cleaning rules.
    Raises UserError if the text cannot be read, or there is no such rule."""
    text = _read(source, encoding, parse_rules(clean))
    learner = BpeLearner(text.words)
    if not as_json:
        click.echo(
            f"{text.name}: {counted(learner.bytes, 'byte')}, {counted(sum(text.words.values()), 'piece')} "
            f"(words, numbers, signs), {len(text.words):,} of them different\n"
            "tied: pairs that occur as often; the one with the lowest ids goes first\n"
        )
        numbers = f"{'merge':>6} {'count':>10} {'tied':>4} {'tokens left':>12}"
        click.echo(f"{numbers}  {'id':>6} = {'left':>6} + {'right':<6}  token = pair")
    while len(learner.merges) < merges and (merge := learner.merge()):
        click.echo(_json_line(merge, learner) if as_json else _line(merge, learner))
        sys.stdout.flush()
    if len(learner.merges) < merges and not as_json:
        click.echo("Every piece is one token: there is no pair left to merge.")


def _line(merge: Merge, learner: BpeLearner) -> str:
    token, left, right = (f'"{printable(learner.vocabulary[id])}"' for id in (merge.id, merge.left, merge.right))
    numbers = f"{merge.number:>6,} {merge.count:>10,} {merge.tied if merge.tied > 1 else '':>4} {merge.tokens_left:>12,}"
    return f"{numbers}  {merge.id:>6} = {merge.left:>6} + {merge.right:<6}  {token} = {left} + {right}"


def _json_line(merge: Merge, learner: BpeLearner) -> str:
    return json_line(
        {
            "merge": merge.number,
            "id": merge.id,
            "left": merge.left,
            "right": merge.right,
            "bytes": learner.vocabulary[merge.id].hex(),
            "label": printable(learner.vocabulary[merge.id]),
            "count": merge.count,
            "tied": merge.tied,
            "tokens_left": merge.tokens_left,
        }
    )


def _read(source: str, encoding: str | None, cleaning: tuple[str, ...]) -> LearnableText:
    """The text; on a terminal, the share that has been read is shown meanwhile."""
    waits = partial(tell_of_waiting, source)
    with passing_line(sys.stderr) as show:
        return read_training_part(source, encoding, lambda share: show(f"counting words {share:.0%}"), waits, cleaning)


ORDERS = ("id", "length", "frequency", "embedding")
"""As `lab.tokenization.vocabulary_index` has them; naming them here saves the help its import."""
FILTER_NAMES = ("all", "never-used", "glitch-candidates", "half-characters")
"""As `lab.cli.print_tokens` has them."""

DEFAULT_MERGES = 100
MERGES = Limit(0, 1_000_000)
"""Merges of `--learn`."""

LISTED = Limit(1, 1 << 30)
"""Tokens that `--limit` lists."""


def tokenizer_named(name: str) -> "NamedTokenizer":
    """The tokenizer `gpt2` or `bytes`, or that of a run. Raises UserError if there is no such run, naming near ones."""
    from lab.tokenization.named_tokenizer import open_tokenizer

    match name:
        case "gpt2" | "bytes":
            return open_tokenizer(name)
        case _:
            return open_tokenizer("run", name)


def _names(given: str) -> list[str]:
    """The tokenizers that a comma-separated list names; a run whose name holds a comma is one."""
    from lab.runs.find_runs import find_run

    if "," in given:
        with suppress(UserError):
            find_run(given)
            return [given]
    return list(dict.fromkeys(name.strip() for name in given.split(",") if name.strip()))


def _corpus(file: str, encoding: str | None) -> "Corpus":
    """The text as it lies in its file, so that the ids are those of its bytes."""
    from lab.data.text_source import open_corpus

    return open_corpus(file, encoding, partial(tell_of_waiting, file), ())


def _say_what_is_not_tokenized(corpus: "Corpus | None") -> None:
    """Say on stderr where the ids are not those of the bytes of all files: a mark, another encoding, files left out."""
    if corpus is None:
        return
    from lab.data.cleaning.measure_funnel import describe_decoding

    left_out = f"left out: {corpus.left_out}" if corpus.left_out else ""
    for words in filter(None, (describe_decoding(corpus, corpus.bytes), left_out)):
        click.echo(f"llmlab: {visible(corpus.name)}: {words}.", err=True)


def _typed(text: str) -> "Corpus":
    from lab.data.corpus import Corpus, Document

    size = len(text.encode("utf-8", "replace"))
    return Corpus("the text", "", "utf-8", [Document("the text", size, lambda: [(text, size)])])


@click.command(short_help="Show a text as tokens.")
@click.argument("text", required=False)
@click.option("--file", "-f", metavar="F", type=FILE, help="Read the text from a file, or from standard input if F is -.")
@click.option("--encoding", metavar="NAME", help="Encoding of the file; UTF-8 and UTF-16 are detected.")
@click.option(
    "--tokenizer",
    default="gpt2",
    show_default=True,
    metavar="NAME[,NAME…]",
    help="gpt2, bytes, or a run for its own tokenizer. Several, with commas between, are shown side by side.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON with ids, bytes in hexadecimal, labels and merge ranks.")
@click.option("--counts", "counts_only", is_flag=True, help="Print the number of tokens and the compression alone.")
@click.option("--special", is_flag=True, help="Read <|endoftext|> as the special token; without it, it is plain text.")
@click.option(
    "--vocabulary",
    is_flag=True,
    help="List the tokens of the vocabulary, with their counts in the text or the run's training part.",
)
@click.option("--search", metavar="S", help="List tokens that hold this text; ^S begin with it, #N is an id, 0xe2 80 are bytes.")
@click.option(
    "--sort",
    "order",
    type=click.Choice(ORDERS),
    help="Order of the list (id); the longest, the most frequent, or those with the embedding nearest to the mean first.",
)
@click.option("--reverse", is_flag=True, help="List in the reverse order.")
@click.option("--only", "kept", type=click.Choice(FILTER_NAMES), help="List these tokens alone (all).")
@click.option("--limit", type=Within(LISTED), metavar="N", help="List so many tokens at most.")
@click.option(
    "--learn",
    multiple=True,
    type=TEXT,
    metavar="F",
    help="Learn BPE from F, a text as `llmlab train` takes it, and print each merge as it is learned, with --json as one object "
    "a line. Repeat it for several texts.",
)
@click.option("--merges", type=Within(MERGES), metavar="N", help=f"Merges to learn ({DEFAULT_MERGES}).")
@click.option("--clean", metavar="RULE,…", help="Cleaning rules for the text of --learn, as `llmlab train --clean` takes them.")
def tokenize(
    text: str | None,
    file: str | None,
    encoding: str | None,
    tokenizer: str,
    as_json: bool,
    counts_only: bool,
    special: bool,
    vocabulary: bool,
    search: str | None,
    order: "VocabularyOrder | None",
    reverse: bool,
    kept: str | None,
    limit: int | None,
    learn: tuple[str, ...],
    merges: int | None,
    clean: str | None,
) -> None:
    """Show TEXT as tokens: each one's id, the number of its merge, its bytes in hexadecimal, and its text.

    Without TEXT and --file, the text is read from standard input. A file is taken as it is, with its line endings. With
    --vocabulary, the tokens of the vocabulary are listed instead; glitch candidates are those that the text never uses, that
    have an embedding like theirs, or that their own text does not give back. With --learn, BPE is learned from the training
    part of a text, and each merge is printed as it is learned: the merges of a run with `--tokenizer bpe` on the same text.
    """
    if not learn and (merges is not None or clean is not None):
        option = "--clean" if merges is None else "--merges"
        raise click.UsageError(f"{option} is for --learn.")
    if learn:
        if text is not None or file is not None:
            words = "--learn takes the path of a text, and no TEXT or --file beside it; --merges is the number of merges."
            raise click.UsageError(words)
        from lab.data.text_source import joined_source

        learn_merges(joined_source(learn), encoding, clean or "", DEFAULT_MERGES if merges is None else merges, as_json)
        return
    if text is not None and file is not None:
        raise click.UsageError("Give a TEXT or a --file, not both.")
    names = _names(tokenizer)
    if not names:
        raise click.UsageError("--tokenizer names none.")
    if vocabulary:
        if len(names) > 1 or special or counts_only:
            raise click.UsageError("--vocabulary takes one tokenizer, no --special or --counts.")
        from lab.cli.print_tokens import list_vocabulary

        named = tokenizer_named(names[0])
        listed = _typed(text) if text is not None else _corpus(file, encoding) if file is not None else None
        list_vocabulary(
            names[0], named, listed, search or "", kept or "all", order or "id", reverse=reverse, limit=limit, as_json=as_json
        )
        _say_what_is_not_tokenized(listed if text is None else None)
        return
    of_the_list = {"--search": search is not None, "--sort": order, "--reverse": reverse, "--only": kept, "--limit": limit}
    if given := [option for option, value in of_the_list.items() if value]:
        words = f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} for --vocabulary."
        raise click.UsageError(words)
    from lab.cli.print_tokens import print_side_by_side, print_tokens, write_tokens_as_json

    if text is None and file is None and sys.stdin.isatty():
        raise click.UsageError("Give a TEXT, a --file, or text on standard input.")
    corpus = _corpus("-" if file is None else file, encoding) if text is None else None
    chunks: Chunks = (lambda: iter([(text or "", True)])) if corpus is None else corpus.document_chunks
    tokenizers = {name: tokenizer_named(name).tokenizer for name in names}
    if as_json:
        write_tokens_as_json(chunks, tokenizers, special=special, counts_only=counts_only)
    elif len(tokenizers) == 1:
        print_tokens(chunks, names[0], tokenizers[names[0]], special=special, counts_only=counts_only)
    else:
        print_side_by_side(chunks, tokenizers, special=special, counts_only=counts_only)
    _say_what_is_not_tokenized(corpus)
