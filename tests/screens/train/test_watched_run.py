"""The watched run: its numbers as its files grow, the walk from run to run, commands to its trainer, its export."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from lab.analysis.baselines import TextEntropy
from lab.exchange import export_files
from lab.planning.sequence_preview import TextSplit, run_split_process
from lab.runs.home_folder import home
from lab.runs.run_schema import Metric, Status
from lab.runs.schema_parts import GpuUse
from models.installation import install_command
from screens.app import LabApp
from screens.dialogs.ask import ConfirmDialog
from screens.dialogs.export_menu import ExportMenu
from screens.messages import RunChosen
from screens.train.new_run import SECONDS_BEFORE_COUNTING
from screens.widgets.key_bar import KeyBar
from tests.fixture_types import Open, Until
from tests.screens.pilot_waits import press, rows_of, settle
from tests.screens.train.train_app import TrainApp, numbers, screen_of, text_of, watch

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


async def test_a_run_is_shown_with_its_own_numbers(app: TrainApp, make_run: Any, until: Any) -> None:
    make_run("tale", phase="stopped", step=1240)
    make_run("busy", phase="training", step=100)
    gpus = {"fast": (0.412, ("MFU", "41%")), "slow": (None, ("GPU busy", "97%"))}
    for name, (mfu, _) in gpus.items():
        run = make_run(name, phase="stopped", step=1240)
        use = GpuUse(memory=34_100_000_000, total=80_000_000_000, busy=0.97, mfu=mfu)
        run.status_path.write_bytes(msgspec.json.encode(msgspec.structs.replace(run.status(), gpu=use)))
    async with app.run_test(size=(80, 24)) as pilot:
        await watch(pilot, until, "busy")
        assert len(screen_of(pilot).watched.usage.samples) == 1
        await watch(pilot, until, "tale")
        assert not screen_of(pilot).watched.usage.samples, "what another run takes of the machine"
        told = numbers(pilot)
        assert told["step"] == "1,240 / 2,000"
        assert told["uniform"] == "6.931"
        assert told["tokens/s"] == "8,310"
        assert "uniform baseline 6.93 nats per token" in text_of(pilot, "#run-reading")
        assert "Stopped; p resumes." in text_of(pilot, "#run-notice")
        assert "■ stopped" in screen_of(pilot).query_one("#run-header").render_line(0).text
        for name, (_, last) in gpus.items():
            await watch(pilot, until, name)
            assert list(numbers(pilot).items())[-2:] == [("GPU memory", "34.1 GB"), last]


async def test_a_quick_hand_finds_the_run_that_goes_on(make_run: Any, until: Any) -> None:
    make_run("tale", phase="training", step=1240)
    async with TrainApp(preload=False).run_test(size=(80, 24)) as pilot:  # opens on Train before any run has been read
        await until(pilot, lambda: not screen_of(pilot).making)
        await until(pilot, lambda: numbers(pilot).get("step") == "1,240 / 2,000")


async def test_the_first_visit_shows_the_run_that_was_chosen_though_another_trains_and_enter_starts_none(
    make_run: Any, until: Any, started: list[str]
) -> None:
    make_run("tale", phase="stopped", step=1240)
    make_run("busy", phase="training", step=100)
    app = LabApp(text=str(Path("fable.txt").absolute()), preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs)
        app.post_message(RunChosen("tale", "train"))
        await until(pilot, lambda: app.current_mode == "train" and numbers(pilot))
        assert numbers(pilot)["step"] == "1,240 / 2,000"
        assert app.focused is None
        await press(pilot, "e", "enter")
        await settle(pilot)
        assert not started
        assert not screen_of(pilot).making
        assert not screen_of(pilot).new_run.preparing


async def test_new_lines_appear_and_a_file_that_began_anew_replaces_what_was_there(
    app: TrainApp, make_run: Any, until: Any
) -> None:
    run = make_run("tale", phase="training", step=100)
    encode = msgspec.json.encode
    async with app.run_test(size=(80, 24)) as pilot:
        await watch(pilot, until, "tale")
        assert list(screen_of(pilot).watched.history.eval_steps) == [0, 100]
        line = Metric(step=101, tokens=0, epoch=3.5, seconds=0.0, loss=2.5, val_loss=1.25, bits_per_byte=0.75)
        with run.metrics_path.open("ab") as file:
            file.write(encode(line) + b"\n" + b'{"step": 102, "tok')
        await until(pilot, lambda: numbers(pilot)["epoch"] == "3.50")
        share = 32_800 / 111_539
        assert numbers(pilot)["val loss"] == "1.250"
        assert numbers(pilot)["val text used"] == f"{share:.0%}"
        assert numbers(pilot)["bits/byte"] == "0.750 (val)"
        with run.metrics_path.open("ab") as file:
            file.write(b'ens": 0, "epoch": 4.5, "seconds": 0.0, "loss": 2.5}\n')
        await until(pilot, lambda: numbers(pilot)["epoch"] == "4.50")
        assert numbers(pilot)["val loss"] == "1.250 @ 101", "an evaluation of an earlier step has that beside it"
        run.metrics_path.write_bytes(encode(line) + b"\n")
        await until(pilot, lambda: list(screen_of(pilot).watched.history.steps) == [101.0])


async def test_nothing_of_the_run_before_is_under_a_run_that_cannot_be_read(app: TrainApp, make_run: Any, until: Any) -> None:
    make_run("good", phase="training", step=200)
    (make_run("bad", step=10).path / "config.json").write_text("{")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: [run.name for run in app.runs] == ["good", "bad"])
        app.post_message(RunChosen("bad", "train"))
        await until(pilot, lambda: "bad/config.json is damaged" in text_of(pilot, "#run-notice"))
        await watch(pilot, until, "good")
        screen = screen_of(pilot)
        plot, header = screen.query_one("#run-plot"), screen.query_one("#run-header")
        assert screen.check_action("stop", ())
        await press(pilot, "left_square_bracket")
        await until(pilot, lambda: "bad/config.json is damaged" in text_of(pilot, "#run-notice"))
        for action in ("stop", "command", "inspect", "compare"):
            assert not screen.check_action(action, ())
        assert (screen.watched, plot.figure, numbers(pilot), screen.view.samples.steps) == (None, None, {}, [])
        assert text_of(pilot, "#run-computed") == text_of(pilot, "#run-reading") == ""
        assert not header.render_line(0).text.strip()
        await press(pilot, "right_square_bracket")
        await until(pilot, lambda: plot.figure is not None and numbers(pilot))
        assert screen.watched.name == "good"
        await press(pilot, "a", "left_square_bracket")
        await until(pilot, lambda: "bad/config.json is damaged" in header.problem)
        assert header.render_line(0).text.startswith(header.problem[:60])
        assert not "".join(screen.query_one("#insight-lines").render_line(y).text for y in range(9)).strip()


@pytest.mark.parametrize(
    ("runs", "in_use", "shown"),
    [
        ({"older": "training", "newer": "finished"}, "newer", "older"),
        ({"older": "finished", "newer": "finished"}, "older", "older"),
        ({"older": "finished", "newer": "finished"}, "", "newer"),
        ({}, "", ""),
    ],
)
async def test_4_shows_the_run_that_trains_or_the_newest_and_n_the_form(
    runs: dict[str, str], in_use: str, shown: str, make_run: Any, until: Until
) -> None:
    for age, (name, phase) in enumerate(reversed(runs.items())):
        make_run(name, phase=phase, created=1_759_990_000.0 - age)
    app = LabApp(run=in_use, preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs_known)
        for _ in range(1 if in_use else 2):
            await press(pilot, "4")
            await until(pilot, lambda: not shown or getattr(screen_of(pilot).watched, "name", "") == shown)
            assert screen_of(pilot).making == (not shown)
            if shown == "newer":
                await press(pilot, "n")
                assert screen_of(pilot).making
                await press(pilot, "escape")
                assert not screen_of(pilot).making
                await press(pilot, "n", "1")


async def test_a_text_is_planned_and_read_in_a_process_only_once_the_form_is_in_view(
    watching: Open, app: TrainApp, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[Any]()

    async def read(*arguments: Any) -> TextSplit:
        asked.append(arguments)
        return await run_split_process(*arguments)

    monkeypatch.setattr("screens.train.new_run.run_split_process", read)
    async with watching(phase="finished") as pilot:
        await asyncio.sleep(3 * SECONDS_BEFORE_COUNTING)
        assert not asked
        Path("story.txt").write_text("The old cat sat. " * 100)
        app.text_source = "story.txt"
        await until(pilot, lambda: screen_of(pilot).new_run._text.source == "story.txt" and screen_of(pilot).new_run._text.tokens)
        assert text_of(pilot, "#form-text").startswith("New run on fable")
        await press(pilot, "n")
        assert text_of(pilot, "#form-text").startswith("New run on story, 1.7 kB, about ")
        await until(pilot, lambda: asked)


async def test_nothing_of_a_deleted_run_is_under_a_new_one_of_its_name_which_is_read_anew(
    watching: Open, app: TrainApp, make_run: Any, until: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screens.train.train_screen.run_entropy", lambda run: TextEntropy(run.config.created, 1.0))
    async with watching(phase="training", created=1000.0, step=100) as pilot:
        screen = screen_of(pilot)
        await until(pilot, lambda: screen.view.entropy is not None and screen.watched.usage.samples)
        screen.making = True
        app.run_name = "demo"
        await settle(pilot)
        shutil.rmtree(home / "tale")
        make_run("tale", created=2000.0, step=100)
        app.run_name, screen.making = "tale", False
        await until(pilot, lambda: screen.view.entropy == TextEntropy(2000.0, 1.0))
        assert not screen.watched.usage.samples
        await press(pilot, "1")
        shutil.rmtree(home / "tale")
        make_run("tale", phase="stopped", created=3000.0, step=300, steps=700)
        await press(pilot, "4")
        await until(pilot, lambda: screen.watched.config.train.steps == 700)
        assert numbers(pilot)["step"] == "300 / 700"


async def test_keys_pause_resume_and_stop_by_the_runs_control_files_and_the_question_goes_when_the_run_has_ended(
    app: TrainApp, make_run: Any, until: Any, started: list[str]
) -> None:
    run = make_run("tale", phase="training", step=100)

    async def become(phase: str) -> None:
        status = msgspec.json.decode(run.status_path.read_bytes(), type=Status)
        run.status_path.write_bytes(msgspec.json.encode(msgspec.structs.replace(status, phase=phase)))
        await until(pilot, lambda: screen_of(pilot).watched.phase == phase)

    async with app.run_test(size=(80, 24)) as pilot:
        await watch(pilot, until, "tale")
        await press(pilot, "x")
        assert isinstance(app.screen, ConfirmDialog)
        await become("finished")
        await until(pilot, lambda: not isinstance(app.screen, ConfirmDialog))
        await become("training")
        await press(pilot, "r", "p")
        await until(pilot, lambda: (run.control_path / "pause").exists())
        assert not (run.control_path / "resume").exists(), "a run that trains cannot be resumed"
        await become("paused")
        assert "resume" in screen_of(pilot).query_one(KeyBar).render_line(0).text
        await press(pilot, "p")
        await until(pilot, lambda: (run.control_path / "resume").exists())
        await press(pilot, "x", "escape")
        assert not (run.control_path / "stop").exists()
        await press(pilot, "x")
        assert isinstance(app.screen, ConfirmDialog)
        assert "step 100" in app.screen._words
        await press(pilot, "x")
        await until(pilot, lambda: (run.control_path / "stop").exists())
        await become("stopped")
        assert not started
        await press(pilot, "p")
        await until(pilot, lambda: started == ["tale"])


async def export(pilot: Pilot[None], until: Until, key: str) -> str:
    """Choose an export; what the app says then."""
    await press(pilot, "o")
    await until(pilot, lambda: isinstance(pilot.app.screen, ExportMenu))
    await press(pilot, key)
    await until(pilot, lambda: pilot.app._notifications)
    words = [each.message for each in pilot.app._notifications]
    pilot.app.clear_notifications()
    return words[-1]


async def test_o_saves_the_runs_report_and_screenshots_and_the_palette_one_of_any_screen(
    watching: Open, app: TrainApp, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching() as pilot:
        await press(pilot, "o")
        await until(pilot, lambda: isinstance(app.screen, ExportMenu))
        await press(pilot, "n", "j", "c", "t")
        assert isinstance(app.screen, ExportMenu), "what needs a view of Inspect is not offered"
        await press(pilot, "escape")
        await until(pilot, lambda: not isinstance(app.screen, ExportMenu))
        assert not (home() / "exports").exists()
        with monkeypatch.context() as patch:
            patch.setattr(export_files, "can_write_png", lambda: False)
            assert (
                await export(pilot, until, "p")
                == f"PNG needs the package resvg-py: `{install_command('png')}` adds it; SVG needs nothing."
            )
        assert list((home() / "exports").iterdir()) == []
        assert "tale-report.html" in await export(pilot, until, "h")
        report = (home() / "exports" / "tale-report.html").read_text(encoding="utf-8")
        assert "<h1><bdi>tale</bdi></h1>" in report
        assert "Next token" not in report
        (home() / "exports" / "tale-training.svg").write_text("mine")
        assert "tale-training-2.svg" in await export(pilot, until, "s")
        assert (home() / "exports" / "tale-training-2.svg").read_text().startswith("<svg")
        assert (home() / "exports" / "tale-training.svg").read_text() == "mine"
        await press(pilot, "1", "ctrl+p", *"svg")
        await until(pilot, lambda: "Save a screenshot" in "\n".join(rows_of(pilot)))
        await press(pilot, "enter")
        await until(pilot, lambda: app._notifications)
        path = home() / "exports" / "llmlab-home.svg"
        assert "From text to prediction" in path.read_text().replace("&#160;", " "), "by the palette of any screen"
        assert "screenshot" not in path.read_text()
