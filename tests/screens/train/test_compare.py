"""Runs beside each other, and what is done with whole runs from Home: rename, delete, their settings again."""

import asyncio
import math
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from textual.message import Message
from textual.pilot import Pilot
from textual.widgets import Button, Input, Static

from lab.analysis.compared_run import ComparedRun
from lab.core.number_format import count
from lab.runs.rename_delete import rename_run
from lab.runs.run_folder import Run
from lab.runs.run_schema import Metric, TokenizerConfig
from models.config import PRESETS
from screens.app import LabApp
from screens.command_palette import LabCommands
from screens.dialogs.ask import AskText, ConfirmDialog, RunChooser
from screens.home.run_table import RunTable
from screens.messages import ActOnRun, CompareRuns, FineTune, RunChosen, TextChosen
from screens.plot.plot_settings import PlotSettings
from screens.plot.plot_widget import LinePlot
from screens.train.compare_plot import RunColumns, _from_difference, figure, samples_shown, values_at
from screens.train.compare_screen import CompareScreen
from screens.widgets.key_bar import KeyBar
from tests.fixture_types import Open, Until
from tests.screens.pilot_waits import press, press_until, resize, settle
from tests.screens.train.train_app import act, change

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


@pytest.fixture
def app() -> LabApp:
    made = LabApp(preload=False)
    made.animation_level = "none"
    return made


@pytest.fixture
def two_runs(make_run: Any) -> tuple[Run, Run]:
    """`newer` has another learning rate and is no better."""
    older = make_run("older", created=1000.0, step=400, steps=400, text="stories")
    newer = make_run("newer", created=2000.0, step=200, steps=400, phase="stopped", text="stories")
    change(newer, train=msgspec.structs.replace(newer.config.train, lr=0.006))
    for run in (older, newer):
        run.tokenizer_path.write_text("{}")
    return older, newer


def words(pilot: Pilot[None]) -> str:
    return str(pilot.app.screen.query_one("#compare-words", Static).content)


def plotted(pilot: Pilot[None]) -> str:
    plot = pilot.app.screen.query_one(LinePlot)
    return "\n".join(plot.render_line(y).text for y in range(plot.size.height))


def table(pilot: Pilot[None], id_: str = "table") -> list[str]:
    part = pilot.app.screen.query_one(f"#compare-{id_}", RunColumns)
    return ["".join(text for text, _ in line).rstrip() for line in part.lines]


def compared(pilot: Pilot[None]) -> list[ComparedRun]:
    screen = pilot.app.screen
    return screen.runs if isinstance(screen, CompareScreen) else []


async def marked_and_compared(app: LabApp, pilot: Pilot[None], until: Any, runs: int = 2) -> None:
    await until(pilot, lambda: len(app.runs) >= runs)
    for _ in range(runs):
        await press(pilot, "m", "down")
    await press(pilot, "c")
    await until(pilot, lambda: len(compared(pilot)) == runs and table(pilot) and words(pilot))


@pytest.fixture
def comparing(app: LabApp, until: Until) -> Open:
    """Opens the comparison of so many runs, marked on Home."""

    @asynccontextmanager
    async def open_it(runs: int = 2) -> AsyncIterator[Pilot[None]]:
        async with app.run_test(size=(80, 24)) as pilot:
            await marked_and_compared(app, pilot, until, runs)
            yield pilot

    return open_it


async def the_plot_counts_otherwise(pilot: Pilot[None], two_runs: tuple[Run, Run]) -> None:
    for unit in ("steps", "tokens", "epochs", "seconds", "steps"):
        await settle(pilot)
        assert unit in plotted(pilot).splitlines()[-1]
        await act(pilot, "axis")
    screen: Any = pilot.app.screen
    plot = screen.query_one(LinePlot)
    (nats,) = [list(series.ys) for series in plot.figure.series if series.sign == "B"]
    await act(pilot, "bits")
    (bits,) = [list(series.ys) for series in plot.figure.series if series.sign == "B"]
    lines = [line for line in two_runs[0].metrics().read() if line.val_loss and line.step]
    assert nats == pytest.approx([line.val_loss for line in lines])
    assert bits == pytest.approx([line.bits_per_byte for line in lines])
    await press(pilot, "z")
    low, high = plot.x_range
    assert low == pytest.approx(0.5 * high)
    await press(pilot, "left")
    told = {plot.readout}
    assert plot.readout.endswith(f"; val (on 29%) B {bits[-1]:.3f}"), "newer ends before this place"
    await press(pilot, "left", "left")
    tokens = lines[-2].step * screen.runs[1].tokens_per_step
    assert plot.readout.endswith(f"; val (on 29%) B {bits[-2]:.3f} @ {count(tokens)}"), "no evaluation was made here"
    told.add(plot.readout)
    for action in ("bits", "smoothing"):
        await act(pilot, action)
        assert plot.readout not in told, "the losses of the other figure"
        assert plot.readout == values_at(plot.figure, screen.runs, screen.cursor)
        told.add(plot.readout)
    await act(pilot, "axis")
    assert (screen.cursor, plot.cursor, plot.readout) == (None, None, ""), "it was a place on the axis before"


async def test_marked_runs_are_compared_and_their_samples_stand_beside_each_other(
    app: LabApp, comparing: Open, two_runs: Any
) -> None:
    async with comparing() as pilot:
        assert [run.title for run in compared(pilot)] == ["A newer", "B older"]
        older, newer = (Run(run.path).metrics().read() for run in two_runs)
        best = [min(line.val_loss for line in lines if line.val_loss) for lines in (newer, older)]
        where = "on 32,800 of 111,539 bytes of validation text"
        assert f"B older is better {where}: a loss of {best[1]:.3f} at its best against {best[0]:.3f}" in words(pilot)
        assert "after about the same 410k tokens" in words(pilot)
        assert pilot.app.screen.query_one(KeyBar).render_line(0).text.startswith(" esc back"), "it covers its mode"
        rows = table(pilot)
        assert rows[0].split() == ["A", "newer", "B", "older"]
        assert [row.split()[3:] for row in rows if row.startswith("best val loss")] == [[f"{best[0]:.3f}", f"{best[1]:.3f}", "◂"]]
        at = rows.index("settings that differ")
        assert [row.split() for row in rows[at + 1 :]] == [["learning", "rate", "0.006", "0.002"]]
        below = app.screen.query_one("#compare-table", RunColumns)
        await press(pilot, "j", "j")
        assert below.render_line(0).text.split() == ["A", "newer", "B", "older"], "the names stay"
        assert below.render_line(1).text.rstrip() == rows[1 + below.scroll_offset.y] != rows[1]
        drawn = plotted(pilot)
        assert {"A", "B"} <= {sign for line in drawn.splitlines()[1:-1] for sign in line}
        assert not app.screen.query_one("#compare-samples").display
        await press(pilot, "d")
        assert app.screen.query_one("#compare-samples").display
        rows = table(pilot, "samples")
        assert rows[0].startswith("Samples at 50% of training")
        assert rows[1].split("  ")[0] == "A newer, step 200"
        assert "B older, step 200" in rows[1]
        await press(pilot, "left_curly_bracket", "left_curly_bracket")
        rows = table(pilot, "samples")
        assert rows[1].split("  ")[0] == "A newer, step 0"
        assert "xqv ee oth" in rows[2]
        await press_until(pilot, "right_curly_bracket", lambda: "step 200" in table(pilot, "samples")[1])
        await press(pilot, "right_curly_bracket", "right_curly_bracket")
        assert "step 200" in table(pilot, "samples")[1], "the last that any of them wrote"
        await resize(pilot, 120, 40)
        assert not words(pilot).endswith("…")
        assert "whole verdict" not in app.screen.query_one(KeyBar).render_line(0).text
        await resize(pilot, 80, 24)
        await the_plot_counts_otherwise(pilot, two_runs)
        await press(pilot, "escape")
        assert app.current_mode == "home"
        assert isinstance(app.screen.query_one(RunTable), RunTable)


async def test_other_tokenizers_are_compared_in_bits_per_byte_only_and_a_key_shows_the_sentences_that_do_not_fit(
    app: LabApp, comparing: Open, two_runs: Any
) -> None:
    newer = two_runs[1]
    change(newer, tokenizer=TokenizerConfig(kind="gpt2", vocab_size=50257), model=PRESETS["micro"].config(50257))
    newer.tokenizer_path.write_text('{"other": 1}')
    async with comparing() as pilot:
        keys = app.screen.query_one(KeyBar)
        first = words(pilot)
        assert first.endswith(". …")
        assert "whole verdict" in keys.render_line(0).text
        await press(pilot, "enter")
        text = app.screen.query_one("#compare-words")
        assert words(pilot).startswith(first.removesuffix("…"))
        assert "bout the same 410k tokens" in words(pilot)
        assert "Their tokenizers differ (A gpt2 50,257, B bpe 1,024): losses per token do not compare" in words(pilot)
        assert "Losses are in bits per byte." in words(pilot)
        assert text.size.height == text.get_content_height(text.size, app.size, text.size.width)
        assert not app.screen.query_one("#compare-below").display
        await press(pilot, "escape")
        assert words(pilot) == first
        assert app.screen.query_one("#compare-below").display
        screen: Any = app.screen
        await act(pilot, "bits")
        assert screen.settings.bits, "a loss per token would mislead"


async def test_texts_of_one_name_are_shown_where_they_differ_and_curves_are_in_bits_per_byte_of_their_own_text(
    comparing: Open, two_runs: Any
) -> None:
    """Training tokens of three bytes beside validation tokens as long as the evaluations say."""
    older, newer = two_runs
    name, train_bytes = "tinyshakespeare-of-all-plays.txt", 3 * older.config.data.split
    other = {"sha256": "f" * 64, "bytes": 999_999}
    change(newer, data=msgspec.structs.replace(newer.config.data, name=name, train_bytes=train_bytes, **other))
    change(older, data=msgspec.structs.replace(older.config.data, name=name, train_bytes=train_bytes))
    async with comparing() as pilot:
        text = next(row for row in table(pilot) if row.startswith("text"))
        assert "…999,999 bytes" in text
        assert "…1,115,394 bytes" in text
        runs = compared(pilot)
        nats, bits = (figure(runs, PlotSettings(bits=each)).series for each in (False, True))
        for run, at in zip(runs, (0, 2), strict=True):
            lines = next(each for each in two_runs if each.name == run.name).metrics().read()
            told = [line.bits_per_byte for line in lines if line.val_loss and line.step]
            assert list(bits[at + 1].ys) == pytest.approx(told)
            assert bits[at].ys == pytest.approx(np.asarray(nats[at].ys) / math.log(2) / 3)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (("fable", "fables"), ("fable", "fables")),
        (("a-long-name-of-one.txt", "a-long-name-of-two.txt"), ("…one.txt", "…two.txt")),
        (("a-long-name", "a-long-name-2"), ("a-lo…name", "a-lo…me-2")),
        (("a-long-name", "other"), ("a-lo…name", "other    ")),
    ],
)
def test_long_values_are_shown_from_where_they_differ(values: tuple[str, ...], shown: tuple[str, ...]) -> None:
    assert tuple(_from_difference(values, 9)) == shown


async def test_more_runs_than_fit_are_paged_and_at_the_cursor_the_losses_of_five_are_told_whole(
    app: LabApp, listed: Open, make_run: Any, until: Any
) -> None:
    for number in range(7):
        make_run(f"run-{number}", created=1000.0 - number, step=200, steps=200).tokenizer_path.write_text("{}")
    async with listed(7) as pilot:
        for _ in range(7):
            await press(pilot, "m", "down")
        assert app.screen.query_one(RunTable).marked == tuple(f"run-{number}" for number in range(5))
        await press(pilot, "c")
        await until(pilot, lambda: len(compared(pilot)) == 5 and table(pilot))
        legend = plotted(pilot).splitlines()[0]
        assert [word for word in legend.split() if word.isalpha()] == [*"ABCDE", "E", "val", "linear", "y"]
        assert "nats/token," in legend, "nothing of it is cut"
        await press(pilot, "left", "left")
        plot = app.screen.query_one(LinePlot)
        assert len(plot.readout) > 80
        rows = plotted(pilot).split("\n")
        lines = next(number for number in range(1, 5) if " ".join(row.strip() for row in rows[:number]) == plot.readout)
        await act(pilot, "cursor")
        assert plotted(pilot).split("\n")[1:lines] != rows[1:lines], "the plot again"
        await press(pilot, "d")
        assert samples_shown(compared(pilot), 75) == 3
        assert "runs 1–3, [ ] others" in table(pilot, "samples")[0]
        await press(pilot, "right_square_bracket", "right_square_bracket", "right_square_bracket")
        assert "runs 3–5" in table(pilot, "samples")[0]
        assert "E run-4, step 200" in table(pilot, "samples")[1]
        app.screen.first = 4  # type: ignore[attr-defined]  # chosen while only one fitted
        await settle(pilot)
        assert "runs 3–5" in table(pilot, "samples")[0], "no column stays empty"
        await press(pilot, "left_square_bracket")
        assert "runs 2–4" in table(pilot, "samples")[0]
        for width in (100, 120):
            await resize(pilot, width, 40)
            assert " E " in app.screen.query_one("#compare-table", RunColumns).render_line(0).text, "a column of each run"
            assert app.screen.query_one("#compare-samples", RunColumns).size.width >= 23
        assert "   run 2, [ ] " in table(pilot, "samples")[0]


async def test_a_run_that_trains_goes_on_in_the_plot(comparing: Open, make_run: Any, until: Any) -> None:
    make_run("done", created=1000.0, step=400, steps=400).tokenizer_path.write_text("{}")
    live = make_run("live", created=2000.0, step=100, steps=400, phase="training")
    live.tokenizer_path.write_text("{}")
    async with comparing() as pilot:
        assert "A is still training, 25% done." in words(pilot)
        line = Metric(step=200, tokens=409_600, epoch=1.0, seconds=50.0, loss=1.0, val_loss=1.0, bits_per_byte=0.5)
        with live.metrics_path.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
        await until(pilot, lambda: "A live is better" in words(pilot))
        assert compared(pilot)[0].history.steps[-1] == 200


async def test_without_colour_the_lines_differ_in_their_dashes(
    until: Any, two_runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = LabApp(preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await marked_and_compared(app, pilot, until)
        first, second = (series for series in app.screen.query_one(LinePlot).figure.series if series.kind == "line")
        assert (first.dashes, second.dashes) == (None, (3, 2))
        legend = plotted(pilot).splitlines()[0]
        assert "⠤⠒⠤ newer" in legend
        assert "⠤⠤⠤  ⠤ older" in legend


async def test_a_run_that_goes_while_it_is_compared_is_told_and_a_new_one_of_its_name_has_its_own_settings(
    app: LabApp, comparing: Open, two_runs: Any, make_run: Any, until: Any
) -> None:
    path = two_runs[0].path
    async with comparing() as pilot:
        screen: Any = app.screen

        async def read() -> None:
            screen._ticks = 0
            screen._tick()

        path.rename(path.with_name("moved"))
        await read()
        await until(pilot, lambda: "older" in words(pilot) and "newer" not in words(pilot))
        await press(pilot, "d", "d", "j", "k", "z", "left", "right", "left_curly_bracket", "s", "enter", "escape")
        await pilot.resize_terminal(120, 40)
        await act(pilot, "smoothing", "log_y")
        assert not screen.query_one("#compare-table", RunColumns).lines
        path.with_name("moved").rename(path)
        await read()
        await until(pilot, lambda: "newer" in words(pilot) and screen.query_one("#compare-table", RunColumns).lines)

        assert not screen.settings.bits
        shutil.rmtree(path)
        anew = make_run("older", created=3000.0, step=400, steps=400, text="stories")
        anew.tokenizer_path.write_text('{"other": 1}')
        screen._read(list(screen._followers.items()))
        await until(pilot, lambda: compared(pilot)[1].config.created == 3000.0)
        assert compared(pilot)[1].vocabulary != compared(pilot)[0].vocabulary
        assert screen.settings.bits, "losses per token do not compare any more"


async def test_one_run_is_compared_with_a_chosen_one_from_train_and_from_home_until_something_is_for_train_itself(
    app: LabApp, listed: Open, two_runs: Any, until: Any
) -> None:
    async with listed(2) as pilot:
        # What others follow, such as a lesson a post-training, is among the workers of the whole app.
        for group in ("follow", "runs"):
            app.screen.query_one(RunTable).run_worker(asyncio.Event().wait(), group=group)
        await press(pilot, "c")
        await until(pilot, lambda: isinstance(app.screen, RunChooser))
        await press(pilot, "escape", "m", "down", "c")
        await until(pilot, lambda: len(compared(pilot)) == 2)
        await press(pilot, "escape")
        await app.run_action("choose('train')", app.screen)
        await until(pilot, lambda: getattr(app.screen, "watched", None) is not None)
        train: Any = app.screen
        for keys in ((), ("left", "escape", "escape")):
            await press(pilot, *keys)
            assert app.screen is train, "escape leads to where it was opened"
            await press(pilot, "c")
            await until(pilot, lambda: isinstance(app.screen, RunChooser))
            await press(pilot, "enter")
            await until(pilot, lambda: len(compared(pilot)) == 2)
        assert [run.title for run in compared(pilot)] == ["A older", "B newer"]
        await press(pilot, "4")
        assert not isinstance(app.screen, CompareScreen), "the key of the mode below leads back to it"

        newer = app.run_summary("newer")
        wanted: list[tuple[Message, Callable[[], object]]] = [
            (ActOnRun("clone", newer), lambda: train.making and train.new_run.form.settings.lr == "0.006"),
            (RunChosen("newer", "train"), lambda: not train.making and train.watched.name == "newer"),
            (FineTune("newer"), lambda: train.making),
            (TextChosen(str(Path("fable.txt").absolute()), "", "train"), lambda: train.making),
        ]
        for message, is_done in wanted:
            app.post_message(CompareRuns(("newer", "older")))
            await until(pilot, lambda: isinstance(app.screen, CompareScreen))
            app.post_message(message)
            await until(pilot, lambda is_done=is_done: app.screen is train and is_done())
            train.making = isinstance(message, ActOnRun)


async def test_home_renames_and_deletes_a_run_that_the_palette_names_and_keeps_the_mark_though_runs_are_read_meanwhile(
    app: LabApp, listed: Open, two_runs: Any, until: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading, of which there is one every second, may find the new name before the screen knows of it."""

    def renamed_and_read(run: Any, name: str) -> Any:
        renamed = rename_run(run, name)
        app.call_from_thread(app.read_runs)
        while any(worker.group == "runs" and worker.is_running for worker in app.workers):
            time.sleep(0.01)
        return renamed

    def offered() -> set[str]:
        return {command.words for command in LabCommands(app.screen)._commands()}

    monkeypatch.setattr("screens.run_actions.rename_run", renamed_and_read)
    (two_runs[1].path / "last.safetensors").write_bytes(os.urandom(3_000_000))
    async with listed(2) as pilot:
        assert app.run_name == "newer"
        new = {"Compare newer with another run", "A new run with the settings of newer"}
        assert offered() >= {"Rename newer", "Delete newer", *new}
        app.run_name = "demo"
        assert not {"Rename demo", "Delete demo"} & offered()
        app.run_name = "newer"
        await press(pilot, "m", "r")
        await until(pilot, lambda: isinstance(app.screen, AskText))
        field = app.screen.query_one(Input)
        for wrong, why in (("older", "a run called older already"), ("a/b", "cannot be a run's name")):
            field.value = wrong
            await press(pilot, "enter")
            assert why in str(app.screen.query_one("#ask-text-error", Static).content)
        field.value = "newest"
        await press(pilot, "enter")
        await until(pilot, lambda: [run.name for run in app.runs] == ["newest", "older"])
        assert app.run_name == "newest"
        assert app.screen.query_one(RunTable).marked == ("newest",)
        assert sorted(path.name for path in home.iterdir()) == ["newest", "older"]

        await press(pilot, "x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        said = app.screen._words
        assert "newest: 200 steps on stories" in said
        assert "frees 3." in said
        assert "cannot be undone" in said
        await press(pilot, "enter")
        assert isinstance(app.screen, ConfirmDialog), "enter comes too easily for what cannot be undone"
        await press(pilot, "escape")
        assert (home / "newest").is_dir()
        await press(pilot, "x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await press(pilot, "x")
        await until(pilot, lambda: [run.name for run in app.runs] == ["older"])
        assert app.run_name == "older"
        assert [path.name for path in home.iterdir()] == ["older"]


async def test_delete_says_that_it_listens_for_a_trainer_on_another_machine(
    app: LabApp, listed: Open, two_runs: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.runs.run_folder.LISTEN_SECONDS", 1.0)
    newer = two_runs[1]
    status = msgspec.structs.replace(newer.status(), phase="training", host="abacus", heartbeat=1.0)
    newer.status_path.write_bytes(msgspec.json.encode(status))
    async with listed(2) as pilot:
        await press(pilot, "x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await press(pilot, "x")
        words = "Listening for 1 seconds, as newer may still be trained on abacus."
        await until(pilot, lambda: words in [note.message for note in app._notifications])
        assert newer.path.is_dir()
        await until(pilot, lambda: [run.name for run in app.runs] == ["older"])


async def test_a_run_that_trains_is_neither_renamed_nor_deleted_and_one_of_another_machine_says_so(
    app: LabApp, listed: Open, make_run: Any, until: Any
) -> None:
    busy, far = (make_run(name, phase="training", step=10, created=age) for name, age in (("busy", 1000.0), ("far", 2000.0)))
    far.status_path.write_bytes(far.status_path.read_bytes().replace(b'"host":""', b'"host":"abacus"'))
    async with listed(2) as pilot:
        await settle(pilot)
        line = str(app.screen.query_one("#run-line", Static).content)
        assert line.startswith(f"far is trained by process {os.getpid()} on abacus, another machine.")
        assert app.runs[0].is_active
        await press(pilot, "down")
        for key in ("r", "x"):
            await press(pilot, key)
            await until(pilot, lambda: any("being trained" in note.message for note in app._notifications))
            app.clear_notifications()
        assert busy.path.is_dir()
        await press(pilot, "up", "enter")
        await until(pilot, lambda: "on abacus, another machine" in str(app.screen.query_one("#run-notice", Static).content))
        await press(pilot, "p")
        await until(pilot, lambda: (far.control_path / "pause").exists())


async def test_settings_are_used_again(app: LabApp, listed: Open, make_run: Any, until: Any) -> None:
    run = make_run("first", step=100, steps=100)
    text = Path("fable.txt").absolute()
    data = msgspec.structs.replace(run.config.data, name="fable.txt", source=str(text))
    train = msgspec.structs.replace(run.config.train, lr=0.004, seed=7, clip=0.5)
    change(run, data=data, train=train)
    async with listed() as pilot:
        await press(pilot, "a")
        await until(pilot, lambda: app.current_mode == "train" and app.screen.query("#problems"))
        screen: Any = app.screen
        problems = screen.query_one("#problems")
        await until(pilot, lambda: "has changed since" in str(problems.content))
        form = screen.new_run.form
        assert (form.settings.lr, form.settings.seed, form.settings.preset, form.settings.length) == (
            "0.004",
            "7",
            "micro",
            "100 steps",
        )
        assert form.query_one("#lr", Input).value == "0.004"
        more = str(form.query_one("#more", Button).label)
        assert "seed 7" in more, "what was copied is said where it is out of sight"
        assert "learning rate 0.004" in more
        assert app.text_source == str(text)
        assert screen.new_run._hidden == {"clip": 0.5, "prompts": ("The big dog",)}
        app.text_source = "stories"
        assert screen.new_run._hidden == {}


def test_picture(snap_compare: Any, two_runs: Any, until: Any) -> None:
    app = LabApp(preload=False)
    app.animation_level = "none"

    async def ready(pilot: Pilot[None]) -> None:
        await marked_and_compared(app, pilot, until)

    assert snap_compare(app, terminal_size=(120, 40), run_before=ready)
