"""Export from Inspect, over the fake engine."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.exchange.export_files import can_write_png, export_file_name
from lab.inspect.interventions import describe_interventions
from lab.inspect.trace_export import LensGridRow, PromptReport
from lab.runs.home_folder import home
from lab.views.blocks import Array, Cell, Column, Matrix, Paragraph, Prediction, SavedTrace, Table, Token, View
from models.installation import install_command
from screens.blocks.view_layout import lay_view
from screens.dialogs.export_menu import ExportMenu
from screens.inspect.inspect_screen import InspectScreen
from screens.inspect.view_export import text_of
from screens.widgets.status_line import StatusLine
from tests.screens.inspect.conftest import InspectPilot, Open, to_stage


@pytest.fixture(autouse=True)
def saves(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def save_trace(self: Any, path: str, kind: str, **_: Any) -> SavedTrace:
        Path(path).write_bytes(b"x" * 1500)
        return SavedTrace(30 if kind == "npz" else 0, 1500)

    def prompt_report(self: Any, **params: Any) -> PromptReport:
        words = describe_interventions(params["interventions"])
        return PromptReport(
            run="tale",
            checkpoint="best",
            step=2000,
            interventions=words,
            dropped=0,
            first=0,
            tokens=[Token(464, "The"), Token(1263, " big", 0.25)],
            top=[[Prediction(3290, " dog", 0.5)], [Prediction(3290, "<script>", 0.75)]],
            lens=[LensGridRow("blocks.0.resid_pre", [[Prediction(1, "a", 0.5)]] * 2)],
            patterns=[Array.of(np.array([[[1.0, 0.0], [0.25, 0.75]]]))],
        )

    monkeypatch.setattr(type(engine), "save_trace", save_trace, raising=False)
    monkeypatch.setattr(type(engine), "prompt_report", prompt_report, raising=False)


async def take(pilot: InspectPilot, key: str) -> str:
    """Export by this key of the menu; the status line after it."""
    pilot.screen.query_one("#inspect-status", StatusLine).left = ""
    await pilot.press("o")
    await pilot.until(lambda: isinstance(pilot.app.screen, ExportMenu))
    await pilot.press(key)
    ends = ("Saved", "Copied", "Cannot", "The ", "PNG ", str(home()))
    await pilot.until(lambda: not isinstance(pilot.app.screen, ExportMenu) and pilot.status.startswith(ends))
    return pilot.status


async def test_the_view_goes_to_the_clipboard_and_into_files_beside_the_runs_and_it_is_said_where_or_what_is_wrong(
    inspect: Open, engine: Any
) -> None:
    exports, view = home() / "exports", "tale-step-2000-layer-1-scores-head-1-position-4"
    async with inspect() as pilot:
        await pilot.press("o")
        await pilot.until(lambda: isinstance(pilot.app.screen, ExportMenu))
        await pilot.go("escape")
        assert isinstance(pilot.app.screen, InspectScreen)
        assert not exports.exists()

        exports.write_text("in the way")
        assert "exports is not a folder, but llmlab keeps a folder of its own there" in await take(pilot, "s")
        exports.unlink()

        await pilot.go(*to_stage("scores"))
        words = await take(pilot, "c")
        lines = pilot.app.clipboard.splitlines()
        assert words.startswith(f"Copied {len(lines)} lines")
        assert lines[:2] == ["tale, step 2,000 (best): layer 1 · scores · head 1, position 4", "The│ big│ dog│ ran"]
        for said in ("softmax", "looks back at 4 tokens.", "1,024 numbers of scores."):
            assert said in pilot.app.clipboard

        for key, name, end in (
            ("t", f"{view}.txt", " B)."),
            ("s", f"{view}.svg", "kB)."),
            ("n", "tale-step-2000-trace.npz", "(30 arrays, 1.5 kB)."),
            ("n", "tale-step-2000-trace-2.npz", "(30 arrays, 1.5 kB)."),  # an earlier export is not written over
            ("n", "tale-step-2000-trace-3.npz", "(30 arrays, 1.5 kB)."),
            ("j", "tale-step-2000-trace.json", "(1.5 kB)."),
        ):
            words = await take(pilot, key)
            assert words.startswith("Saved ")
            assert name in words
            assert words.endswith(end)
            assert (exports / name).stat().st_size > 0
        drawn = (exports / f"{view}.svg").read_text()
        assert drawn.startswith("<svg")
        assert "softmax" in drawn
        assert "copy the view" not in drawn
        words = await take(pilot, "p")
        if can_write_png():
            assert (exports / f"{view}.png").read_bytes().startswith(b"\x89PNG")
        else:
            assert install_command("png") in words

        await pilot.go("x")
        assert "tale-step-2000-report.html (" in await take(pilot, "h")
        page = (exports / "tale-step-2000-report.html").read_text(encoding="utf-8")
        assert "With interventions: head 1.1 off." in page
        assert "&lt;script&gt;" in page
        assert "best validation loss" in page
        engine.refuses["save_trace"] = "Cannot write it: no space left on device."
        assert await take(pilot, "n") == "Cannot write it: no space left on device."

        titles = [f"a wide column {number}" for number in range(8)]
        table = Table([Column(title, optional=1) for title in titles], [[Cell("x")] * len(titles)])
        shown = pilot.view
        shown.show(View("s", "wide", "", [table]))
        assert "on a wider screen" in text_of(shown.laid)
        before = set(exports.iterdir())
        await take(pilot, "t")
        (path,) = set(exports.iterdir()) - before
        text = path.read_text(encoding="utf-8")
        assert all(title in text for title in titles), "the columns that a narrow screen leaves out, too"
        assert "on a wider screen" not in text


def test_a_view_in_text_is_whole_whatever_is_in_sight() -> None:
    size = 40
    matrix = Matrix("m", [f"row{i}" for i in range(size)], [str(i) for i in range(size)], Array.of(np.ones((size, size))))
    lines = text_of(lay_view(View("s", "t", "A sentence.", [matrix, Paragraph("The end.")]), 20)).splitlines()
    assert (lines[0], lines[-1]) == ("A sentence.", "The end.")
    assert sum(line.lstrip().startswith("row") for line in lines) == size
    assert all(line.count("█") == size for line in lines if line.lstrip().startswith("row"))


def test_names_of_files_are_taken_by_every_system(engine: Any) -> None:
    view = View("explain", 'blocks.0.attn.pattern[0,1,2] “x” <y> "z" \\ | ?', "", [])
    name = export_file_name(engine.open("My run: ä/b", "best"), view, 2, "svg")
    assert name == "my-run-b-step-2000-blocks-0-attn-pattern-0-1-2-x-y-z-position-3.svg"
