"""`llmlab posttrain`: a tiny budget from start to result, and what it refuses."""

from pathlib import Path

import msgspec
import pytest

from lab.posttraining.settings import PosttrainSettings
from lab.posttraining.start_process import start_posttraining
from lab.posttraining.work_folder import WorkFolder
from lab.runs.find_runs import list_runs
from lab.runs.run_folder import Run
from tests.lab.conftest import Call
from tests.lab.training.module_forker import ModuleForker

TINY = ("--pairs", "16", "--rounds", "1", "--seconds", "60")


def test_a_tiny_post_training_tells_its_course_and_result(
    home: Path, llmlab: Call, one_core: None, forker: ModuleForker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(base: Run, home: Path, settings: PosttrainSettings, prediction: str = "") -> WorkFolder:
        """With fewer questions, for which there are no options."""
        few = msgspec.structs.replace(settings, held_out=4, questions=2, group=2)
        return start_posttraining(base, home, few, prediction)

    monkeypatch.setattr("lab.posttraining.start_process.start_posttraining", start)
    monkeypatch.setattr("lab.posttraining.start_process.DetachedProcess", forker.detached_process)
    done = llmlab("posttrain", *TINY)
    assert done.code == 0, done.err
    for words in ("SFT step 5/5  loss ", "RL, KL penalty 1/1  reward ", "RL, no penalty 1/1  reward ", "held-out questions"):
        assert words in done.out
    assert {run.name for run in list_runs(home)} == {"demo-sft", "demo-rl", "demo-rl-free"}

    shown = llmlab("posttrain", "--show", "--json")
    assert shown.code == 0, shown.err
    result = msgspec.json.decode(shown.out)
    assert result["finished"]
    assert result["runs"] == {"sft": "demo-sft", "rl": "demo-rl", "rl-free": "demo-rl-free"}
    assert [each["model"] for each in result["evaluations"]] == ["base", "sft", "rl", "rl-free"]
    assert {model: len(lines) for model, lines in result["rounds"].items()} == {"rl": 1, "rl-free": 1}
    llmlab("posttrain", "demo-sft").assert_mistake("demo-sft", "its base demo")
    llmlab("posttrain", "--stop").assert_mistake("nothing to stop")


def test_there_is_nothing_to_show_before_the_first(home: Path, llmlab: Call) -> None:
    llmlab("posttrain", "--show").assert_mistake("not been post-trained yet")


def test_numbers_out_of_range_are_refused(home: Path, llmlab: Call) -> None:
    llmlab("posttrain", "--pairs", "0").assert_mistake("at least 1")
