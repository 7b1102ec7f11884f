"""Wrapping of long lines, against Textual's own."""

from hypothesis import given
from hypothesis import strategies as st
from rich.color import ColorSystem
from rich.style import Style
from textual._wrap import compute_wrap_offsets
from textual.app import App, ComposeResult
from textual.document._document import Document
from textual.document._wrapped_document import WrappedDocument
from textual.widgets import TextArea
from textual.widgets.text_area import Selection

from screens.painting.terminal_cells import cells_of
from screens.tokens import text_box
from screens.tokens.text_box import QuickWrappedDocument, TextBox, styled_segments, wrap_offsets

LINES = st.text(st.sampled_from("ab  cé日🙂.\u0301"), max_size=80)


@given(LINES, st.integers(2, 20))
def test_a_line_breaks_where_textual_breaks_it(line: str, width: int) -> None:
    assert wrap_offsets(line, width) == compute_wrap_offsets(line, width, 4)


@given(st.lists(LINES, min_size=1, max_size=4), st.integers(4, 12), st.data())
def test_an_edit_is_wrapped_as_textual_wraps_it(lines: list[str], width: int, data: st.DataObject) -> None:
    document = Document("\n".join(lines))
    mine, theirs = QuickWrappedDocument(document, width), WrappedDocument(document, width)
    with_limit = text_box.LONG_LINE
    text_box.LONG_LINE = 0
    try:
        for _ in range(3):
            row = data.draw(st.integers(0, document.line_count - 1))
            column = data.draw(st.integers(0, len(document.get_line(row))))
            end = data.draw(st.integers(column, len(document.get_line(row))))
            result = document.replace_range((row, column), (row, end), data.draw(LINES))
            for each in (mine, theirs):
                each.wrap_range((row, column), (row, end), result.end_location)
    finally:
        text_box.LONG_LINE = with_limit
    for name in ("_wrap_offsets", "_line_index_to_offsets", "_offset_to_line_info", "height"):
        assert getattr(mine, name) == getattr(theirs, name)


def test_marks_come_over_the_text_and_a_control_character_is_made_visible() -> None:
    base, marked, cursor = Style(color="red"), Style(reverse=True), Style(bold=True)
    segments = styled_segments("ab\x1bcd", [(1, 4, marked), (3, 4, cursor)], base)
    assert [(text, style) for text, style, _ in segments] == [
        ("a", base),
        ("b␛", base + marked),
        ("c", base + marked + cursor),
        ("d", base),
    ]
    assert styled_segments("", [], base) == []


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
