"""Wrapping of long lines, against Textual's own."""

from hypothesis import given
from hypothesis import strategies as st
from textual._wrap import compute_wrap_offsets
from textual.document._document import Document
from textual.document._wrapped_document import WrappedDocument

from screens.tokens import quick_wrap
from screens.tokens.quick_wrap import QuickWrappedDocument, wrap_offsets

LINES = st.text(st.sampled_from("ab  cé日🙂.\u0301"), max_size=80)


@given(LINES, st.integers(2, 20))
def test_a_line_breaks_where_textual_breaks_it(line: str, width: int) -> None:
    assert wrap_offsets(line, width) == compute_wrap_offsets(line, width, 4)


@given(st.lists(LINES, min_size=1, max_size=4), st.integers(4, 12), st.data())
def test_an_edit_is_wrapped_as_textual_wraps_it(lines: list[str], width: int, data: st.DataObject) -> None:
    document = Document("\n".join(lines))
    mine, theirs = QuickWrappedDocument(document, width), WrappedDocument(document, width)
    row = data.draw(st.integers(0, len(lines) - 1))
    column = data.draw(st.integers(0, len(lines[row])))
    with_limit = quick_wrap.LONG_LINE
    quick_wrap.LONG_LINE = 0
    try:
        result = document.replace_range((row, column), (row, column), data.draw(LINES))
        for each in (mine, theirs):
            each.wrap_range((row, column), (row, column), result.end_location)
    finally:
        quick_wrap.LONG_LINE = with_limit
    for name in ("_wrap_offsets", "_tab_width_cache", "_line_index_to_offsets", "_offset_to_line_info", "height"):
        if name != "_tab_width_cache" or document.get_line(row):
            assert getattr(mine, name) == getattr(theirs, name)
