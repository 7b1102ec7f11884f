"""The study of spelling: examples, words, shares recomputed token by token, and what the recorded result says."""

import pytest
import torch

from lab.studies.spelling import BASELINE, BPE, BYTES, COUNT, LETTER, QUESTIONS, SPELLED, Sizes, Way, right_answer, study
from lab.studies.study_job import Line, Record, Rows, StudyHistory, recorded_seeds
from models.config import ModelConfig
from models.gpt import GPT
from models.tokenizers.tokenizer import Tokenizer
from tests.lab.conftest import one_core

__all__ = ["one_core"]
pytestmark = pytest.mark.usefixtures("one_core")

TINY = Sizes(words=60, held_out=12, merges=60, steps=6, batch=8, width=16, evaluations=3)
TEXT = "carrot cherry berry apple parrot mirror error barrel terror horror ferry"


@pytest.mark.parametrize(
    ("word", "letter", "count"), [("strawberry", "r", "3"), ("mirror", "r", "3"), ("apple", "p", "0"), ("ferry", "r", "2")]
)
def test_an_example_asks_for_a_letter_or_a_number_and_may_spell_first(word: str, letter: str, count: str) -> None:
    tokenizer = Tokenizer.train([TEXT], 270)
    for question, right in ((LETTER, letter), (COUNT, count)):
        assert right_answer(word, question) == right
        for spells, text in ((False, right), (True, f"{word}={right}")):
            way = Way("any", tokenizer, spells)
            prompt, answer = way.example(word, question)
            assert (tokenizer.decode(prompt), tokenizer.decode(answer)) == (f" {word}{question}=", f"{text}\n")
            assert len(answer) == len(text) + 1, "a token for each letter"
            assert prompt[:-2] == tokenizer.encode(f" {word}")


def test_shares_equal_those_of_answers_written_token_by_token() -> None:
    tokenizer, words = Tokenizer.train([TEXT], 270), TEXT.split()
    for way in (Way(BYTES, Tokenizer.bytes_(), False), Way(SPELLED, tokenizer, True)):
        shape = ModelConfig(layers=1, heads=2, width=16, context=40, vocab_size=way.tokenizer.vocab_size)
        model = GPT(shape, seed=5)
        with torch.no_grad():
            for question in QUESTIONS:
                right = 0
                for word in words:
                    ids = [*way.tokenizer.encode(f" {word}"), *way.tokenizer.encode(question), *way.tokenizer.encode("=")]
                    written = list[int]()
                    while len(written) < way.most and way.end not in written:
                        written.append(int(model(torch.tensor([ids + written]))[0, -1].argmax()))
                    right += way.tokenizer.decode(written).removesuffix("\n").split("=")[-1] == right_answer(word, question)
                assert way.share_right(model, words, question) == right / len(words)


def test_it_records_curves_tables_and_measures_of_words_that_were_kept_out() -> None:
    lines = list[Line]()
    study(Record(lines.append, 1), TINY)
    history = StudyHistory()
    history.add(lines)
    rows = history.views["tokens"]
    assert isinstance(rows, Rows)
    for word, as_bytes, as_bpe, letter, count in rows.rows:
        assert as_bytes == "│".join(f" {word}").replace(" ", "␣")
        assert str(as_bpe).replace("│", "") == f"␣{word}"
        assert (letter, count) == (str(word)[2], str(str(word).count("r")))
    for question, kind in ((LETTER, "letter"), (COUNT, "count")):
        plain, spelled = history.curves[kind], history.curves["spelled" if question == LETTER else "spelled r"]
        assert (set(plain), set(spelled)) == ({BASELINE, BYTES, BPE}, {BASELINE, BPE, SPELLED})
        assert [x for x, _ in plain[BYTES]] == [16, 32, 48]
        assert plain[BYTES][-1][1] == history.measures[f"bytes_{kind}"]
        assert spelled[SPELLED][-1][1] == history.measures[f"spelled_{kind}"]
        assert plain[BASELINE] == [(0.0, history.measures[f"baseline_{kind}"]), (48.0, history.measures[f"baseline_{kind}"])]
    assert history.share == 1.0


def test_the_recorded_result_has_what_the_lesson_says() -> None:
    seeds = recorded_seeds("spelling")
    for history in seeds:
        has_what_the_lesson_says(history)
    above = [float(each.measures["bpe_count"]) - float(each.measures["baseline_count"]) for each in seeds]
    assert min(above) >= 0, "at worst as right as always giving the most frequent answer: one seed of the five learned just that"
    assert sum(lead > 0.2 for lead in above) >= len(seeds) - 1


def has_what_the_lesson_says(history: StudyHistory) -> None:
    found = {name: float(value) for name, value in history.measures.items()}
    assert found["bytes_letter"] > 0.9
    assert found["letter_lead"] == found["bytes_letter"] - found["bpe_letter"] > 0.1
    assert min(found["spelled_letter"], found["bpe_letter"]) > found["baseline_letter"]
    assert found["count_lead"] == found["bytes_count"] - found["bpe_count"] > 0.1
    assert found["spelled_count"] > found["baseline_count"] + 0.2
    assert found["bytes_tokens"] > 2 * found["bpe_tokens"]
    answers = history.views["answers"]
    assert isinstance(answers, Rows)
    assert all(str(word).replace("│", "")[3] == right for word, right, *_ in answers.rows)
