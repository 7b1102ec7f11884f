"""Study of spelling: the third letter of a word and the number of its r, with bytes, with BPE, and with BPE that spells first.

Three models of the same layers and width see the same examples: the same words and questions in the same order, one tokenizer or
the other. The words are invented, of syllables that other words have too, so that the tokens of a word kept out of training were
met in other words; their letters were never shown, but for the answers.
"""

import random
from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from lab.studies.study_job import Record
from lab.training.posttraining.answers import Example, greedy_answers
from lab.training.posttraining.sft_and_rl import train
from models.config import ModelConfig
from models.gpt import GPT
from models.tokenizers.tokenizer import Tokenizer

ONSETS = (*"bcdfghklmnprstvw", "br", "ch", "cr", "dr", "fr", "gr", "pr", "st", "str", "tr")
VOWELS = (*"aeiou", "ai", "ea", "ou")
ENDS = ("", *"lmnrst", "rr")
SYLLABLES, SHORTEST, LONGEST = 300, 4, 12
"""Different syllables that the invented words are made of, and the letters of a word."""
LETTER, COUNT = "3", "r"
QUESTIONS = {LETTER: "third letter", COUNT: "number of r"}
PLAIN, SPELLED_VIEW = {LETTER: "letter", COUNT: "count"}, {LETTER: "spelled", COUNT: "spelled r"}
"""Views of each question: bytes against BPE, and BPE against BPE that spells first."""
END = "\n"
BYTES, BPE, SPELLED = WAYS = ("bytes", "BPE", "BPE, spelled first")
BASELINE = "most frequent answer"
SHOWN = 8
Shares = dict[tuple[str, str], float]


class Sizes(NamedTuple):
    """Sizes of the study."""

    words: int = 2000
    held_out: int = 200
    merges: int = 500
    steps: int = 500
    batch: int = 64
    width: int = 64
    evaluations: int = 10


def right_answer(word: str, question: str) -> str:
    """The answer as it is written."""
    return word[2] if question == LETTER else str(word.count("r"))


class Way:
    """A way to put the questions to a model: a tokenizer, and whether the answer begins with the word's letters."""

    def __init__(self, name: str, tokenizer: Tokenizer, spells: bool) -> None:
        self.name, self.tokenizer, self.spells = name, tokenizer, spells
        self.end = self.letters(END)[0]
        self.most = LONGEST + 4 if spells else 2
        """Longest answer in tokens."""

    def letters(self, text: str) -> list[int]:
        """The text with a token for each letter."""
        return [id_ for letter in text for id_ in self.tokenizer.encode(letter)]

    def pieces(self, word: str) -> str:
        """The tokens of a word, as they are shown."""
        return "│".join(map(self.tokenizer.label, self.tokenizer.encode(f" {word}"))).replace(" ", "␣")

    def example(self, word: str, question: str) -> Example:
        answer = f"{word}={right_answer(word, question)}" if self.spells else right_answer(word, question)
        return [*self.tokenizer.encode(f" {word}"), *self.letters(f"{question}=")], self.letters(answer + END)

    def answers(self, model: GPT, words: Sequence[str], question: str) -> list[str]:
        """Answers as the model writes them, without the end."""
        ids = greedy_answers(model, [self.example(word, question)[0] for word in words], self.end, self.most)
        return [self.tokenizer.decode(answer).removesuffix(END) for answer in ids]

    def share_right(self, model: GPT, words: Sequence[str], question: str) -> float:
        """Share of the words whose answer, after the last "=", is right."""
        written = zip(self.answers(model, words, question), words, strict=True)
        return fmean(answer.rpartition("=")[2] == right_answer(word, question) for answer, word in written)


def study(record: Record, sizes: Sizes = Sizes()) -> None:  # noqa: B008
    """Train the three models, one after the other, and ask them about the words kept out."""
    words = _words(record, sizes)
    held, known = words[: sizes.held_out], words[sizes.held_out :]
    bpe = Tokenizer.train([" " + " ".join(known)], 256 + sizes.merges)
    ways = (Way(BYTES, Tokenizer.bytes_(), False), Way(BPE, bpe, False), Way(SPELLED, bpe, True))
    _show_words(record, held, ways[0], ways[1])
    common = {name: Counter(right_answer(word, name) for word in known).most_common(1)[0][0] for name in QUESTIONS}
    baseline = {name: fmean(right_answer(word, name) == common[name] for word in held) for name in QUESTIONS}
    for question, title in QUESTIONS.items():
        for view in (PLAIN[question], SPELLED_VIEW[question]):
            record.plot(view, f"{title} of words not seen in training", x="examples trained on")
            for x in (0, sizes.steps * sizes.batch):
                record.point(view, BASELINE, x, baseline[question])
    models, shares = dict[str, GPT](), Shares()
    for at, way in enumerate(ways):
        shape = ModelConfig(layers=2, heads=4, width=sizes.width, context=2 * LONGEST + 8, vocab_size=way.tokenizer.vocab_size)
        models[way.name] = model = GPT(shape, seed=record.seed)
        examples, order = [way.example(word, question) for word in known for question in QUESTIONS], random.Random(record.seed)
        for step in train(model, lambda: order.choices(examples, k=sizes.batch), sizes.steps, 4e-3):  # noqa: B023
            if step.number * sizes.evaluations % sizes.steps < sizes.evaluations:
                for question in QUESTIONS:
                    shares[way.name, question] = right = way.share_right(model, held, question)
                    for views, not_here in ((PLAIN, SPELLED), (SPELLED_VIEW, BYTES)):
                        if way.name != not_here:
                            record.point(views[question], way.name, step.number * sizes.batch, right)
                record.done((at + step.number / sizes.steps) / len(ways))
    _show_answers(record, held[:SHOWN], ways, models)
    spelled_right, right_if_spelled = _spelling(ways[-1], models[SPELLED], held)
    record.measure(spelled_right=spelled_right, right_if_spelled=right_if_spelled)
    for question, kind in PLAIN.items():
        by_bytes, by_bpe, spelled = (shares[way, question] for way in WAYS)
        record.measure(**{f"bytes_{kind}": by_bytes, f"bpe_{kind}": by_bpe, f"spelled_{kind}": spelled})
        record.measure(**{f"{kind}_lead": by_bytes - by_bpe, f"baseline_{kind}": baseline[question]})


def _spelling(way: Way, model: GPT, words: Sequence[str]) -> tuple[float, float]:
    """Share of the words that are spelled right, and the share of right answers among these, for both questions."""
    spelled, right = 0, 0
    for question in QUESTIONS:
        for word, answer in zip(words, way.answers(model, words, question), strict=True):
            letters, _, end = answer.rpartition("=")
            spelled += letters == word
            right += letters == word and end == right_answer(word, question)
    return spelled / len(words) / len(QUESTIONS), right / spelled if spelled else 0.0


def _words(record: Record, sizes: Sizes) -> list[str]:
    """Different words in a random order, as many as the study needs."""
    order = random.Random(record.seed)
    syllables = order.sample(sorted({a + b + c for a in ONSETS for b in VOWELS for c in ENDS}), SYLLABLES)
    invented = dict[str, None]()
    while len(invented) < sizes.words + sizes.held_out:
        word = "".join(order.choices(syllables, k=order.choice((2, 2, 3))))
        if SHORTEST <= len(word) <= LONGEST:
            invented[word] = None
    return list(invented)


def _show_words(record: Record, words: Sequence[str], bytes_: Way, bpe: Way) -> None:
    rows = [(word, bytes_.pieces(word), bpe.pieces(word), *(right_answer(word, name) for name in QUESTIONS)) for word in words]
    record.table("tokens", "some of the words, │ between tokens", ["word", BYTES, BPE, "3rd", "r"], rows[:SHOWN])
    lengths = [fmean(len(way.tokenizer.encode(f" {word}")) for word in words) for way in (bytes_, bpe)]
    record.measure(bytes_tokens=lengths[0], bpe_tokens=lengths[1])


def _show_answers(record: Record, words: Sequence[str], ways: Sequence[Way], models: dict[str, GPT]) -> None:
    written = [way.answers(models[way.name], words, LETTER) for way in ways]
    rows = [(ways[1].pieces(word), right_answer(word, LETTER), *each) for word, *each in zip(words, *written, strict=True)]
    record.table("answers", "the third letter of some new words", ["word", "right", *WAYS], rows)
