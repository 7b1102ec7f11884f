import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import msgspec
import pytest

from lab.core.errors import UserError
from lab.runs import home_folder
from lab.runs.find_runs import list_runs, open_run
from lab.runs.home_folder import check_name
from lab.runs.run_control import send_command, take_commands
from lab.runs.run_folder import STATUS_PADDING
from lab.runs.run_schema import FORMAT, Metric, Sample, Status
from tests.fixture_types import EmptyRun
from tests.lab.runs.made_up_runs import say


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
    with pytest.raises(UserError, match=rf"was made by a newer llmlab \(format 99, this one reads {FORMAT}\); update llmlab"):
        open_run("tale")
    path.write_bytes(msgspec.json.encode(config).replace(b'"heads":2', b'"heads":3'))
    with pytest.raises(UserError, match="damaged: width 16 cannot be divided"):
        open_run("tale")


def test_reading_survives_files_that_are_missing_or_half_written(empty_run: EmptyRun) -> None:
    run = empty_run()
    assert run.status().phase == "stopped"
    assert not run.is_alive()
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


def test_alive_means_locked_and_fresh_or_on_another_machine_fresh(empty_run: EmptyRun) -> None:
    run = empty_run()
    say(run)
    assert not run.is_alive()
    assert run.phase() == "interrupted"
    with filelock.FileLock(run.lock_path):
        assert run.is_alive()
        assert run.phase() == "training"
        say(run, heartbeat=time.time() - 60)
        assert not run.is_alive()
        say(run, phase="finished")
        assert not run.is_alive()
        assert run.phase() == "finished"
    say(run, host="abacus")
    assert (run.is_alive(), run.phase()) == (True, "training"), "on another machine the heartbeat alone tells"
    run.send_command("pause")
    assert take_commands(run.control_path) == [("pause", "")]
    say(run, host="abacus", heartbeat=time.time() - 60)
    assert (run.is_alive(), run.phase()) == (False, "interrupted")


def test_commands_reach_the_trainer_once_and_in_order(empty_run: EmptyRun) -> None:
    run = empty_run()
    with pytest.raises(UserError, match="nothing to pause"):
        run.send_command("pause")
    say(run)
    with filelock.FileLock(run.lock_path):
        run.send_command("sample", "Once upon\na time")
        time.sleep(0.02)
        run.send_command("pause")
        run.send_command("pause")
    assert take_commands(run.control_path) == [("sample", "Once upon\na time"), ("pause", "")]
    assert take_commands(run.control_path) == []
    assert os.listdir(run.control_path) == []


def test_a_status_fits_into_its_padding() -> None:
    assert len(msgspec.json.encode(Status(phase="training", message="x" * 300))) < STATUS_PADDING


def test_commands_are_taken_in_the_order_of_their_coming_by_whomever_and_whatever_the_clock_says(tmp_path: Path) -> None:
    later = time.time() + 3600
    for names in (("resume", "pause"), ("pause", "resume"), ("save", "pause", "resume")):
        for is_set_back in (False, True):
            send_command(tmp_path, names[0])
            if is_set_back:
                os.utime(tmp_path / names[0], (later, later))
            for name in names[1:]:
                send_command(tmp_path, name)
            assert tuple(command.name for command in take_commands(tmp_path)) == names
    with ThreadPoolExecutor(2) as threads:
        for _ in range(50):
            list(threads.map(lambda _: send_command(tmp_path, "pause"), range(2)))
            assert take_commands(tmp_path) == [("pause", "")]
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_cannot_be_sent_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "stop").mkdir()
    for _ in range(2):
        with pytest.raises(IsADirectoryError):
            send_command(tmp_path, "stop")
    assert [path.name for path in tmp_path.iterdir()] == ["stop"]


def test_a_disk_on_which_no_time_can_be_set_takes_commands_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.time() + 3600
    send_command(tmp_path, "pause")
    os.utime(tmp_path / "pause", (later, later))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.utime", refuse)
    send_command(tmp_path, "stop")
    assert {command.name for command in take_commands(tmp_path)} == {"pause", "stop"}


def test_home_is_the_checkout_s_own_folder_unless_asked_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LLMLAB_HOME", raising=False)
    root = Path(home_folder.__file__).parents[2]
    assert home_folder.home() == root / "checkpoints"
    assert home_folder.demo() == root / "checkpoints" / "demo"
    monkeypatch.setenv("LLMLAB_HOME", "~/runs")
    assert home_folder.home() == Path.home() / "runs"
    monkeypatch.delenv("LLMLAB_HOME")
    monkeypatch.setattr(home_folder, "source_checkout", lambda: None)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert home_folder.home() == tmp_path / "llmlab" / "runs"
    assert (home_folder.demo(), home_folder.bundled("induction")) == (root / "lab" / "demo", root / "lab" / "induction")


def test_runs_of_a_scaling_experiment_are_told_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / ".scaling" / "mine").mkdir(parents=True)
    of_it = {
        name: home_folder.is_of_scaling(tmp_path / name) for name in ("mine-1", "mine-12", "mine-x", "mine", "other-1", "-1")
    }
    assert of_it == {"mine-1": True, "mine-12": True, "mine-x": False, "mine": False, "other-1": False, "-1": False}


def test_names_that_a_run_may_have_and_those_that_none_may() -> None:
    for name in ("", ".hidden", "-p", "a/b", "a\\b", "a\nb", " a", "a" * 101, "罪" * 100, "demo", "induction", ".."):
        with pytest.raises(UserError):
            check_name(name)
    for name in ("tinyshakespeare", "tiny-2", "Ulysses (1922)", "罪と罰", "a.b"):
        assert check_name(name) == name
