import pytest

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


def test_a_reference_is_a_name_and_its_indices() -> None:
    assert ref("ln_final.mean", 3) == "ln_final.mean[3]"
    assert ref("logits") == "logits"
    assert split("blocks.0.attn.pattern[2,8:,:]") == ("blocks.0.attn.pattern", ["2", "8:", ":"])
    assert split("logits") == ("logits", [])
