"""A second or two of the fuzzer of texts: `python -m tests.fuzz.texts` goes on for as long as one wants."""

import os
from pathlib import Path

import pytest

from tests.fuzz.texts import Fuzzer

TEXTS = 40


@pytest.mark.skipif(os.name == "nt", reason="named pipes and links")
def test_every_text_is_read_to_the_byte_or_refused_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lab.data.text_encoding._suggest_encoding", lambda sample: "cp1252")  # slow, and tested by itself
    fuzzer = Fuzzer(7, tmp_path)
    for number in range(TEXTS):
        fuzzer.check(number)
    assert fuzzer.failures == []
    assert min(fuzzer.read, fuzzer.refused) > TEXTS / 5
