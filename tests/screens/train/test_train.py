"""Train: from settings to a run, and a run as it is on disk."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input, Static

from lab.core.errors import UserError
from lab.runs.run_folder import Run
from lab.runs.run_schema import Metric, Status
from screens.app import LabApp
from screens.dialogs.confirm import ConfirmDialog
from screens.messages import RunChosen, TextChosen
from screens.train.preparation_view import Preparation
from screens.train.run_form import Field
from screens.train.train_screen import TrainScreen
from screens.widgets.key_bar import KeyBar

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


def loss_at(step: int) -> float:
    """The loss of the runs that `make_run` makes."""
    return 1.9 + (math.log(1024) - 1.9) * math.exp(-step / 150) + 0.15 * math.sin(step * 1.7)


class TrainApp(LabApp):
    DEFAULT_MODE = "train"


@pytest.fixture
def app() -> TrainApp:
    return TrainApp(text=str(Path("fable.txt").absolute()), preload=False)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs whose trainer was asked for; no process is started."""
    names: list[str] = []

    def start(run: Run) -> int:
        names.append(run.name)
        return 1

    monkeypatch.setattr("screens.train.new_run.start_trainer", start)
    monkeypatch.setattr("screens.train.run_commands.start_trainer", start)
    return names


def screen_of(pilot: Pilot[None]) -> TrainScreen:
    screen = pilot.app.screen_stack[0]
    assert isinstance(screen, TrainScreen)
    return screen


def text_of(pilot: Pilot[None], selector: str) -> str:
    return str(screen_of(pilot).query_one(selector, Static).content)


def numbers(pilot: Pilot[None]) -> dict[str, str]:
    return dict(screen_of(pilot).query_one("#run-facts").facts)  # type: ignore[attr-defined]


def fill(pilot: Pilot[None], **values: str) -> None:
    for name, value in values.items():
        screen_of(pilot).query_one(f"#{name}", Input).value = value


async def watch(pilot: Pilot[None], until: Any, name: str) -> None:
    pilot.app.post_message(RunChosen(name, "train"))
    await until(pilot, lambda: screen_of(pilot).watched is not None and screen_of(pilot).watched.name == name)


async def test_a_bad_width_says_why_and_nothing_is_made(app: TrainApp, started: list[str], home: Path) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        fill(pilot, context="8", width="130")
        await pilot.pause()
        assert "width 130 cannot be divided among 4 heads" in text_of(pilot, "#problems")
        assert screen_of(pilot).query_one("#field-width", Field).has_class("-wrong")
        assert not screen_of(pilot).query_one("#cost-title").display
        await pilot.press("s")
        await pilot.pause()
        assert app.focused is not None
        assert app.focused.id == "width", "it goes to what is wrong"
        await pilot.press("escape", "enter")
        await pilot.pause()
        assert not started
        assert not list(home.iterdir())
        fill(pilot, width="132")
        await pilot.pause()
        assert text_of(pilot, "#problems") == ""
        assert screen_of(pilot).query_one("#cost-title").display


async def test_what_is_typed_behind_a_backspace_in_one_packet_does_not_overtake_it(app: TrainApp, home: Path) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        width = screen_of(pilot).query_one("#width", Input)
        width.focus()
        width.value = "12345678"
        await pilot.pause()
        for key in (*["backspace"] * 8, *"130"):
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await pilot.pause()
        assert width.value == "130"


async def test_start_makes_the_run_that_was_asked_for_and_shows_it(
    app: TrainApp, started: list[str], home: Path, until: Any
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "tokens" in text_of(pilot, "#form-text"))
        assert text_of(pilot, "#form-text").startswith("New run on fable, 1.9 kB, about ")
        fill(pilot, layers="1", heads="2", width="8", context="4", length="30", batch="2", name="small")
        await pilot.press("s")
        await until(pilot, lambda: started == ["small"] and app.run_name == "small")
        await until(pilot, lambda: screen_of(pilot).watched is not None)
        config = Run(home / "small").config
        assert (config.model.layers, config.model.heads, config.model.width, config.model.context) == (1, 2, 8, 4)
        assert (config.train.steps, config.train.batch, config.data.name) == (30, 2, "fable")
        assert not screen_of(pilot).making
        assert [path.name for path in home.iterdir()] == ["small"]


async def test_a_text_that_is_gone_is_told_in_the_form(app: TrainApp, started: list[str], home: Path, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        app.post_message(TextChosen("gone.txt", "", "train"))
        await until(pilot, lambda: "gone.txt does not exist" in text_of(pilot, "#problems"))
        await pilot.press("s")
        await pilot.pause()
        assert not started
        assert not list(home.iterdir())


async def test_what_the_preparation_finds_wrong_is_told_in_the_form(
    app: TrainApp, home: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: Any, progress: Any) -> Run:
        raise UserError("The disk is full.")

    monkeypatch.setattr("screens.train.new_run.prepare_run", refuse)
    async with app.run_test(size=(80, 24)) as pilot:
        fill(pilot, context="4")
        await pilot.press("s")
        await until(pilot, lambda: text_of(pilot, "#problems") == "✗ The disk is full.")
        assert screen_of(pilot).making
        assert screen_of(pilot).new_run.form.display


async def test_escape_gives_a_preparation_up(app: TrainApp, home: Path, until: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from lab.planning.prepare_run import PrepareProgress

    def prepare(request: Any, progress: Callable[[PrepareProgress], None]) -> Run:
        while True:
            progress(PrepareProgress("learning", "learning a vocabulary of 300", 0.5))
            time.sleep(0.01)

    monkeypatch.setattr("screens.train.new_run.prepare_run", prepare)
    async with app.run_test(size=(80, 24)) as pilot:
        fill(pilot, context="4")
        await pilot.press("s")
        await until(pilot, lambda: screen_of(pilot).query_one(Preparation).stages)
        assert "▸ learning a vocabulary of 300  ━━━" in screen_of(pilot).query_one(Preparation).render_line(0).text
        await pilot.press("escape")
        await until(pilot, lambda: "cancelled" in text_of(pilot, "#problems"))
        assert app.current_mode == "train"


async def test_a_run_is_shown_with_its_own_numbers(app: TrainApp, make_run: Any, until: Any) -> None:
    make_run("tale", phase="stopped", step=1240)
    async with app.run_test(size=(80, 24)) as pilot:
        await watch(pilot, until, "tale")
        told = numbers(pilot)
        assert told["step"] == "1,240 / 2,000"
        assert told["uniform"] == "6.931"
        assert told["tokens/s"] == "8,310"
        assert "uniform baseline 6.93 nats per token" in text_of(pilot, "#run-reading")
        assert "Stopped; r resumes." in text_of(pilot, "#run-reading")
        assert "■ stopped" in screen_of(pilot).query_one("#run-header").render_line(0).text


async def test_a_quick_hand_finds_the_run_that_goes_on(make_run: Any, until: Any) -> None:
    make_run("tale", phase="training", step=1240)
    async with TrainApp(preload=False).run_test(size=(80, 24)) as pilot:  # opens on Train before any run has been read
        await until(pilot, lambda: not screen_of(pilot).making)
        await until(pilot, lambda: numbers(pilot).get("step") == "1,240 / 2,000")


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
        assert numbers(pilot)["val"] == "1.250"
        assert numbers(pilot)["bits/byte"] == "0.750"
        run.metrics_path.write_bytes(encode(line) + b"\n")
        await until(pilot, lambda: list(screen_of(pilot).watched.history.steps) == [101.0])


async def test_keys_pause_resume_and_stop_by_the_runs_control_files(
    app: TrainApp, make_run: Any, until: Any, started: list[str]
) -> None:
    run = make_run("tale", phase="training", step=100)

    def become(phase: str) -> None:
        status = msgspec.json.decode(run.status_path.read_bytes(), type=Status)
        run.status_path.write_bytes(msgspec.json.encode(msgspec.structs.replace(status, phase=phase)))

    async with app.run_test(size=(80, 24)) as pilot:
        await watch(pilot, until, "tale")
        await pilot.press("r")
        await pilot.press("p")
        await until(pilot, lambda: (run.control_path / "pause").exists())
        assert not (run.control_path / "resume").exists(), "a run that trains cannot be resumed"
        become("paused")
        await until(pilot, lambda: screen_of(pilot).watched.phase == "paused")
        assert "resume" in screen_of(pilot).query_one(KeyBar).render_line(0).text
        await pilot.press("r")
        await until(pilot, lambda: (run.control_path / "resume").exists())
        await pilot.press("x", "escape")
        await pilot.pause()
        assert not (run.control_path / "stop").exists()
        await pilot.press("x")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmDialog)
        assert "step 100" in app.screen._words
        await pilot.press("x")
        await until(pilot, lambda: (run.control_path / "stop").exists())
        become("stopped")
        await until(pilot, lambda: screen_of(pilot).watched.phase == "stopped")
        assert not started
        await pilot.press("r")
        await until(pilot, lambda: started == ["tale"])


async def test_what_it_wrote_can_be_walked(app: TrainApp, make_run: Any, until: Any) -> None:
    make_run("tale", step=200)
    async with app.run_test(size=(80, 24)) as pilot:
        await watch(pilot, until, "tale")
        samples = screen_of(pilot).view.samples
        assert samples.render_line(0).text.startswith("Samples at step 200   3/3 ")
        assert samples.render_line(1).text.startswith("The big dog ran fast.")
        await pilot.press("left", "h")
        assert "step 0   1/3 " in samples.render_line(0).text
        assert "xqv" in samples.render_line(1).text
        await pilot.press("h", "l", "right", "right")
        assert "3/3 " in samples.render_line(0).text


async def test_brackets_walk_through_the_runs(app: TrainApp, make_run: Any, until: Any) -> None:
    make_run("new", created=3000.0, step=10)
    make_run("old", created=1000.0, step=10)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(app.runs) == 2)
        await watch(pilot, until, "new")
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: screen_of(pilot).watched.name == "old")
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: screen_of(pilot).watched.name == "new")


async def test_a_run_whose_settings_are_damaged_is_one_sentence(app: TrainApp, make_run: Any, until: Any) -> None:
    run = make_run("tale", step=10)
    (run.path / "config.json").write_text("{")
    async with app.run_test(size=(80, 24)) as pilot:
        app.post_message(RunChosen("tale", "train"))
        await until(pilot, lambda: "tale/config.json is damaged" in text_of(pilot, "#run-reading"))


async def test_a_run_that_trains_already_is_watched_from_the_start(make_run: Any, until: Any) -> None:
    make_run("busy", phase="training", step=100)
    make_run("newer", created=1_759_999_999.0, step=10)
    app = LabApp(preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(app.runs) == 2)
        await pilot.press("4")
        await until(pilot, lambda: app.run_name == "busy" and app.screen.watched is not None)
        assert not app.screen.making
        await pilot.press("n")
        assert app.screen.making
        await pilot.press("escape")
        assert not app.screen.making


async def test_the_diagnosis_stands_before_the_rest_of_the_words_in_whole_sentences(
    app: TrainApp, make_run: Any, until: Any
) -> None:
    make_run("tale", phase="stopped", step=1240)
    async with app.run_test(size=(80, 24)) as pilot:
        await watch(pilot, until, "tale")
        words = text_of(pilot, "#run-reading")
        assert words.startswith("Stopped; r resumes. Learning: from step 931 to 1,240 the training loss")
        assert words.endswith(".")
        assert screen_of(pilot).query_one("#run-reading").size.height <= 5


async def test_the_cursor_reads_out_every_number_of_a_step(app: TrainApp, make_run: Any, until: Any) -> None:
    make_run("tale", step=400)
    async with app.run_test(size=(80, 24)) as pilot:
        await watch(pilot, until, "tale")
        await pilot.press("c")
        await pilot.pause()
        told = numbers(pilot)
        assert told["at step"] == "400"
        assert told["train"] == f"{loss_at(400):.3f}"
        assert told["val"] == f"{loss_at(400) + 0.1:.3f}"
        assert (told["lr"], told["grad norm"], told["tokens/s"]) == ("0.00200", "1.00", "8,310")
        await pilot.press("left", "h")
        await pilot.pause()
        step = int(numbers(pilot)["at step"])
        assert 370 < step < 398
        assert numbers(pilot)["train"] == f"{loss_at(step):.3f}"
        assert numbers(pilot)["val"].endswith("@ 300")
        assert any("│" in screen_of(pilot).query_one("#run-plot").render_line(y).text[10:] for y in range(1, 8))
        await pilot.press("escape")
        await pilot.pause()
        assert app.current_mode == "train"
        assert "at step" not in numbers(pilot)


async def test_keys_change_axis_unit_stretch_and_lines(app: TrainApp, make_run: Any, until: Any) -> None:
    run = make_run("tale", step=400, entropy=0.5)
    np.array([1, 2, 1, 3] * 96_750 + [7] * 43_000, "<u2").tofile(run.tokens_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await watch(pilot, until, "tale")
        plot = screen_of(pilot).query_one("#run-plot")
        await until(pilot, lambda: len(plot.figure.series) == 7)
        levels = {series.short: series.ys[0] for series in plot.figure.series if series.kind == "level"}
        assert levels["unigram 1.04"] == pytest.approx(-0.5 * math.log(0.5) - 0.5 * math.log(0.25))
        assert levels["bigram 0.35"] == pytest.approx(0.5 * math.log(2), abs=1e-4)
        assert plot.figure.series[6].name.startswith("source entropy")
        await pilot.press("f", "a")
        assert len(plot.figure.series) == 3
        assert plot.figure.x_label == "tokens"
        assert plot.figure.series[0].xs[-1] == pytest.approx(400 * 2048)
        await pilot.press("a")
        assert plot.figure.series[0].xs[-1] == pytest.approx(400 * 2048 / 387_000)
        await pilot.press("a")
        assert plot.figure.x_label == "seconds"
        assert plot.figure.series[0].xs[-1] == pytest.approx(100.0)
        await pilot.press("a", "b")
        assert plot.figure.series[2].ys[-1] == pytest.approx((loss_at(400) + 0.1) / math.log(2) * 43_000 / 111_539)
        await pilot.press("b", "z")
        assert plot.figure.series[0].xs[0] == 200
        await pilot.press("comma")
        assert (plot.figure.series[0].xs[0], plot.figure.series[0].xs[-1]) == (100, 300)
        await pilot.press("end", "y")
        assert plot.figure.log_y
        assert plot.figure.series[0].xs[0] == 1
        before = list(plot.figure.series[1].ys)
        await pilot.press("m")
        assert plot.figure.series[1].name == "strong smoothing"
        assert list(plot.figure.series[1].ys) != before


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_small_panels_stand_where_the_words_were(app: TrainApp, make_run: Any, until: Any, size: tuple[int, int]) -> None:
    make_run("tale", step=400)
    async with app.run_test(size=size) as pilot:
        await watch(pilot, until, "tale")
        await pilot.press("d")
        await pilot.pause()
        plots = [screen_of(pilot).query_one(f"#run-{name}") for name in ("lr", "norm", "speed")]
        words = [plot.render_line(0).text.strip() for plot in plots]
        assert words == ["⠤⠒⠤ learning rate", "⠤⠒⠤ gradient norm", "⠤⠒⠤ tokens/s"]
        assert list(plots[2].figure.series[0].ys) == pytest.approx([8310.0] * 400)
        assert all(plot.size.height >= 7 for plot in plots)
        assert screen_of(pilot).query_one("#run-plot").size.height >= 9
        assert not screen_of(pilot).view.samples.display
        await pilot.press("d")
        await pilot.pause()
        assert "only while you watch it train" in plots[0].render_line(0).text, "it is finished"
        assert [plot.display for plot in plots] == [True, False, False]
        await pilot.press("d")
        await pilot.pause()
        assert screen_of(pilot).view.samples.display


def page_of(pilot: Pilot[None]) -> list[str]:
    """The lines of the page about the inside of the model."""
    shown = screen_of(pilot).query_one("#insight-lines")
    return ["".join(text for text, _ in line) for line in shown.lines]  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_heads_are_shown_with_their_meters_and_can_be_walked_through_the_evaluations(
    app: TrainApp, make_run: Any, measured: Any, until: Any, size: tuple[int, int]
) -> None:
    measured(make_run("tale", step=1000), range(0, 1001, 100))
    async with app.run_test(size=size) as pilot:
        await watch(pilot, until, "tale")
        await pilot.press("e")
        await pilot.pause()
        page = page_of(pilot)
        assert page[0].startswith("An induction head has formed: at step 1,000 head 3.2 pays 72.0% of its")
        assert all(len(line.rstrip()) <= size[0] - 4 for line in page)
        row = next(line for line in page if line.startswith("▸3.2"))
        assert [number for number in row.split() if number[0].isdecimal()] == ["0.06", "0.02", "0.72"]
        heads = [line[1:4] for line in page if line[2:3] == "." and line[:1] in " ▸"]
        assert heads == [f"{layer}.{head}" for layer in range(1, 5) for head in range(1, 5)], "every head is in sight"
        await pilot.press("up", "k")
        assert any(line.startswith("▸2.4") for line in page_of(pilot))
        await pilot.press("left", "h", "left", "left", "left", "left")
        page = page_of(pilot)
        assert page[0].startswith("No induction head at step 400: the nearest, head ")
        assert any("step 400   5/11 ←/→" in line for line in page)
        await pilot.press("enter")
        await pilot.pause()
        plot = screen_of(pilot).query_one("#head-history")
        assert plot.display == (size == (80, 24)) or plot.size.height >= 9
        await pilot.press("t")
        await pilot.pause()
        assert "step 400   5/11" in "".join(page_of(pilot)), "all pages are at the same evaluation"
        await pilot.press("escape")
        await pilot.pause()
        assert screen_of(pilot).view.samples.display
        assert app.current_mode == "train"


async def test_a_fixed_place_shows_what_is_expected_and_what_a_head_looks_at(
    app: TrainApp, make_run: Any, measured: Any, until: Any
) -> None:
    measured(make_run("tale", step=1000), range(0, 1001, 100))
    async with app.run_test(size=(80, 24)) as pilot:
        await watch(pilot, until, "tale")
        await pilot.press("t")
        await pilot.pause()
        page = page_of(pilot)
        assert len(page) <= 21
        words = " ".join(page[:5])
        assert "The next token is “ dog”: the model gives it 61.0%" in words
        assert "“ big” was followed by “ dog” before" in words
        looked = page[next(at for at, line in enumerate(page) if line.startswith("attention of head 3.2 from “ big”")) :]
        assert any(line.startswith("  dog") and "62.0%" in line for line in looked)


async def test_updates_are_shown_by_part(app: TrainApp, make_run: Any, measured: Any, until: Any) -> None:
    measured(make_run("tale", step=1000), range(0, 1001, 100))
    async with app.run_test(size=(80, 24)) as pilot:
        await watch(pilot, until, "tale")
        await pilot.press("g")
        await pilot.pause()
        page = page_of(pilot)
        assert page[0].startswith("The update at step 1,000 changes ")
        row = next(line for line in page if line.startswith("4 MLP"))
        assert "2.0e−4" in row
        assert "1.00" in row
        await pilot.press("g")
        await pilot.pause()
        assert screen_of(pilot).query_one("#run-middle").display


async def test_a_run_without_measurements_says_so(app: TrainApp, make_run: Any, until: Any) -> None:
    make_run("tale", step=400)
    async with app.run_test(size=(80, 24)) as pilot:
        await watch(pilot, until, "tale")
        await pilot.press("e")
        await pilot.pause()
        assert page_of(pilot)[0].startswith("No measurements: this run was trained by an older version.")
        await pilot.press("down", "left", "enter")
        assert page_of(pilot)[0].startswith("No measurements")


async def test_what_happened_is_marked_on_the_axis(app: TrainApp, make_run: Any, measured: Any, until: Any) -> None:
    measured(make_run("tale", step=1000), range(0, 1001, 100))
    async with app.run_test(size=(120, 40)) as pilot:
        await watch(pilot, until, "tale")
        plot = screen_of(pilot).query_one("#run-plot")
        history = screen_of(pilot).watched.history
        assert history.best_evaluation is not None
        best = (history.best_evaluation.step, "best")
        assert set(plot.figure.events) == {
            *((step, "checkpoint") for step in range(0, 1001, 100)),
            (500, "pause"),
            (500, "resume"),
            best,
        }
        axis = plot.render_line(plot.size.height - 2).text
        assert (axis.count("‖"), axis.count("★"), axis.count("▴")) == (1, 1, 9)
        assert axis.index("‖") == plot._drawn.column(500)
        await pilot.press("c")
        screen_of(pilot).view.cursor = 499
        await pilot.pause()
        assert (numbers(pilot)["at step"], numbers(pilot)["events"]) == ("500", "▴ ▸ ‖")
        screen_of(pilot).view.cursor = 549
        await pilot.pause()
        assert (numbers(pilot)["at step"], numbers(pilot)["events"]) == ("550", "·")
        await pilot.press("escape", "z", "a", "a", "a")
        assert min(x for x, _ in plot.figure.events) == pytest.approx(500 * 0.25 / 60)


async def test_enter_on_a_run_that_is_watched_starts_no_other(make_run: Any, until: Any, started: list[str]) -> None:
    make_run("tale", step=400)
    app = LabApp(text=str(Path("fable.txt").absolute()), preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs_known)
        app.post_message(RunChosen("tale", "train"))
        await until(pilot, lambda: isinstance(app.screen, TrainScreen) and app.screen.watched is not None)
        await pilot.pause(0.2)
        assert not screen_of(pilot).making
        assert app.focused is None
        await pilot.press("e", "enter")
        await pilot.pause(0.2)
        assert not started
        assert not screen_of(pilot).new_run.preparing
