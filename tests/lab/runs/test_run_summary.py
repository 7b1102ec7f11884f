import platform
import time
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from lab.cli.commands.runs_command import entry
from lab.runs import run_folder, run_summary
from lab.runs.run_folder import Run
from lab.runs.run_history import LossHistory
from lab.runs.run_schema import FinalEvaluation, Metric, Status
from lab.runs.run_summary import RunsWatcher, fraction_done, planned_length, time_left
from lab.runs.schema_parts import RankHeartbeat, describe_ranks
from models.parameter_count import flops_per_token
from screens.home.run_pane import facts_of
from tests.lab.runs.made_up_runs import TRAINING, config, history

encode = msgspec.json.encode


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(run_summary, "BUNDLED", ())
    run = Run(tmp_path / "runs" / "tale")
    run.path.mkdir(parents=True)
    (run.path / "config.json").write_bytes(encode(replace(config(steps=400), created=1000.0)))
    run.status_path.write_bytes(encode(Status(phase="stopped", step=100, heartbeat=2000.0)))
    return run


def metric(step: int, loss: float | None = None, val_loss: float | None = None) -> bytes:
    line = Metric(
        step=step, tokens=step * 50, epoch=0.0, seconds=step * 2.0, loss=loss, val_loss=val_loss, bits_per_byte=val_loss
    )
    return encode(line) + b"\n"


def test_a_summary_has_the_latest_of_each_number_however_long_ago_it_was_and_whatever_file_it_is_in(run: Run) -> None:
    watcher = RunsWatcher(run.path.parent)
    (bare,) = watcher.read()
    assert (bare.loss, bare.val_loss, bare.bits_per_byte) == (None, None, None)
    run.metrics_path.write_bytes(metric(0, None, 6.0) + metric(1, 5.0) + metric(2, 4.0) + b'{"step": 3, "lo')
    (told,) = watcher.read()
    assert (told.loss, told.val_loss, told.bits_per_byte) == (4.0, 6.0, 6.0)
    assert (told.name, told.text, told.plan, told.step, told.progress) == ("tale", "text", "400 steps", 100, 0.25)
    assert told.mean_speed == 25.0
    assert (told.phase, told.last_heartbeat, told.is_active) == ("stopped", 2000.0, False)
    assert told.flops_per_token == flops_per_token(config().model)
    with run.metrics_path.open("ab") as file:
        file.write(b"\n" + metric(4, 3.0, 3.5))
    assert [(told.loss, told.val_loss) for told in watcher.read()] == [(3.0, 3.5)]
    lines = [metric(0, None, 6.0), *(metric(step, 5.0, 2.5 if step == 1000 else None) for step in range(1, 1801))]
    assert sum(map(len, lines[1001:])) < sum(map(len, lines)) - run_summary.TORN_BYTES
    run.metrics_path.write_bytes(b"".join(lines))
    watcher = RunsWatcher(run.path.parent)
    (told,) = watcher.read()
    assert (told.loss, told.val_loss, told.bits_per_byte) == (5.0, 2.5, 2.5)
    with run.metrics_path.open("ab") as file:
        file.write(b"".join(metric(step, 4.0) for step in range(1801, 5000)))
    (told,) = watcher.read()
    assert (told.loss, told.val_loss) == (4.0, 2.5)
    run.metrics_path.write_bytes(metric(0, None, 6.0) + metric(1, 5.0, 2.0))
    watcher = RunsWatcher(run.path.parent)
    assert watcher.read()[0].val_loss == 2.0
    other = run.path / "other"
    other.write_bytes(b"".join([metric(0, None, 7.0), *(metric(step, 5.0) for step in range(1, 3000))]))
    other.replace(run.metrics_path)
    assert watcher.read()[0].val_loss == 7.0


def test_its_validation_loss_is_that_of_the_best_weights_which_are_opened(run: Run) -> None:
    run.metrics_path.write_bytes(metric(0, None, 8.0) + metric(40, 5.0, 4.0) + metric(100, 1.0, 6.0))
    run.status_path.write_bytes(encode(Status(phase="stopped", step=100, best_step=40, best_val_loss=4.0)))
    watcher = RunsWatcher(run.path.parent)
    (told,) = watcher.read()
    assert (told.val_loss, told.bits_per_byte, told.val_step) == (4.0, 4.0, 40)
    last, best = (
        FinalEvaluation(step=step, tokens=10, bytes=20, val_loss=loss, bits_per_byte=loss / 2)
        for step, loss in ((100, 7.283), (40, 4.107))
    )
    run.status_path.write_bytes(encode(Status(phase="finished", step=100, final=last, final_best=best)))
    (told,) = watcher.read()
    assert (told.val_loss, told.bits_per_byte, told.val_step) == (4.107, 2.0535, 40)
    listed = entry(told)
    assert (listed["val_loss"], listed["bits_per_byte"], listed["val_step"]) == (4.107, 2.0535, 40)
    assert dict(facts_of(told))["val loss"].startswith("best ")


@pytest.mark.parametrize("is_finished", [False, True])
def test_without_the_file_of_the_best_weights_it_is_that_of_the_last_which_are_opened(run: Run, is_finished: bool) -> None:
    run.metrics_path.write_bytes(metric(40, 5.0, 4.0) + metric(100, 1.0, 6.0))
    last, best = (FinalEvaluation(step=step, tokens=10, bytes=20, val_loss=loss) for step, loss in ((100, 6.1), (40, 4.1)))
    status = Status(phase="stopped", step=100, best_step=40, best_val_loss=4.0)
    run.status_path.write_bytes(encode(replace(status, final=last, final_best=best) if is_finished else status))
    (run.path / "last.safetensors").write_bytes(b"")
    (told,) = RunsWatcher(run.path.parent).read()
    assert (told.val_loss, told.val_step) == ((6.1, 100) if is_finished else (6.0, 100))
    (run.path / "best.safetensors").write_bytes(b"")
    (told,) = RunsWatcher(run.path.parent).read()
    assert (told.val_loss, told.val_step) == ((4.1, 40) if is_finished else (4.0, 40))


@pytest.mark.parametrize("block", [7, 64, 100, 4096])
def test_the_latest_numbers_do_not_depend_on_the_blocks_read(run: Run, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    run.metrics_path.write_bytes(metric(0, None, 6.0) + metric(1, 5.0) + b"[[[[\n" + metric(2, 4.0) + metric(3, 1.0)[:-1])
    size = max(block, len(metric(2, 4.0)))
    monkeypatch.setattr("lab.core.safe_open.BLOCK_BYTES", size)
    monkeypatch.setattr(run_summary, "TORN_BYTES", size)
    (told,) = RunsWatcher(run.path.parent).read()
    assert (told.loss, told.val_loss) == (4.0, 6.0)


def test_a_run_at_rest_is_told_again_without_opening_a_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.metrics_path.write_bytes(metric(0, None, 6.0) + metric(1, 5.0))
    watcher = RunsWatcher(run.path.parent)
    (first,) = watcher.read()
    for reader in ("read_json", "read_regular"):
        monkeypatch.setattr(run_folder, reader, lambda path, *_: pytest.fail(f"{path} was read again"))
    monkeypatch.setattr(run_summary, "open_regular", lambda path: pytest.fail(f"{path} was opened again"))
    assert watcher.read()[0] is first
    monkeypatch.undo()
    run.status_path.write_bytes(encode(Status(phase="stopped", step=250, heartbeat=2001.0)))
    assert RunsWatcher(run.path.parent).read()[0] == watcher.read()[0]
    assert watcher.read()[0].step == 250


def test_what_is_renamed_damaged_or_gone_is_noticed(run: Run) -> None:
    watcher = RunsWatcher(run.path.parent)
    assert [said.name for said in watcher.read()] == ["tale"]
    moved = run.path.rename(run.path.with_name("saga"))
    assert [said.name for said in watcher.read()] == ["saga"]
    assert list(watcher._cache) == [str(moved)]
    config = (moved / "config.json").read_bytes()
    (moved / "config.json").write_bytes(config[:-9])
    (said,) = watcher.read()
    assert (said.name, said.phase) == ("saga", "damaged")
    assert said.problem.startswith("config.json is damaged")
    assert watcher.read()[0] is said, "its settings are read again"
    (moved / "config.json").write_bytes(config)
    assert [said.name for said in watcher.read()] == ["saga"]


def test_a_trainer_on_another_machine_is_named(run: Run) -> None:
    run.status_path.write_bytes(encode(Status(phase="training", host="abacus", pid=71, heartbeat=time.time())))
    (said,) = RunsWatcher(run.path.parent).read()
    assert (said.phase, said.owner) == ("training", "process 71 on abacus")
    run.status_path.write_bytes(encode(Status(phase="finished", host=platform.node(), pid=71)))
    assert RunsWatcher(run.path.parent).read()[0].owner == ""


def test_time_left_follows_from_the_time_of_enough_steps() -> None:
    run = config(steps=110, batch=16)
    assert time_left(run, TRAINING, history(*((step, 3.0, None) for step in range(1, 15)))) is None
    assert time_left(run, TRAINING, LossHistory()) is None
    # 40 steps of half a second, of which the last ten took four seconds more for an evaluation
    slower = LossHistory()
    slower.add(
        Metric(step=step, tokens=0, epoch=0.0, seconds=step / 2 + 4.0 * (step > 30), loss=3.0, tokens_per_second=2048.0)
        for step in range(1, 41)
    )
    often = replace(run, train=replace(run.train, eval_every=20))
    assert time_left(often, TRAINING, slower) == pytest.approx(70 * (20 / 2 + 4) / 20)
    by_minutes = config(steps=None, minutes=2.0)
    assert time_left(by_minutes, Status(phase="training", seconds=30.0), LossHistory()) == pytest.approx(90.0)


def test_progress_is_a_share() -> None:
    assert fraction_done(config(steps=200), Status(phase="training", step=50)) == 0.25
    assert fraction_done(config(steps=None, minutes=1.0), Status(phase="training", seconds=90.0)) == 1.0
    assert fraction_done(config(steps=200), Status(phase="finished", step=200)) == 1.0
    assert planned_length(config(steps=2000)) == "2,000 steps"
    assert planned_length(config(steps=None, minutes=5.0)) == "5 min 00 s"


def words_of(*hosts: str) -> str:
    return describe_ranks([RankHeartbeat(host, 1, 0.0) for host in hosts])


def test_hosts_are_named_once_and_at_most_four_and_forge_no_line() -> None:
    assert words_of("abacus") == ""
    assert words_of("abacus", "abacus") == "2 ranks on abacus"
    assert words_of("abacus", "babbage", "abacus") == "3 ranks on 2 hosts (abacus, babbage)"
    assert words_of(*"abcde") == "5 ranks on 5 hosts (a, b, c, d, …)"
    assert words_of("a\nforged is trained", "a\nforged is trained") == "2 ranks on a␊forged is trained"
    assert len(words_of(*(letter * 500 for letter in "abcd"))) < 200


def test_the_speed_is_that_of_the_last_steps_as_train_says_it(run: Run) -> None:
    lines = [
        Metric(step=step, tokens=step * 50, epoch=0.0, seconds=step * 2.0, loss=5.0, tokens_per_second=100.0 + step * step)
        for step in range(1, 31)
    ]
    history, watcher = LossHistory(), RunsWatcher(run.path.parent)
    for end in (1, 7, 25, 30):
        run.metrics_path.write_bytes(b"".join(encode(line) + b"\n" for line in lines[:end]))
        history.add(lines[len(history.steps) : end])
        latest = [100.0 + step * step for step in range(1, end + 1)][-10:]
        assert watcher.read()[0].tokens_per_second == history.speed == pytest.approx(sum(latest) / len(latest))
