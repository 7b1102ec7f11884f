"""The pieces of a typed phrase, word by word: the tokens of the run's tokenizer and of GPT-2's."""

from collections import Counter
from typing import TYPE_CHECKING

from lab.core.errors import UserError
from lab.core.number_format import whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.experiments.tokens import gpt2_tokenizer as gpt2
from lab.tokenization.bpe.word_counts import words_of
from lab.views.blocks import Cell, Column, Table, View
from models.tokenizers.token_labels import with_spaces
from models.tokenizers.tokenizer_kinds import TokenizerError

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer

PHRASE = "running runs ran"
MOST_WORDS, MOST_CHARACTERS = 40, 400


def pieces(context: ExperimentContext) -> ExperimentResult:
    """Measures `own` and `gpt2`, the numbers of tokens, `own_shared` and `gpt2_shared`, those in more than one word, and

    The input `phrase` is the text.

    Raises:
        UserError: if the phrase is empty.
    """
    phrase = context.text("phrase", PHRASE)[:MOST_CHARACTERS]
    words = words_of(phrase)[:MOST_WORDS]
    if not words:
        raise UserError("The phrase is empty: type a few words.")
    found = {context.run_name: _split(context.tokenizer, words)}
    missing = ""
    try:
        found["GPT-2"] = _split(gpt2.gpt2_tokenizer(), words)
    except TokenizerError as error:
        missing = str(error).rstrip(".") + "."
    measures: dict[str, Measure] = {}
    for prefix, split in zip(("own", "gpt2"), found.values(), strict=False):
        shared = _shared(split)
        measures |= {prefix: sum(map(len, split)), f"{prefix}_shared": ", ".join(shared), f"{prefix}_shared_tokens": len(shared)}
    columns = [Column("word", "left"), *(Column(f"tokens of {name}", "left") for name in found)]
    rows = [
        [Cell(with_spaces(word.encode())), *(Cell(_joined(split[i]), style="strong") for split in found.values())]
        for i, word in enumerate(words)
    ]
    total = [Cell("all"), *(Cell(whole(sum(map(len, split)))) for split in found.values())]
    table = Table(columns, rows, title="│ between tokens, ␣ for a space", total=total)
    return ExperimentResult(View("pieces", "words as tokens", _sentence(found), [table]), measures, missing)


def _split(tokenizer: "Tokenizer", words: list[str]) -> list[list[str]]:
    """The tokens of each word. BPE merges only inside words, so that each can be encoded by itself."""
    return [[tokenizer.label(id_) for id_ in tokenizer.encode(word)] for word in words]


def _joined(tokens: list[str]) -> str:
    """The tokens with their spaces to be seen: a space belongs to the token that it begins."""
    return "│".join(tokens).replace(" ", "␣")


def _shared(split: list[list[str]]) -> list[str]:
    """The tokens in more than one of the words, the longest first."""
    often = Counter(token for tokens in {tuple(tokens) for tokens in split} for token in set(tokens))
    return sorted((token for token, count in often.items() if count > 1), key=lambda token: (-len(token), token))


def _sentence(found: dict[str, list[list[str]]]) -> str:
    said = []
    for name, split in found.items():
        shared = _shared(split)
        if len(split) < 2:
            said.append(f"{name}: {whole(len(split[0]))} token{'s' if len(split[0]) > 1 else ''}")
        elif shared:
            said.append(f"{name}: the words share “{shared[0]}”" + (f" and {whole(len(shared) - 1)} more" if shared[1:] else ""))
        else:
            said.append(f"{name}: no token is in two different words")
    return "; ".join(said) + "."
