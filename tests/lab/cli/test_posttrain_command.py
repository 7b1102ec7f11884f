"""`llmlab posttrain`: a tiny budget from start to result, and what it refuses."""

import os
from pathlib import Path

import msgspec
import pytest

from lab.runs.find_runs import list_runs
from lab.runs.run_control import hold_inspect_lock
from lab.runs.run_folder import Run
from lab.runs.schema_parts import TuningConfig
from lab.training.job import Ended
from lab.training.posttraining.posttraining_job import PosttrainingJob, start_posttraining
from lab.training.posttraining.posttraining_record import PosttrainSettings
from tests.fixture_types import Call, EmptyRun
from tests.lab.conftest import make_small_run, train_in_process
from tests.lab.training.module_forker import ModuleForker

TINY = ("--pairs", "16", "--rounds", "1", "--seconds", "60")


def test_a_tiny_post_training_tells_its_course_and_result(
    home: Path, llmlab: Call, one_core: None, forker: ModuleForker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(base: Run, home: Path, settings: PosttrainSettings) -> PosttrainingJob:
        """With fewer questions, for which there are no options."""
        few = msgspec.structs.replace(settings, held_out=4, questions=2, group=2)
        return start_posttraining(base, home, few)

    monkeypatch.setattr("lab.training.posttraining.posttraining_job.start_posttraining", start)
    monkeypatch.setattr("lab.training.job.DetachedProcess", forker.detached_process)
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


def test_the_reason_of_an_early_end_is_told(
    home: Path, llmlab: Call, one_core: None, forker: ModuleForker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.training.job.DetachedProcess", forker.detached_process)
    train_in_process(make_small_run(Path("stories:20KB"), name="short", steps=1))
    llmlab("posttrain", "--show").assert_mistake("not been post-trained yet")
    llmlab("posttrain", "--pairs", "0").assert_mistake("at least 1")
    for asked in (TINY, ("--show",), ("--show", "--json")):
        done = llmlab("posttrain", "short", *asked)
        assert (done.code, done.out) == (1, "")
        assert "The context of this run is too short" in done.err
        assert done.err.count("\n") == 1


def test_a_start_that_must_delete_an_open_model_is_refused(home: Path, llmlab: Call, empty_run: EmptyRun) -> None:
    tuning = TuningConfig(base="demo", base_step=6000, base_sha256="", method="sft", pairs=16, rounds=0, beta=0.0)
    for name in ("demo-sft", "demo-rl"):
        run = empty_run(name)
        (run.path / "config.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(run.config, tuning=tuning)))
    job = PosttrainingJob("demo", home)
    job.make()
    job.record_path.write_bytes(msgspec.json.encode(Ended(is_finished=True, seconds=1.0)) + b"\n")
    held = hold_inspect_lock(home / "demo-rl")
    assert held is not None
    try:
        llmlab("posttrain", *TINY).assert_mistake("demo-rl is open in Inspect")
    finally:
        os.close(held)
    assert (home / "demo-sft").is_dir()
