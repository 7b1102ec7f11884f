"""Tables on a terminal: what does not fit is left out, and named."""

from functools import partial

import pytest

from lab.cli import output
from lab.cli.output import table, table_of
from lab.views.blocks import Cell, Column, Table

HEADER, ROWS = ("run", "step", "loss", "made"), [("tale", "200", "1.234", "3 min ago"), ("a", "5", "2", "")]


def on_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(output, "line_room", lambda: columns)


def test_columns_that_do_not_fit_are_left_out_in_their_turn_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = partial(table, HEADER, ROWS, right=(1, 2), optional=(3, 2))
    whole = shown()
    assert whole == "run   step   loss  made\ntale   200  1.234  3 min ago\na        5      2"
    on_terminal(monkeypatch, 28)
    assert shown() == whole
    on_terminal(monkeypatch, 27)
    assert shown() == "run   step   loss\ntale   200  1.234\na        5      2\n… also made on a wider\nterminal."
    on_terminal(monkeypatch, 15)
    assert shown() == "run   step\ntale   200\na        5\n… also made,\nloss on a wider\nterminal."


def test_a_table_of_a_view_leaves_out_what_the_screen_would(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [Column("size", "left"), Column("lr", optional=1), Column("epochs", optional=2), Column("FLOPs", optional=1)]
    block = Table(columns, [[Cell("1"), Cell("0.008"), Cell("2.5"), Cell("1e12")]])
    assert table_of(block) == "size     lr  epochs  FLOPs\n1     0.008     2.5   1e12"
    on_terminal(monkeypatch, 20)
    assert table_of(block) == "size     lr  epochs\n1     0.008     2.5\n… also FLOPs on a\nwider terminal."
    on_terminal(monkeypatch, 14)
    assert table_of(block) == "size  epochs\n1        2.5\n… also FLOPs,\nlr on a wider\nterminal."
