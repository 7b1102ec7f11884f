"""Chat: the document of a conversation, its authors, its window, and the end of answers."""

from itertools import pairwise

import pytest
import torch

from lab.training.posttraining.question_pairs import QuestionPair
from models.chat import IMPORTED, PLAIN, QUESTIONS, Chat, Template, Turn, template_of
from models.config import ModelConfig, SamplingSettings
from models.gpt import GPT
from models.tokenizers.tokenizer import Tokenizer

BYTES = Tokenizer.bytes_()
CHATML = IMPORTED[0]


def with_marks(template: Template) -> Tokenizer:
    """Bytes, and the special tokens of a template."""
    ids = {mark: 256 + at for at, mark in enumerate(sorted(template.special))}
    return Tokenizer("bytes", [bytes([byte]) for byte in range(256)], ids)


@pytest.mark.parametrize("template", IMPORTED, ids=lambda template: template.name)
def test_an_imported_run_is_written_by_the_template_of_its_special_tokens(template: Template) -> None:
    assert template_of(with_marks(template), is_tuned=False) is template


def test_other_runs_are_told_apart_by_how_they_were_trained() -> None:
    assert (template_of(BYTES, is_tuned=True), template_of(BYTES, is_tuned=False)) == (QUESTIONS, PLAIN)


def test_a_tuned_run_is_asked_as_it_was_trained() -> None:
    """The document is, token for token, the prompt of the questions that it learned from."""
    pair = QuestionPair("Once there was a cat named Rex.", "Rex", "cat", "cat")
    for tokenizer in (BYTES, Tokenizer.train([pair.prompt * 9], 300)):
        chat = Chat(tokenizer, QUESTIONS, pair.story, (Turn(pair.question),))
        assert chat.document(1000, 10).ids == tokenizer.encode(pair.prompt)
    assert QUESTIONS.system_of(pair.prompt) == pair.story
    assert PLAIN.system_of("Once there was") == ""


TWO = (Turn("hi", tuple(b" yo"), "limit"), Turn("so"))
DOCUMENTS = [
    (PLAIN, "", TWO, "User: hi\nAssistant: yo\nUser: so\nAssistant:"),
    (PLAIN, "", (Turn("hi", tuple(b" yo\nUser:"), "stop"), Turn("so")), "User: hi\nAssistant: yo\nUser: so\nAssistant:"),
    (QUESTIONS, "S.", (Turn("a?", tuple(b" cat\n"), "stop"), Turn("b?")), "S.\nQ: a?\nA: cat\nQ: b?\nA:"),
    (QUESTIONS, "S.", (Turn("a?", tuple(b" c"), "interrupt"), Turn("b?")), "S.\nQ: a?\nA: c\nQ: b?\nA:"),
    (
        CHATML,
        "Be kind.",
        (Turn("hi", tuple(b"yo"), "text"), Turn("so")),
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nyo<|im_end|>\n"
        "<|im_start|>user\nso<|im_end|>\n<|im_start|>assistant\n",
    ),
]


@pytest.mark.parametrize(("template", "system", "turns", "text"), DOCUMENTS)
def test_a_conversation_is_one_document(template: Template, system: str, turns: tuple[Turn, ...], text: str) -> None:
    """However an answer ended, its end and the next message are written once."""
    chat = Chat(with_marks(template), template, system, turns)
    assert chat.text(chat.document(1000, 10).ids) == text


def test_each_token_has_its_author_and_typed_marks_are_ordinary_text() -> None:
    tokenizer = with_marks(CHATML)
    end = tokenizer.special["<|im_end|>"]
    chat = Chat(tokenizer, CHATML, "S", (Turn("<|im_end|>", (*b"yo", end), "stop"),))
    document = chat.document(1000, 10)
    by_author = {
        name: [id for id, author in zip(document.ids, document.authors, strict=True) if author == name] for name in KINDS
    }
    assert by_author["user"] == list(b"<|im_end|>")
    assert (by_author["system"], by_author["model"], by_author["end"]) == (list(b"S"), list(b"yo"), [end])
    assert chat.answer_text(chat.turns[0]) == "yo"


KINDS = ("mark", "system", "user", "model", "end")


def test_the_first_turns_leave_a_full_context_and_the_system_prompt_stays() -> None:
    turns = tuple(Turn(f"question {n}", tuple(b" a\n"), "stop") for n in range(9))
    chat = Chat(BYTES, QUESTIONS, "STORY", (*turns, Turn("last")))
    document = chat.document(context=80, most=20)
    text = chat.text(document.ids)
    assert text.startswith("STORY\nQ: question")
    assert text.endswith("Q: last\nA:")
    assert len(document.ids) + 10 <= 80
    assert document.left_out == 9 - text.count("question")
    longer = Chat(BYTES, QUESTIONS, "STORY", chat.turns[document.left_out - 1 :])
    assert len(longer.document(1000, 20).ids) + 10 > 80  # one turn more would not fit
    assert Chat(BYTES, QUESTIONS, "S" * 99, (Turn("a"),)).document(80, 20).left_out == 0


class Scripted(GPT):
    """Gives the bytes of a text, one after the other, all probability."""

    def __init__(self, text: bytes, begins: int) -> None:
        super().__init__(ModelConfig(layers=1, heads=1, width=8, context=64, vocab_size=256))
        self.written, self.begins, self.at = text, begins, 0

    def hidden(self, ids: torch.Tensor, cache: object = None) -> torch.Tensor:
        return torch.zeros(len(ids), ids.shape[1], 8)

    def unembed(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(hidden), 256), -50.0)
        logits[:, self.written[self.at]] = 50.0
        self.at += 1
        return logits


ENDS = [
    (PLAIN, ("\nUser:",), b" hi\nUs, yes\nUser: more", " hi\nUs, yes", "stop"),
    (QUESTIONS, ("\n",), b" cat\nQ: more", " cat", "stop"),
    (QUESTIONS, ("\n", "at"), b" cat\n", " c", "text"),
    (QUESTIONS, (), b" cat\nQ: I write your turn", " cat\nQ: I writ", "limit"),
]


@pytest.mark.parametrize(("template", "stops", "written", "answer", "end"), ENDS)
def test_an_answer_ends_where_it_should(
    template: Template, stops: tuple[str, ...], written: bytes, answer: str, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is shown meanwhile is never taken back."""
    monkeypatch.setattr("models.sampling.supports_decode", lambda model, rows: False)
    chat = Chat(BYTES, template, "", (Turn("x"),), stops)
    shown = [""]
    most = 14 if end == "limit" else 40
    for chat in chat.answers(Scripted(written, 0), SamplingSettings(greedy=True), most):  # noqa: B020
        shown.append(chat.settled_text())
    assert all(after.startswith(before) for before, after in pairwise(shown))
    assert (chat.turns[-1].end, shown[-1]) == (end, answer)
    assert chat.answer_text(chat.turns[-1]) == answer
    if end == "stop":
        assert chat.document(64, 40).authors[-len(template.stop) :] == ["end"] * len(template.stop)


def test_a_long_conversation_costs_no_more_than_what_fits_into_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred turns from a pipe took four times as long as a hundred."""
    encoded: list[str] = []
    encode = Tokenizer.encode
    monkeypatch.setattr(Tokenizer, "encode", lambda self, text, **how: encoded.append(text) or encode(self, text, **how))
    turns = tuple(Turn(f"message {at}", tuple(b" yes"), "limit") for at in range(400))
    counts = []
    for count in (50, 400):
        encoded.clear()
        document = Chat(BYTES, PLAIN, "", (*turns[:count], Turn("x"))).document(256, 40)
        counts.append(len(encoded))
        assert len(document.ids) <= 256 - 32
    assert counts[0] == counts[1]
