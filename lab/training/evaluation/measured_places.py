"""Places of the validation text whose prediction is measured at every evaluation, the same in every run on the same tokens."""

import torch

from lab.data.token_file import Ids
from lab.runs.run_schema import Place
from lab.training.evaluation.update_norms import short_float
from models.attention_patterns import hidden_with_patterns
from models.gpt import GPT
from models.tokenizers.token_labels import printable
from models.tokenizers.tokenizer import Tokenizer

PLACES = 16
"""Measured on a small model of Shakespeare: at half of all places the next token's probability never changes by more than 0.07;
at the best of 8 by 0.51 in half of all draws, at the best of 16 by 0.78, and by 0.44 or more in 95% of them."""
GIVEN = 24
"""Tokens before a place: two lines of 80 columns."""
SHOWN_AFTER = 8


class MeasuredPlaces:
    """Places spread evenly over `ids`, the validation tokens that are searched."""

    def __init__(self, ids: Ids, context: int, letters: set[int], tokenizer: Tokenizer) -> None:
        given = min(context, GIVEN)
        stops = spread_places(ids, given, PLACES, letters)
        self._given = torch.tensor([ids[stop - given : stop].tolist() for stop in stops], dtype=torch.long)  # (places, given)
        self._truths = [int(ids[stop]) for stop in stops]
        self._names = tokenizer
        self._texts = [
            ([self._name(id) for id in ids[stop - given : stop].tolist()], [self._name(id) for id in after.tolist()])
            for stop in stops
            for after in (ids[stop + 1 : stop + 1 + SHOWN_AFTER],)
        ]

    def measure(self, model: GPT, top: int) -> list[Place]:
        """The predictions of these weights, each with its `top` most probable tokens; none where an output is NaN/inf."""
        if not self._truths:
            return []
        hidden = hidden_with_patterns(model, self._given.to(model.wte.weight.device), lambda _, __: None)  # (places, given, C)
        with torch.inference_mode():
            probabilities = model.unembed(hidden[:, -1]).cpu().double().softmax(-1)  # (places, V); MPS has no float64
        if not bool(torch.isfinite(probabilities).all()):
            return []
        best = probabilities.topk(min(top, probabilities.shape[1]), -1)
        return [
            Place(
                before,
                self._name(truth),
                after,
                short_float(float(row[truth])),
                [(self._name(id), short_float(p)) for id, p in zip(ids, values, strict=True)],
            )
            for (before, after), truth, row, ids, values in zip(
                self._texts, self._truths, probabilities, best.indices.tolist(), best.values.tolist(), strict=True
            )
        ]

    def _name(self, id: int) -> str:
        return printable(self._names.token_bytes(id))


def spread_places(ids: Ids, given: int, count: int, letters: set[int]) -> list[int]:
    """Indices of at most `count` tokens of `letters`, spread evenly, each with `given` tokens before it."""
    places: list[int] = []
    room = len(ids) - given
    for part in range(count if room > 0 and given > 0 else 0):
        start, end = (given + room * each // count for each in (part, part + 1))
        found = next((stop for stop in range(start, end) if int(ids[stop]) in letters), None)
        if found is not None:
            places.append(found)
    return places
