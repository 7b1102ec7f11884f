"""The study `chat`: its documents and their loss, what it counts, and the recorded result against what the lesson `chat` says."""

from typing import Any

import pytest
import torch

from lab.lessons.conditions import fill
from lab.runs.find_runs import open_run
from lab.runs.run_folder import tokenizer_of
from lab.runs.weights_file import load_model
from lab.studies import chat
from lab.studies.chat import END, USER, VARIANTS, Chats, batch_of, with_marks
from lab.studies.study_job import Record, Rows, StudyHistory, recorded_seeds, sentences_of
from models.gpt import GPT
from tests.lab.conftest import one_core

__all__ = ["one_core"]
pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture(scope="module")
def chats() -> Chats:
    return Chats(tokenizer_of(open_run("demo")), 128, seed=1)


@pytest.fixture(scope="module")
def model() -> GPT:
    base, _ = load_model(open_run("demo"))
    return with_marks(base).eval()


def test_a_conversation_is_a_story_two_questions_and_two_names_that_the_assistant_writes(chats: Chats) -> None:
    drawn = chats.draw(20)
    assert len({each.messages[1] for each in drawn}) == 2, "either question comes second"
    for each in drawn:
        story = each.messages[0].split(" Who", 1)[0]
        about, met = (words.split()[0].strip(".!?") for words in story.split(" named ")[1:3])
        assert set(zip((each.messages[0][len(story) + 1 :], each.messages[1]), each.names, strict=True)) == {
            ("Who is it about?", about),
            ("Whom did it meet?", met),
        }
        for has_end, end in ((True, "<|end|>"), (False, "")):
            ids, written = chats.document(each, has_end=has_end)
            turns = zip(each.messages, each.names, strict=True)
            assert chats.tokenizer.decode(ids) == "".join(
                f"<|user|>{message}<|end|><|assistant|> {name}{end}" for message, name in turns
            )
            by_it = chats.tokenizer.decode([id for id, by in zip(ids, written, strict=True) if by])
            assert by_it == "".join(f" {name}{end}" for name in each.names)


@torch.no_grad()
@pytest.mark.parametrize("on_all", [False, True])
def test_the_loss_is_on_the_tokens_that_are_learned(chats: Chats, model: GPT, on_all: bool) -> None:
    documents = [chats.document(each, has_end=True) for each in chats.draw(3)]
    nats = []
    for ids, written in documents:
        log_probs = torch.log_softmax(model(torch.tensor([ids]))[0].double(), -1)
        nats += [-float(log_probs[at - 1, ids[at]]) for at in range(1, len(ids)) if written[at] or on_all]
    loss = float(model.loss(*batch_of(documents, on_all=on_all)))
    assert loss == pytest.approx(sum(nats) / len(nats), rel=1e-4)


def test_new_tokens_leave_the_others_as_they_were(model: GPT) -> None:
    base, _ = load_model(open_run("demo"))
    ids = torch.tensor([[5, 90, 300, 7]])
    torch.testing.assert_close(model(ids)[..., : base.config.vocab_size], base.eval()(ids))
    assert model.config.vocab_size == base.config.vocab_size + 3


def test_it_counts_how_answers_end_and_how_they_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step of each training, with answers that are given."""
    asked: list[Any] = []

    def answers(model: GPT, chats: Chats, tests: Any, variant: Any) -> list[str]:
        names = [name for each in tests for name in each.names]
        asked.append(variant)
        wrong = f" {names[1]}x"
        return [f" {names[0]}{END}", f"{wrong}{END}", f" {names[2]} {names[2]}{END}", f" {names[3]}{USER}Who{END}"]

    monkeypatch.setattr(chat, "answers_of", answers)
    lines: list[Any] = []
    chat.study(Record(lines.append, 1), steps=1, held_out=2)
    assert asked == list(VARIANTS.values())
    history = StudyHistory()
    history.add(lines)
    for key in VARIANTS:
        assert [history.measures[f"{key}_{name}"] for name in ("ends", "right", "user")] == [0.5, 0.75, 0.25]
        assert history.curves["ends"][VARIANTS[key].name] == [(16.0, 0.5)]
    said = fill(sentences_of("chat")["ends"], history.measures)
    assert "Of 4 answers these end after one name. With the mark: answers only 50%, all tokens 50%." in said
    shown = [line for line in lines if isinstance(line, Rows) and line.view == "answers"][-1]
    assert shown.rows[0][0] == "right"
    name = str(shown.rows[0][1]).split()[-1]
    assert [row[1] for row in shown.rows[1:5]] == [f" {name}x{END}"] * 4
    document = next(line for line in lines if isinstance(line, Rows) and line.view == "document")
    assert sum(row[2] == "yes" for row in document.rows) == history.measures["document_learned"] == 4


def test_the_recorded_result_is_what_the_lesson_says() -> None:
    for history in recorded_seeds("chat"):
        is_what_the_lesson_says(history)


def is_what_the_lesson_says(history: StudyHistory) -> None:
    measures: dict[str, Any] = dict(history.measures)
    assert min(measures["marked_ends"], measures["marked_all_ends"]) > 0.95
    assert max(measures["unmarked_ends"], measures["unmarked_all_ends"]) < 0.05
    assert measures["unmarked_all_user"] > 0.9
    assert measures["unmarked_user"] < 0.1
    ends, right = (history.curves[view][VARIANTS["marked_all"].name] for view in ("ends", "right"))
    assert ends[1][1] > 0.9 > right[1][1], "the two curves need not rise together"
