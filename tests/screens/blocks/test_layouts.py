"""Tables, bars, strips, matrices and the line of a draw on a grid of characters."""

from itertools import product

import numpy as np
import pytest
from rich.cells import cell_len

from lab.views.blocks import Array, Block, Cell, Column, IntervalBar, IntervalPart, Matrix, Paragraph, Parity, Strip, Table, View
from lab.views.softmax_table import softmax_table
from screens.blocks.block_layout import bar, column_glyphs, shade, signed_bar
from screens.blocks.matrix_layout import lay_matrix
from screens.blocks.strip_layout import lay_strip
from screens.blocks.table_layout import LaidIntervalBar, LaidTable, lay_interval_bar, lay_table
from screens.blocks.view_layout import Page, lay_view, parity_badge, parity_sentence
from screens.blocks.view_layout import text_of as drawn_page
from screens.colour import LEAST_INK, LEAST_SIGNED_INK, LEVELS, MASKED_LEVEL, Heat
from screens.widgets.text_fitting import fit, wrap
from tests.screens.blocks.conftest import drawn, text_of


def test_fit_gives_exactly_the_width_and_marks_what_it_cuts() -> None:
    for text, width in product(("dog", "a long label", "日本語", "🙂🙂🙂", ""), (1, 2, 5, 20)):
        assert cell_len(fit(text, width)) == width, text
    assert fit("attention", 5) == "atte…"
    assert fit("attention", 9) == "attention"


def test_bars_of_one_quantity_have_one_length_in_all_tables_of_a_view() -> None:
    one = Table([Column("after"), Column("share")], [[Cell("a"), Cell("50%", 0.5, bar=0.5)]])
    two = Table(
        [Column("next"), Column("share"), Column("model")], [[Cell("b"), Cell("50%", 0.5, bar=0.5), Cell("50%", 0.5, bar=0.5)]]
    )
    alone = Table([Column("after"), Column("other")], [[Cell("a"), Cell("50%", 0.5, bar=1.0)]])
    page = lay_view(View("x", "x", "", [one, two, alone]), 50)
    assert [drawn(block)[-1].count("█") for block in page.blocks] == [7, 14, 28]


def test_wrap_keeps_every_word_no_line_is_too_wide_and_a_token_stays_with_its_opening_quotation_mark() -> None:
    text = "ran pays 38.9% of its attention to dog, and averyveryverylongword to nothing"
    lines = wrap(text, 12)
    assert all(cell_len(line) <= 12 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert wrap("15.0% on “ there” in it", 12) == ["15.0% on", "“ there” in", "it"]


def test_bars_are_as_long_as_their_numbers_to_an_eighth_and_glyphs_tell_sign_and_size_without_colour() -> None:
    for fraction, cells in ((0.0, 0.0), (0.5, 5.0), (1.0, 10.0), (0.33, 3.25), (1e-9, 0.125)):
        assert sum(1 if glyph == "█" else (" ▏▎▍▌▋▊▉".index(glyph)) / 8 for glyph in bar(fraction, 10)) == cells
    levels = [shade(value, 1.0) for value in (1.0, 0.6, 0.3, 0.1, 0.0, -0.1, -0.3, -0.6, -1.0)]
    assert levels == ["█", "▓", "▒", "░", " ", "−", "=", "≡", "≣"]
    assert shade(float("nan"), 1.0) == "·"
    assert column_glyphs(np.array([1.0, -1.0, 0.5, 0.0], dtype=np.float32), 1.0) == ("█ ▄ ", " █  ")
    hanging = -np.array([0.01, 0.12, 0.3, 0.33, 0.5, 0.7, 0.8, 1.0], dtype=np.float32)
    assert column_glyphs(hanging, 1.0) == (" " * 8, "▔▔▔▀▀▀██"), "those that hang take the nearest height"
    fractions = (1.0, 0.5, -1.0, -0.5, -0.01, -0.1, -0.24, -0.3, 0.01, 0.0)
    assert [signed_bar(fraction, 9) for fraction in fractions] == [
        *("    │████", "    │██", "▒▒▒▒│", "  ▒▒│", "   ▕│", "   ▐│", "   ▒│", "  ▕▒│", "    │▏", "    │"),
    ], "beside an axis"


def attention_table(rows: int = 3, selected: int | None = 1) -> Table:
    columns = [Column("key", "left"), Column("q·k", optional=1), Column("÷√d"), Column("softmax")]
    body = [
        [Cell(f" word{i}"), Cell("1.00", 1.0), Cell("0.50", 0.5), Cell("25.0%", 0.25, f"pattern[0,2,{i}]", bar=0.25)]
        for i in range(rows)
    ]
    return Table(columns, body, "head 1", [Cell("Σ"), Cell(""), Cell(""), Cell("100%", 1.0)], selected)


def test_a_table_fits_its_room_marks_its_selected_row_and_a_narrow_one_says_what_is_hidden() -> None:
    wide, narrow = (drawn(lay_table(attention_table(), width)) for width in (60, 30))
    assert all(cell_len(line) <= 60 for line in wide)
    assert all(cell_len(line) <= 30 for line in narrow)
    assert "q·k" in wide[1]
    assert not any("q·k" in line for line in narrow)
    assert "1 more column" in " ".join(narrow[:3])
    assert [line.startswith("▸") for line in wide[2:5]] == [False, True, False]


def test_a_spot_lies_where_its_text_is_drawn() -> None:
    laid = lay_table(attention_table(), 60)
    for row in range(laid.rows):
        for column in range(laid.columns):
            spot = laid.spot(row, column)
            line = text_of(laid.line(spot.line))
            cells = laid.table.total if row == 3 else laid.table.rows[row]
            assert cells is not None
            assert line[spot.start : spot.start + spot.width].strip() == cells[column].text.strip()
    assert laid.spot(2, 3).ref == "pattern[0,2,2]"
    assert laid.start() == (1, 3)


def test_a_strip_shows_each_value_once_whatever_the_width() -> None:
    values = np.linspace(-1, 1, 100, dtype=np.float32)
    for width in (20, 50, 70, 200):
        laid = lay_strip(Strip("v", Array.of(values), "embed[3]"), width)
        assert laid.width <= width
        seen = [laid.spot(row, column).value for row in range(laid.rows) for column in range(laid.columns)]
        assert seen[:100] == pytest.approx(values.tolist())
        assert laid.spot(0, 7).ref == "embed[3,7]"


@pytest.mark.parametrize(
    ("cell", "first", "last"),
    [
        (3, "100·  ·  ", "▓71  1▒28"),
        (4, "100  ·   ·  ", "▓71   1 ▒28 "),
        (6, "█ 100   ·     ·   ", "▓70.9   1.1 ▒28.0 "),
    ],
)
def test_shares_are_in_percent_beside_their_shades(cell: int, first: str, last: str) -> None:
    """A shade stands for a fourth of the scale: without paper it is the number that tells a pattern."""
    nan = float("nan")
    values = np.array([[1, nan, nan], [0.004, 0.996, nan], [0.709, 0.011, 0.28]], np.float32)
    labels = [f"{row + 1} token" for row in range(3)]
    matrix = Matrix("pattern", labels, labels, Array.of(values), limit=1.0, selected=(2, 1))
    laid = lay_matrix(matrix, 10 + 3 * cell)
    texts = ["".join(text for text, _ in laid.below(row).pieces) for row in range(3)]
    assert (texts[0], texts[2]) == (first, last)
    assert "in %, blank: <0." in laid.legend
    spot = laid.spot(2, 1)
    assert texts[2][spot.start - laid.pinned :][: spot.width].strip() in ("1", "1.1")


def test_a_small_matrix_has_numbers_and_a_large_one_shades() -> None:
    size = 12
    values = np.tril(np.full((size, size), 0.25, dtype=np.float32))
    values[np.triu_indices(size, 1)] = np.nan
    labels = [f"t{i}" for i in range(size)]
    matrix = Matrix("pattern", labels, labels, Array.of(values), "query ↓ key →", "blocks.0.attn.pattern[1]", (2, 1))
    with_numbers, two_wide, one_wide = (lay_matrix(matrix, width) for width in (90, 40, 20))
    assert [bool(each.format) for each in (with_numbers, two_wide, one_wide)] == [True, False, False]
    assert (two_wide.cell_width, one_wide.cell_width) == (2, 1)
    for laid in (with_numbers, two_wide, one_wide):
        assert sum("masked" in line for line in drawn(laid)) == 1
        row = text_of(laid.line(laid.spot(2, 0).line))
        assert row.startswith("▸ t2")
        assert row.count("·") == size - 3
        assert laid.spot(2, 1).ref == "blocks.0.attn.pattern[1,2,1]"
        assert laid.spot(2, 5).masked
        assert laid.spot(2, 1).value == 0.25
    assert "0.25" in text_of(with_numbers.line(with_numbers.spot(2, 0).line))
    assert "▾" in text_of(with_numbers.header)


def test_the_columns_of_a_window_are_numbered_as_in_the_whole() -> None:
    values = Array.of(np.ones((12, 12)))
    labels = ["t"] * 12
    laid = lay_matrix(Matrix("m", labels, labels, values, ref="blocks.0.attn.pattern[0,64:,64:]", selected=(0, 3)), 20)
    assert text_of(laid.header).split() == ["65", "▾68"]
    assert laid.spot(2, 5).ref == "blocks.0.attn.pattern[0,66,69]"
    whole = lay_matrix(Matrix("m", labels, labels, values, ref="blocks.0.attn.pattern[0,:,:]"), 20)
    assert text_of(whole.header).split() == ["1", "10"]


def test_the_cursor_walks_through_all_blocks_and_back() -> None:
    blocks: list[Block] = [attention_table(2), Paragraph("words"), Strip("v", Array.of(np.ones(8)), "x")]
    page = lay_view(View("s", "t", "", blocks), 60)
    cursor = page.first()
    assert cursor == (0, 1, 3)
    down = [cursor]
    for _ in range(5):
        cursor = page.move(cursor, 1, 0)
        down.append(cursor)
    assert down[1:] == [(0, 2, 3), (2, 0, 3), (2, 0, 3), (2, 0, 3), (2, 0, 3)]
    assert page.spot(cursor).ref == "x[3]"
    assert page.move(page.move(cursor, -1, 0), 0, -9) == (0, 2, 0)


def test_parity_says_what_was_compared_with_what() -> None:
    words = parity_sentence(Parity("blocks.0.attn.z · fast path", 1.234e-7, 32))
    assert words == "✓ matches the model (max error 1.2e−7): 32 numbers of blocks.0.attn.z (zero-indexed), fast path."
    assert parity_sentence(Parity("logits", 0.0, 1)) == "✓ matches the model (max error 0): 1 number of logits."
    for name, delta, words in (
        ("bytes of the merge trees · vocabulary", 0.0, "✓ merged bytes give these tokens"),
        ("bytes of the merge trees · vocabulary", 1.0, "✗ merged bytes differ from these tokens"),
        ("after · models.sampling", 0.0, "✓ matches the sampler (max error 0)"),
    ):
        assert parity_badge(Parity(name, delta, 4)) == words
    assert parity_badge(Parity("logits", 0.5, 9)) == "✗ differs from the model (max error 0.50)"


def softmax_view(scores: list[float], label: str) -> View:
    table = softmax_table(
        [f"{label}{n}" for n in range(len(scores))], scores, raw=[4 * x for x in scores], percent=True, subtract_max=True
    )
    return View("scores", "t", "Sentence.", [table])


@pytest.mark.parametrize("width", range(30, 90, 3))
def test_two_tables_side_by_side_show_the_same_columns_at_the_same_places(width: int) -> None:
    views = softmax_view([1.0, 2.0], "a"), softmax_view([-12.0, 230.5, 229.0, 0.0], "a longer label ")
    views[1].blocks.insert(0, Paragraph("Only here."))  # what one has more than the other does not undo the pairs
    first, second = (lay_view(view, width, other) for view, other in (views, views[::-1]))
    one, two = first.blocks[1], second.blocks[2]
    assert isinstance(one, LaidTable)
    assert isinstance(two, LaidTable)
    assert (one.shown, one.widths, one.bar_widths) == (two.shown, two.widths, two.bar_widths)
    assert lay_view(views[0], width).blocks[1].line(1) == lay_table(views[0].blocks[0], width).line(1)  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [20, 40, 60, 90])
def test_two_matrices_side_by_side_have_one_scale(width: int) -> None:
    small, large = np.full((3, 3), 0.5, dtype=np.float32), np.full((4, 4), 0.5, dtype=np.float32)
    large[3, 3] = 8.0
    labels = [str(n) for n in range(4)]
    matrices = [Matrix("m", labels[: len(each)], labels[: len(each)], Array.of(each)) for each in (small, large)]
    one, two = lay_matrix(matrices[0], width, matrices[1]), lay_matrix(matrices[1], width, matrices[0])
    assert one.limit == two.limit == 8.0
    assert (one.cell_width, bool(one.format), one.label_width) == (two.cell_width, bool(two.format), two.label_width)
    assert one.below(0).pieces[0] == two.below(0).pieces[0] or not one.format
    assert text_of(one.below(0))[: one.pinned + one.cell_width] == text_of(two.below(0))[: two.pinned + two.cell_width]
    assert lay_matrix(matrices[0], width).limit == 0.5


def test_tables_stand_side_by_side_where_there_is_room_and_a_long_one_in_columns() -> None:
    def table(rows: int, name: str) -> Table:
        return Table([Column(name), Column("n")], [[Cell(f"{n}."), Cell(f"{n}", n, f"{name}[{n}]")] for n in range(rows)])

    view = View("x", "x", "", [table(2, "norm"), table(30, "value"), Paragraph("below")])
    narrow, wide = lay_view(view, 18), lay_view(view, 40)
    assert (narrow.height, wide.height) == (3 + 1 + 31 + 1 + 1, 16 + 1 + 1)
    texts = drawn_page(wide).splitlines()
    assert [line.split() for line in texts[:4]] == [
        ["norm", "n", "value", "n", "value", "n"],
        ["0.", "0", "0.", "0", "15.", "15"],
        ["1.", "1", "1.", "1", "16.", "16"],
        ["2.", "2", "17.", "17"],
    ]
    cursor, seen = (0, 1, 0), []
    for moves in [(0, 1)] * 7 + [(0, -1)] * 2 + [(1, 0)] * 14:
        cursor = wide.move(cursor, *moves)
        spot = wide.spot(cursor)
        seen.append(spot.ref)
        assert texts[spot.line][spot.start : spot.start + spot.width].strip() == f"{spot.value:g}" if spot.ref else True
        assert wide.at(spot.line, spot.start, 0) == cursor
    assert (seen[0], seen[2], seen[4], seen[6], seen[8]) == ("norm[1]", "value[1]", "value[16]", "value[16]", "value[1]")
    assert seen[-1] == "value[15]", "after the last row of a column comes the next one"
    strips = lay_view(View("x", "x", "", [Strip(name, Array.of(np.ones(4)), name) for name in "kv"]), 60)
    assert strips.tops == [0, 0]
    assert strips.spot(strips.move((0, 0, 3), 0, 1)).ref == "v[0]"


def test_two_strips_side_by_side_have_one_scale() -> None:
    strips = [Strip("s", Array.of(np.array(each, dtype=np.float32))) for each in ([1.0, -1.0], [1.0, 4.0, 2.0])]
    one, two = lay_strip(strips[0], 60, strips[1]), lay_strip(strips[1], 60, strips[0])
    assert one.limit == two.limit == 4.0
    assert text_of(one.line(1))[5] == text_of(two.line(1))[5] == "▂"


def test_a_narrow_table_drops_columns_in_their_turn_and_says_how_many() -> None:
    columns = [
        Column("key", "left"),
        Column("score", optional=1),
        Column("exp", optional=3),
        Column("− max", optional=2),
        Column("p"),
    ]
    table = Table(columns, [[Cell("the"), Cell("1.0000"), Cell("2.718282"), Cell("0.0000"), Cell("41.2%")]])
    assert [[columns[index].title for index in lay_table(table, width).shown] for width in (60, 32, 24, 12)] == [
        ["key", "score", "exp", "− max", "p"],
        ["key", "exp", "− max", "p"],
        ["key", "exp", "p"],
        ["key", "p"],
    ]
    assert lay_table(table, 12).hidden == 3


def test_a_wide_block_is_scrolled_so_that_columns_are_whole_at_both_ends() -> None:
    columns = [Column("key", "left"), *(Column(str(index)) for index in range(9))]
    laid = lay_table(Table(columns, [[Cell("the"), *(Cell("0.123456") for _ in range(9))]]), 30)
    assert laid.cuts == tuple(range(0, 9 * 9 + 1, 9))
    assert Page([laid], 30).width - 30 in laid.cuts
    assert Page([laid], 30).width >= laid.width


def test_a_strip_of_losses_has_a_scale_from_zero_and_counts_from_its_first_token() -> None:
    losses = Strip("losses", Array.of(np.linspace(0.1, 4.76, 300)), never_negative=True, first=2)
    for paints in (False, True):
        laid = lay_strip(losses, 76, paints=paints)
        lines = [laid.line(y) for y in range(len(laid.head) + 1)]
        words = "".join(text for line in lines[:-1] for text, _ in line.pieces)
        assert "4.76" in words
        assert "±" not in words
        assert "−4.76" not in words
        assert "".join(text for text, _ in lines[-1].pinned).strip() == "2"


@pytest.mark.parametrize("width", [9, 21, 41])
def test_a_negative_bar_is_as_long_as_its_number_to_a_quarter_of_a_cell(width: int) -> None:
    half = (width - 1) // 2
    lengths = []
    for thousandth in range(1, 1001):
        drawn = signed_bar(-thousandth / 1000, width)
        assert (len(drawn), drawn[half]) == (half + 1, "│")
        lengths.append(sum({"▒": 1.0, "▐": 0.5, "▕": 0.125, " ": 0.0}[glyph] for glyph in drawn[:half]))
        assert lengths[-1] > 0
        assert abs(lengths[-1] - thousandth / 1000 * half) <= 0.2501
    assert lengths == sorted(lengths)


def test_a_column_with_a_negative_bar_has_one_axis_for_all_its_rows_and_one_without_has_none() -> None:
    rows = [[Cell("one"), Cell("+2.0", 2.0, bar=1.0)], [Cell("two"), Cell("−1.0", -1.0, bar=-0.5)]]
    total = [Cell("sum"), Cell("+1.0", 1.0)]
    columns = [Column("part", align="left"), Column("share")]
    lines = drawn(lay_table(Table(columns, rows, total=total), 40))
    assert lines[1].index("│") == lines[2].index("│")
    assert "█" in lines[1]
    assert lines[2].index("▒") < lines[2].index("│")
    assert "│" not in lines[-1]
    assert max(len(line.rstrip()) for line in lines) <= 40
    rows = [[Cell("one"), Cell("20%", 0.2, bar=0.2)], [Cell("two"), Cell("80%", 0.8, bar=0.8)]]
    assert not any("│" in line for line in drawn(lay_table(Table(columns, rows), 40)))


def test_bars_have_the_colour_of_their_number_and_short_ones_can_be_seen() -> None:
    def kinds(*bars: float) -> list[Heat]:
        table = Table([Column("name", align="left"), Column("x")], [[Cell("a"), Cell("1", bar, bar=bar)] for bar in bars])
        laid = lay_table(table, 60)
        lines = [laid.below(row) for row in range(len(bars))]
        return [kind for line in lines for _, kind in (*line.pinned, *line.pieces) if isinstance(kind, Heat)]

    assert kinds(1.0, 0.5, 0.001) == [Heat("sequential", level, MASKED_LEVEL) for level in (LEVELS, LEVELS // 2, LEAST_INK)]
    assert kinds(-1.0, 0.001) == [Heat("diverging", level, MASKED_LEVEL) for level in (-LEVELS, LEAST_SIGNED_INK)]


PARTS = [
    IntervalPart(" fast", 0.0, 0.5, "sample.after[3,1]"),
    IntervalPart(".", 0.5, 0.75, "sample.after[3,2]"),
    IntervalPart("others", 0.75, 0.9),
    IntervalPart("odd", 0.9, 0.901, "sample.after[3,9]"),
    IntervalPart("others", 0.901, 1.0),
]


def laid(mark: float, selected: int, width: int = 60) -> LaidIntervalBar:
    return lay_interval_bar(IntervalBar("laid end to end, from 0 to 1", PARTS, mark, f"u = {mark}", selected), width)


@pytest.mark.parametrize("width", [8, 20, 40, 60, 200])
def test_each_part_takes_its_share_of_the_line_under_its_name_and_nothing_is_wider(width: int) -> None:
    lines = drawn(laid(0.6, 1, width))
    assert all(cell_len(line) <= width for line in lines)
    bar = next(line for line in lines if "█" in line)
    assert len(bar) == width
    assert abs(bar.count("█") - 0.5 * width) <= 1
    assert abs(bar.count("░") - 0.249 * width) <= 1.5
    if width == 60:
        assert lines[1].startswith("fast")
        assert (lines[1].index("."), bar[29:31]) == (30, "█▓"), "neighbours differ without colour"


@pytest.mark.parametrize(("mark", "selected"), [(0.0, 0), (0.4999, 0), (0.5, 1), (0.7499, 1), (0.9005, 3), (0.9999, 4)])
@pytest.mark.parametrize("width", [20, 53, 120])
def test_the_caret_stands_under_the_part_that_is_drawn(mark: float, selected: int, width: int) -> None:
    block = laid(mark, selected, width)
    caret = drawn(block)[-1]
    at = caret.index("▲")
    low, high = block.edges[selected], block.edges[selected + 1]
    assert low <= at < max(high, low + 1)
    assert PARTS[selected].label.strip() in caret or width < 25


def test_the_cursor_walks_from_part_to_part() -> None:
    block = laid(0.6, 1, 60)
    assert (block.rows, block.columns, block.start()) == (1, 5, (0, 1))
    spot = block.spot(0, 1)
    assert (spot.ref, spot.value, spot.start) == ("sample.after[3,2]", 0.25, 30)
    assert spot.description == ". · from 0.5000 to 0.7500  zero-indexed: sample.after[3,2]  = 0.25"
