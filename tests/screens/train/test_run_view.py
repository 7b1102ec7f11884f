"""The run view: samples, diagnosis, the plot's cursor, axes, events and small panels."""

import math
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from textual.events import MouseScrollUp
from textual.pilot import Pilot
from textual.widgets import OptionList

from lab.runs.schema_parts import RankHeartbeat, TuningConfig
from screens.help_screen import sections_of
from screens.messages import RunChosen
from screens.plot.plot_widget import LinePlot
from screens.train.run_header import RunHeader
from screens.train.run_view import RunPage
from screens.widgets.text_fitting import whole_sentences
from tests.fixture_types import Open
from tests.screens.conftest import loss_at, metric_at, write_insights
from tests.screens.pilot_waits import press, press_until, resize, rows_of, settle
from tests.screens.train.train_app import TrainApp, act, change, numbers, screen_of, text_of, watch

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


async def test_what_it_wrote_can_be_walked_and_what_a_resumed_run_has_cut_leaves_the_last_before(
    app: TrainApp, make_run: Any, until: Any
) -> None:
    run = make_run("tale", phase="training", step=200)
    first, *later = run.samples_path.read_bytes().splitlines(keepends=True)
    status = run.status()
    status.ranks = tuple(RankHeartbeat(host, 7, status.heartbeat) for host in ("abacus", "abacus", "babbage"))
    status.computed = "fp32"
    run.status_path.write_bytes(msgspec.json.encode(status))
    async with app.run_test(size=(80, 24)) as pilot:
        await watch(pilot, until, "tale")
        samples = screen_of(pilot).view.samples
        assert samples.render_line(0).text.startswith("Samples at step 200   3/3 ")
        assert samples.render_line(1).text.startswith("The big dog ran fast.")
        await press_until(pilot, "left", lambda: "step 0   1/3 " in samples.render_line(0).text)
        assert "xqv" in samples.render_line(1).text
        assert 0 < int(numbers(pilot)["at step"]) < 100, "the samples are those of the last evaluation up to the cursor"
        await press_until(pilot, "l", lambda: "3/3 " in samples.render_line(0).text)
        await press_until(pilot, "h", lambda: "step 100   2/3 " in samples.render_line(0).text)
        run.samples_path.write_bytes(first)
        await until(pilot, lambda: samples.steps == [0])
        assert "step 0   1/1 " in samples.render_line(0).text
        assert "xqv" in samples.render_line(1).text
        run.samples_path.write_bytes(b"".join([first, *later]))
        await until(pilot, lambda: "step 100   2/3 " in samples.render_line(0).text)
        await resize(pilot, 120, 40)
        header = screen_of(pilot).query_one(RunHeader).render_line(0).text
        assert "3 ranks on 2 hosts (abacus, babbage) · 10% of 2,000 steps" in header
        assert text_of(pilot, "#run-computed") == "Steps run in fp32, by 3 ranks on 2 hosts (abacus, babbage)."


async def test_a_run_without_steps_or_still_being_read_says_why_and_no_verdict_comes_before_its_text_is_measured(
    app: TrainApp, make_run: Any, until: Any, monkeypatch: pytest.MonkeyPatch, late_answer: Any
) -> None:
    make_run("tale", step=200)
    make_run("ended")
    late = late_answer("screens.train.train_screen.run_entropy", lambda run: run.name == "ended")
    make_run("starting", phase="starting", step=0)
    make_run("not-started", step=0).status_path.unlink()
    run = make_run("tale-sft", step=200)
    run.metrics_path.unlink()
    run.samples_path.unlink()
    tuning = TuningConfig(base="tale", base_step=200, base_sha256="", method="sft", pairs=16, rounds=0, beta=0.0)
    change(run, tuning=tuning)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = screen_of(pilot)
        with monkeypatch.context() as slow:
            slow.setattr(screen, "_read", lambda *arguments: None)
            screen.lab.run_name = "tale"
            screen.making = False
            await settle(pilot)
            assert screen.view.samples.render_line(0).text.rstrip() == "Reading the run …"
        await watch(pilot, until, "tale")
        assert screen.view.samples.render_line(0).text.startswith("Samples at step 200")
        await watch(pilot, until, "starting")
        assert text_of(pilot, "#run-notice").startswith("It loads PyTorch, text and weights and prepares the first step: ")
        await watch(pilot, until, "not-started")
        assert "not started" in screen_of(pilot).query_one(RunHeader).render_line(0).text
        assert text_of(pilot, "#run-notice") == "Not started yet. p starts it."
        await watch(pilot, until, "tale-sft")
        view = screen_of(pilot).view
        figure = view.query_one("#run-plot", LinePlot).figure
        assert figure.empty == "See Learn: After pretraining."
        assert view.samples.render_line(0).text.rstrip() == "No samples: its answers are in Learn, After pretraining."
        assert "·" not in numbers(pilot).values()
        app.post_message(RunChosen("ended", "train"))
        await until(pilot, lambda: late.asked.is_set() and view.watched is not None and view.watched.name == "ended")
        verdict = screen.query_one("#run-verdict")
        assert not verdict.render_line(0).text.strip()
        await late.come(pilot)
        await until(pilot, lambda: verdict.render_line(0).text.startswith("! It has hardly improved since step "))


async def test_what_is_said_of_a_run_names_the_next_step_in_two_sentences_and_no_option_of_the_command_line(
    app: TrainApp, make_run: Any, until: Any
) -> None:
    early = "Ended early: no better validation loss in 3 evaluations in a row; the best weights are those of step 400."
    failed = "device cuda did not respond (--lr); start a new run with --device cpu."
    following = "Next: i looks inside it, a shows its heads, n makes another run."
    for name, message in (("done", ""), ("early", early)):
        write_insights(make_run(name, message=message), range(0, 2001, 100))
    make_run("failed", phase="failed", step=12, message=failed)
    async with app.run_test(size=(80, 24)) as pilot:
        await watch(pilot, until, "failed")
        assert text_of(pilot, "#run-notice") == failed.replace("--", "")
        await watch(pilot, until, "early")
        assert text_of(pilot, "#run-notice") == f"{following} …"
        await press(pilot, "enter")
        assert text_of(pilot, "#run-notice").endswith(early)
        await press(pilot, "enter")
        await watch(pilot, until, "done")
        assert text_of(pilot, "#run-notice") == following
        await press(pilot, "a")
        assert screen_of(pilot).view.page == "heads"
        await press(pilot, "n")
        assert screen_of(pilot).making


async def test_a_run_in_view_has_at_most_fifteen_lines_of_help(app: TrainApp, make_run: Any, until: Any) -> None:
    phases = ("training", "stopped", "finished")
    for phase in phases:
        write_insights(make_run(phase, phase=phase, step=300), range(0, 301, 100))
    async with app.run_test(size=(80, 24)) as pilot:
        for phase in phases:
            await watch(pilot, until, phase)
            for page in get_args(RunPage):
                screen_of(pilot).view.page = page
                rows = [row for _, rows in sections_of(screen_of(pilot)) for row in rows if row.is_listed]
                assert len(rows) <= 15
                assert ("pause" in "".join(row.words for row in rows)) == (phase != "finished")


async def test_the_diagnosis_stands_before_the_rest_of_the_words_in_whole_sentences(
    app: TrainApp, make_run: Any, until: Any
) -> None:
    make_run("tale", phase="stopped", step=1240)
    run = make_run("computed", step=400)
    computed = "bf16 (2.5 times as fast as fp32), attention written out (1.8 times as fast as the fused kernel), compiled"
    run.status_path.write_bytes(msgspec.json.encode(msgspec.structs.replace(run.status(), computed=computed)))
    async with app.run_test(size=(80, 24)) as pilot:
        await watch(pilot, until, "tale")
        assert text_of(pilot, "#run-notice") == "Stopped; p resumes."
        verdict = screen_of(pilot).query_one("#run-verdict").render_line(0).text
        assert verdict.startswith("✓ It was learning: unsure as among ")
        assert verdict.rstrip().endswith("⏎\N{NO-BREAK SPACE}why")
        assert not screen_of(pilot).query_one("#run-reading").display, "the prose is behind a key"
        await press(pilot, "enter")
        reading = screen_of(pilot).query_one("#run-reading")
        assert reading.display
        assert screen_of(pilot).query_one("#run-verdict").render_line(0).text.rstrip().endswith("⏎\N{NO-BREAK SPACE}close")
        words = text_of(pilot, "#run-reading")
        assert words.startswith("On new text as unsure as an even choice among 6.5 tokens (perplexity). ")
        assert "Learning: from step 900 to 1,200 the training loss" in words, "both losses at the same two evaluations"
        assert "and the validation loss" in words
        assert " No overfitting, " in words, "the details of the verdict"
        assert " nats below " in words
        assert words.endswith(".")
        for _ in range(3):
            assert text_of(pilot, "#run-reading") == words
            assert is_whole(pilot, "#run-reading")
            await press(pilot, "d")
        await press(pilot, "d", "enter")
        assert not reading.display
        await press(pilot, "enter", "escape")
        assert not reading.display
        await watch(pilot, until, "computed")
        await press(pilot, "enter", "d", "d")
        assert text_of(pilot, "#run-computed").endswith("compiled.")
        assert is_whole(pilot, "#run-computed")
        assert is_whole(pilot, "#run-reading")
        await press(pilot, "d", "d")
        await resize(pilot, 60, 16)
        scroll = screen_of(pilot).query_one("#run-words")
        assert scroll.max_scroll_y
        assert scroll.show_vertical_scrollbar
        await press(pilot, "j")
        assert scroll.scroll_offset.y == 1
        await press(pilot, "enter")
        assert scroll.scroll_offset.y == 0


def is_whole(pilot: Pilot[None], selector: str) -> bool:
    """True if every line of the text is on the screen."""
    part = screen_of(pilot).query_one(selector)
    lines = part.get_content_height(part.size, part.app.size, part.size.width)
    around = [part.parent, part.parent.parent, screen_of(pilot).view]
    return part.size.height == lines and all(part.region.bottom <= each.region.bottom for each in around)


def test_sentences_left_out_leave_a_mark() -> None:
    text = "One sentence stands here. Another one follows it. A third is the last."
    assert whole_sentences(text, 80, 1) == text
    assert whole_sentences(text, 30, 2) == "One sentence stands here. Another one follows it. …"
    assert whole_sentences(text, 30, 1) == "One sentence stands here. …"


SETTINGS_OF_THE_PLOT = {
    "x axis": ("steps", "tokens"),
    "scale of y": ("linear, as it shows more", "logarithmic"),
    "unit": ("nats per token", "bits per byte"),
    "smoothing": ("medium", "strong"),
    "baselines": ("shown", "hidden"),
    "range of y": ("all", "a close-up"),
    "zoom in on x": ("all", "the latest 50%"),
}
"""What the menu says of each before it is chosen, and after."""


async def test_the_cursor_reads_out_every_number_of_a_step_and_a_menu_changes_the_settings_of_the_plot_at_once(
    watching: Open, app: TrainApp
) -> None:
    async with watching(step=400) as pilot:
        await press(pilot, "left")
        told = numbers(pilot)
        assert told["at step"] == "400"
        assert told["step loss"] == f"{loss_at(400):.3f}"
        assert told["val loss"] == f"{loss_at(400) + 0.1:.3f}"
        assert (told["lr"], told["grad norm"], told["tokens/s"]) == ("0.00200", "1.00", "8,310")
        await press(pilot, "left", "h")
        step = int(numbers(pilot)["at step"])
        assert 370 < step < 398
        assert numbers(pilot)["step loss"] == f"{loss_at(step):.3f}"
        assert numbers(pilot)["val loss"].endswith("@ 300")
        assert any("│" in screen_of(pilot).query_one("#run-plot").render_line(y).text[10:] for y in range(1, 8))
        await press(pilot, "escape")
        assert app.current_mode == "train"
        assert "at step" not in numbers(pilot)
        await press(pilot, "right")
        assert numbers(pilot)["at step"] == "1", "from the other end"
        await act(pilot, "cursor")
        assert "at step" not in numbers(pilot)

        plot, setting = screen_of(pilot).query_one("#run-plot"), ""

        def line() -> str:
            return [row for row in rows_of(pilot) if f" {setting} " in row][-1]

        await press(pilot, "s")
        menu = app.screen.query_one(OptionList)
        for setting, (before, after) in SETTINGS_OF_THE_PLOT.items():
            drawn = plot.figure
            assert f"  {before}  " in line()
            await press_until(pilot, "j", lambda name=setting: menu.highlighted_option.prompt.startswith(name))
            await press(pilot, "enter")
            assert f"  {after}  " in line()
            assert plot.figure is not drawn, "the plot behind"
        await press(pilot, "escape")
        assert app.screen is screen_of(pilot)


async def test_keys_change_axis_unit_stretch_and_lines(app: TrainApp, make_run: Any, until: Any) -> None:
    run = make_run("tale", step=400, entropy=0.5)
    np.array([1, 2, 1, 3] * 96_750 + [3, 1, 2, 1] * 10_750, "<u2").tofile(run.tokens_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await watch(pilot, until, "tale")
        plot = screen_of(pilot).query_one("#run-plot")
        await until(pilot, lambda: len(plot.figure.series) == 8)
        levels = {series.short: series.ys[0] for series in plot.figure.series if series.kind == "level"}
        assert levels["unigram 1.04"] == pytest.approx(-0.5 * math.log(0.5) - 0.5 * math.log(0.25), abs=5e-3)
        assert levels["bigram 0.35"] == pytest.approx(0.5 * math.log(2), abs=5e-3)
        assert any(series.name.startswith("source entropy") for series in plot.figure.series)
        await act(pilot, "baselines", "axis")
        assert len(plot.figure.series) == 4
        assert plot.figure.x_label == "tokens"
        assert plot.figure.series[0].xs[-1] == pytest.approx(400 * 2048)
        await act(pilot, "axis")
        assert plot.figure.series[0].xs[-1] == pytest.approx(400 * 2048 / 387_000)
        await act(pilot, "axis")
        assert plot.figure.x_label == "seconds"
        assert plot.figure.series[0].xs[-1] == pytest.approx(100.0)
        await act(pilot, "axis", "bits")
        assert plot.figure.series[2].ys[-1] == pytest.approx((loss_at(400) + 0.1) / math.log(2) * 43_000 / 111_539)
        assert "uniform baseline 3.86 bits per byte" in text_of(pilot, "#run-reading")
        await act(pilot, "bits")
        assert "uniform baseline 6.93 nats per token" in text_of(pilot, "#run-reading")
        await press(pilot, "z")
        assert plot.figure.series[0].xs[0] == 200
        await act(pilot, "pan(-0.5)")
        assert (plot.figure.series[0].xs[0], plot.figure.series[0].xs[-1]) == (100, 300)
        await press(pilot, "end")
        await act(pilot, "log_y")
        assert plot.figure.log_y
        assert plot.figure.series[0].xs[0] == 1
        before = list(plot.figure.series[1].ys)
        await act(pilot, "smoothing")
        assert plot.figure.series[1].name == "strong smoothing"
        assert list(plot.figure.series[1].ys) != before


async def test_small_panels_stand_where_the_words_were_or_beside_the_plot(watching: Open, until: Any) -> None:
    async with watching((160, 45), step=400) as pilot:
        screen = screen_of(pilot)
        plot, plots = screen.query_one("#run-plot"), [screen.query_one(f"#run-{name}") for name in ("lr", "norm", "speed")]
        names = ["⠤⠒⠤ learning rate", "⠤⠒⠤ gradient norm", "⠤⠒⠤ tokens/s"]

        def drawn() -> list[str]:
            return [each.render_line(0).text.strip() for each in plots]

        await until(pilot, lambda: all(each.figure is not None and each.size.height for each in plots))
        assert drawn() == names
        assert all(each.region.x >= plot.region.right and each.size.height >= 9 for each in plots)
        assert screen.view.samples.display, "nothing gave way to them"
        assert plot.size.width >= 75
        await press(pilot, "d")
        await until(pilot, lambda: "only while you watch it train" in drawn()[0])
        assert screen.view.samples.display
        await press(pilot, "d")
        assert screen.view.insights.display, "the updates"
        await press(pilot, "d")
        await until(pilot, lambda: drawn()[0] == names[0])
        for size in ((120, 40), (80, 24)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda: not screen.query_one("#run-panels").display)
            await press(pilot, "d")
            assert drawn() == names
            assert list(plots[2].figure.series[0].ys) == pytest.approx([8310.0] * 400)
            assert all(each.size.height >= 7 for each in plots)
            assert plot.size.height >= 9
            assert not screen.view.samples.display
            await press(pilot, "d")
            assert "only while you watch it train" in drawn()[0], "it is finished"
            assert [each.display for each in plots] == [True, False, False]
            await press(pilot, "d", "d")
            assert screen.view.samples.display


async def test_the_way_back_to_the_plots_shows_them_as_they_were_until_the_newest_are_drawn_one_a_frame(
    app: TrainApp, make_run: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("tale", phase="training", step=400)
    async with app.run_test(size=(200, 60)) as pilot:
        await watch(pilot, until, "tale")
        view = screen_of(pilot).view
        plots = list(view.query("LinePlot").results(LinePlot))[:4]
        before = [plot.figure for plot in plots]
        assert all(before)
        await press(pilot, "a")
        with run.metrics_path.open("ab") as file:
            file.writelines(msgspec.json.encode(metric_at(step, 100)) + b"\n" for step in range(401, 501))
        await until(pilot, lambda: view.watched is not None and view.watched.history.latest.step == 500)
        await press(pilot, "t")
        waiting: list[Any] = []
        with monkeypatch.context() as frames:
            frames.setattr(view, "call_after_refresh", lambda call, *words, **named: waiting.append((call, words, named)))
            view.page = "words"
            for drawn in range(len(plots) + 1):
                assert [plot.figure is not old for plot, old in zip(plots, before, strict=True)] == [
                    at < drawn for at in range(4)
                ]
                call, words, named = waiting.pop()
                assert not waiting
                call(*words, **named)
        assert plots[0].figure.series[0].xs[-1] == 500
        assert numbers(pilot)["step"].startswith("500")
        view.page = "machine"
        assert "Usage" in plots[1].figure.empty


async def test_what_happened_is_marked_on_the_axis(watching: Open) -> None:
    async with watching((120, 40), step=1000, evaluations=range(0, 1001, 100)) as pilot:
        plot = screen_of(pilot).query_one("#run-plot")
        history = screen_of(pilot).watched.history
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
        screen_of(pilot).view.cursor = 499
        await settle(pilot)
        assert (numbers(pilot)["at step"], numbers(pilot)["events"]) == ("500", "▴ ▸ ‖")
        screen_of(pilot).view.cursor = 549
        await settle(pilot)
        assert (numbers(pilot)["at step"], numbers(pilot)["events"]) == ("550", "·")
        await press(pilot, "escape", "z")
        await act(pilot, "axis", "axis", "axis")
        assert min(x for x, _ in plot.figure.events) == pytest.approx(500 * 0.25 / 60)


async def test_the_gap_is_named_and_the_mouse_reads_out_and_zooms(watching: Open, until: Any) -> None:
    async with watching((120, 40), step=400) as pilot:
        plot = screen_of(pilot).query_one("#run-plot")
        figure = plot.figure
        history = screen_of(pilot).watched.history
        assert figure.area.name == f"gap +{history.val_losses[-1] - history.smooth[399]:.2f} at step 400"
        (line,) = [series for series in figure.series if series.kind == "marked"]
        assert list(line.xs) == [100, 200, 300, 400], "the line begins where the weights had learned something"
        (untrained,) = [series for series in figure.series if series.kind == "marks"]
        assert list(untrained.xs) == [0]
        await until(pilot, lambda: plot._drawn is not None)
        middle = (plot._drawn.left + plot._drawn.right) // 2
        await pilot.hover("#run-plot", offset=(middle, 5))
        await until(pilot, lambda: "at step" in numbers(pilot))
        step = int(numbers(pilot)["at step"])
        assert 195 <= step <= 205
        assert numbers(pilot)["step loss"] == f"{loss_at(step):.3f}"
        await pilot.hover("#run-facts")
        await until(pilot, lambda: "at step" not in numbers(pilot))
        await pilot.click("#run-plot", offset=(middle, 5))
        await pilot.hover("#run-facts")
        await until(pilot, lambda: screen_of(pilot).view.cursor == step - 1)
        assert numbers(pilot)["at step"] == str(step), "a click leaves the cursor there"

        def turn(x: int, **keys: bool) -> None:
            plot.post_message(MouseScrollUp(plot, x, 8, 0, -1, 0, keys.get("shift", False), False, False))

        whole, heights = plot.x_range, plot.y_range
        turn(middle)
        await until(pilot, lambda: plot.x_range[1] - plot.x_range[0] < 0.9 * (whole[1] - whole[0]))
        assert plot.x_range[0] < step < plot.x_range[1]
        assert not screen_of(pilot).view.plot_view.y_zoomed
        await press(pilot, "end")
        for x, keys in ((1, {}), (middle, {"shift": True})):
            for _ in range(3):
                turn(x, **keys)
                await settle(pilot)
            await until(pilot, lambda: plot.y_range[1] - plot.y_range[0] < 0.9 * (heights[1] - heights[0]))
            assert plot.x_range == whole
            assert plot.render_line(0).text.rstrip().endswith("y, zoomed")
            await press(pilot, "end")
            await until(pilot, lambda: plot.y_range == heights)
        await act(pilot, "close_up")
        await until(pilot, lambda: plot.y_range[1] < heights[1])
        assert plot.figure.y_window[1] < loss_at(50), "without the steep beginning"


async def test_space_plays_the_evaluations_and_below_the_newest_samples_are_those_before_where_there_is_room(
    watching: Open, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screens.train.run_view.SECONDS_AN_EVALUATION", 0.01)
    async with watching(step=300) as pilot:
        view, seen = screen_of(pilot).view, list[int | None]()
        samples = view.samples
        view.watch(view, "cursor", lambda at: seen.append(at), init=False)
        await press(pilot, "space")
        await until(pilot, lambda: len(seen) > 1 and seen[-1] is None)
        assert [at for at in seen if at is not None] == [0, 99], "steps 1 and 100, before the newest"
        assert samples.render_line(0).text.startswith("Samples at step 200   3/3")
        await resize(pilot, 200, 60)
        rows = [samples.render_line(y).text.rstrip() for y in range(samples.size.height)]
        assert [row for row in rows if "step" in row] == ["Samples at step 200   3/3 ←/→", "At step 100", "At step 0"]
        await press_until(pilot, "left", lambda: "step 100   2/3" in samples.render_line(0).text)
        assert "At step 100" not in [samples.render_line(y).text.rstrip() for y in range(samples.size.height)]
