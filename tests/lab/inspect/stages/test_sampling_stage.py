"""The sample stage: filters before and after, and where the draw fell."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from lab.views.blocks import IntervalBar
from models.config import SamplingSettings
from tests.lab.engine.conftest import PROMPT, InProcessEngine
from tests.lab.inspect.read_views import printed, tables


@pytest.mark.parametrize(
    "settings",
    [
        SamplingSettings(),
        SamplingSettings(temperature=0.7, top_k=9, seed=5),
        SamplingSettings(temperature=1.3, top_p=0.6, seed=11),
        SamplingSettings(top_k=40, top_p=0.9, seed=7),
        SamplingSettings(greedy=True),
        SamplingSettings(temperature=0.8, min_p=0.1, seed=2),
        SamplingSettings(top_k=40, min_p=0.05, repetition_penalty=1.7, seed=8),
    ],
)
def test_sampling_shows_before_and_after_and_where_the_draw_fell(
    settings: SamplingSettings, tiny: Any, engine: InProcessEngine, oracle_of: Any
) -> None:
    ids = tiny.tokenizer.encode(PROMPT)
    logits = oracle_of(tiny, ids).values["logits"]
    for position in (0, 7, 11):
        view = engine.view(stage="sample", position=position, sampling=settings)
        table, draw = tables(view)
        before = np.exp(logits[position] - logits[position].max())
        before /= before.sum()
        scores = penalized(logits[position], ids[: position + 1], settings.repetition_penalty)
        after = filtered(scores, settings)
        assert table.selected is not None
        for row in table.rows:
            if not row[1].ref:
                continue
            id_ = int(row[1].ref.rstrip("]").split(",")[1])
            assert row[1].value == pytest.approx(before[id_], rel=1e-4)
            if after[id_] == 0:
                assert (row[0].style, row[2].text) == ("struck", f"out: {_reason(scores, settings, id_)}")
            else:
                order = np.argsort(-scores, kind="stable")
                low = after[order[: int(np.flatnonzero(order == id_)[0])]].sum()
                assert row[2].value == pytest.approx(after[id_], rel=1e-4)
                assert row[3].value == pytest.approx(low, abs=1e-5)
                assert row[4].value == pytest.approx(low + after[id_], abs=1e-5)
        (line,) = (block for block in view.blocks if isinstance(block, IntervalBar))
        assert [part.low for part in line.parts] == pytest.approx([0.0, *(part.high for part in line.parts[:-1])])
        assert line.parts[-1].high == pytest.approx(1)
        for part in (part for part in line.parts if part.ref):
            id_ = int(part.ref.rstrip("]").split(",")[1])
            assert part.high - part.low == pytest.approx(after[id_], abs=1e-6)
        assert line.parts[line.selected].low <= line.mark < line.parts[line.selected].high
        u, low, high = (printed(row[1])[0] for row in draw.rows[:3])
        assert low <= u < high
        drawn = table.rows[table.selected]
        assert drawn[0].text == draw.rows[3][1].text
        assert (printed(drawn[3])[0], printed(drawn[4])[0]) == (low, high)
        for index in (1, 2):
            parts = [row[index].value or 0.0 for row in table.rows]
            assert sum(parts) == pytest.approx(1, abs=1e-6)


def _reason(logits: np.ndarray, settings: SamplingSettings, id_: int) -> str:
    """The setting that filters a token out: top-k if it alone would, else min-p, else top-p."""
    if settings.greedy:
        return "greedy"
    if not filtered(logits, dataclasses.replace(settings, top_p=1.0, min_p=0.0))[id_]:
        return "top-k"
    return "top-p" if filtered(logits, dataclasses.replace(settings, top_p=1.0))[id_] else "min-p"


def penalized(logits: np.ndarray, window: list[int], penalty: float) -> np.ndarray:
    """The repetition penalty after Keskar et al.'s description."""
    return np.array([(x / penalty if x > 0 else x * penalty) if id_ in window else x for id_, x in enumerate(logits.tolist())])


def filtered(logits: np.ndarray, settings: SamplingSettings) -> np.ndarray:
    """Temperature, top-k, top-p, min-p after Hugging Face's description of them, one token at a time."""
    if settings.greedy:
        return (np.arange(len(logits)) == logits.argmax()).astype(float)
    order = sorted(range(len(logits)), key=lambda id_: (-logits[id_], id_))
    kept = order[: settings.top_k] if settings.top_k else order
    weights = {id_: math.exp((logits[id_] - logits[order[0]]) / settings.temperature) for id_ in kept}
    total = sum(weights.values())
    chosen, mass = [], 0.0
    for id_ in kept:
        if mass >= settings.top_p:
            break
        chosen.append(id_)
        mass += weights[id_] / total
    chosen = [id_ for id_ in chosen if weights[id_] >= settings.min_p]
    out = np.zeros(len(logits))
    for id_ in chosen:
        out[id_] = weights[id_] / sum(weights[each] for each in chosen)
    return out
