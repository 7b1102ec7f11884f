"""The process of post-training: what it leaves on disk, a kill in the middle, a second start, and what it refuses."""

import inspect
import os
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from lab.core.errors import UserError
from lab.runs.find_runs import list_runs, open_run
from lab.runs.run_control import hold_inspect_lock
from lab.runs.run_folder import Run
from lab.runs.schema_parts import TuningConfig
from lab.runs.weights_file import load_model
from lab.training.job import INTERRUPTED, STOPPED
from lab.training.posttraining import posttraining_job
from lab.training.posttraining.posttraining_job import PosttrainingJob, check_base, start_posttraining
from lab.training.posttraining.posttraining_record import MODELS, PosttrainingFollower, PosttrainSettings
from tests.fixture_types import EmptyRun
from tests.lab.training.module_forker import ModuleForker, wait_for

TINY = PosttrainSettings(pairs=16, epochs=1, held_out=2, rounds=2, questions=1, group=2)
LONG = PosttrainSettings(pairs=16, epochs=1, held_out=2, rounds=400, questions=1, group=2, seconds=1e6)


@pytest.fixture
def forked(forker: ModuleForker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.training.job.DetachedProcess", forker.detached_process)


def wait_until(follower: PosttrainingFollower, reached: Callable[[PosttrainingFollower], bool]) -> None:
    def read_on() -> bool:
        follower.read()
        return reached(follower)

    wait_for(read_on, lambda: f"{inspect.getsource(reached)} {follower.stage}")


def pid_of(follower: PosttrainingFollower) -> int:
    assert follower.history.begun is not None
    return follower.history.begun.pid


def test_a_kill_in_the_middle_leaves_whole_runs_and_a_second_start_finishes(home: Path, forked: None) -> None:
    demo = open_run("demo")
    job = start_posttraining(demo, home, LONG)
    follower = PosttrainingFollower(job)
    wait_until(follower, lambda f: len(f.history.rounds.get("rl", [])) > 1)
    with pytest.raises(UserError, match="already"):
        start_posttraining(demo, home, TINY)
    os.kill(pid_of(follower), signal.SIGKILL)
    wait_until(follower, lambda f: not f.is_running)
    assert (follower.stage, follower.problem) == ("stopped", INTERRUPTED)
    assert [run.name for run in list_runs(home)] == ["demo-sft"]
    assert load_model(Run(home / "demo-sft"))[1] == 1
    assert not job.stop()

    start_posttraining(demo, home, TINY)
    wait_until(follower, lambda f: f.stage == "finished")
    history = follower.history
    assert set(history.evaluations) == set(MODELS)
    assert [line.round for line in history.rounds["rl"]] == [line.round for line in history.rounds["rl-free"]] == [1, 2]
    assert history.saved == {"sft": "demo-sft", "rl": "demo-rl", "rl-free": "demo-rl-free"}
    assert {run.name for run in list_runs(home)} == set(history.saved.values())
    assert not list(home.glob(".preparing-*"))
    for model, rounds, beta in (("sft", 0, 0.0), ("rl", 2, TINY.beta), ("rl-free", 2, 0.0)):
        run = Run(home / f"demo-{model}")
        tuning = run.config.tuning
        assert tuning is not None
        assert (tuning.base, tuning.base_step, tuning.rounds, tuning.beta) == ("demo", 6000, rounds, beta)
        assert run.phase() == "finished"
        assert load_model(run)[1] == 1 + rounds
        with pytest.raises(UserError, match="its base demo"):
            check_base(run, home)

    before = {run.path: run.path.stat().st_ino for run in list_runs(home)}
    start_posttraining(demo, home, LONG)
    wait_until(follower, lambda f: f.is_running and len(f.history.rounds.get("rl", [])) > 1)
    os.kill(pid_of(follower), signal.SIGKILL)
    wait_until(follower, lambda f: not f.is_running)
    assert {run.path: run.path.stat().st_ino for run in list_runs(home)} == before, "the earlier three stand"
    assert [load_model(run)[1] for run in list_runs(home)]
    follower = PosttrainingFollower(job)
    follower.read()
    assert (follower.stage, follower.reason) == ("stopped", f"{INTERRUPTED} The earlier result stands.")
    assert not job.aside_path.exists()
    assert follower.history.saved == {"sft": "demo-sft", "rl": "demo-rl", "rl-free": "demo-rl-free"}


@pytest.mark.parametrize("has_started", [False, True], ids=["while questions are drawn", "in training"])
def test_a_stop_is_told_in_the_file(home: Path, forked: None, has_started: bool) -> None:
    job = start_posttraining(open_run("demo"), home, LONG if has_started else msgspec.structs.replace(TINY, pairs=100_000))
    follower = PosttrainingFollower(job)
    wait_until(follower, lambda f: f.history.begun is not None and (f.history.started is not None) == has_started)
    assert job.stop()
    wait_until(follower, lambda f: not f.is_running)
    assert (follower.history.started is not None) == has_started
    assert follower.problem == STOPPED


def test_a_failure_to_begin_is_told_with_the_last_line_of_the_log(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posttraining_job, "check_base", lambda base, home: None)
    (home / "demo-sft").mkdir()
    with pytest.raises(UserError, match="demo-sft"):
        start_posttraining(open_run("demo"), home, TINY)


def test_nothing_is_deleted_where_one_of_the_earlier_models_is_open(home: Path, empty_run: EmptyRun) -> None:
    tuning = TuningConfig(base="demo", base_step=6000, base_sha256="", method="sft", pairs=16, rounds=0, beta=0.0)
    earlier = [empty_run(f"demo-{model}") for model in MODELS[1:]]
    for run in earlier:
        tuned = msgspec.structs.replace(run.config, tuning=tuning)
        (run.path / "config.json").write_bytes(msgspec.json.encode(tuned))
    held = hold_inspect_lock(home / "demo-rl")
    assert held is not None
    try:
        with pytest.raises(UserError, match="demo-rl is open in Inspect"):
            start_posttraining(open_run("demo"), home, TINY)
    finally:
        os.close(held)
    assert all(run.path.is_dir() for run in earlier)
    assert not PosttrainingJob("demo", home).is_running()


def test_runs_that_post_training_did_not_make_and_those_on_another_text_are_left_alone(home: Path, empty_run: EmptyRun) -> None:
    empty_run("demo-rl")
    with pytest.raises(UserError, match="demo-rl"):
        check_base(open_run("demo"), home)
    with pytest.raises(UserError, match="stories"):
        check_base(empty_run("tale"), home)


def test_a_link_in_place_of_the_folder_is_refused(home: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (home / ".posttraining").mkdir()
    (home / ".posttraining" / "demo").symlink_to(elsewhere)
    with pytest.raises(UserError, match="is a link"):
        start_posttraining(open_run("demo"), home, TINY)
    assert not list(elsewhere.iterdir())


def test_a_record_of_nonsense_says_nothing(home: Path) -> None:
    job = PosttrainingJob("demo", home)
    job.make()
    job.new_path.write_text('{"type":"SftStep","step":-1}\nnonsense\n{"type":"Ended","is_finished":true,"seconds":1e99}\n')
    follower = PosttrainingFollower(job)
    follower.read()
    assert (follower.stage, follower.reason) == ("stopped", INTERRUPTED)
    assert follower.history.lines == 0


EARLIER: list[tuple[dict[str, list[dict[str, object]]], tuple[str, str]]] = [
    ({"progress": [{"type": "Ended", "is_finished": True, "seconds": 9.0}]}, ("finished", "")),
    ({"progress": [], "earlier": [{"type": "Ended", "is_finished": True, "seconds": 9.0}]}, ("stopped", INTERRUPTED)),
    ({"progress": [{"type": "Ended", "is_finished": False, "seconds": 9.0, "message": "Diverged."}]}, ("stopped", "Diverged.")),
]
"""Files of a version that called its records otherwise; what is said of them."""


@pytest.mark.parametrize(("files", "said"), EARLIER)
def test_what_an_earlier_version_left_is_shown(
    home: Path, files: dict[str, list[dict[str, object]]], said: tuple[str, str]
) -> None:
    job = PosttrainingJob("demo", home)
    job.make()
    lines = [{"type": "Begun", "pid": 1, "host": "here"}, {"type": "SftStep", "step": 1, "steps": 5, "loss": 2.0, "lr": 0.1}]
    for name, ends in files.items():
        saved = {"type": "Saved", "model": "sft", "run": f"{name}-sft"}
        (job.path / f"{name}.jsonl").write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in [*lines, saved, *ends]))
    follower = PosttrainingFollower(job)
    follower.read()
    assert (follower.stage, follower.problem) == said
    assert follower.history.saved == {"sft": f"{[*files][-1]}-sft"}
    assert len(follower.history.sft) == 1
