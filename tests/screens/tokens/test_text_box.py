"""The text box, against Textual's own text area."""

from rich.color import ColorSystem
from textual.app import App, ComposeResult
from textual.widgets import TextArea
from textual.widgets.text_area import Selection

from screens.terminal.terminal_cells import cells_of
from screens.tokens.text_box import TextBox


async def test_a_row_of_the_box_is_drawn_as_textual_draws_it() -> None:
    class BoxApp(App[None]):
        def compose(self) -> ComposeResult:
            yield TextBox("an example", id="box")

    app = BoxApp()
    async with app.run_test(size=(24, 12)) as pilot:
        box = app.query_one(TextBox)
        box.replace_all("the big dog's long tail, 日本 and more words\n\nx\ty\nlast")
        for start, end in (((0, 0), (0, 0)), ((0, 4), (0, 30)), ((3, 4), (0, 11)), ((0, 40), (3, 2))):
            selection = box.selection = Selection(start, end)
            await pilot.pause()
            for y in range(6):
                mine, theirs = box.render_line(y), TextArea.render_line(box, y)
                assert mine.text.rstrip() == theirs.text.rstrip()
                assert cells_of(mine, ColorSystem.TRUECOLOR) == cells_of(theirs, ColorSystem.TRUECOLOR), (y, selection)
