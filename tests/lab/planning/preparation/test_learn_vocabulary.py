"""A vocabulary learned in a process of its own: the same merges, cancelled at once, and a failure in words."""

from collections.abc import Iterator

import psutil  # type: ignore[import-untyped]
import pytest

from lab.core.errors import UserError
from lab.planning.preparation.learn_vocabulary import learn_in_process
from models.tokenizers.tokenizer import Tokenizer

TEXTS = ["The big dog ran — größer, 犬が走った 🐕.\n" * 50, "The cat sat.\r\n", ""] * 4


def test_the_vocabulary_is_the_one_learned_here_and_merges_are_reported() -> None:
    shares: list[float] = []
    learned = learn_in_process(TEXTS, 300, shares.append, end_of_text=True)
    assert learned.dumps() == Tokenizer.train(TEXTS, 300, end_of_text=True).dumps()
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


class CancelledError(Exception):
    pass


@pytest.mark.parametrize("cancelled", [KeyboardInterrupt, CancelledError])
def test_learning_is_cancelled_while_the_text_is_read_and_while_it_merges(cancelled: type[BaseException]) -> None:
    def text() -> Iterator[str]:
        yield "The big dog ran.\n"
        raise cancelled

    def cancel(share: float) -> None:
        raise cancelled

    before = set(psutil.Process().children())
    for texts, report in ((text(), lambda share: None), (TEXTS, cancel)):
        with pytest.raises(cancelled):
            learn_in_process(texts, 300, report, end_of_text=False)
        assert set(psutil.Process().children()) <= before


def test_a_failure_in_the_process_is_one_sentence() -> None:
    with pytest.raises(UserError, match=r"^The vocabulary could not be learned: a BPE vocabulary .*, so 255 is too small\.$"):
        learn_in_process(TEXTS, 255, lambda share: None, end_of_text=False)
