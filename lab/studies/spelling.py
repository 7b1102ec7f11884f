"""Study of spelling: the third letter of a word and the number of its r, with bytes, with BPE, and with BPE that spells first.

Three models of the same layers and width see the same examples: the same words and questions in the same order, one tokenizer or
the other. The words are invented, of syllables that other words have too, so that the tokens of a word kept out of training were
met in other words; their letters were never shown, but for the answers. Of a text (`record.text`) its own words are taken.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

import torch

from lab.core.errors import UserError
from lab.core.number_format import probability, whole
from lab.studies.examples import greedy_answers, train
from lab.studies.study_record import Record
from lab.training.posttraining.policy_gradient import Example
from models.config import ModelConfig
from models.gpt import GPT
from models.tokenizers.tokenizer import Tokenizer

ONSETS = (*"bcdfghklmnprstvw", "br", "ch", "cr", "dr", "fr", "gr", "pr", "st", "str", "tr")
VOWELS = (*"aeiou", "ai", "ea", "ou")
ENDS = ("", *"lmnrst", "rr")
SYLLABLES = 300
"""Different syllables that the invented words are made of."""
SHORTEST, LONGEST = 4, 12
"""Letters of a word taken from a text."""
LETTER, COUNT = "3", "r"
QUESTIONS = {LETTER: "third letter", COUNT: "number of r"}
END = "\n"
BYTES, BPE, SPELLED = WAYS = ("bytes", "BPE", "BPE, spelled first")
BASELINE = "most frequent answer"
SHOWN = 8
"""Words in a table of examples."""


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

    def word(self, word: str) -> list[int]:
        return self.tokenizer.encode(f" {word}")

    def example(self, word: str, question: str) -> Example:
        answer = f"{word}={right_answer(word, question)}" if self.spells else right_answer(word, question)
        return [*self.word(word), *self.letters(f"{question}=")], self.letters(answer + END)

    def answers(self, model: GPT, words: Sequence[str], question: str) -> list[str]:
        """What the model writes, without the end."""
        ids = greedy_answers(model, [self.example(word, question)[0] for word in words], self.end, self.most)
        return [self.tokenizer.decode(answer).removesuffix(END) for answer in ids]

    def share_right(self, model: GPT, words: Sequence[str], question: str) -> float:
        """Share of the words whose answer, after the last "=", is right."""
        written = zip(self.answers(model, words, question), words, strict=True)
        return fmean(answer.rpartition("=")[2] == right_answer(word, question) for answer, word in written)


def study(record: Record, sizes: Sizes = Sizes()) -> None:  # noqa: B008
    """Train the three models, one after the other, and ask them about the words kept out.

    Raises: UserError: if the text has too few words.
    """
    torch.set_num_threads(1)  # so small a model gains nothing by a second one
    words = _words(record, sizes)
    held, known = words[: sizes.held_out], words[sizes.held_out :]
    bpe = Tokenizer.train([" " + " ".join(known)], 256 + sizes.merges)
    ways = (Way(BYTES, Tokenizer.bytes_(), False), Way(BPE, bpe, False), Way(SPELLED, bpe, True))
    _show_words(record, held, ways)
    common = {name: Counter(right_answer(word, name) for word in known).most_common(1)[0][0] for name in QUESTIONS}
    baseline = {name: fmean(right_answer(word, name) == common[name] for word in held) for name in QUESTIONS}
    for question, title in QUESTIONS.items():
        for view, shown in ((title, "one tokenizer or the other"), (f"{title}, spelled", "what spelling it out first does")):
            record.plot(view, f"{title} of words not seen in training: {shown}", x="examples trained on")
            for at in (0, sizes.steps * sizes.batch):
                record.point(view, BASELINE, at, baseline[question])
    models, shares = {}, dict[tuple[str, str], float]()
    for way in ways:
        models[way.name] = model = _model(way, sizes, record.seed)
        for done, step in enumerate(_evaluations(model, way, known, sizes, record.seed)):
            for question, title in QUESTIONS.items():
                shares[way.name, question] = right = way.share_right(model, held, question)
                for view in (title,) * (way.name != SPELLED) + (f"{title}, spelled",) * (way.name != BYTES):
                    record.point(view, way.name, step * sizes.batch, right)
            record.done((ways.index(way) + (done + 1) / sizes.evaluations) / len(ways))
    seen = known[: sizes.held_out]
    rows: list[tuple[str | float, ...]] = [
        (way.name, *(x for name in QUESTIONS for x in (way.share_right(models[way.name], seen, name), shares[way.name, name])))
        for way in ways
    ]
    columns = [column for title in QUESTIONS.values() for column in (f"{title}: seen", "new")]
    rows.append((BASELINE, *(x for name in QUESTIONS for x in (_share(seen, name, common[name]), baseline[name]))))
    record.table("seen and new", "right answers for words seen in training, and for new ones", ["", *columns], rows)
    _show_answers(record, held, ways, models)
    _say(record, sizes, shares, baseline, {row[0]: row[1:] for row in rows})


def _share(words: Sequence[str], question: str, answer: str) -> float:
    return fmean(right_answer(word, question) == answer for word in words)


def _words(record: Record, sizes: Sizes) -> list[str]:
    """Different words in a random order, as many as the study needs."""
    order = random.Random(record.seed)
    needed = sizes.words + sizes.held_out
    if record.text:
        found = sorted({word for word in re.findall(r"[a-z]+", record.text.lower()) if SHORTEST <= len(word) <= LONGEST})
        if len(found) < needed:
            raise UserError(
                f"The text has {whole(len(found))} words of {SHORTEST} to {LONGEST} letters; {whole(needed)} are needed."
            )
        return order.sample(found, needed)
    syllables = sorted({a + b + c for a in ONSETS for b in VOWELS for c in ENDS})
    syllables = order.sample(syllables, SYLLABLES)
    invented = dict[str, None]()
    while len(invented) < needed:
        word = "".join(order.choices(syllables, k=order.choice((2, 2, 3))))
        if SHORTEST <= len(word) <= LONGEST:
            invented[word] = None
    return list(invented)


def _model(way: Way, sizes: Sizes, seed: int) -> GPT:
    shape = ModelConfig(layers=2, heads=4, width=sizes.width, context=2 * LONGEST + 8, vocab_size=way.tokenizer.vocab_size)
    return GPT(shape, seed=seed)


def _evaluations(model: GPT, way: Way, words: Sequence[str], sizes: Sizes, seed: int) -> Iterator[int]:
    """Train; the number of steps made, at each evaluation."""
    order = random.Random(seed)
    examples = [way.example(word, question) for word in words for question in QUESTIONS]
    steps = train(model, lambda: order.choices(examples, k=sizes.batch), sizes.steps, 4e-3)
    for step in steps:
        if step.number * sizes.evaluations % sizes.steps < sizes.evaluations:
            yield step.number


def _show_words(record: Record, words: Sequence[str], ways: Sequence[Way]) -> None:
    rows = [
        (word, *(pieces(way, word) for way in ways[:2]), *(right_answer(word, name) for name in QUESTIONS))
        for word in words[:SHOWN]
    ]
    record.table("tokens", "some of the words, │ between tokens", ["word", BYTES, BPE, *QUESTIONS.values()], rows)
    lengths = [fmean(len(way.word(word)) for word in words) for way in ways[:2]]
    record.measure(bytes_tokens=lengths[0], bpe_tokens=lengths[1])
    record.say("tokens", f"A word with its space is {lengths[0]:.1f} tokens as bytes and {lengths[1]:.1f} in BPE, on average.")


def pieces(way: Way, word: str) -> str:
    """The tokens of a word, as they are shown."""
    return "│".join(way.tokenizer.label(id_) for id_ in way.word(word)).replace(" ", "␣")


def _show_answers(record: Record, words: Sequence[str], ways: Sequence[Way], models: dict[str, GPT]) -> None:
    written = [way.answers(models[way.name], words[:SHOWN], LETTER) for way in ways]
    rows = [
        (pieces(ways[1], word), right_answer(word, LETTER), *answers)
        for word, *answers in zip(words[:SHOWN], *written, strict=True)
    ]
    record.table("answers", "the third letter of some new words", ["word", "right", *WAYS], rows)


def _say(
    record: Record,
    sizes: Sizes,
    shares: dict[tuple[str, str], float],
    baseline: dict[str, float],
    table: dict[str | float, tuple[str | float, ...]],
) -> None:
    """Measures, and a sentence above each view."""
    names = dict(zip(WAYS, ("bytes", "bpe", "spelled"), strict=True))
    kinds = {LETTER: "letter", COUNT: "count"}
    record.measure(
        held_out=sizes.held_out,
        words=sizes.words,
        examples=sizes.steps * sizes.batch,
        letter_lead=shares[BYTES, LETTER] - shares[BPE, LETTER],
        **{f"{names[way]}_{kinds[question]}": share for (way, question), share in shares.items()},
        **{f"baseline_{kinds[question]}": share for question, share in baseline.items()},
        **{f"{names[way]}_{kind}_seen": table[way][2 * at] for way in WAYS for at, kind in enumerate(kinds.values())},
    )

    def percent(way: str, question: str) -> str:
        return probability(shares[way, question], 0)

    for question, title in QUESTIONS.items():
        always = f"always giving the most frequent answer: {probability(baseline[question], 0)}"
        record.say(title, f"At the end: bytes {percent(BYTES, question)} right, BPE {percent(BPE, question)}; {always}.")
        record.say(
            f"{title}, spelled",
            f"At the end: BPE {percent(BPE, question)} right, spelled first {percent(SPELLED, question)}; {always}.",
        )
    record.say(
        "seen and new",
        f"The third letter with BPE: {probability(float(table[BPE][0]), 0)} right for words seen in training, "
        f"{percent(BPE, LETTER)} for new ones. Words seen can be learned by heart.",
    )
