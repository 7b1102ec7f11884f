"""Pictures of the last two steps, the draw and the KV cache, at the two sizes that Inspect is made for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lab.views.blocks import (
    Array,
    Cell,
    Column,
    IntervalBar,
    IntervalPart,
    LensPath,
    Matrix,
    Paragraph,
    Parity,
    StageEntry,
    Strip,
    Table,
    Token,
    View,
)
from tests.screens.inspect.conftest import SIZES

LABELS = ["The", " big", " dog", " ran"]


def sample_view() -> View:
    rows = [
        [
            Cell(" fast"),
            Cell("41.2%", 0.412, "probability[3,1]", 0.412),
            Cell("67.3%", 0.673, bar=0.673),
            Cell("0.0000"),
            Cell("0.6733"),
        ],
        [Cell("."), Cell("20.0%", 0.2, "probability[3,2]", 0.2), Cell("32.7%", 0.327, bar=0.327), Cell("0.6733"), Cell("1.0000")],
        [
            Cell(" sat", style="struck"),
            Cell("9.1%", 0.091, bar=0.091, style="struck"),
            Cell("out: top-k", style="dim"),
            Cell(""),
            Cell(""),
        ],
        [Cell("1,021 others", style="dim"), Cell("29.7%", 0.297, bar=0.297), Cell("out", style="dim"), Cell(""), Cell("")],
    ]
    columns = [Column("token", "left"), Column("before"), Column("after"), Column("from"), Column("to")]
    total = [Cell("Σ"), Cell("100%", 1.0), Cell("100%", 1.0), Cell(""), Cell("")]
    parts = [IntervalPart(" fast", 0.0, 0.6733, "sample.after[3,1]"), IntervalPart(".", 0.6733, 1.0, "sample.after[3,2]")]
    line = IntervalBar("laid end to end, from 0 to 1", parts, 0.7311, "u = 0.7311", 1)
    words = "After “ ran” 2 tokens may be drawn. Laid end to end they fill 0 to 1; the random number 0.7311 falls on “.”."
    table = Table(columns, rows, title="temperature 1, top-k 2, no top-p", total=total, selected=1)
    return View("sample", "sample", words, [line, table], Parity("after · models.sampling", 0.0, 20))


def cache_view() -> View:
    columns = [
        Column("", "left"),
        Column("rows kept"),
        Column("new rows"),
        Column("numbers: k and v", optional=1),
        Column("bytes"),
    ]
    rows = [[Cell(f"layer {n}"), Cell("3"), Cell("+ 1", style="strong"), Cell("2 × 4 × 32"), Cell("1.0 kB")] for n in (1, 2)]
    total = [Cell("all"), Cell(""), Cell(""), Cell("2 × 2 × 4 × 32"), Cell("2.0 kB")]
    held = Table(columns, rows, title="what is held, 4 bytes a number", total=total, selected=0)
    saved = Table(
        [Column("multiplications", "left"), Column(""), Column("", "left")],
        [
            [Cell("without a cache"), Cell("131,072"), Cell("3.2 × as many")],
            [Cell("with it"), Cell("40,960"), Cell("")],
        ],
        title="to predict token 5",
    )
    wave = np.sin(np.arange(32).reshape(4, 8))
    keys = Matrix(
        "keys in layer 1 · head 1: one row for each token",
        LABELS,
        [str(i + 1) for i in range(8)],
        Array.of(wave),
        "▸ the new row",
        "blocks.0.attn.k[0:,0,:]",
        (3, 0),
    )
    blocks = [
        held,
        saved,
        Strip("k of “ ran”", Array.of(wave[3]), "blocks.0.attn.k[3,0,:]"),
        keys,
        Paragraph("The window holds 8 tokens."),
    ]
    return View(
        "cache", "KV cache · layer 1 · head 1", "A later token needs only the keys and values of those before it.", blocks
    )


@pytest.fixture(autouse=True)
def ends(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type(engine)
    lens, view = kind.lens, kind.view

    def longer(self: Any, **params: Any) -> LensPath:
        found: LensPath = lens(self, **params)
        found.steps.append(StageEntry("cache", "KV cache", "KV cache"))
        if params["ids"] is not None:
            found.tokens = [
                Token(t.id, t.label, p) for t, p in zip(found.tokens, (None, 0.03, 0.6, 0.2, 0.412, 0.02), strict=False)
            ]
        return found

    def shown(self: Any, stage: str, **params: Any) -> View:
        return (
            {"sample": sample_view, "cache": cache_view}[stage]()
            if stage in ("sample", "cache")
            else view(self, stage=stage, **params)
        )

    monkeypatch.setattr(kind, "lens", longer)
    monkeypatch.setattr(kind, "view", shown)


@pytest.mark.parametrize("size", SIZES, ids=SIZES)
@pytest.mark.parametrize("keys", [["end"], ["end", "k"], ["end", "k", "space", "space"]], ids=["cache", "sample", "written"])
def test_picture(keys: list[str], size: str, picture: Callable[..., None]) -> None:
    picture(keys, SIZES[size])
