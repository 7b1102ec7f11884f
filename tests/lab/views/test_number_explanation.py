import math

import pytest

from lab.views.blocks import Paragraph, Table
from lab.views.number_explanation import Explanation, Operand, explanation_view, short
from lab.views.number_refs import element, ref, split


@pytest.mark.parametrize(
    ("reference", "indices", "expected"),
    [
        ("blocks.0.attn.pattern[2,8:,8:]", (1, 3), "blocks.0.attn.pattern[2,9,11]"),
        ("blocks.0.attn.pattern[:,3,:]", (2, 0), "blocks.0.attn.pattern[2,3,0]"),
        ("embed[4]", (7,), "embed[4,7]"),
        ("logits", (4, 7), "logits[4,7]"),
        ("logits[4,7]", (), "logits[4,7]"),
        ("q[0,3] × k[0,1,2:]", (5,), "q[0,3,5] × k[0,1,7]"),
        ("", (1,), ""),
    ],
)
def test_an_element_fills_the_open_places(reference: str, indices: tuple[int, ...], expected: str) -> None:
    assert element(reference, *indices) == expected


def test_a_reference_is_a_name_and_its_indices_or_a_word() -> None:
    assert ref("ln_final.mean", 3) == "ln_final.mean[3]"
    assert ref("logits") == "logits"
    assert split("blocks.0.attn.pattern[2,8:,:]") == ("blocks.0.attn.pattern", ["2", "8:", ":"])
    assert split("logits") == ("logits", [])
    words = {"a[1] × b[2]": "product", "a[1] × a[1]": "square", "embed.norm[3]": "norm", "h.0.mlp.c_fc.bias[3]": "bias"}
    assert {name: short(name) for name in words} == words


SHARE = Explanation(
    ref="blocks.0.attn.pattern[0,3,1]",
    title="attention pattern, layer 1",
    formula="exp(score − max) / Σ",
    numbers="exp(0.3 − 1.2) / 2.5",
    operands=[Operand("score", 0.3, "blocks.0.attn.attn_scores[0,3,1]"), Operand("12 others", 1.5)],
    value=0.16263,
    recomputed=0.16263 + 1e-7,
)


def test_formula_numbers_and_check_stand_above_the_operands() -> None:
    view = explanation_view(SHARE, ["probability[3,7]", SHARE.ref])
    assert view.title == "explain · 2 deep: probability › pattern"
    assert view.sentence == "Attention pattern, layer 1 = 0.162630"
    note, table, name = view.blocks
    assert note == Paragraph("exp(score − max) / Σ\n= exp(0.3 − 1.2) / 2.5\n= 0.162630\nThe model has 0.162630: |Δ| 1.0e−7.")
    assert isinstance(table, Table)
    assert [row[1].ref for row in table.rows] == ["blocks.0.attn.attn_scores[0,3,1]", ""]
    assert [row[1].text for row in table.rows] == ["0.300000", "1.50000"]
    assert name == Paragraph("zero-indexed: blocks.0.attn.pattern[0,3,1]")


def test_a_weight_a_masked_score_and_a_token_s_id_are_explained_in_their_own_way() -> None:
    weight = Explanation(
        ref="wte.weight[7,2]",
        title="token embedding",
        formula="",
        numbers="",
        operands=[],
        value=0.5,
        initial=0.75,
        note="A weight.",
    )
    view = explanation_view(weight, ["logits[3,7]", "a[1] × b[1]", "c[2] × c[2]", "ln1.out[1,2]", weight.ref])
    note, table, _name = view.blocks
    assert view.title == "explain · 5 deep: … › square › after norm › weight"
    assert note == Paragraph("A weight.")
    assert isinstance(table, Table)
    assert [row[1].text for row in table.rows] == ["0.750000", "0.500000", "−0.250000"]
    masked = Explanation(
        ref="a[0]", title="x", formula="f", numbers="n", operands=[], value=-math.inf, recomputed=-math.inf, note="M."
    )
    view = explanation_view(masked, ["a[0]"])
    assert view.blocks[0] == Paragraph("f\n= n\n= −∞\nThe model has −∞: |Δ| 0.")
    assert Paragraph("M.") in view.blocks
    token = Explanation(ref="tokens[41]", title="id of a token", formula="", numbers="", operands=[], value=295.0)
    assert explanation_view(token, ["tokens[41]"]).sentence == "Id of a token = 295"


def test_the_terms_of_a_sum_align_and_carry_bars_that_tell_the_sign() -> None:
    terms = [
        Operand("dimension 4", -4.0, "a[3] × b[3]", "−2.000 × 2.000"),
        Operand("bias", 1.25, "c[0]"),
        Operand("3 others", 0.5),
    ]
    score = Explanation(
        ref="q[0]", title="x", formula="f", numbers="n", operands=terms, value=-2.25, recomputed=-2.25, is_sum=True
    )
    table = explanation_view(score, ["q[0]"]).blocks[1]
    assert isinstance(table, Table)
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["dimension 4", "−2.000 × 2.000", "−4.00000"],
        ["bias", "", "1.25000"],
        ["3 others", "", "0.50000"],
    ]
    assert [row[2].bar for row in table.rows] == [-1.0, 0.3125, 0.125]
    assert table.rows[2][2].style == "dim"
