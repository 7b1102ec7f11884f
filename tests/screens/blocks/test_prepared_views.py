"""A view that was prepared looks as one that was not, and is shown in its own place only."""

import numpy as np
import pytest
from textual.app import App, ComposeResult

from lab.views.blocks import Array, Cell, Column, Matrix, Table, View
from screens.blocks.block_view import BlockView
from screens.blocks.piece_view import MOST_PREPARED, LayoutOptions, PreparedView, PreparedViews
from screens.blocks.view_layout import Page

HERE = LayoutOptions(80, True, 0)


class ViewApp(App[None]):
    def compose(self) -> ComposeResult:
        yield BlockView()


def view(seed: int, stage: str = "matrix", tokens: int = 12) -> View:
    numbers = np.random.default_rng(seed).random((tokens, tokens), dtype=np.float32)
    labels = [f"token {n}" for n in range(tokens)]
    table = Table([Column("n"), Column("x")], [[Cell(str(n)), Cell(f"{seed}.{n}", seed + n, f"x[{n}]")] for n in range(tokens)])
    return View(
        stage, f"seed {seed}", f"Made of seed {seed}.", [Matrix("m", labels, labels, Array.of(numbers), ref="m[:,:]"), table]
    )


def drawn(shown: BlockView) -> list[list[tuple[str, str]]]:
    return [[(text, str(style)) for text, style, _ in shown.render_line(y)] for y in range(shown.window)]


async def test_a_prepared_view_looks_as_any_other_also_with_the_cursor_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    app = ViewApp()
    async with app.run_test(size=(100, 30)) as pilot:
        shown = app.query_one(BlockView)
        for focuses in (False, True):
            if focuses:
                shown.focus()
                await pilot.pause()
            pictures = []
            for prepares in (False, True):
                shown.show(view(1))
                await pilot.pause()
                coming = view(2)
                if prepares:
                    await shown.prepare(coming)
                    with monkeypatch.context() as patched:
                        patched.setattr("screens.blocks.block_view.lay_view", None)  # it has been laid out
                        shown.show(coming)
                else:
                    shown.show(coming)
                await pilot.pause()
                pictures.append(drawn(shown))
            assert pictures[0] == pictures[1]
            assert any("2.3" in text for line in pictures[0] for text, _ in line)


async def test_what_was_prepared_for_another_width_or_of_another_view_is_not_shown() -> None:
    app = ViewApp()
    async with app.run_test(size=(100, 30)) as pilot:
        shown = app.query_one(BlockView)
        shown.show(view(1))
        coming = view(2)
        await shown.prepare(coming)
        shown.show(view(3))  # of the same stage
        assert any("3.3" in text for line in drawn(shown) for text, _ in line)
        await pilot.resize_terminal(60, 30)
        await pilot.pause()
        shown.show(coming)
        assert shown.laid.room == shown.room < 60
        assert all(sum(len(text) for text, _ in line) <= 60 for line in drawn(shown))


def test_each_is_handed_out_once_and_the_oldest_make_room() -> None:
    views, prepared = [view(n, tokens=2) for n in range(MOST_PREPARED + 1)], PreparedViews()
    for each in views:
        prepared.put(PreparedView(each, HERE, Page([], 80), {}))
    assert not prepared.has(views[0], HERE)
    assert prepared.take(views[1], HERE._replace(room=81)) is None
    assert prepared.take(view(1, tokens=2), HERE) is None, "an equal view is another one"
    found = prepared.take(views[1], HERE)
    assert found is not None
    assert found.view is views[1]
    assert prepared.take(views[1], HERE) is None
