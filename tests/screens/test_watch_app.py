"""The lab on the runs of another machine: shown live, read-only, and what is said while the connection is lost."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from lab.runs import run_mirror
from lab.runs.home_folder import MIRROR
from lab.runs.run_mirror import RunMirror
from lab.runs.run_schema import Status
from screens.watch_app import OF_OWN_RUNS, OF_WEIGHTS, WatchApp
from tests.fixture_types import Until
from tests.lab.runs.fake_box import FakeBox
from tests.screens.conftest import NOW, metric_at, write_run
from tests.screens.pilot_waits import press, resize, rows_of

READ_ONLY = "These runs are on me@box and are watched from here, read-only."


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeBox:
    """A machine with a run that trains, whose lock nobody here holds, and one that has finished."""
    made = FakeBox(tmp_path / "box", monkeypatch)
    made.program("date", f"echo {int(NOW)}")
    write_run(made.home, "live", phase="training", step=300)
    write_run(made.home, "done", created=NOW - 7200).tokens_path.write_bytes((np.arange(430_000) % 1024).astype("<u2").tobytes())
    return made


@pytest.fixture
def app(tmp_path: Path, home: Path, box: FakeBox, monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchApp]:
    folder = tmp_path / "mirror/me@box"
    folder.mkdir(parents=True)
    monkeypatch.setenv(MIRROR, str(folder))
    monkeypatch.setattr("screens.watch_app.SECONDS_BETWEEN_READINGS", 0.1)
    monkeypatch.setattr("screens.app.SECONDS_BETWEEN_READINGS", 0.1)
    monkeypatch.setattr("screens.train.train_screen.SECONDS_BETWEEN_READINGS", 0.1)
    monkeypatch.setattr(WatchApp, "NOTIFICATION_TIMEOUT", 600.0)  # on a busy machine, too, they are still there when looked at
    monkeypatch.setattr(run_mirror, "SECONDS_BETWEEN", 0.05)
    monkeypatch.setattr(run_mirror, "LONGEST_PAUSE", 0.05)
    mirror = RunMirror("me@box", "", folder)
    mirror.update()
    yield WatchApp(mirror)
    mirror.end()


def told(app: WatchApp) -> list[str]:
    return [each.message for each in app._notifications]


def seen(pilot: object) -> str:
    return "\n".join(rows_of(pilot))  # type: ignore[arg-type]


OF_HOME = {"choose('inspect')", "act('clone')", "fine_tune", "import_model", "act('rename')", "act('delete')"}
OF_TRAIN = (OF_OWN_RUNS | OF_WEIGHTS) - OF_HOME - {"mode('inspect')", "app.mode('data')"}


async def changes_are_refused(app: WatchApp, pilot: Any, expected: set[str], key: str) -> None:
    """Nothing of the screen in view that would change a run or need its weights is done: neither by this key, nor by a mode's."""
    bound = {each.action for found in app.screen._bindings.key_to_bindings.values() for each in found}
    refused = bound & (OF_OWN_RUNS | OF_WEIGHTS)
    assert refused >= expected
    assert {app.refusal(action) for action in refused} == {READ_ONLY}
    mode = app.current_mode
    for pressed in (key, "5"):
        app.clear_notifications()
        await press(pilot, pressed)
        assert told(app) == [READ_ONLY]
        assert (app.current_mode, len(app.screen_stack)) == (mode, 1)
    app.clear_notifications()


@pytest.mark.usefixtures("fixed_machine")
async def test_runs_of_another_machine_are_shown_live_read_only_and_a_lost_connection_is_said(
    app: WatchApp, box: FakeBox, home: Path, until: Until
) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: len(app.runs) == 2 and "● training" in seen(pilot))
        assert "Runs are in the home of me@box, read-only" in seen(pilot)
        await changes_are_refused(app, pilot, OF_HOME, "r")
        await press(pilot, "4")
        await until(pilot, lambda: "Trained on me@box; last status: just now." in seen(pilot))
        assert "p pause" not in seen(pilot)
        await changes_are_refused(app, pilot, OF_TRAIN, "p")
        with (box.home / "live/metrics.jsonl").open("ab") as file:
            file.write(b"".join(msgspec.json.encode(metric_at(step, 100)) + b"\n" for step in range(301, 401)))
        status = Status(phase="training", step=400, steps=2000, heartbeat=NOW)
        (box.home / "new").write_bytes(msgspec.json.encode(status))
        (box.home / "new").replace(box.home / "live/status.json")
        await until(pilot, lambda: "20% of 2,000 steps" in seen(pilot) and "400 / 2,000" in seen(pilot))
        box.cut()
        await until(pilot, lambda: "✗ me@box lost" in seen(pilot))
        (lost,) = told(app)
        assert lost.startswith("me@box cannot be reached: ")
        assert lost.endswith(". What is shown gets older; trying again.")
        assert "● training" in seen(pilot)
        box.mend()
        await until(pilot, lambda: "● live 20%" in seen(pilot))
        assert told(app) == [lost, "me@box is there again."]
        await resize(pilot, 80, 24)
        await press(pilot, "1", "down", "enter")
        await until(pilot, lambda: app.current_mode == "train" and "done  ✓ finished" in seen(pilot))
        await until(pilot, lambda: "! It has hardly improved since step 1,501" in seen(pilot))
        assert "unigram 6.93" in seen(pilot), "its verdict is of its text"
        assert "Next: i looks inside" not in seen(pilot)
        assert os.listdir(home) == []


async def test_what_is_left_out_is_said_and_the_run_that_was_asked_for_is_in_view(
    app: WatchApp, box: FakeBox, until: Until
) -> None:
    (box.home / "done/samples.jsonl").unlink()
    (box.home / "done/samples.jsonl").symlink_to("/etc/passwd")
    app.mirror.in_view = "done"
    asked = WatchApp(app.mirror)
    async with asked.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: asked.current_mode == "train" and "done" in seen(pilot))
        await until(pilot, lambda: "done/samples.jsonl is not a regular file of a run." in told(asked))
        await press(pilot, "q")
    assert asked.return_value is None
