"""A few seconds of each fuzzer; `python -m tests.fuzz.run_folders` and `python -m tests.fuzz.texts` take as long as one wants."""

import os
from pathlib import Path

import pytest

from tests.fuzz import run_folders, texts

pytestmark = pytest.mark.skipif(os.name == "nt", reason="named pipes and links")

MUTATIONS = 2
TEXTS = 40


def test_no_damaged_run_ends_a_command_or_the_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMLAB_HOME", str(tmp_path))
    with run_folders.trainers_in_this_process():
        fuzzer = run_folders.Fuzzer(7, tmp_path)
        before = fuzzer.memory()
        for number in range(MUTATIONS):
            fuzzer.commands(number)
    fuzzer.lab(0, 8 * MUTATIONS, visited=2)
    assert fuzzer.failures == []
    assert fuzzer.refused, "nothing was damaged"
    assert fuzzer.memory() - before < run_folders.MEMORY


def test_every_text_is_read_to_the_byte_or_refused_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lab.data.text_encoding._suggest_encoding", lambda sample: "cp1252")  # slow, and tested by itself
    fuzzer = texts.Fuzzer(7, tmp_path)
    for number in range(TEXTS):
        fuzzer.check(number)
    assert fuzzer.failures == []
    assert min(fuzzer.read, fuzzer.refused) > TEXTS / 5
