"""The rules together: the funnel adds up, and the sizes of the stream's parts change nothing."""

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.data.cleaning.cleaner import BlockCleaner, Cleaner, border_before, is_border
from lab.data.cleaning.funnel_meter import FunnelMeter
from lab.data.cleaning.rule_registry import BY_NAME, RULES, clean_documents, in_order
from lab.data.text_chunks import DocumentPart
from tests.lab.data.cleaning.cleaning_texts import LINES, cleaned, in_parts, stream, texts

documents = st.lists(texts, min_size=1, max_size=3)
rules = st.lists(st.sampled_from([rule.name for rule in RULES]), unique=True)
clusters = st.tuples(
    st.sampled_from("ae\u09c7\u1100가ｶか\n\u0958\u212b"), st.text("\u0301\u0327\u0f73\u09be\u1161\u11a8\u3099", max_size=3)
).map("".join)
sizes = st.lists(st.integers(0, 40), max_size=20)


def documents_of(parts: list[DocumentPart]) -> list[str]:
    found: list[str] = []
    for part in parts:
        found += [part.text] if part.starts else [found.pop() + part.text]
    return found


def clean_in_parts(cleaner: Cleaner, parts: list[str], longest: int) -> str:
    """The text as the cleaner leaves it, which takes lines of more than `longest` characters in pieces."""
    if isinstance(cleaner, BlockCleaner):
        cleaner._longest = longest
    return "".join(cleaner.clean(part, at == len(parts) - 1) for at, part in enumerate(parts))


@given(documents, rules, sizes)
def test_the_funnel_adds_up_and_the_sizes_of_the_parts_change_nothing(
    documents: list[str], rules: list[str], sizes: list[int]
) -> None:
    rules = list(in_order(rules))
    whole = FunnelMeter(rules, excerpts=True)
    as_one = list(clean_documents(stream([[text] for text in documents]), rules, whole))
    by_parts = FunnelMeter(rules, excerpts=True)
    parts = list(clean_documents(stream([in_parts(text, sizes) for text in documents]), rules, by_parts))
    unmeasured = list(clean_documents(stream([[text] for text in documents]), rules))

    kept = documents_of(as_one)
    assert kept == documents_of(parts) == documents_of(unmeasured)
    assert len(kept) == len(documents)
    steps = whole.steps()
    assert steps == by_parts.steps()
    sizes_of = [sum(len(text.encode()) for text in each) for each in (documents, kept)]
    assert [whole.raw_bytes, whole.kept_bytes] == sizes_of
    assert [step.rule for step in steps] == rules
    edges = [sizes_of[0], *(step.bytes_out for step in steps)]
    assert edges[:-1] == [step.bytes_in for step in steps]
    assert edges[-1] == sizes_of[1]
    for step in steps:
        assert step.bytes_in - step.removed - step.before + step.after == step.bytes_out
        assert step.bytes_in == step.bytes_out or step.passages_removed + step.passages_changed
        excerpts = whole.excerpts().get(step.rule, ())
        assert bool(excerpts) == bool(step.passages_removed + step.passages_changed)
        assert all(excerpt.side("taken")[0] != excerpt.side("added")[0] for excerpt in excerpts)
    assert sum(step.documents_emptied for step in steps) == whole.documents - whole.kept_documents


@given(texts)
def test_line_endings_are_those_of_python(text: str) -> None:
    assert cleaned(text, "line-endings") == io.IncrementalNewlineDecoder(None, translate=True).decode(text, True)


@given(st.lists(clusters, max_size=20).map("".join), sizes)
def test_nfc_is_that_of_the_whole_text_across_the_borders_of_parts_and_pieces(text: str, sizes: list[int]) -> None:
    expected = unicodedata.normalize("NFC", text)
    assert clean_in_parts(BY_NAME["nfc"].cleaner(), in_parts(text, sizes), 8) == expected
    assert cleaned(text, "nfc") == expected


def test_a_border_is_a_character_that_nothing_before_it_joins() -> None:
    # The independent source: unicodedata on pairs.
    for character in "a\né가か\u0958":
        assert is_border(character)
        assert all(
            unicodedata.normalize("NFC", f"{before}{character}")
            == unicodedata.normalize("NFC", before) + unicodedata.normalize("NFC", character)
            for before in ("e", "e\u0301", "\u1100", "か", "\u09c7")
        )
    for character in "\u0301\u3099\u1161\u11a8\u09be\u0f73":
        assert not is_border(character)
    assert border_before("ab\u0301\u0327c", 0, 3) == 1
    assert border_before("abc", 0, 3) == 3


@pytest.mark.parametrize("rule", [rule.name for rule in RULES])
def test_a_line_of_any_length_is_read_with_bounded_memory_and_no_other_result(rule: str) -> None:
    text = "".join(LINES)
    in_three_ways = ([text], in_parts(text, [1, 2, 3, 63, 64, 65, 200]), list(text))
    assert len({clean_in_parts(BY_NAME[rule].cleaner(), parts, 64) for parts in in_three_ways}) == 1


def test_a_document_that_vanishes_still_begins_and_is_counted() -> None:
    meter = FunnelMeter(["duplicate-lines"])
    line = "The same line, long enough to be compared with the others.\n"
    parts = list(clean_documents(stream([[line], [line], [], ["another"]]), ["duplicate-lines"], meter))
    assert [(part.text, part.starts) for part in parts if part.text or part.starts] == [
        (line, True),
        ("", True),
        ("", True),
        ("another", True),
    ]
    assert meter.steps()[0].documents_emptied == 1
    assert (meter.documents, meter.kept_documents) == (3, 2)


def test_progress_is_told_while_everything_is_taken() -> None:
    parts = [f"{'x' * 1100}\n"] * 5
    found = list(clean_documents(stream([parts]), ["long-lines"]))
    assert "".join(part.text for part in found) == ""
    assert [part.read for part in found][-1] == 5 * 1101
