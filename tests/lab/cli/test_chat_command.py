"""`llmlab chat`: messages from a pipe and from a terminal, on the demo, and on a copy of it that counts as tuned."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lab.runs.find_runs import open_run
from lab.runs.run_folder import Run, tokenizer_of
from lab.runs.schema_parts import TuningConfig
from lab.runs.weights_file import load_model
from models.chat import QUESTIONS
from models.config import SamplingSettings
from models.sampling import generate
from tests.fixture_types import Call

STORY = "Once there was a small cat named Rex."


@pytest.fixture
def tuned(home: Path) -> Run:
    """The demo, said to be fine-tuned, with a prompt of the questions."""
    demo, folder = open_run("demo"), home / "demo-sft"
    shutil.copytree(demo.path, folder, ignore=shutil.ignore_patterns("snapshots"))
    tuning = TuningConfig(base="demo", base_step=1, base_sha256="", method="sft", pairs=1)
    train = msgspec.structs.replace(demo.config.train, prompts=(f"{STORY}\nQ: Which animal is Rex?\nA:",))
    config = msgspec.structs.replace(demo.config, name="demo-sft", tuning=tuning, train=train)
    (folder / "config.json").write_bytes(msgspec.json.encode(config))
    return Run(folder)


@pytest.fixture
def say(llmlab: Call, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Pipes lines into `llmlab chat`."""

    def call(lines: str | io.StringIO, *arguments: str) -> Any:
        monkeypatch.setattr("sys.stdin", io.StringIO(lines) if isinstance(lines, str) else lines)
        return llmlab("chat", *arguments)

    return call


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_base_model_continues_the_document_of_the_conversation(say: Callable[..., Any], home: Path) -> None:
    done = say("Hello\n\nAgain", "demo", "--greedy", "-n", "9", "--system", "Once there was a dog.")
    run = open_run("demo")
    (model, _), tokenizer = load_model(run), tokenizer_of(run)
    document, answers = "Once there was a dog.\n", []
    for message, before in (("Hello", "User:"), ("Again", "\nUser:")):
        document += f"{before} {message}\nAssistant:"
        drawn = generate(model, tokenizer.encode(document), 9, SamplingSettings(greedy=True))
        answers.append(tokenizer.decode([token.id for token in drawn]))
        document += answers[-1]
    assert done.out == "".join(f"{answer}\n" for answer in answers)
    assert "was not tuned by the lab to chat: it continues the document" in done.err
    assert done.err.count("stopped after 9 tokens") == 2


def test_a_tuned_run_is_asked_about_the_story_of_its_prompt_and_the_document_is_shown(
    say: Callable[..., Any], tuned: Run
) -> None:
    done = say("Which animal is Rex?\n", "demo-sft", "--greedy", "-n", "4", "--show-tokens", "--stop", "never")
    assert f"System prompt: {STORY}" in done.err
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["system", "mark", "user", "mark", "model"]
    shown = "".join(line[10:].replace("│", "") for line in lines[1:])
    tokenizer = tokenizer_of(tuned)
    labels = "".join(map(tokenizer.label, tokenizer.encode(f"{STORY}\nQ: Which animal is Rex?\nA:")))
    assert shown.startswith(labels)
    assert shown[len(labels) :] == lines[0]
    assert QUESTIONS.stop not in lines[0]


def test_what_leaves_the_context_is_said(say: Callable[..., Any], home: Path) -> None:
    done = say("The dog ran home and slept.\n" * 12, "demo", "--greedy", "-n", "5")
    assert "no room any more for the first turn." in done.err
    assert "no room any more for the first 2 turns." in done.err


def test_ctrl_c_stops_an_answer_and_ctrl_d_ends(say: Callable[..., Any], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter(["Hello", KeyboardInterrupt, "Again", EOFError])

    def type_next(prompt: str) -> str:
        line = next(typed)
        if isinstance(line, str):
            return line
        raise line

    drawn: list[int] = []

    def interrupted(*arguments: Any) -> Any:
        for token in generate(*arguments):
            if len(drawn) == 3:
                raise KeyboardInterrupt
            drawn.append(token.id)
            yield token

    monkeypatch.setattr("models.sampling.generate", interrupted)
    monkeypatch.setattr("builtins.input", type_next)
    done = say(Terminal(), "demo", "-n", "6")
    assert done.code == 0
    assert done.err.count("You stopped it.") == 2
    assert "ctrl+d ends." in done.err.splitlines()[-2]
    tokenizer = tokenizer_of(open_run("demo"))
    assert done.out == f"{tokenizer.decode(drawn)}\n\n\n\n"


def test_what_is_printed_is_visible(say: Callable[..., Any], home: Path) -> None:
    done = say("\x1b[2J\n", "demo", "-n", "2", "--show-tokens", "--system", "\x1b[31m")
    assert "\x1b" not in done.out + done.err
    assert "␛" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere"),
        (["demo", "--stop", ""], "text to stop at is empty"),
        (["demo", "--top-p", "2"], "top-p"),
        (["demo", "--checkpoint", "worst"], "worst"),
    ],
)
def test_mistakes_are_one_sentence(say: Callable[..., Any], home: Path, arguments: list[str], words: str) -> None:
    done = say("Hello\n", *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
