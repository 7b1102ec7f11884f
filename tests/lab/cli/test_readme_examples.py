"""The examples of every README, run in a folder with the files that they name.

Trainings are made as asked, but for their size: they are of two steps and wait for `llmlab resume`, or, where the example leaves
them to the background (`--detach`), train until another one stops them. Of the claims one is checked. What is left out is in
`LEFT_OUT`, with the reason.
"""

import io
import shlex
import sys
from pathlib import Path

import pytest

from lab.exercises.learner_files import file_of, write_folder
from tests.fixture_types import Call
from tests.test_readme import NAMES, PAGES, ROOT, lines_of

LEFT_OUT = {
    "import": "it needs GPT-2's weights",
    "--from gpt2": "it needs GPT-2's weights",
    "--push": "it needs a network",
    "watch": "it needs another machine",
    "--gpus": "it needs GPUs",
    "serve": "it serves until it is ended",
    "bench": "it measures for minutes",
    "scaling": "it trains for minutes",
    "posttrain": "it trains for minutes",
}
"""Commands, and options with what follows them, whose examples are not run, each with the reason."""

SIZES = ("--minutes", "--steps", "--preset", "--layers", "--heads", "--width", "--context", "--batch")
"""Options that say how large a training is."""
SMALL = shlex.split("--layers 1 --heads 2 --width 16 --context 16 --batch 4 --threads 1 --device cpu")

WORDS = "The big dog ran to the lake. It saw a red apple, and {} went home.\n"
HEAD = """
import torch

def head(q, k, v):
    scores = (q @ k.T) / q.shape[1] ** 0.5
    return torch.softmax(scores.masked_fill(torch.ones(len(q), len(q)).triu(1).bool(), float("-inf")), -1) @ v
"""


def left_out(line: str) -> list[str]:
    """The commands and options of an example that are in `LEFT_OUT`."""
    return [words for words in LEFT_OUT if line.startswith(f"llmlab {words}") or (words.startswith("--") and f" {words}" in line)]


def words_to_run(line: str) -> list[str]:
    """The arguments of an example: a training made small, one claim, a deletion that does not ask."""
    command, *words = shlex.split(line.partition(" & ")[0], comments=True)[1:]
    words += {"claims": ["--only", "mask"], "delete": ["--yes"]}.get(command, [])
    if command == "train":
        for option in set(SIZES).intersection(words):
            del words[(at := words.index(option)) : at + 2]
        if "--no-start" in words:
            words.remove("--no-start")
        words += [*SMALL, "--steps", *(["100000"] if "--detach" in words else ["2", "--no-start"])]
    return [command, *words]


@pytest.fixture
def folder(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the examples name, where they are run."""
    where = tmp_path / "here"
    texts = "shakespeare.txt notes.txt other.txt corpus.txt letters.txt notes/a.txt notes/b.txt letters/c.txt"
    for name in texts.split():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_text("".join(WORDS.format(f"{name} {number}") for number in range(100)))
    for exercises in (write_folder(), where / "FOLDER"):
        exercises.mkdir(parents=True)
        file_of(exercises, "head").write_text(HEAD)
    monkeypatch.chdir(where)
    return where


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_its_examples_run(page: Path, folder: Path, llmlab: Call, forked_trainers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in lines_of(page):
        if left_out(line):
            continue
        piped = (folder / "notes.txt").read_bytes() if line.endswith(" -") else b"The big dog\n"
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped)))
        done = llmlab(*words_to_run(line))
        assert done.code == 0 or "is not training now" in done.err, (line, done.err or done.out)


def test_python_s_example_runs(folder: Path, forked_trainers: None, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "lab" / "cli" / "README.md").read_text(encoding="utf-8")
    example = page.partition("```python\n")[2].partition("```")[0]
    assert "steps=500" in example
    exec(example.replace("steps=500", "steps=2, preset='nano', threads=1, device='cpu'"), {})
    assert capsys.readouterr().out.startswith("The big dog")


def test_each_reason_to_leave_one_out_has_an_example() -> None:
    assert {words for page in PAGES for line in lines_of(page) for words in left_out(line)} == set(LEFT_OUT)
