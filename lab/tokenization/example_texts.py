"""Example texts on which tokenizers differ, each with the sentence on what these tokenizers do with it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.core.number_format import significant
from lab.tokenization.tokenized_text import TokenizedText

if TYPE_CHECKING:
    pass


NUMBER = "1234567"
FAMILY = "👩\u200d💻"
LANGUAGES = {
    "English": "The dog ran home.",
    "German": "Der Hund lief nach Hause.",
    "Russian": "Собака побежала домой.",
    "Chinese": "狗跑回家了。",
    "Hindi": "कुत्ता घर भाग गया।",
}
WORDS = ("running", "runs", "ran")
Titled = Sequence[tuple[str, TokenizedText]]
"""A text as tokenizers of these names cut it."""


@dataclass(frozen=True)
class TextExample:
    """A text, and the function that says what these tokenizers do with it."""

    title: str
    text: str
    sentence: Callable[[Titled], str]


def tokens_of(tokenized: TokenizedText, part: str) -> list[int]:
    """Ids of the tokens that hold characters of the first occurrence of a part of the text."""
    first = tokenized.text.index(part)
    end = first + len(part)
    spans = zip(tokenized.ids, tokenized.first_characters.tolist(), tokenized.end_characters.tolist(), strict=True)
    return [id for id, start, stop in spans if start < end and stop > first]


def _cut(tokenized: TokenizedText, part: str) -> str:
    """`123|45|67`: a part of the text with a bar between its tokens."""
    return "|".join(tokenized.tokenizer.label(id).strip() for id in tokens_of(tokenized, part))


def _forms_of_a_word(texts: Titled) -> str:
    said = []
    for title, tokenized in texts:
        words = [set(tokens_of(tokenized, word)) for word in WORDS]
        shared = set.intersection(*words)
        labels = " and ".join(f'"{tokenized.tokenizer.label(id)}"' for id in sorted(shared))
        cut = ", ".join(_cut(tokenized, word) for word in WORDS)
        said.append(f"{title} cuts {cut}: " + (f"all three share {labels}" if shared else "no token is in all three"))
    return f"{'; '.join(said)}."


def _numbers(texts: Titled) -> str:
    cuts = ", ".join(f"{_cut(tokenized, NUMBER)} in {title}" for title, tokenized in texts)
    uneven = [title for title, tokenized in texts if len(tokens_of(tokenized, NUMBER)) < len(NUMBER)]
    if not uneven:
        return f"{NUMBER} is {cuts}: a token for each digit."
    return f"{NUMBER} is {cuts}: where digits are joined, it is because they were frequent, not by thousands or tens."


def _indentation(texts: Titled) -> str:
    said = []
    for title, tokenized in texts:
        blank = [len(data) for id in tokenized.ids if (data := tokenized.tokenizer.token_bytes(id)).strip(b" ") == b""]
        said.append(f"{len(blank)} tokens in {title}, the longest of {max(blank, default=0)}")
    return f"Spaces that stand alone: {'; '.join(said)}."


def _languages(texts: Titled) -> str:
    said = []
    for title, tokenized in texts:
        rates = [
            f"{language} {significant(len(tokens_of(tokenized, line)) / len(line), 2)}" for language, line in LANGUAGES.items()
        ]
        said.append(f"{title}: {', '.join(rates)}")
    return f"Tokens per character. {'; '.join(said)}."


def _emoji(texts: Titled) -> str:
    counts = ", ".join(f"{len(tokens_of(tokenized, FAMILY))} in {title}" for title, tokenized in texts)
    return f"{FAMILY} is one sign made of {len(FAMILY)} characters, {len(FAMILY.encode())} bytes of UTF-8; tokens: {counts}."


EXAMPLES: tuple[TextExample, ...] = (
    TextExample("forms of a word", "running runs ran\nRunning RUNNING rerunning\n", _forms_of_a_word),
    TextExample("numbers", f"7 42 365 1984 12345 {NUMBER}\n3.14159 1e-5 10,000 2+2=4\n", _numbers),
    TextExample(
        "indentation",
        "def total(numbers):\n    sum = 0\n    for n in numbers:\n        if n > 0:\n            sum += n\n    return sum\n",
        _indentation,
    ),
    TextExample("other languages", "".join(f"{line}\n" for line in LANGUAGES.values()), _languages),
    TextExample("emoji", f"🙂 👍🏽 {FAMILY} 🇫🇷\ncafé cafe\u0301 ☕\n", _emoji),
)


def example_of(text: str) -> TextExample | None:
    return next((example for example in EXAMPLES if example.text == text), None)
