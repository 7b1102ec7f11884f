"""A view in an app of its own, and the text of its lines."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from textual.app import App, ComposeResult
from textual.pilot import Pilot

from lab.views.blocks import View
from screens.blocks.block_layout import Laid, Line
from screens.blocks.block_view import BlockView
from tests.screens.pilot_waits import settle


def text_of(line: Line) -> str:
    return "".join(text for text, _ in (*line.pinned, *line.pieces))


def drawn(laid: Laid) -> list[str]:
    return [text_of(laid.line(y)) for y in range(laid.height)]


class ViewApp(App[None]):
    AUTO_FOCUS = None

    def compose(self) -> ComposeResult:
        yield BlockView()


@asynccontextmanager
async def shown(view: View, width: int, height: int) -> AsyncIterator[tuple[BlockView, Pilot[None]]]:
    """The widget with this view, alone on a screen."""
    app = ViewApp()
    async with app.run_test(size=(width, height)) as pilot:
        widget = app.query_one(BlockView)
        widget.show(view)
        await settle(pilot)
        yield widget, pilot
