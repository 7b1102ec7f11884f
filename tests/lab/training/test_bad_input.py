"""A text whose file has a name that is no UTF-8."""

import os
import sys
from pathlib import Path

import pytest

from tests.fixture_types import Call

PROSE = b"The big dog ran fast. A small cat sat still, and it was warm. " * 50


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode there")
def test_a_file_name_that_is_no_utf8_is_trained_on_and_opened_again(llmlab: Call, home: Path, tmp_path: Path) -> None:
    from lab.data.source_files import change_of_text
    from lab.data.statistics.text_statistics import read_facts
    from lab.planning.prepare_run import prepare_run
    from lab.planning.settings_form import text_problem
    from lab.planning.settings_table import RunRequest

    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")
    Path(path).write_bytes(PROSE)
    run = prepare_run(RunRequest(text=path, preset="nano", tokenizer="bytes"))
    config = run.config
    assert (run.name, config.data.name, config.data.bytes) == ("caf", "caf-", len(PROSE))
    assert config.data.source == f"file://{tmp_path}/caf%E9.txt"
    assert text_problem(config) == ""
    assert read_facts(config.data.source, None).bytes == len(PROSE)
    assert change_of_text(config.data, 0.0) == ""
    assert llmlab("tokenize", "--tokenizer", "bytes", "--file", path).code == 0
    Path(path).unlink()
    assert "is gone" in change_of_text(config.data, 0.0)
    llmlab("tokenize", "--file", path).assert_mistake("caf", "does not exist")
