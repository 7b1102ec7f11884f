"""Evidence against plain Python: lists searched by slices."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lab.inspect.training_text_evidence_view import search
from models.unembed import finish

small = st.integers(0, 3)


@given(st.lists(small, min_size=2, max_size=60), st.lists(small, min_size=1, max_size=6), small, st.integers(0, 10))
def test_what_is_found_is_what_a_search_by_slices_finds(
    text: list[int], prompt: list[int], candidate: int, held_out: int
) -> None:
    split = max(2, len(text) - held_out)
    found = finish(search(np.array(text, np.uint16), split, prompt, candidate))
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


def test_the_validation_part_is_not_searched() -> None:
    text = np.array([1, 2, 3, 1, 2, 9, 1, 2, 9], np.uint16)
    found = finish(search(text, 6, [1, 2], 9))
    assert [(each.length, each.occurrences, each.candidate) for each in found.following] == [(2, 2, 1), (1, 2, 1)]
    assert found.following[0].followers == [(3, 1), (9, 1)]
