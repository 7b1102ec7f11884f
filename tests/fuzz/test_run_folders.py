"""A few seconds of the fuzzer of run folders: `python -m tests.fuzz.run_folders` goes on for as long as one wants."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.fuzz.run_folders import MEMORY, Fuzzer, trainers_in_this_process

MUTATIONS = 3


@pytest.mark.skipif(os.name == "nt", reason="named pipes and links")
def test_no_damaged_run_ends_a_command_or_the_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMLAB_HOME", str(tmp_path))
    monkeypatch.delattr(asyncio, "eager_task_factory", raising=False)
    with trainers_in_this_process():
        fuzzer = Fuzzer(7, tmp_path)
        before = fuzzer.memory()
        for number in range(MUTATIONS):
            fuzzer.commands(number)
    fuzzer.lab(0, 8 * MUTATIONS, visited=2)
    assert fuzzer.failures == []
    assert fuzzer.refused, "nothing was damaged"
    assert fuzzer.memory() - before < MEMORY
