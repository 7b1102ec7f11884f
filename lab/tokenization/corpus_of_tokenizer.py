"""The corpus in which a tokenizer's tokens are counted: its run's training part, else the text in use, else the run's text."""

from collections.abc import Callable
from dataclasses import replace

from lab.core.errors import UserError
from lab.core.number_format import bytes_
from lab.data.corpus import STDIN, Corpus
from lab.data.text_source import open_corpus, sources_of
from lab.runs.find_runs import open_run
from lab.runs.run_folder import Run
from lab.tokenization.named_tokenizer import NamedTokenizer
from lab.tokenization.token_frequencies import CountProgress, TokenFrequencies, frequencies_in_run, frequencies_in_text


class CountStoppedError(Exception):
    """Nobody waits for the counts any more."""


class _TooLongError(Exception):
    """The text is longer than is counted unasked."""


def counted_corpus(named: NamedTokenizer, run_name: str, source: str, encoding: str, cleaning: tuple[str, ...]) -> Run | Corpus:
    """The run whose training part is counted: the tokenizer's, or the one called `run_name` where that has the same fixed
    vocabulary and no text is chosen; else the text that `source` names as `cleaning` leaves it, or where it is empty that run's.

    Raises:
        UserError: where run or text cannot be read.
    """
    if named.source == "run":
        return _with_text(open_run(named.run))
    if not source:
        run = _with_text(open_run(run_name))
        if run.config.tokenizer.kind == named.source:
            return run
        data = run.config.data
        source, encoding, cleaning = data.source, data.encoding, data.cleaning
    if STDIN in sources_of(source):
        raise UserError("The text came from standard input, which can be read only once; choose a text in Data to count tokens.")
    return open_corpus(source, encoding or None, cleaning=cleaning)


def _with_text(run: Run) -> Run:
    """The run, if it has a text. Raises: UserError."""
    if not run.config.has_text:
        raise UserError(f"{run.name} was imported, and its training text is not here; choose a text in Data to count tokens.")
    return run


def frequencies_in(corpus: Run | Corpus, named: NamedTokenizer, progress: CountProgress | None = None) -> TokenFrequencies:
    """Frequencies of the tokenizer's tokens in what `counted_corpus` gives.

    Raises:
        UserError: where it cannot be read.
    """
    if isinstance(corpus, Corpus):
        return frequencies_in_text(corpus, named.tokenizer, progress)
    found = frequencies_in_run(corpus, progress)
    size = named.tokenizer.vocab_size
    # A run's vocabulary may have an end-of-text token more.
    return found if len(found.counts) == size else replace(found, counts=found.counts[:size])


def frequencies_for(
    named: NamedTokenizer,
    run_name: str,
    source: str,
    encoding: str,
    cleaning: tuple[str, ...],
    most: int,
    goes_on: Callable[[], bool],
) -> tuple[TokenFrequencies | None, str]:
    """Frequencies of the tokens in what `counted_corpus` gives, or the reason why there are none. A text of more than `most`
    bytes is not counted.

    Raises:
        CountStoppedError: once `goes_on` says no.
    """
    corpus: Run | Corpus | None = None

    def check(done: int, total: int) -> None:
        if not goes_on():
            raise CountStoppedError
        if isinstance(corpus, Corpus) and done > most:
            raise _TooLongError

    try:
        corpus = counted_corpus(named, run_name, source, encoding, cleaning)
        return frequencies_in(corpus, named, check), ""
    except UserError as error:
        return None, str(error)
    except _TooLongError:
        return None, f"not counted: the text in use is longer than {bytes_(most)}"
