"""Measurements inside the model at each evaluation: head scores, predictions at fixed places, gradient norms and update ratios.

None of it touches training: no random number is drawn, no weight or gradient changed, and the same weights give the same figures.
"""

import math
import time
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from lab.data.token_file import Ids, TokenFile
from lab.runs.run_schema import Insight, PartUpdate, Place, RunConfig
from models.gpt import GPT
from models.tokenizers.token_labels import printable
from models.tokenizers.tokenizer import Tokenizer
from models.trace import hidden_with_patterns


class UpdateNorms:
    """Gradient norm and update-to-weight ratio of each part. Made between the backward pass and the clipping of gradients."""

    def __init__(self, model: GPT) -> None:
        self._parts = {
            part: [weight for weight in weights if weight.grad is not None] for part, weights in parts_of(model).items()
        }
        self._norms = {part: _norm(weight.grad for weight in weights) for part, weights in self._parts.items()}
        self._before = {part: [each.detach().clone() for each in _matrices(weights)] for part, weights in self._parts.items()}

    @torch.no_grad()
    def after_step(self) -> list[PartUpdate]:
        """Norms and ratios, once the optimizer has stepped. Empty where a gradient was NaN or infinite."""
        made = []
        for part, weights in self._parts.items():
            before = self._before.pop(part)
            change = _norm(now - then for now, then in zip(_matrices(weights), before, strict=True))
            size = _norm(before)
            ratio = short_float(change / size) if size else None
            if not math.isfinite(self._norms[part]) or (ratio is not None and not math.isfinite(ratio)):
                return []
            made.append(PartUpdate(part, short_float(self._norms[part]), ratio))
        return made


def parts_of(model: GPT) -> dict[str, list[Tensor]]:
    """Parameters by part, in the order of the forward pass; a norm belongs to the part that it stands before."""
    parts: dict[str, list[Tensor]] = {"embedding": [model.wte.weight], "positions": [model.wpe.weight]}
    for layer, block in enumerate(model.blocks, 1):
        parts[f"{layer} attention"] = [*block.ln_1.parameters(), *block.attn.parameters()]
        parts[f"{layer} MLP"] = [*block.ln_2.parameters(), *block.mlp.parameters()]
    return parts | {"final norm": list(model.ln_f.parameters())}


def _matrices(weights: Iterable[Tensor]) -> list[Tensor]:
    return [weight for weight in weights if weight.dim() >= 2]


def _norm(tensors: Iterable[Tensor | None]) -> float:
    """L2 norm of all of them together."""
    norms = torch._foreach_norm([tensor.detach() for tensor in tensors if tensor is not None] or [torch.zeros(1)])
    return float(torch.stack([norm.float() for norm in norms]).norm())


def short_float(value: float) -> float:
    """Rounded to 4 significant digits, for the log."""
    return float(f"{value:.4g}")


PLACES = 16
"""Measured on a small model of Shakespeare: at half of all places the next token's probability never changes by more than 0.07;
at the best of 8 by 0.51 in half of all draws, at the best of 16 by 0.78, and by 0.44 or more in 95% of them."""
GIVEN = 24
"""Tokens before a place: two lines of 80 columns."""
SHOWN_AFTER = 8


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


MOST_REPEATED = 32
"""Tokens of the random sequence that is repeated, where the context has room for them."""
SEQUENCES = 8
"""Sequences that the scores are averaged over: some hundred positions, for a sampling error of about a hundredth."""
TOKENS_SEARCHED = 1_000_000
"""Tokens of the training text in which those that occur are found: the others have embeddings that were never trained."""

PROBE_TOKENS = 12
"""Longest probe: as many rows as fit into 24 lines."""
PROBE_SEARCH = 20_000
"""Tokens of the validation part that are searched for a probe."""
TOP = 8


class ModelInsights:
    """Measurements of one run's model, always on the same tokens, which follow from the run's seed and text."""

    def __init__(self, config: RunConfig, tokens: TokenFile, tokenizer: Tokenizer) -> None:
        context, seed = config.model.context, config.train.seed
        self._repeats = repeats(np.unique(tokens[: min(config.data.split, TOKENS_SEARCHED)]), context, seed)
        ids = tokens[config.data.split : min(config.data.tokens, config.data.split + PROBE_SEARCH)].astype(np.int64)
        letters = {id for id in np.unique(ids).tolist() if tokenizer.token_bytes(id).decode(errors="replace").strip().isalpha()}
        start, stop = probe_place(ids, min(context, PROBE_TOKENS), letters)
        self._probe, self._truth = ids[start:stop], int(ids[stop])
        self._tokenizer = tokenizer
        given = min(context, GIVEN)
        self._places = [
            (ids[stop - given : stop], int(ids[stop]), ids[stop + 1 : stop + 1 + SHOWN_AFTER])
            for stop in spread_places(ids, given, PLACES, letters)
        ]
        """The tokens before each, its own, and those after."""

    def measure(self, model: GPT, step: int, parts: list[PartUpdate]) -> Insight:
        """One line of insights.jsonl. `parts` are from the `UpdateNorms` of the step that led here."""
        started = time.perf_counter()
        insight = Insight(step=step, took=0.0, parts=parts)
        if self._repeats is not None:
            scores = head_scores(model, torch.from_numpy(self._repeats))
            if bool(torch.isfinite(scores).all()):
                insight.repeated = self._repeats.shape[1] // 2
                insight.previous, insight.duplicate, insight.induction = (_rounded(each) for each in scores)
        rows: list[Tensor] = []
        p = _next_tokens(model, self._probe[None], lambda _, pattern: rows.append(pattern[0, :, -1].cpu()))
        if p is not None:
            insight.probe, insight.truth = self._names(self._probe), self._name(self._truth)
            insight.truth_probability, insight.top = short_float(float(p[0, self._truth])), self._most_probable(p[0])
            insight.pattern = [_rounded(each) for each in rows]
        p = _next_tokens(model, np.array([before for before, _, _ in self._places])) if self._places else None
        if p is not None:
            for (before, id, after), row in zip(self._places, p, strict=True):
                texts = self._names(before), self._name(id), self._names(after)
                insight.places.append(Place(*texts, short_float(float(row[id])), self._most_probable(row)))
        insight.took = round(time.perf_counter() - started, 4)
        return insight

    def _most_probable(self, probabilities: Tensor) -> list[tuple[str, float]]:
        top = probabilities.topk(min(TOP, len(probabilities)))
        return [(self._name(id), short_float(p)) for id, p in zip(top.indices.tolist(), top.values.tolist(), strict=True)]

    def _name(self, id: int) -> str:
        return printable(self._tokenizer.token_bytes(id))

    def _names(self, ids: Ids) -> list[str]:
        return [self._name(id) for id in ids.tolist()]


def _next_tokens(model: GPT, ids: Ids, each: Callable[[int, Tensor], None] = lambda _, __: None) -> Tensor | None:
    """Probabilities (B, V) of the token after ids (B, T); None where one is NaN/inf. `each` gets each layer and its pattern."""
    hidden = hidden_with_patterns(model, torch.from_numpy(ids).to(model.wte.weight.device), each)
    with torch.inference_mode():
        probabilities = model.unembed(hidden[:, -1]).cpu().double().softmax(-1)  # (B, V); MPS has no float64
    return probabilities if bool(torch.isfinite(probabilities).all()) else None


def repeats(occurring: Ids, context: int, seed: int, sequences: int = SEQUENCES) -> Ids | None:
    """So many rows of different random tokens of those that occur, each row followed by itself: (B, 2r).

    None where there are fewer than two such tokens, or no room for two of each.
    """
    length = min(MOST_REPEATED, context // 2, len(occurring))
    if length < 2:
        return None
    random = np.random.Philox(key=np.array([seed & (1 << 64) - 1, 0x68656164], np.uint64))
    order = [np.argsort(random.random_raw(len(occurring)), kind="stable")[:length] for _ in range(sequences)]
    half = occurring[np.stack(order)].astype(np.int64)  # (B, r)
    return np.concatenate([half, half], axis=1)


def head_scores(model: GPT, ids: Tensor) -> Tensor:
    """Previous-token, duplicate-token and induction score of every head, (3, layers, H); see `lab.analysis.insight_sentences`.

    `ids` (B, 2r) are sequences of r tokens that are repeated once.
    """
    found: list[Tensor] = []
    hidden_with_patterns(model, ids.to(model.wte.weight.device), lambda _, pattern: found.append(stripes(pattern).cpu()))
    return torch.stack(found, dim=1)


def stripes(pattern: Tensor) -> Tensor:
    """The three scores of each head, (3, H), of patterns (B, H, 2r, 2r)."""
    repeated = pattern.shape[-1] // 2
    previous = pattern.diagonal(-1, -2, -1)  # (B, H, 2r - 1)
    duplicate = pattern.diagonal(-repeated, -2, -1)  # (B, H, r)
    induction = pattern.diagonal(1 - repeated, -2, -1)[..., 1:]  # (B, H, r): without the row that ends the first half
    return torch.stack([each.mean((0, 2)) for each in (previous, duplicate, induction)])


def probe_place(ids: Ids, most: int, letters: set[int]) -> tuple[int, int]:
    """Range [start, stop) of the probe, the context observed throughout training; `ids[stop]` is the token that follows.

    The first place whose last token, one of `letters`, stood at least three before with the same token after it: there the next
    token can be known from the probe alone, and an induction head be seen at work. Else the beginning.
    """
    length = min(most, len(ids) - 1)
    if length < 4:
        return 0, length  # too short for a token, what follows it, and three tokens between
    for stop in range(length, len(ids)):
        last = stop - 1
        if int(ids[last]) not in letters:
            continue
        before = ids[stop - length : last - 2]
        after = ids[stop - length + 1 : last - 1]
        if bool(((before == ids[last]) & (after == ids[stop])).any()):
            return stop - length, stop
    return 0, length


def _rounded(rows: Tensor) -> list[list[float]]:
    return [[short_float(value) for value in row] for row in rows.tolist()]
