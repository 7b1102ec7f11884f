"""A view that is painted once more after it was removed, as happens while another one is mounted in its place."""

from textual.app import App, ComposeResult
from textual.geometry import Region

from lab.views.blocks import Paragraph, View
from screens.blocks.block_view import BlockView


class ViewApp(App[None]):
    def compose(self) -> ComposeResult:
        yield BlockView()


async def test_a_removed_view_paints_blank_lines() -> None:
    async with ViewApp().run_test() as pilot:
        view = pilot.app.query_one(BlockView)
        view.show(View("stage", "title", "", [Paragraph("words")]))
        await pilot.pause()
        assert "words" in "".join(strip.text for strip in view.render_lines(Region(0, 0, 20, 4)))
        view.notify_style_update()
        await view.remove()
        assert [strip.text for strip in view.render_lines(Region(0, 0, 20, 4))] == [" " * 20] * 4
