"""The corpus in which a tokenizer's tokens are counted: its run's training part, else the text in use, else the run's text."""

from collections.abc import Callable

from lab.core.errors import UserError
from lab.core.number_format import bytes_
from lab.data.corpus import STDIN
from lab.data.text_source import open_corpus, sources_of
from lab.runs.find_runs import open_run
from lab.tokenization.named_tokenizer import NamedTokenizer
from lab.tokenization.token_frequencies import TokenFrequencies, frequencies_in_run, frequencies_in_text


class CountStoppedError(Exception):
    """Nobody waits for the counts any more."""


class _TooLongError(Exception):
    """The text is longer than is counted unasked."""


def frequencies_for(
    named: NamedTokenizer, run_name: str, source: str, encoding: str, most: int, goes_on: Callable[[], bool]
) -> tuple[TokenFrequencies | None, str]:
    """Frequencies of the tokens, or the reason why there are none: in the training part of the tokenizer's run; else in the text
    that `source` names, or where it is empty in that of the run called `run_name`.

    A text of more than `most` bytes is not counted.

    Raises:
        CountStoppedError: once `goes_on` says no.
    """

    def check(done: int, total: int) -> None:
        if not goes_on():
            raise CountStoppedError
        if named.source != "run" and done > most:
            raise _TooLongError

    try:
        if named.source == "run":
            return frequencies_in_run(open_run(named.run), check), ""
        if source:
            return frequencies_in_text(open_corpus(source, encoding or None), named.tokenizer, check), ""
        data = open_run(run_name).config.data
        if STDIN in sources_of(data.source):
            return None, "no text is in use; choose one in 2 Data"
        corpus = open_corpus(data.source, data.encoding or None, cleaning=data.cleaning)
        return frequencies_in_text(corpus, named.tokenizer, check), ""
    except UserError as error:
        return None, str(error)
    except _TooLongError:
        return None, f"not counted: the text in use is longer than {bytes_(most)}"
