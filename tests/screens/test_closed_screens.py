"""Screens that are closed are let go of, and so are files of a lab that was killed. The lab runs in a process of its own, as it
does for users, with nothing replaced."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab.runs.home_folder import bundled

WALK = """
import gc, weakref
from lab.cli import import_lab
from textual.widget import Widget
from screens.messages import CompareRuns, RunChosen
from tests.screens.pilot_waits import press_until, wait_until

OF_HOME = "question_mark ctrl+p g ctrl+t r c compare".split()
OF_TRAIN = "s o".split()
TURNS = 2

async def walk(pilot):
    app, opened = pilot.app, []

    async def until(condition):
        await wait_until(pilot, condition)

    async def open_and_close(key):
        below = app.screen
        if key == "compare":
            app.post_message(CompareRuns(("mine", "demo")))
        else:
            await pilot.press(key)
        await until(lambda: app.screen is not below)
        await pilot.pause(0)
        opened.append((key, type(app.screen).__name__, weakref.ref(app.screen)))
        await press_until(pilot, "escape", lambda: app.screen is below)

    await until(lambda: {"mine", "demo"} <= {run.name for run in app.runs})
    widgets = []
    for _ in range(TURNS):
        for mode, keys in (("1", OF_HOME), ("4", OF_TRAIN)):
            await pilot.press(mode)
            if mode == "4":
                app.post_message(RunChosen("mine", "train"))
                await until(lambda: app.current_mode == "train" and app.screen.watched is not None)
            for key in keys:
                await open_and_close(key)
        for _ in range(100):  # a thread may still read a file for a screen that was just closed
            gc.collect()
            kept = {name for _, name, screen in opened if screen() is not None}
            if len(kept) == 1:
                break
            await pilot.pause(0.05)
        widgets.append(sum(isinstance(each, Widget) for each in gc.get_objects()))
    print(*sorted({name for _, name, _ in opened}))
    print(*sorted(kept))
    print(*widgets)
    app.exit()

import_lab().LabApp(preload=False).run(headless=True, size=(80, 24), auto_pilot=walk)
"""


def test_dialogs_and_comparisons_that_are_closed_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The help is one screen, which is opened again. A turn leaves no widget behind."""
    monkeypatch.setenv("LLMLAB_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
    shutil.copytree(bundled("demo"), tmp_path / "mine")
    done = subprocess.run([sys.executable, "-P", "-c", WALK], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    opened, kept, widgets = (line.split() for line in done.stdout.split("\n")[:3])
    assert {"CompareScreen", "GlossaryDialog", "AskText", "ThemePicker", "RunChooser", "PlotMenu", "ExportMenu"} <= set(opened)
    assert kept == ["HelpScreen"]
    assert int(widgets[1]) <= int(widgets[0])


KILLED = """
import os, signal
from pathlib import Path
from lab.cli import import_lab
from lab.core import atomic_io
from tests.screens.pilot_waits import wait_until

home = Path(os.environ["LLMLAB_HOME"])
if os.fork() == 0:
    os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    atomic_io.write_atomic(home / ".learn" / "progress.json", b"cut short")
os.wait()
(home / ".mine.tmp").touch()
temporary = lambda: sorted(path.name for path in home.rglob(".*.tmp"))
assert len(temporary()) == 2

async def look(pilot):
    await wait_until(pilot, lambda: len(temporary()) == 1)
    pilot.app.exit()

import_lab().LabApp(warms_engine=False).run(headless=True, auto_pilot=look)
print(*temporary())
"""


def test_temporary_files_of_a_lab_that_was_killed_go_when_the_next_one_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMLAB_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
    (tmp_path / ".learn").mkdir()
    done = subprocess.run([sys.executable, "-P", "-c", KILLED], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, ".mine.tmp\n"), done.stderr[-2000:]
