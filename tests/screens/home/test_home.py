"""Home: the runs as they are on disk."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from lab.analysis.loss_curve import read_loss_curve, sparkline
from lab.inspect.prompt_history import last_prompt, read_history, remember
from lab.lessons.learner_progress import Progress, progress_path, write_progress
from lab.runs.run_schema import Sample
from screens.app import LabApp
from screens.base_screen import LabScreen
from screens.dialogs.ask import AskText, ConfirmDialog
from screens.home.import_dialog import ImportDialog
from screens.home.pipeline_map import PIPELINE, PipelineMap, next_step
from screens.home.run_pane import RunPane
from screens.home.run_table import RunTable
from screens.messages import RunChosen
from screens.plot.plot_widget import LinePlot
from screens.widgets.piece_lines import FactList
from tests.fixture_types import Open
from tests.screens.conftest import NOW
from tests.screens.pilot_waits import click_on, paste, press, resize

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


class Elsewhere(LabScreen):
    """Stands for Inspect, whose engine is not needed here."""

    MODE = "inspect"


class HomeApp(LabApp):
    MODES = {**LabApp.MODES, "inspect": Elsewhere}


class LinkApp(LabApp):
    """Its other modes are empty: only the way there is tested."""

    MODES = {**LabApp.MODES, **dict.fromkeys(("data", "tokens", "train", "inspect", "learn"), Elsewhere)}


@pytest.fixture
def app() -> HomeApp:
    return HomeApp(preload=False)


def lines(pilot: Pilot[None]) -> list[str]:
    table = table_of(pilot.app)
    return [table.render_line(y).text.strip() for y in range(1, len(table.runs) + 1)]


def table_of(app: LabApp) -> RunTable:
    return app.screen.query_one(RunTable)


def led(app: LabApp) -> str:
    """The line under the pipeline."""
    return str(app.screen.query_one("#next-step", Static).content)


def cursor_in_sight(app: LabApp) -> bool:
    table = table_of(app)
    return any(table.render_line(y).text.startswith("▸") for y in range(table.size.height))


async def test_every_run_is_told_with_a_word_and_a_sign(app: HomeApp, listed: Open, make_run: Any) -> None:
    make_run("first", created=1000.0)
    make_run("second", created=2000.0, phase="stopped", step=1240)
    make_run("third", created=3000.0, phase="training", step=240)
    make_run("fourth", created=4000.0, phase="failed", step=12)
    gone = make_run("fifth", created=5000.0, phase="finished", step=12)
    gone.status_path.write_bytes(gone.status_path.read_bytes().replace(b'"finished"', b'"training"'))
    async with listed(5, size=(240, 40)) as pilot:
        told = lines(pilot)
        for line, words in zip(told, ("! interrupted", "✗ failed", "● training", "■ stopped", "✓ finished"), strict=True):
            assert words in line
        assert told[0].startswith("▸  fifth")
        assert "240 / 2,000" in told[2]
        assert "8,310" in told[2]
        assert told[2].endswith("now")
        assert told[1].endswith("10 min ago")


async def test_an_empty_home_says_where_to_start_and_its_keys_are_links(until: Any) -> None:
    app = LinkApp(preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs_known)
        assert led(app) == "New here? 6 opens the lessons. 5 looks into a model. 2 trains on your text."
        await press(pilot, "enter", "i")
        assert app.current_mode == "home"
        for words, mode in ((" 2 trains", "data"), (" 5 looks", "inspect"), (" 6 opens", "learn")):
            await click_on(pilot, words)
            await until(pilot, lambda mode=mode: app.current_mode == mode)
            await press(pilot, "1")
        said = "GPT-2 itself: ctrl+p, then gpt2, imports its weights as a run."
        assert str(app.screen.query_one("#run-line", Static).content) == said
        await click_on(pilot, "ctrl+p, then gpt2")
        await until(pilot, lambda: isinstance(app.screen, ImportDialog))


LESSON = "lesson 1, The whole path in one picture"


@pytest.mark.parametrize(
    ("runs", "step", "words"),
    [
        ({"busy": "training", "done": "finished"}, None, "enter watches busy: training, step 240 of 2,000."),
        ({"done": "finished", "busy": "paused"}, 1, "4 watches busy: paused, step 240 of 2,000."),
        ({"broken": "failed", "done": "finished"}, None, "enter shows broken: failed, step 240 of 2,000."),
        ({}, 5, "6 leads to lesson 2. 5 looks into a model. 2 trains on your text."),
        ({"done": "finished"}, 1, f"6 leads to {LESSON}, at step 2 of 6."),
    ],
)
async def test_home_leads_to_the_next_step_by_a_key_that_works(
    runs: dict[str, str], step: int | None, words: str, home: Path, make_run: Any, until: Any
) -> None:
    for age, (name, phase) in enumerate(runs.items()):
        make_run(name, phase=phase, step=240, created=NOW - 3600 - age)
    if step is not None:
        read = Progress()
        for each in range(step + 1):
            read = read.at("whole-path", each, 6)
        write_progress(home, read, "whole-path")
    app = LinkApp(preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(app.runs) == len(runs) and led(app) == words)
        key = words.partition(" ")[0]
        await press(pilot, key)
        assert app.current_mode == ("learn" if key == "6" else "inspect" if "looks" in words else "train")
        assert app.run_name == next(iter(runs), "demo")


async def test_a_run_that_ended_after_the_lesson_leads(app: HomeApp, listed: Open, make_run: Any, home: Path, until: Any) -> None:
    make_run("done")
    write_progress(home, Progress().at("whole-path", 1, 6), "whole-path")
    os.utime(progress_path(home), (NOW - 1e6, NOW - 1e6))
    async with listed() as pilot:
        await until(pilot, lambda: app.screen._lesson is not None)
        assert led(app).startswith("enter looks inside done: ")
        (done,) = app.runs
        under_cursor = replace(done, name="demo", is_bundled=True)
        assert next_step(under_cursor, done, 1.0, None).plain.startswith("4 shows done: "), "the demo is not what was done last"
        write_progress(home, Progress().at("whole-path", 2, 6), "whole-path")
        await pilot.press("5", "1")
        await until(pilot, lambda: led(app) == f"6 leads to {LESSON}, at step 3 of 6.")


async def test_the_mark_stays_on_its_run_when_another_appears(app: HomeApp, listed: Open, make_run: Any, until: Any) -> None:
    make_run("old", created=1000.0)
    make_run("older", created=900.0)
    async with listed(2) as pilot:
        await pilot.press("j")
        assert table_of(app).selected.name == "older"
        make_run("new", created=5000.0)
        app.read_runs()
        await until(pilot, lambda: len(app.runs) == 3)
        assert table_of(app).selected.name == "older"
        assert lines(pilot)[2].startswith("▸  older")
        make_run("newest", created=6000.0)
        app.post_message(RunChosen("newest"))  # as Train does when it has made a run
        app.read_runs()
        await until(pilot, lambda: (run := table_of(app).selected) is not None and run.name == "newest")


async def test_a_size_of_a_scaling_experiment_is_not_chosen_unasked(
    app: HomeApp, listed: Open, home: Path, make_run: Any
) -> None:
    (home / ".scaling" / "sizes").mkdir(parents=True)
    make_run("mine", created=1000.0)
    make_run("sizes-4", created=2000.0)
    async with listed(2):
        assert app.run_name == "mine"


async def test_enter_or_a_click_watches_a_run_that_trains_and_inspects_another_and_a_click_before_its_name_marks_it(
    app: HomeApp, listed: Open, make_run: Any, until: Any
) -> None:
    make_run("done", created=1000.0)
    make_run("busy", created=2000.0, phase="training", step=240)
    async with listed(2) as pilot:
        assert app.run_name == "busy", "the newest run is chosen from the start"
        await press(pilot, "enter")
        assert (app.current_mode, app.run_name) == ("train", "busy")
        await until(pilot, lambda: app.screen.query_one("#run").watched)
        await press(pilot, "1", "down", "enter")
        assert (app.current_mode, app.run_name) == ("inspect", "done")
        await press(pilot, "1")
        for marked in (("done",), ()):
            await pilot.click(RunTable, offset=(1, 2))
            await pilot.pause()
            assert (table_of(app).marked, app.current_mode) == (marked, "home")
        await pilot.click(RunTable, offset=(10, 0))
        await pilot.click(RunTable, offset=(10, 3))
        await pilot.pause()
        assert app.current_mode == "home", "neither the titles nor the room below is a run"
        await pilot.click(RunTable, offset=(10, 1))
        await until(pilot, lambda: app.current_mode == "train")
        assert app.run_name == "busy"
        await pilot.press("1", "j")
        await app.run_action("choose('train')", app.screen)
        await pilot.pause()
        assert (app.current_mode, app.run_name) == ("train", "done")


async def test_the_cursor_stays_in_sight_when_runs_appear_above_it_or_there_is_less_room(
    app: HomeApp, listed: Open, make_run: Any, until: Any
) -> None:
    for number in range(12):
        make_run(f"run-{number}", step=0, created=float(number))
    async with listed(12) as pilot:
        await pilot.press(*"j" * (table_of(app).size.height - 2))
        for number in range(12, 17):
            make_run(f"run-{number}", step=0, created=float(number))
        app.read_runs()
        await until(pilot, lambda: len(app.runs) == 17)
        await until(pilot, lambda: cursor_in_sight(app))
        await pilot.resize_terminal(80, 20)
        await until(pilot, lambda: cursor_in_sight(app))


async def test_of_two_hundred_runs_those_in_sight_are_read_and_all_are_reachable(
    app: HomeApp, listed: Open, make_run: Any, until: Any
) -> None:
    for number in range(200):
        make_run(f"run-{number}", step=3, created=float(number))
    async with listed(200) as pilot:
        table = table_of(app)
        await until(pilot, lambda: table.curves)
        assert 5 <= len(table.curves) <= 20
        assert (table.show_vertical_scrollbar, table.show_horizontal_scrollbar) == (True, False)
        await pilot.press("end")
        await until(pilot, lambda: app.runs[-1].path in table.curves)
        assert any("▸  run-0 " in table.render_line(y).text for y in range(table.size.height))


async def test_a_damaged_run_is_listed_last_with_the_reason_and_goes_by_a_key(
    app: HomeApp, listed: Open, make_run: Any, until: Any
) -> None:
    make_run("good", created=1000.0)
    config = make_run("bad", created=2000.0).path / "config.json"
    config.write_bytes(config.read_bytes().replace(b'"layers":4', b'"layers":2.5'))
    reason = "config.json is damaged: Expected `int`, got `float` - at `$.model.layers`"
    async with listed(2, size=(120, 40)) as pilot:
        assert "? damaged" in lines(pilot)[1]
        assert "ago" not in lines(pilot)[1]
        await pilot.press("j")
        assert str(app.screen.query_one("#run-line", Static).render()) == f"bad is damaged: {reason}. x deletes it."
        await until(pilot, lambda: dict(app.screen.query_one("RunPane FactList").facts).get("damaged", "").startswith(reason))
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        assert "bad is damaged: config.json is damaged" in app.screen._words
        await pilot.press("x")
        await until(pilot, lambda: not config.parent.exists())


async def test_each_row_has_a_sparkline_of_its_real_losses_and_marks_a_figure_of_a_part_of_the_validation_text(
    app: HomeApp, listed: Open, make_run: Any, until: Any
) -> None:
    done = make_run("done", created=1000.0)
    run = make_run("busy", created=2000.0, phase="training", step=500)
    make_run("fresh", created=3000.0, step=0)
    async with listed(3) as pilot:
        await until(pilot, lambda: len(table_of(app).curves) == 3)
        fresh, busy, finished = lines(pilot)
        whole = sparkline(read_loss_curve(done.metrics_path), 10)
        assert f"  {whole}  " in finished
        assert whole[0] == "█"
        assert f"  {sparkline(read_loss_curve(run.metrics_path), 10, 2000)}" in busy
        assert "▁        " in busy, "the steps that are still to come are blank"
        assert not set("▁▂▃▄▅▆▇█") & set(fresh)
        before = table_of(app).curves[run.path]
        with run.metrics_path.open("a") as file:
            file.write('{"step":501,"tokens":1,"epoch":0,"seconds":130,"loss":3.5}\n')
        app.read_runs()
        await until(pilot, lambda: table_of(app).curves[run.path] != before)
        assert table_of(app).curves[run.path].steps[-1] == 501
        await pilot.press("j", "j")
        assert lines(pilot)[2].endswith(f"~{app.runs[2].val_loss:.3f}")
        assert (
            str(app.screen.query_one("#run-line", Static).render())
            == "val loss in nats per token; ~ on 29% of the validation text"
        )


async def test_a_wide_home_shows_the_run_under_the_cursor_beside_shortened_names_and_a_click_watches_it(
    app: HomeApp, make_run: Any, until: Any
) -> None:
    make_run("old", created=1000.0, step=300, steps=300)
    make_run("new", created=2000.0)
    for name in ("tinyshakespeare-2", "tinyshakespeare-the-first", "tinyshakespeare-the-second"):
        make_run(name, step=1, created=1.0)
    async with app.run_test(size=(119, 40)) as pilot:
        await until(pilot, lambda: table_of(app).curves)
        assert not app.screen.query(RunPane)
        await resize(pilot, 120, 40)
        await until(pilot, lambda: app.screen.query(RunPane))
        pane = app.screen.query_one(RunPane)
        names = {line.strip("▸ ").partition("  ")[0] for line in lines(pilot)}
        assert names == {"new", "old", "tinyshakespeare-2", "tinyshak…he-first", "tinyshak…e-second"}
        await until(pilot, lambda: pane.detail is not None and pane.detail.run.name == "new")
        assert str(pane.border_title) == "new"
        await pilot.press("j")
        await until(pilot, lambda: pane.detail.run.name == "old")
        facts = dict(pane.query_one(FactList).facts)
        assert facts["model"].startswith("4 layers, 4 heads, width 128, context 128: ")
        assert facts["training"] == "300 steps, batch 16, adamw, lr 0.002"
        assert facts["val loss"].endswith(" on 32,800 of 111,539 bytes")
        figure = pane.query_one(LinePlot).figure
        train, validation = figure.series
        assert train.xs[-1] == pytest.approx(299.0, abs=2)
        assert list(validation.xs) == [0.0, 100.0, 200.0, 300.0]
        assert "sample at step 200" in str(pane.query_one("#run-written", Static).render())
        assert "ran fast. The old cat" in str(pane.query_one("#run-written", Static).render())
        await pilot.click(LinePlot)
        await until(pilot, lambda: app.current_mode == "train")
        assert app.run_name == "old"


async def test_a_large_home_shows_the_run_below_the_list_with_what_it_wrote_over_time(
    app: HomeApp, listed: Open, make_run: Any, until: Any
) -> None:
    run = make_run("tale")
    samples = [Sample(step=step, prompt=prompt, text=f" at {step}") for step in range(0, 2001, 100) for prompt in ("The", "A")]
    run.samples_path.write_bytes(b"".join(msgspec.json.encode(sample) + b"\n" for sample in samples))
    for number in range(60):
        make_run(f"run-{number}", step=3, created=float(number))
    async with listed(61, size=(200, 60)) as pilot:
        await until(pilot, lambda: app.screen.query(RunPane) and app.screen.query_one(RunPane).detail)
        await until(pilot, lambda: app.screen.query_one(LinePlot).size.width > 100)
        table, pane = table_of(app), app.screen.query_one(RunPane)
        assert pane.region.y > table.region.bottom - 1, "below the list, which scrolls"
        assert pane.region.height > table.region.height
        written = str(pane.query_one("#run-written", Static).render())
        assert [int(step.replace(",", "")) for step in re.findall(r"sample at step ([\d,]+)  A at", written)] == [
            *(2000, 1500, 1000, 500, 0)
        ]
        with run.samples_path.open("ab") as file:
            file.write(msgspec.json.encode(Sample(step=2001, prompt="A", text=" at the end")) + b"\n")
        await press(pilot, "down", "up")
        await until(pilot, lambda: "2,001  A at the end" in str(pane.query_one("#run-written", Static).render()))
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: pane.region.x > table.region.x and pane.region.y == table.region.y)


async def test_a_click_on_a_step_of_the_pipeline_opens_its_mode(until: Any) -> None:
    app = LinkApp(preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        pipeline = app.screen.query_one(PipelineMap)
        for width, stops in ((80, (0, 5)), (120, (1, 3))):
            await resize(pilot, width, 24 if width == 80 else 40)
            for number in stops:
                place = (30, number + 1) if width == 80 else (number * (pipeline.size.width + 1) // 6 + 8, 3)
                await pilot.click(PipelineMap, offset=place)
                mode = PIPELINE[number].key.split()[1].lower()
                await until(pilot, lambda mode=mode: app.current_mode == mode)
                await app.action_mode("home")
            await pilot.click(PipelineMap, offset=(5, 0))
            await pilot.pause()
            assert app.current_mode == "home", "the title is no link"
        await resize(pilot, 60, 20)
        lines = [pipeline.render_line(y).text.rstrip() for y in range(len(PIPELINE) + 1)]
        assert len(lines) == len(PIPELINE) + 1
        assert all(line.endswith(stop.key) and len(line) <= 58 for line, stop in zip(lines[1:], PIPELINE, strict=True))


async def test_the_last_prompt_of_a_run_follows_its_name_and_goes_with_it(
    app: HomeApp, listed: Open, make_run: Any, until: Any, home: Path
) -> None:
    make_run("tale")
    remember(home, "The old cat", "tale")
    async with listed() as pilot:
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, AskText))
        await pilot.press("ctrl+u")
        await paste(pilot, "story")
        await pilot.press("enter")
        await until(pilot, lambda: app._notifications)
        assert [said.message for said in app._notifications] == ["Renamed tale to story."]
        assert (last_prompt(home, "story"), last_prompt(home, "tale")) == ("The old cat", "")
        await until(pilot, lambda: app.runs and app.runs[0].name == "story" and not isinstance(app.screen, AskText))
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("x")
        await until(pilot, lambda: not (home / "story").exists() and last_prompt(home, "story") == "")
        assert read_history(home) == ["The old cat"]


async def test_runs_are_found_by_typing_marked_meanwhile_and_grouped_by_text(
    app: HomeApp, listed: Open, make_run: Any, until: Any
) -> None:
    for name, text, created in (
        ("tale", "stories", 4.0),
        ("lear", "plays", 3.0),
        ("fable", "stories", 2.0),
        ("ode", "poems", 1.0),
    ):
        make_run(name, text=text, created=created * 1000, step=2000 if name == "tale" else 100)
    async with listed(4, size=(80, 24)) as pilot:

        def names() -> list[str]:
            return [run.name for run in table_of(app).runs]

        def said() -> str:
            return str(app.screen.query_one("#run-line", Static).content)

        await press(pilot, "j", "m", "slash", "s")
        await paste(pilot, "tor loss>2.5")
        assert names() == ["fable"]
        assert table_of(app).render_line(0).text.startswith("   1 of 4 runs")
        await paste(pilot, " bits<")
        assert said() == "'bits<' is no condition, such as loss<2.5, bits<1, steps>1k, parameters<1M."
        assert names() == ["fable"], "those that match the rest"
        await press(pilot, *"0")
        assert (names(), said()) == ([], "No run matches; escape shows all.")
        await press(pilot, *["backspace"] * 6, "enter", "m")
        assert table_of(app).marked == ("lear", "fable"), "a mark stays on a run that is not listed"
        app.read_runs()
        await until(pilot, lambda: not any(worker.group == "runs" for worker in app.workers))
        assert (names(), table_of(app).marked) == (["fable"], ("lear", "fable"))
        await press(pilot, "escape")
        assert names() == ["tale", "lear", "fable", "ode"]
        assert table_of(app).selected.name == "fable"
        await press(pilot, "v")
        assert names() == ["tale", "fable", "lear", "ode"]
        assert ["stories" in line for line in lines(pilot)] == [True, False, False, False]
        assert ["plays" in line for line in lines(pilot)] == [False, False, True, False]
        await press(pilot, "v", "slash", "enter")
        assert names()[1] == "lear"
        assert not app.screen.query_one("#run-filter").display
