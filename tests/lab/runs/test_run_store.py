import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import filelock
import msgspec
import pytest

from lab.core.errors import UserError
from lab.runs import run_store, trainer_commands
from lab.runs.run_folder import STATUS_PADDING, Run
from lab.runs.run_schema import Metric, RunConfig, Sample, Status
from lab.runs.run_store import check_name, list_runs, open_run, start_trainer, write_atomic

EmptyRun = Callable[..., Run]


def say(run: Run, **fields: object) -> None:
    known = {"phase": "training", "heartbeat": time.time(), "pid": 7, "host": platform.node()}
    status = Status(**known | fields)  # type: ignore[arg-type]
    write_atomic(run.status_path, msgspec.json.encode(status))


def test_home_is_the_checkout_s_own_folder_unless_asked_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LLMLAB_HOME", raising=False)
    root = Path(run_store.__file__).parents[2]
    assert run_store.home() == root / "checkpoints"
    assert run_store.demo() == root / "checkpoints" / "demo"
    monkeypatch.setenv("LLMLAB_HOME", "~/runs")
    assert run_store.home() == Path.home() / "runs"
    monkeypatch.delenv("LLMLAB_HOME")
    monkeypatch.setattr(run_store, "source_checkout", lambda: None)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert run_store.home() == tmp_path / "llmlab" / "runs"
    assert run_store.demo() == root / "lab" / "demo"


@pytest.mark.parametrize("name", ["", ".hidden", "-p", "a/b", "a\\b", "a\nb", " a", "a" * 101, "罪" * 100, "demo", ".."])
def test_names_that_no_run_may_have(name: str) -> None:
    with pytest.raises(UserError):
        check_name(name)


def test_names_that_a_run_may_have() -> None:
    for name in ("tinyshakespeare", "tiny-2", "Ulysses (1922)", "罪と罰", "a.b"):
        assert check_name(name) == name


def test_lists_runs_newest_first_then_damaged_ones_and_nothing_else(empty_run: EmptyRun, home: Path) -> None:
    for name, created in (("old", 1.0), ("new", 3.0), ("middle", 2.0)):
        empty_run(name, created)
    empty_run(".new.123.tmp", 9.0)
    empty_run("broken").path.joinpath("config.json").write_text("{")
    (home / "folder").mkdir()
    (home / "file").touch()
    assert [run.name for run in list_runs()] == ["new", "middle", "old", "broken"], "a damaged run is listed last"
    assert list_runs(home / "nowhere") == []


def test_opens_by_name_and_by_path_and_names_what_is_near(
    empty_run: EmptyRun, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = empty_run("shakespeare")
    monkeypatch.chdir(home)
    for name in ("shakespeare", home / "shakespeare", "./shakespeare", "../home/shakespeare"):
        assert open_run(name).path == run.path
    with pytest.raises(UserError, match="did you mean shakespeare"):
        open_run("shakespear")
    with pytest.raises(UserError, match="no run called 'ulysses'"):
        open_run("ulysses")
    with pytest.raises(UserError, match="not a run"):
        open_run(home)
    for nothing in ("", ".", ".."):
        with pytest.raises(UserError):
            open_run(nothing)


def test_settings_that_cannot_be_read_are_told_in_words(empty_run: EmptyRun) -> None:
    run = empty_run()
    config = run.config
    path = run.path / "config.json"
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(config, format=99)))
    with pytest.raises(UserError, match="newer llmlab"):
        open_run("tale")
    path.write_bytes(msgspec.json.encode(config).replace(b'"heads":2', b'"heads":3'))
    with pytest.raises(UserError, match="damaged: width 16 cannot be divided"):
        open_run("tale")


def test_reading_survives_files_that_are_missing_or_half_written(empty_run: EmptyRun) -> None:
    run = empty_run()
    assert run.status().phase == "stopped"
    assert not run.alive()
    assert run.last_metric() is None
    assert run.samples() == []
    assert run.checkpoints() == []
    for path in (run.status_path, run.metrics_path, run.samples_path, run.path / "last.safetensors"):
        path.write_bytes(b'{"phase": "trai')
    assert run.status().phase == "stopped"
    assert run.metrics().read() == []
    assert run.samples() == []
    assert run.checkpoints() == []
    run.metrics_path.write_bytes(msgspec.json.encode(Metric(step=3, tokens=1, epoch=0, seconds=0)) + b"\n{")
    run.samples_path.write_bytes(msgspec.json.encode(Sample(step=3, prompt="", text="ab")) + b"\n")
    assert run.last_metric() == Metric(step=3, tokens=1, epoch=0, seconds=0)
    assert run.samples() == [Sample(step=3, prompt="", text="ab")]


def test_alive_means_locked_and_fresh(empty_run: EmptyRun) -> None:
    run = empty_run()
    say(run)
    assert not run.alive()
    assert run.phase() == "interrupted"
    with filelock.FileLock(run.lock_path):
        assert run.alive()
        assert run.phase() == "training"
        say(run, heartbeat=time.time() - 60)
        assert not run.alive()
        say(run, phase="finished")
        assert not run.alive()
        assert run.phase() == "finished"
    say(run)
    assert not run.alive()


def test_on_another_machine_the_heartbeat_alone_tells_of_a_trainer(empty_run: EmptyRun) -> None:
    run = empty_run()
    say(run, host="abacus")
    assert run.alive()
    assert run.phase() == "training"
    run.command("pause")
    assert trainer_commands.take(run.control_path) == [("pause", "")]
    say(run, host="abacus", heartbeat=time.time() - 60)
    assert not run.alive()
    assert run.phase() == "interrupted"


def test_commands_reach_the_trainer_once_and_in_order(empty_run: EmptyRun) -> None:
    run = empty_run()
    with pytest.raises(UserError, match="nothing to pause"):
        run.command("pause")
    say(run)
    with filelock.FileLock(run.lock_path):
        run.command("sample", "Once upon\na time")
        time.sleep(0.02)
        run.command("pause")
        run.command("pause")
    assert trainer_commands.take(run.control_path) == [("sample", "Once upon\na time"), ("pause", "")]
    assert trainer_commands.take(run.control_path) == []
    assert os.listdir(run.control_path) == []


def test_a_run_that_cannot_be_started_is_refused_with_a_reason(empty_run: EmptyRun) -> None:
    run = empty_run()
    with pytest.raises(UserError, match=r"tokens\.bin"):
        start_trainer(run)
    say(run, phase="finished", step=50)
    with pytest.raises(UserError, match="finished its 50 steps"):
        start_trainer(run)
    say(run)
    with filelock.FileLock(run.lock_path), pytest.raises(UserError, match=f"by process 7 on {platform.node()}"):
        start_trainer(run)
    say(run, host="abacus")
    with pytest.raises(UserError, match="by process 7 on abacus"):
        start_trainer(run)


def test_the_last_words_of_a_trainer_that_dies_are_the_reason(empty_run: EmptyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = empty_run()
    run.tokens_path.touch()
    run.log_path.write_text("from an earlier time\n")
    fake = run.path / "python"
    fake.write_text("#!/bin/sh\necho loading\necho The moon is in the wrong phase.\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(UserError, match=r"^The moon is in the wrong phase\.$"):
        start_trainer(run)


def test_the_trainer_s_environment_is_the_user_s_with_what_training_needs(
    empty_run: EmptyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [*run_store.MALLOC, *run_store.SPINNING, "OMP_WAIT_POLICY", "OMP_NUM_THREADS"]:
        monkeypatch.delenv(name, raising=False)
    config = empty_run().config.train
    assert run_store.trainer_environment(config) == dict(os.environ) | run_store.MALLOC | run_store.SPINNING
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    threads = msgspec.structs.replace(config, threads=3)
    assert run_store.trainer_environment(threads) == dict(os.environ) | {"OMP_NUM_THREADS": "3"}


def test_two_hundred_runs_are_listed_in_a_moment(empty_run: EmptyRun) -> None:
    for number in range(200):
        say(empty_run(f"run-{number}", float(number)), phase="finished")
    started = time.perf_counter()
    found = [(run.name, run.config.model.layers, run.phase()) for run in list_runs()]
    seconds = time.perf_counter() - started
    assert len(found) == 200
    assert seconds < 0.25, f"{seconds:.3f} s"


def test_config_json_is_the_config(empty_run: EmptyRun) -> None:
    run = empty_run()
    assert msgspec.json.decode((run.path / "config.json").read_bytes(), type=RunConfig) == run.config
    assert len(msgspec.json.encode(Status(phase="training", message="x" * 300))) < STATUS_PADDING
