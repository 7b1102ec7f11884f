from pathlib import Path

import pytest

from lab.analysis.run_filter import run_filter
from lab.core.errors import UserError
from lab.runs.run_summary import RunSummary

RUNS = (
    RunSummary("Tale-1", Path("1"), "stories", "finished", "", step=2000, val_loss=2.4, parameters=941_000, tokenizer="bpe"),
    RunSummary("king lear", Path("2"), "tinyshakespeare.txt", "failed", "", step=12, parameters=1_200_000, tokenizer="bytes"),
    RunSummary(
        "gpt2",
        Path("3"),
        "",
        "finished",
        "",
        parameters=124_000_000,
        val_loss=3.0,
        bits_per_byte=0.9,
        tokenizer="gpt2",
        is_imported=True,
    ),
    RunSummary("odd=name", Path("4"), "", "damaged", "", problem="config.json is damaged"),
)


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", "1234"),
        ("TALE", "1"),
        ("shakespeare", "2"),
        ("bytes", "2"),
        ("imported", "3"),
        ("finished", "1"),
        ("lear king", "2"),
        ("lear stories", ""),
        ("loss<3", "1"),
        ("loss<=3", "13"),
        ("loss > 2.4", "3"),
        ("LOSS>=2.4 stories", "1"),
        ("bits<1.5", "3"),
        ("steps<2k steps>=1", "2"),
        ("steps = 12", "2"),
        ("steps<1", "3"),
        ("param>1M", "23"),
        ("parameters<1.2M", "1"),
    ],
)
def test_words_and_conditions_must_all_hold(query: str, numbers: str) -> None:
    assert "".join(str(run.path) for run in RUNS if run_filter(query)(run)) == numbers


@pytest.mark.parametrize("query", ["loss<", "loss<x", "loss=<2", "<2", "los\x1b<2", "name=1", "loss<1e9", "loss<2<3", "loss<-1"])
def test_what_is_no_condition_is_said_in_one_sentence(query: str) -> None:
    with pytest.raises(UserError, match=r"is no condition, such as loss<2.5, ") as error:
        run_filter(f"stories {query}")
    assert "\x1b" not in str(error.value)
