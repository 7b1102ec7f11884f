"""Softmax tables, read back from their printed text and recomputed with the decimal module."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lab.views.blocks import Cell, Table
from lab.views.softmax_table import Others, Titles, softmax, softmax_table, with_shares


def printed(cell: Cell) -> tuple[Decimal, Decimal]:
    """The number that a cell shows and one unit of its last digit; a bound such as <0.001 reads as 0 give or take its unit."""
    text = cell.text.replace("−", "-").rstrip("%")
    scale = Decimal(100) if cell.text.endswith("%") else Decimal(1)
    if text[0] in "<>":
        edge = Decimal(text[1:])
        low = Decimal(0) if abs(edge) < 1 else Decimal(100)
        return low / scale, abs(edge - low) / scale
    number = Decimal(text)
    return number / scale, Decimal(1).scaleb(int(number.as_tuple().exponent)) / scale


def assert_reproduces(table: Table, score_column: str) -> None:
    """Recomputes exp from the column before it, Σ from the exps and softmax from both, all as printed."""
    assert table.total is not None
    titles = [column.title for column in table.columns]
    exp, share = titles.index("exp"), len(titles) - 1
    before = titles.index("− max") if "− max" in titles else titles.index(score_column)
    total, total_unit = printed(table.total[exp])
    rows = [row for row in table.rows if row[share].text != "masked"]
    exps = []
    for row in rows:
        value, unit = printed(row[exp])
        exps.append(value)
        if row[before].text:
            assert abs(printed(row[before])[0].exp() - value) <= unit * Decimal("1.001"), row
        shown, share_unit = printed(row[share])
        assert abs(value / total - shown) <= share_unit * Decimal("1.001"), row
    assert abs(sum(exps) - total) <= total_unit * Decimal("1.001")


def test_the_classic_example_to_the_letter() -> None:
    table = softmax_table(["The", " big", " dog", " ran"], [0.3, 0.8, 1.2, 0.5])
    assert [column.title for column in table.columns] == ["key", "score", "exp", "softmax"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["The", "0.30", "1.35", "0.16"],
        [" big", "0.80", "2.23", "0.26"],
        [" dog", "1.20", "3.32", "0.39"],
        [" ran", "0.50", "1.65", "0.19"],
    ]
    assert table.total is not None
    assert [cell.text for cell in table.total] == ["Σ", "", "8.54", "1.00"]
    assert table.selected == 2
    exps = [Decimal(row[2].text) for row in table.rows]
    assert [str(round(each / sum(exps), 2)) for each in exps] == ["0.16", "0.26", "0.39", "0.19"]


def test_subtracting_the_maximum_changes_the_exps_and_not_the_softmax_and_large_scores_do_it_by_themselves() -> None:
    plain = softmax_table(["a", "b"], [0.5, 1.5])
    shifted = softmax_table(["a", "b"], [0.5, 1.5], subtract_max=True, percent=True)
    assert [cell.text for cell in shifted.rows[0]] == ["a", "0.500", "−1.000", "0.368", "26.9%"]
    assert [cell.text for cell in shifted.rows[1]] == ["b", "1.500", "0.000", "1.000", "73.1%"]
    assert [row[-1].value for row in shifted.rows] == pytest.approx([row[-1].value for row in plain.rows], abs=1e-15)
    table = softmax_table(["a", "b"], [1000.0, 999.0])
    assert "− max" in [column.title for column in table.columns]
    assert [row[-1].text for row in table.rows] == ["0.73", "0.27"]
    table = softmax_table(["a"], [-3.0], subtract_max=True, percent=True)
    assert [cell.text for cell in table.rows[0]] == ["a", "−3.000", "0.000", "1.000", "100%"]


@example([-8.0, -10.0], False, False)
@example([-5.0, -12.0], False, True)
@given(st.lists(st.floats(-12, 9), min_size=1, max_size=60), st.booleans(), st.booleans())
def test_printed_rows_reproduce_their_results(scores: list[float], subtract_max: bool, percent: bool) -> None:
    table = softmax_table([str(i) for i in range(len(scores))], scores, subtract_max=subtract_max, percent=percent)
    assert_reproduces(table, "score")
    expected = np.exp(np.array(scores)) / np.exp(np.array(scores)).sum()
    assert [row[-1].value for row in table.rows] == pytest.approx(expected.tolist(), rel=1e-12)


def test_scaled_scores_reproduce_from_the_raw_ones_and_masked_keys_take_no_part() -> None:
    rng = np.random.default_rng(5)
    raw = rng.normal(size=40) * 8
    table = softmax_table(
        [str(i) for i in range(40)],
        raw / np.sqrt(32),
        raw=raw,
        subtract_max=True,
        percent=True,
        masked=["x", "y"],
        titles=Titles(score="÷√d"),
        ref=lambda column, row: f"{column}[{row}]",
    )
    assert_reproduces(table, "÷√d")
    for row in table.rows[:40]:
        (before, _), (after, unit) = printed(row[1]), printed(row[2])
        assert abs(before / Decimal(32).sqrt() - after) <= unit
    assert [[cell.text for cell in row] for row in table.rows[40:]] == [[name, "", "masked", "", "", "masked"] for name in "xy"]
    assert {cell.style for row in table.rows[40:] for cell in row if cell.text} == {"masked"}
    assert [cell.ref for cell in table.rows[3][1:]] == ["raw[3]", "score[3]", "shifted[3]", "exp[3]", "softmax[3]"]


def test_the_others_make_the_sum_exact() -> None:
    logits = np.random.default_rng(6).normal(size=5000) * 3
    order = np.argsort(-logits)
    top, rest = logits[order[:10]], logits[order[10:]]
    others = Others("4,990 others", float(np.exp(rest - top[0]).sum()))
    table = softmax_table([str(i) for i in order[:10]], top, percent=True, others=others, titles=Titles("token", score="logit"))
    assert_reproduces(table, "logit")
    shares = [row[-1].value for row in table.rows]
    assert shares[:10] == pytest.approx(softmax(logits)[order[:10]].tolist(), rel=1e-12)
    assert sum(share for share in shares if share is not None) == pytest.approx(1, abs=1e-12)
    assert table.rows[10][0].text == "4,990 others"
    assert table.selected == 0


@pytest.mark.parametrize(("labels", "scores"), [([], []), (["a"], [float("nan")]), (["a"], [float("-inf")]), (["a"], [1.0, 2.0])])
def test_what_is_no_softmax_is_refused(labels: list[str], scores: list[float]) -> None:
    with pytest.raises(ValueError, match="score"):
        softmax_table(labels, scores)


def test_softmax_of_a_masked_score_is_exactly_zero() -> None:
    assert softmax([0.0, -np.inf, 0.0]).tolist() == [0.5, 0.0, 0.5]


@pytest.mark.parametrize(("spread", "vocabulary"), [(0.3, 2048), (0.3, 50257), (9.0, 2048)])
def test_small_shares_do_not_all_read_alike(spread: float, vocabulary: int) -> None:
    """An untrained model gives no token a tenth of a percent, and a sure one leaves less than that to all but a few."""
    logits = np.sort(np.random.default_rng(1).normal(0, spread, vocabulary))[::-1]
    shown, rest = logits[:20], logits[20:]
    others = Others("others", float(np.exp(rest - shown[0]).sum()))
    table = softmax_table([str(n) for n in range(20)], shown, percent=True, subtract_max=True, others=others)
    texts = [row[-1].text for row in table.rows[:20]]
    p = softmax(logits)
    assert not any(text.startswith("<") for text in texts)
    for text, share in zip(texts, p[:20].tolist(), strict=True):
        assert float(text.rstrip("%").replace("−", "-")) / 100 == pytest.approx(
            share, rel=0.051, abs=0.00051 if share > 0.01 else 0
        )
    assert len(set(texts)) >= 5
    assert_reproduces(table, "score")


def test_plain_shares_stand_beside_the_softmax_and_may_be_negative_or_undefined() -> None:
    table = with_shares(softmax_table(["a", "b"], [3.0, -1.0]), [3.0, -1.0])
    at = [column.title for column in table.columns].index("score ÷ Σ")
    assert [row[at].value for row in table.rows] == [1.5, -0.5]
    assert table.total is not None
    assert table.total[at].text == "Σ 2.00"
    zero = with_shares(softmax_table(["a", "b"], [1.0, -1.0]), [1.0, -1.0])
    assert [row[at].text for row in zero.rows] == ["÷ 0", "÷ 0"]
