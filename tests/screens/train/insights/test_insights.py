"""Insights: heads, a fixed place and updates at every evaluation."""

import json
import re
from shutil import rmtree
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from lab.runs.run_history import InsightHistory, InsightPoint
from lab.runs.run_schema import PartUpdate
from screens.colour import Heat, heat
from screens.plot.draw_plot import draw
from screens.train.insights.heads_page import grid_lines, head_at, highest_shown
from screens.train.insights.insights_view import InsightsView
from screens.train.insights.page_lines import PageLines, updates_lines
from screens.train.insights.probe_page import tail
from screens.train.run_header import RunHeader
from tests.fixture_types import Open
from tests.screens.pilot_waits import press, press_until, resize, settle
from tests.screens.train.train_app import TrainApp, act, screen_of, watch

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


def page_of(pilot: Pilot[None]) -> list[str]:
    """The lines of the page about the inside of the model."""
    shown = screen_of(pilot).query_one("#insight-lines")
    return ["".join(text for text, _ in line) for line in shown.lines]  # type: ignore[attr-defined]


def lit(pilot: Pilot[None]) -> list[str]:
    """The pieces of the page that are lit."""
    lines = screen_of(pilot).query_one("#insight-lines").lines  # type: ignore[attr-defined]
    return [text for line in lines for text, role in line if role == "lit"]


async def a_click_chooses_the_head_it_is_on(pilot: Pilot[None]) -> None:
    view, page = screen_of(pilot).query_one(InsightsView), screen_of(pilot).query_one(PageLines)
    rows = page_of(pilot)
    places = ((y, x) for y, row in enumerate(rows) for x in range(len(row)))
    line, x = next(place for place in places if view._head_at(*place) == (1, 2))
    assert view.chosen != (1, 2)
    await pilot.click(page, offset=(x, line))
    await settle(pilot)
    assert view.chosen == (1, 2)
    assert any("▸2.3" in row for row in page_of(pilot))
    await pilot.click(page, offset=(2, 0))
    await settle(pilot)
    assert view.chosen == (1, 2), "the sentence above is no link"


async def test_the_heads_are_shown_with_their_meters_and_can_be_walked_through_the_evaluations(
    make_run: Any, measured: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = TrainApp(preload=False)
    for name in ("tale", "fable"):
        measured(make_run(name, step=1000), range(0, 1001, 100))
    async with app.run_test(size=(80, 24)) as pilot:
        for name, size in (("tale", (80, 24)), ("fable", (120, 40))):
            await pilot.resize_terminal(*size)
            await watch(pilot, until, name)
            await press(pilot, "a")
            page = page_of(pilot)
            assert page[0].startswith("An induction head has formed: at step 1,000 head 3.2 pays 72.0% of its")
            assert all(len(line.rstrip()) <= size[0] - 4 for line in page)
            row = next(line for line in page if line.startswith("▸3.2"))
            assert [number for number in row.split() if number[0].isdecimal()] == ["0.06", "0.02", "0.72"]
            heads = [line[1:4] for line in page if line[2:3] == "." and line[:1] in " ▸"]
            assert heads == [f"{layer}.{head}" for layer in range(1, 5) for head in range(1, 5)], "every head is in sight"
            await press(pilot, "up", "k")
            assert any(line.startswith("▸2.4") for line in page_of(pilot))
            await press(pilot, "left", "h")
            await press_until(pilot, "left", lambda: any("step 400   5/11 ←/→" in line for line in page_of(pilot)))
            assert page_of(pilot)[0].startswith("No induction head at step 400: even the most similar, head ")
            await press(pilot, "enter")
            plot = screen_of(pilot).query_one("#head-history")
            assert plot.display == (size == (80, 24)) or plot.size.height >= 9
            await press(pilot, "t")
            assert "step 400   5/11" in "".join(page_of(pilot)), "all pages are at the same evaluation"
            offered = {each.binding.action for each in app.screen.active_bindings.values() if each.enabled}
            assert "play" in offered
            assert not offered & {"cursor", "recent", "bits", "head_history"}, "the plots of these keys are out of sight"
            await press(pilot, "escape")
            assert screen_of(pilot).view.samples.display
            assert app.current_mode == "train"
        await press(pilot, "a", "enter")
        await a_click_chooses_the_head_it_is_on(pilot)


async def test_runs_with_fewer_measurements_show_those_and_one_that_is_gone_is_named_on_every_page(
    app: TrainApp, make_run: Any, measured: Any, until: Any
) -> None:
    make_run("none", step=400)
    older = make_run("older", step=1000)
    measured(older, range(0, 1001, 100))
    lines = [json.loads(line) for line in older.insights_path.read_bytes().splitlines()]
    older.insights_path.write_bytes(b"".join(json.dumps(line | {"places": []}).encode() + b"\n" for line in lines))
    single = make_run("single", step=1000)
    measured(single, range(0, 1))
    async with app.run_test(size=(80, 24)) as pilot:
        await watch(pilot, until, "none")
        await press(pilot, "a")
        assert page_of(pilot)[0].startswith("No measurements: this run was trained by an older version.")
        await press(pilot, "down", "left", "enter")
        assert page_of(pilot)[0].startswith("No measurements")
        await press(pilot, "escape")
        await watch(pilot, until, "older")
        await press(pilot, "t")
        page = page_of(pilot)
        assert page[0] == "one place of the validation text   all that this older run measured"
        assert lit(pilot) == [" dog"]
        assert any(line.startswith("▸ dog         61.0%") for line in page)
        await press(pilot, "escape")
        await watch(pilot, until, "single")
        await press(pilot, "a")
        plot = screen_of(pilot).query_one("#head-history")
        assert plot.display, "since enter"
        assert {series.kind for series in plot.figure.series} == {"dots", "level"}
        axis = "".join(text for text, _ in draw(plot.figure, 60, 9).lines[-1])
        assert axis.split() == ["0", "steps"]
        header = screen_of(pilot).query_one(RunHeader)
        assert not header.problem
        rmtree(single.path)
        await until(pilot, lambda: "single is gone" in header.render_line(0).text)


def shown_insights(pilot: Pilot[None]) -> InsightHistory:
    found = screen_of(pilot).view.insights.insights
    assert isinstance(found, InsightHistory)
    return found


async def test_pages_show_every_head_over_all_evaluations_the_place_that_has_changed_most_and_updates_by_part(
    watching: Open,
) -> None:
    async with watching(step=1000, evaluations=range(0, 1001, 100)) as pilot:
        await press(pilot, "t")
        page = page_of(pilot)
        assert len(page) <= 21
        assert page[0] == "place 2/3 ↑/↓   after 2 tokens, the true next one got 1.0% to 91.0% so far"
        assert page[1] == " Then it flew home."
        assert lit(pilot) == [" flew"]
        step = next(
            at for at, line in enumerate(page) if line.startswith("step 1,000   11/11 ←/→ · space plays · full bar 91.0%")
        )
        assert [line.split()[:2] for line in page[step + 1 : step + 4]] == [["▸", "flew"], ["ran", "30.0%"], ["all", "others"]]
        assert "91.0%" in page[step + 1]
        await press(pilot, "left")
        await resize(pilot, 120, 40)
        page = page_of(pilot)
        listed = page[page.index("p of the next token at all places   ↑/↓") + 1 :]
        assert [line.split()[:2] for line in listed] == [["her", "50.0%"], ["▸", "flew"], ["dog", "55.0%"]]
        assert "82.0%" in listed[1]
        assert listed[2].rstrip("█▓▒░ ").endswith("The big dog ran home.␊ The old cat saw big")
        assert all(cell_len(line) <= 118 for line in page)
        await pilot.resize_terminal(80, 24)
        await press_until(pilot, "left", lambda: any(line.startswith("step 200   3/11") for line in page_of(pilot)))
        page = page_of(pilot)
        step = next(at for at, line in enumerate(page) if line.startswith("step 200   3/11"))
        assert page[step + 1].startswith("  ran         30.0%"), "the order is that of this evaluation"
        assert page[step + 2].startswith("▸ flew        19.0%")
        await press_until(pilot, "right", lambda: screen_of(pilot).view.eval_step is None)
        await press(pilot, "down")
        page = page_of(pilot)
        assert len(page) <= 21
        assert page[0] == "place 3/3 ↑/↓   after 12 tokens, the true next one got 1.0% to 61.0% so far"
        assert lit(pilot) == [" dog"]
        looked = page[next(at for at, line in enumerate(page) if line.startswith("attention of head 3.2 from “ big”")) :]
        assert any(line.startswith("  dog") and "62.0%" in line for line in looked)
        await press(pilot, "up", "up", "up")
        assert page_of(pilot)[0].startswith("place 1/3"), "there is none before"
        await act(pilot, "page('updates')")
        page = page_of(pilot)
        assert page[0].startswith("The update at step 1,000 changes ")
        row = next(line for line in page if line.startswith("4 MLP"))
        assert "2.0e−4" in row
        assert "1.00" in row
        await act(pilot, "page('updates')")
        assert screen_of(pilot).query_one("#run-middle").display

        await press(pilot, "a")
        for size in ((80, 24), (200, 60), (120, 40)):
            await resize(pilot, *size)
            page = page_of(pilot)
            assert all(len(line) <= size[0] - 4 for line in page)
            assert len(page) <= screen_of(pilot).query_one("#insight-lines").size.height
            point = shown_insights(pilot).points[-1]
            first = next(at for at, line in enumerate(page) if line.startswith("  L1 "))
            for layer in range(4):
                written = re.findall(r"\.\d\d", page[first + layer])
                assert written == [f"{score:.2f}"[1:] for place in range(3) for score in point.scores[place, layer]]
            assert "▸3.2  previous token 0.06   duplicate token 0.02   induction 0.72" in page[first + 4]
            lines = screen_of(pilot).query_one("#insight-lines").lines
            (selected,) = {
                kind for kind in (piece[1] for piece in lines[first + 2]) if isinstance(kind, Heat) and kind.level > 20
            }
            assert selected == heat(
                "sequential", float(point.of("induction")[2, 1]) / highest_shown(shown_insights(pilot)), role="selected"
            )
            bands = [line for line in page if "▀" in line]
            assert len(bands) == 8, "two of sixteen heads a line"
            assert [line[:9] for line in bands[4:6]] == [" 3.1▸3.2 ", " 3.3 3.4 "], "both are named"
            axis = page[page.index(bands[-1]) + 1]
            assert axis.replace("step ", "").split()[0] == "0", "the first step; the last gives way to the mark"
            cells = sum(len(text) for text, _ in lines[page.index(bands[0])] if "▀" in text)
            assert cells % (3 * 11) == 0, "eleven evaluations, three scores"
            await press(pilot, "left", "left")
            marks = next(line for line in page_of(pilot) if line.count("▴") == 3)
            assert marks.index("▴") == 9 + 8 * cells // 33 + cells // 33 // 2
            await press(pilot, "right", "right")
        await a_click_chooses_the_head_it_is_on(pilot)


def test_the_heads_of_a_deep_model_are_shown_over_time_where_there_is_room() -> None:
    history = InsightHistory()
    rng = np.random.default_rng(0)
    for step in range(0, 500, 100):
        scores = rng.random((3, 12, 12)).astype(np.float32)
        history.points.append(InsightPoint(step, 0.1, 32, scores, np.zeros((12, 12, 4), np.float32), {}, ()))
        history.highest = np.maximum(history.highest, scores.max((1, 2))).tolist()
    for width, room in ((76, 19), (116, 34), (196, 54), (196, 90)):
        lines = grid_lines(history, 4, (3, 5), width, room)
        assert len(lines) <= room
        text = ["".join(piece for piece, _ in line) for line in lines]
        assert all(len(line) <= width for line in text)
        bands = [line for line in text if "▀" in line]
        assert len(bands) == (72 if room == 90 else 0)
        assert any("every head" in line for line in text) == (room == 90)


def test_the_end_of_a_text_is_cut_to_columns() -> None:
    assert tail("abcdef", 3) == "def"
    assert tail("a犬犬", 3) == "犬"
    assert tail("ab", 5) == "ab"


async def test_space_plays_the_evaluations_up_to_the_newest(watching: Open, until: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("screens.train.run_view.SECONDS_AN_EVALUATION", 0.01)
    async with watching(step=300, evaluations=range(0, 301, 100)) as pilot:
        await press(pilot, "t")
        view = screen_of(pilot).view
        seen: list[float | None] = []
        view.watch(view, "eval_step", lambda step: seen.append(step), init=False)
        await press(pilot, "space")
        await until(pilot, lambda: len(seen) == 4)
        assert seen == [0, 100, 200, None]
        monkeypatch.setattr("screens.train.run_view.SECONDS_AN_EVALUATION", 100.0)
        await press(pilot, "space", "right")
        assert view.eval_step == 100, "an arrow stops it"
        monkeypatch.setattr("screens.train.run_view.SECONDS_AN_EVALUATION", 0.01)
        await press(pilot, "space")
        await until(pilot, lambda: seen[-2:] == [200, None])
        monkeypatch.setattr("screens.train.run_view.SECONDS_AN_EVALUATION", 0.3)
        await press(pilot, "space", "escape")
        await until(pilot, lambda: view.page == "words" and view.eval_step is None)


@pytest.mark.parametrize("paints", [True, False])
def test_update_ratios_are_measured_by_what_is_usual_for_the_optimizer(paints: bool) -> None:
    history = InsightHistory()
    for step, ratio in enumerate((1e-4, 1e-3, 1e-2, 1e-1)):
        part = PartUpdate("1 MLP", 1.0, ratio)
        history.points.append(InsightPoint(step, 0.1, 0, np.zeros((3, 0, 0), np.float32), np.zeros(0, np.float32), {}, (part,)))
    shown = {}
    for optimizer in ("adamw", "muon"):
        above, rows = updates_lines(history, 3, 116, optimizer, paints=paints)  # type: ignore[arg-type]
        legend = "".join(text for text, _ in above[-1])
        usual = {"adamw": "1e−3", "muon": "1e−2"}[optimizer]
        assert (f"usual ({usual})" if paints else "▒ usual") in legend
        assert sum(len(text) for text, _ in rows[0]) <= 116
        if paints:
            shown[optimizer] = [kind.level for _, kind in rows[0] if isinstance(kind, Heat)]
        else:
            shown[optimizer] = ["·░▒▓█".index(sign) for sign in rows[0][2][0][::3] if sign in "·░▒▓█"]
    if paints:
        assert shown == {"adamw": [-32, 0, 32, 32], "muon": [-32, -32, 0, 32]}
    else:
        assert shown == {"adamw": [1, 2, 4, 4], "muon": [0, 1, 2, 4]}


def test_a_cell_of_the_grid_is_found_where_it_is_drawn() -> None:
    history = InsightHistory()
    scores = np.full((3, 3, 4), 0.1, np.float32)
    history.points.append(InsightPoint(0, 0.1, 32, scores, np.zeros((3, 4, 4), np.float32), {}, ()))
    for width in (80, 120, 200):
        line = next(at for at, row in enumerate(grid_lines(history, 0, (2, 1), width, 30)) if row[0][0].strip() == "L3")
        text = "".join(piece for piece, _ in grid_lines(history, 0, (2, 1), width, 30)[line])
        marked = [x for x in range(len(text)) if head_at(history, 0, width, line, x) == (2, 1)]
        assert text.count("▸") == 3
        assert "".join(text[x] for x in marked).count("▸") == 3
        assert len(marked) * 4 == sum(head_at(history, 0, width, line, x) is not None for x in range(width))
        assert head_at(history, 0, width, line + 1, marked[0]) is None
        assert head_at(history, 0, width, line - 3, marked[0]) is None
