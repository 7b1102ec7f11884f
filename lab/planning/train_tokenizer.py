"""Train a run's tokenizer: bpe learns its merges from the training part of the text only; bytes and gpt2 are fixed."""

from collections.abc import Callable

from lab.core.errors import UserError
from lab.data.corpus import Corpus
from lab.data.train_val_split import Split, TextChangedError, training_text
from lab.planning.preparation.learn_vocabulary import learn_in_process
from models.tokenizers.tokenizer import Tokenizer
from models.tokenizers.tokenizer_kinds import TokenizerError, TokenizerKind

LEARNED_HERE = 1 << 18
"""Bytes of text up to which bpe learns in this process: it takes less time than starting another."""
COUNTING = 0.85
"""Share of the time of learning that goes into reading the text and counting its words; the rest into merges."""


def train_tokenizer(
    kind: TokenizerKind, vocab_size: int, corpus: Corpus, split: Split, report: Callable[[float], None]
) -> Tokenizer:
    """The tokenizer of this kind, with an end-of-text token where there are several documents.

    `report` is called with the share of the learning that is done, and cancels by raising.

    Raises:
        UserError: if GPT-2's vocabulary cannot be found, learning fails, or (TextChangedError) the text has changed.
    """
    end_of_text = corpus.has_end_of_text
    try:
        if kind == "bytes":
            return Tokenizer.bytes_(end_of_text=end_of_text)
        if kind == "gpt2":
            return Tokenizer.gpt2()
        text = training_text(corpus, split, lambda share: report(COUNTING * share))
        if split.split <= LEARNED_HERE:
            return Tokenizer.train(text, vocab_size, end_of_text=end_of_text)
        return learn_in_process(
            text, vocab_size, lambda share: report(COUNTING + (1 - COUNTING) * share), end_of_text=end_of_text
        )
    except UnicodeDecodeError as error:
        raise TextChangedError(corpus.source) from error
    except TokenizerError as error:
        raise UserError(str(error)) from error
