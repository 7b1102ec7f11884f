"""The corpus in which a tokenizer's tokens are counted: its run's training part, else the text in use."""

from collections.abc import Callable

from lab.core.errors import UserError
from lab.core.number_format import bytes_
from lab.data.text_source import open_corpus
from lab.runs.find_runs import open_run
from lab.tokenization.named_tokenizer import NamedTokenizer
from lab.tokenization.token_frequencies import TokenFrequencies, frequencies_in_run, frequencies_in_text


class CountStoppedError(Exception):
    """Nobody waits for the counts any more."""


class _TooLongError(Exception):
    """The text is longer than is counted unasked."""


def frequencies_for(
    named: NamedTokenizer, source: str, encoding: str, most: int, goes_on: Callable[[], bool]
) -> tuple[TokenFrequencies | None, str]:
    """Frequencies of the tokens in the run's training part, or in the text that `source` names, or the reason why there are none.

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
        if not source:
            return None, "no text is in use; choose one in 2 Data"
        return frequencies_in_text(open_corpus(source, encoding or None), named.tokenizer, check), ""
    except UserError as error:
        return None, str(error)
    except _TooLongError:
        return None, f"not counted: the text in use is longer than {bytes_(most)}"
