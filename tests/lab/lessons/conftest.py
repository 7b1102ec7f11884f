"""Verdicts on the claims of the lab, for models and tokenizers made for them."""

from collections.abc import Callable, Mapping

import pytest

from lab.lessons.claim import CheckedClaim, check_claim, load_claims
from models.config import END_OF_TEXT
from models.tokenizers.tokenizer import Tokenizer
from tests.lab.engine.conftest import PROMPT, TinyRun, _one_thread, shared_engine
from tests.lab.experiments.conftest import Measure, engine, make_run, measure, text_run, tiny

__all__ = ["_one_thread", "engine", "make_run", "measure", "shared_engine", "text_run", "tiny"]

Check = Callable[..., CheckedClaim]
GPT2 = "lab.experiments.tokens.gpt2_tokenizer"


@pytest.fixture
def check(measure: Measure) -> Check:
    """Checks a claim on a tiny run, with its inputs or others."""

    def run(name: str, tiny: TinyRun, prompt: str = PROMPT, inputs: Mapping[str, str] | None = None) -> CheckedClaim:
        claim = next(each for each in load_claims() if each.name == name)
        return check_claim(claim, measure(claim.experiment, tiny, prompt, inputs=claim.inputs if inputs is None else inputs))

    return run


def vocabulary_of(size: int) -> Tokenizer:
    """A tokenizer like GPT-2's, with so many tokens: bytes, others of three bytes, and the end of text."""
    tokens = [bytes([byte]) for byte in range(256)]
    tokens += [bytes((index >> 8, index & 255, 0)) for index in range(size - 257)]
    return Tokenizer("gpt2", tokens, {END_OF_TEXT: size - 1})
