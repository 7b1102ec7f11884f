"""`llmlab tokenize`: show a text as tokens."""

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from lab.cli.number_types import Within
from lab.cli.table_output import write_json
from lab.core.limits import Limit

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer

BYTES_WIDTH = 24
"""Columns of a token's bytes in hexadecimal: eight bytes; a longer token pushes its text aside."""

DEFAULT_MERGES = 100
MERGES = Limit(0, 1_000_000)
"""Merges of `--learn`."""


def tokenizer_named(name: str) -> "Tokenizer":
    """The tokenizer `gpt2` or `bytes`, or that of a run. Raises UserError if there is no such run, naming near ones."""
    from models.tokenizers.tokenizer import Tokenizer

    if name == "gpt2":
        return Tokenizer.gpt2()
    if name == "bytes":
        return Tokenizer.bytes_()
    from lab.runs.find_runs import open_run
    from lab.runs.load_tokenizer import tokenizer_of

    return tokenizer_of(open_run(name))


def _texts(text: str | None, file: str | None, encoding: str | None) -> Iterable[str]:
    if text is not None:
        return [text]
    if file is None and sys.stdin.isatty():
        raise click.UsageError("Give a TEXT, a --file, or text on standard input.", click.get_current_context())
    from lab.data.text_source import open_corpus

    return open_corpus("-" if file is None else file, encoding, lambda: None).chunks()


@click.command(short_help="Show a text as tokens.")
@click.argument("text", required=False)
@click.option("--file", "-f", metavar="F", help="Read the text from a file, or from standard input if F is -.")
@click.option("--encoding", metavar="NAME", help="Encoding of the file; UTF-8 and UTF-16 are detected.")
@click.option(
    "--tokenizer", default="gpt2", show_default=True, metavar="gpt2|bytes|RUN", help="A built-in tokenizer, or that of a run."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON with ids, bytes in hexadecimal and labels.")
@click.option(
    "--learn",
    multiple=True,
    metavar="F",
    help="Learn BPE from F, a text as `llmlab train` takes it, and print each merge as it is learned, with --json as one object "
    "a line. Repeat it for several texts.",
)
@click.option("--merges", type=Within(MERGES), metavar="N", help=f"Merges to learn ({DEFAULT_MERGES}).")
def tokenize(
    text: str | None,
    file: str | None,
    encoding: str | None,
    tokenizer: str,
    as_json: bool,
    learn: tuple[str, ...],
    merges: int | None,
) -> None:
    """Show TEXT as tokens: each one's id, its bytes in hexadecimal, and its text.

    Without TEXT and --file, the text is read from standard input. With --learn, BPE is learned from the training part of a text,
    and each merge is printed as it is learned: the merges of a run with `--tokenizer bpe` on the same text.
    """
    if not learn and merges is not None:
        raise click.UsageError("--merges is for --learn.", click.get_current_context())
    if learn:
        if text is not None or file is not None:
            raise click.UsageError("Give --learn alone, without a TEXT or --file.", click.get_current_context())
        from lab.cli.learn_merges import learn_merges
        from lab.data.text_source import joined_source

        learn_merges(joined_source(learn), encoding, DEFAULT_MERGES if merges is None else merges, as_json)
        return
    if text is not None and file is not None:
        raise click.UsageError("Give a TEXT or a --file, not both.", click.get_current_context())
    texts = _texts(text, file, encoding)
    vocabulary = tokenizer_named(tokenizer)

    def ids() -> Iterator[int]:
        for piece in texts:
            yield from vocabulary.encode(piece)

    if as_json:
        tokens = [{"id": id_, "bytes": vocabulary.token_bytes(id_).hex(), "label": vocabulary.label(id_)} for id_ in ids()]
        write_json({"tokenizer": tokenizer, "vocab_size": vocabulary.vocab_size, "tokens": tokens})
        return
    id_width = max(2, len(str(vocabulary.vocab_size - 1)))
    click.echo(f"{'id':>{id_width}}  {'bytes':<{BYTES_WIDTH}}  token")
    total = size = 0
    for id_ in ids():
        raw = vocabulary.token_bytes(id_)
        click.echo(f"{id_:>{id_width}}  {raw.hex(' '):<{BYTES_WIDTH}}  {vocabulary.label(id_)}")
        total, size = total + 1, size + len(raw)
    click.echo(f"\n{total} tokens, {size} bytes" + (f", {size / total:.2f} bytes a token" if total else ""))
