"""Attribution and evidence: numbers against numpy in float64 and against a search by slices, and every printed sum."""

from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import UserError
from lab.engine.method_registry import AttributionParams
from lab.inspect.training_text_evidence_view import Following, compared, search
from lab.views.blocks import Paragraph, View
from models.trace_edits import Edit
from tests.lab.engine.conftest import PROMPT, InProcessEngine
from tests.lab.inspect.read_views import blocks, close, printed, tables

small = st.integers(0, 3)


@given(st.lists(small, min_size=2, max_size=60), st.lists(small, min_size=1, max_size=6), small, st.integers(0, 10))
def test_what_is_found_is_what_a_search_by_slices_finds(
    text: list[int], prompt: list[int], candidate: int, held_out: int
) -> None:
    split = max(2, len(text) - held_out)
    found = search(np.array(text, np.uint16), split, prompt, candidate)
    train = text[:split]
    assert found.searched == split
    longest = 0
    for length in range(1, len(prompt) + 1):
        places = [i for i in range(split - length) if train[i : i + length] == prompt[-length:]]
        follows = Counter(train[i + length] for i in places)
        told = [each for each in found.following if each.length == length]
        if length <= 3:
            assert bool(told) == bool(places)
        if told:
            assert told[0].occurrences == len(places)
            assert dict(told[0].followers) == dict(follows)
            assert told[0].candidate == follows[candidate]
        if places:
            longest = length
            assert found.verbatim is not None
            if found.verbatim.length == length:
                assert (found.verbatim.occurrences, found.verbatim.first) == (len(places), places[0])
                assert dict(found.verbatim.followers) == dict(follows)
    assert (found.verbatim.length if found.verbatim else 0) == longest


@pytest.mark.parametrize(("position", "against"), [(None, None), (3, None), (None, 5), (0, 270)])
def test_the_shares_are_the_oracles_and_as_printed_add_up(
    position: int | None, against: int | None, tiny: Any, engine: InProcessEngine, oracle_of: Any
) -> None:
    oracle = oracle_of(tiny, tiny.tokenizer.encode(PROMPT))
    at = len(oracle.ids) - 1 if position is None else position
    view = engine.attribution(position=position, candidate=7, against=against)
    contributions = {row[0].text: row[1].value for row in tables(view)[0].rows}
    w, v = oracle.weights, oracle.values
    direction = w["wte.weight"][7] - (w["wte.weight"][against] if against is not None else 0)
    seen = w["ln_f.weight"] * direction / v["ln_final.scale"][at]

    def share(vector: np.ndarray) -> float:
        return float((vector - vector.mean()) @ seen)

    expected = {"token embedding": share(v["embed"][at]), "position embedding": share(v["pos_embed"][at])}
    for layer in range(2):
        place, block, h = f"layer {layer + 1}", f"blocks.{layer}.", f"h.{layer}."
        for head in range(2):
            expected[f"{place} head {head + 1}"] = share(v[f"{block}attn.head_out"][head, at])
        expected[f"{place} attention bias"] = share(w[f"{h}attn.c_proj.bias"])
        expected[f"{place} mlp"] = share(v[f"{block}mlp_out"][at] - w[f"{h}mlp.c_proj.bias"])
        expected[f"{place} mlp bias"] = share(w[f"{h}mlp.c_proj.bias"])
    expected["final norm's bias"] = float(w["ln_f.bias"] @ direction)
    leftover = contributions.pop("leftover (rounding)")
    assert leftover == pytest.approx(0, abs=1e-4)
    assert contributions == pytest.approx(expected, rel=1e-3, abs=1e-4)
    logits = v["logits"][at]
    total = tables(view)[0].total
    assert total is not None
    assert total[1].value == pytest.approx(logits[7] - (logits[against] if against is not None else 0), rel=1e-4, abs=1e-4)
    assert close(*printed(total[1]), sum(printed(row[1])[0] for row in tables(view)[0].rows))
    assert total[1].ref == (f"logits.over[{at},7,{against}]" if against is not None else f"logits[{at},7]")
    for row in tables(view)[0].rows:
        if row[1].ref:  # every share opens its own formula, and that gives the share
            found = engine.explain(ref=row[1].ref)
            assert found.value == pytest.approx(row[1].value, rel=1e-6, abs=1e-9)
            assert found.delta <= 1e-6
            assert row[0].text in found.formula or against is not None or row[0].text == "final norm's bias"
        else:
            assert row[1].note.startswith("The model's logit − all contributions")
    assert sum(bool(row[1].ref) for row in tables(view)[0].rows) == len(expected)


def test_the_most_probable_token_is_meant_bars_tell_the_sign_and_the_order_can_be_the_computations(
    tiny: Any, engine: InProcessEngine, oracle_of: Any
) -> None:
    asked = AttributionParams(run="tiny", text=PROMPT, stage="")
    view = engine.attribution(asked)
    logits = oracle_of(tiny, tiny.tokenizer.encode(PROMPT)).values["logits"]
    order = np.argsort(-logits[-1], kind="stable")
    assert view.title == f"direct logit attribution: “{tiny.tokenizer.label(int(order[0]))}”"
    candidates = [row[2].ref for row in tables(view)[1].rows]
    assert candidates == [f"probability[{len(logits) - 1},{id_}]" for id_ in order[:6]]
    with pytest.raises(UserError, match="999999 is no token of tiny"):
        engine.attribution(candidate=999999)
    by_size = tables(view)[0].rows[:-1]
    sizes = [abs(row[1].value or 0) for row in by_size]
    assert sizes == sorted(sizes, reverse=True)
    assert abs(by_size[0][1].bar or 0) == 1
    for row in by_size:
        assert row[1].value is not None
        assert row[1].bar is not None
        assert (row[1].bar < 0) == (row[1].value < 0) == row[1].text.startswith(("−", ">"))
    in_order = [row[0].text for row in tables(engine.attribution(msgspec.structs.replace(asked, by_size=False)))[0].rows]
    assert in_order[:4] == ["token embedding", "position embedding", "layer 1 head 1", "layer 1 head 2"]
    assert in_order[-2:] == ["final norm's bias", "leftover (rounding)"]


def test_a_scaled_stream_scales_every_share(tiny: Any, engine: InProcessEngine) -> None:
    edit = Edit("blocks.1.resid_post", "scale", position=3, scale=2.0)
    asked = AttributionParams(run="tiny", text=PROMPT, stage="", position=3, candidate=5, by_size=False)
    *before, _ = tables(engine.attribution(asked))[0].rows
    *after, leftover = tables(engine.attribution(msgspec.structs.replace(asked, edits=(edit,))))[0].rows
    assert leftover[0].text == "leftover (rounding)"
    assert abs(leftover[1].value or 0) < 1e-4
    # Twice the stream has about twice the scale (but for ε), which takes the doubling back.
    for one, other in zip(before, after, strict=True):
        assert other[1].value == pytest.approx(one[1].value, rel=1e-3, abs=1e-5)


def with_text(tiny: Any, text: str, held_out: int = 0) -> list[int]:
    """Gives the run a training text; its last `held_out` tokens are for validation."""
    ids: list[int] = tiny.tokenizer.encode(text)
    np.array(ids, "<u2").tofile(tiny.run.tokens_path)
    config = tiny.run.config
    data = msgspec.structs.replace(config.data, tokens=len(ids), split=len(ids) - held_out)
    (tiny.run.path / "config.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(config, data=data)))
    return ids


def ask(engine: InProcessEngine, text: str, candidate: int | None = None) -> View:
    view = engine.evidence(text=text, candidate=candidate)
    assert isinstance(view, View)
    return view


def test_counts_and_shares_are_those_of_a_search_by_slices_and_say_what_they_count_and_divide(
    tiny: Any, engine: InProcessEngine, oracle_of: Any
) -> None:
    ids = with_text(tiny, "The big dog ran fast. The small cat ran home. The big cat sat. The big dog sat. " * 3)
    prompt = tiny.tokenizer.encode("The big dog")
    (candidate,) = tiny.tokenizer.encode(" ran")[:1]
    view = ask(engine, "The big dog", candidate)
    probability = oracle_of(tiny, prompt).values["probability"][-1]
    rows = tables(view)[0].rows
    assert len(rows) == 3
    for length, row in zip((3, 2, 1), rows, strict=True):
        places = [i + length for i in range(len(ids) - length) if ids[i : i + length] == prompt[-length:]]
        hits = sum(ids[place] == candidate for place in places)
        assert (row[1].value, row[2].value) == (len(places), hits)
        assert row[3].value == pytest.approx(hits / len(places))
    total = tables(view)[0].total
    assert total is not None
    assert total[3].value == pytest.approx(probability[candidate], rel=1e-4)

    followers = tables(view)[1]
    places = [i + 3 for i in range(len(ids) - 3) if ids[i : i + 3] == prompt[-3:]]
    counted = Counter(tiny.tokenizer.label(ids[place]) for place in places)
    assert {row[0].text: row[1].value for row in followers.rows} == dict(counted)
    shown = {row[0].text: row[3].value for row in followers.rows}
    for id_ in {ids[place] for place in places}:
        assert shown[tiny.tokenizer.label(id_)] == pytest.approx(probability[id_], rel=1e-4)

    row = rows[-1]  # the last token alone
    of, count, share = (cell.value for cell in row[1:4])
    assert row[1].note == f"A count: occurrences of {row[0].text} in the {len(ids)} training tokens."
    assert row[2].note.startswith("A count: occurrences of ")
    assert row[3].note.startswith(f"{count:.0f} / {of:.0f} = {share:.6f}"[:14])
    for each in tables(view):
        for cells in each.rows:
            for cell in cells[1:4]:
                nameless = cell.value is not None and not cell.ref and cell.style != "dim" and len(cells) > 2
                assert not nameless or cell.note, cells


def test_the_stretch_names_its_place_and_shows_the_text_around_it(tiny: Any, engine: InProcessEngine) -> None:
    before, stretch, after = "The cat sat. ", "The big dog ran", " home. The cat sat. "
    ids = with_text(tiny, before + stretch + after)
    view = ask(engine, "sat sat sat. " + stretch)
    prompt = tiny.tokenizer.encode("sat sat sat. " + stretch)
    longest = max(n for n in range(1, len(prompt)) if any(ids[i : i + n] == prompt[-n:] for i in range(len(ids) - n)))
    first = next(i for i in range(len(ids)) if ids[i : i + longest] == prompt[-longest:])
    rows = {row[0].text: row[1].text for row in tables(view)[2].rows}
    assert rows["length in tokens"] == f"{longest} of {len(prompt)}"
    assert rows["occurrences"] == "1"
    assert rows["first at token"].startswith(f"{first + 1} (")
    assert rows["next token there"] == f"“{tiny.tokenizer.label(ids[first + longest])}”"
    (excerpt,) = [block.text for block in blocks(view, Paragraph)]
    inside = excerpt.rpartition("»")[2].partition("«")[0]
    assert inside == tiny.tokenizer.decode(prompt[-longest:])


LONG = "The small cat sat. The big dog ran home. The cat ran fast. The dog sat"


@pytest.mark.parametrize(
    ("text", "prompt", "candidate", "word"),
    [
        ("The big dog ran fast. " * 9, "The big dog", " ran", "Less than in the text: "),
        ("The big dog ran fast. " * 9 + "A big cat.", "fast. The big", " cat", "New in this context"),
        ("The big dog ran fast. " * 9, "The big dog", " home", "New: the training text never has"),
        ("The big dog ran fast. " * 9, "Zzz", " ran", "New: the training text never has"),
        ("The dog sat fast. " * 9 + LONG + " home. " + "The dog sat fast. " * 9, LONG, " home", "Memorized, likely"),
    ],
)
def test_the_sentence_tells_a_habit_from_what_is_new_and_from_what_was_memorized(
    text: str, prompt: str, candidate: str, word: str, tiny: Any, engine: InProcessEngine
) -> None:
    with_text(tiny, text)
    (id_,) = tiny.tokenizer.encode(candidate)[:1]
    sentence = ask(engine, prompt, id_).sentence
    assert word in sentence
    assert ("verbatim once" in sentence) == (prompt == LONG)


@pytest.mark.parametrize(
    ("count", "of", "p", "words"),
    [
        (119, 315, 0.184, "Less than"),  # half of it
        (119, 315, 0.7, "More than"),
        (119, 315, 0.378, "About as"),
        (119, 315, 0.31, "About as"),  # a quarter apart, though many were counted
        (2, 5, 0.2, "About as"),  # five draws say little
        (2, 5, 0.95, "More than"),
        (5, 5, 1.0, "About as"),
        (5, 5, 0.0, "Less than"),
    ],
)
def test_half_as_often_is_not_about_as_often(count: int, of: int, p: float, words: str) -> None:
    assert compared(Following(1, of, [], count), p) == words


@pytest.mark.parametrize(("prompt", "more"), [(" dog", False), ("The small cat sat. The big dog", True)])
def test_more_tokens_are_named_as_a_reason_only_where_there_are_more(
    prompt: str, more: bool, tiny: Any, engine: InProcessEngine
) -> None:
    with_text(tiny, "The big dog ran fast. " * 2 + "The big dog sat home. A big dog sat home. " * 5)
    sentence = ask(engine, prompt, tiny.tokenizer.encode(" ran")[0]).sentence
    assert "than in the text: " in sentence
    assert ("or uses more tokens" in sentence) == more
    assert "so it has not learned this frequency yet" in sentence


def test_what_is_held_out_is_not_searched(tiny: Any, engine: InProcessEngine) -> None:
    part = len(tiny.tokenizer.encode("The big dog ran fast. "))
    with_text(tiny, "The big dog ran fast. " * 4, held_out=2 * part)
    assert tables(ask(engine, "The big dog"))[0].rows[0][1].value == 2


def test_a_run_without_its_text_says_so_and_a_text_of_another_length_is_refused(tiny: Any, engine: InProcessEngine) -> None:
    view = ask(engine, PROMPT)
    assert view.blocks == []
    assert view.sentence.startswith("tiny has no tokens.bin")
    assert view.sentence.count(". ") == 0
    with_text(tiny, "The big dog ran fast. ")
    np.array([1, 2, 3], "<u2").tofile(tiny.run.tokens_path)
    with pytest.raises(UserError, match="holds 3 tokens instead of"):
        ask(engine, PROMPT)
