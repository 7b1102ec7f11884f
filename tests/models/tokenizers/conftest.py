"""A tokenizer of each kind."""

import pytest

from models.tokenizers.tokenizer import Tokenizer
from tests.models.tokenizers.texts import TEXT


@pytest.fixture(scope="session")
def tokenizers() -> dict[str, Tokenizer]:
    return {"bytes": Tokenizer.bytes_(), "bpe": Tokenizer.train([TEXT], 340), "gpt2": Tokenizer.gpt2()}
