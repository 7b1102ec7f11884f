"""The lenses of a run: its measures against its own table, text that is too short, and what the grid shows of them."""

import numpy as np
import pytest
import torch

from lab.core.errors import UserError
from lab.engine.method_registry import ViewParams
from lab.inspect import fitted_lenses
from lab.inspect.fitted_lenses import fit_lenses
from lab.views.blocks import Table, TextGrid
from models.lenses import divergence, final_logits, streams
from tests.lab.engine.conftest import PROMPT, InProcessEngine
from tests.lab.experiments.conftest import MakeTextRun, Measure, rows, windows, with_text
from tests.lab.inspect.read_views import blocks


def test_lenses_are_judged_on_validation_text_and_the_measures_are_those_of_the_table(
    text_run: MakeTextRun, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, torch.Tensor] = {}

    def watched(model, fitted, judged):  # type: ignore[no-untyped-def]
        seen.update(fitted=fitted, judged=torch.cat(list(judged)))
        return fit_lenses(model, fitted, judged)

    monkeypatch.setattr(fitted_lenses, "fit_lenses", watched)
    monkeypatch.setattr(fitted_lenses, "STEPS", 20)
    run = text_run(layers=3, heads=2, width=16, context=16)
    found = measure("lens_distance", run)
    ids = np.fromfile(run.run.path / "tokens.bin", "<u2").astype(int)
    split = run.run.config.data.split
    inside = {
        part: {tuple(text[at : at + 16]) for at in range(len(text) - 15)}
        for part, text in (("fitted", ids[:split].tolist()), ("judged", ids[split:].tolist()))
    }
    for part, held in inside.items():
        assert all(tuple(row) in held for row in seen[part].tolist())
    kept = found.measures
    assert kept["streams"] == 2
    assert kept["logit_low"] <= kept["logit"] <= kept["logit_high"]
    assert kept["places"] == seen["judged"].numel()
    with torch.no_grad():
        *before, last = streams(run.model, seen["judged"])
        final, own = final_logits(run.model, last), final_logits(run.model, before[int(kept["layer"])])
        folds = [float(each.mean()) for each in np.array_split(divergence(final, own).numpy(), 5)]
    assert [kept["logit_low"], kept["logit_high"]] == pytest.approx([min(folds), max(folds)], rel=1e-4)
    shown = {row[0].text: row for row in rows(found)}
    assert list(shown) == ["embed", "layer 1", "layer 2", "constant", "first, layer"]
    assert shown[f"layer {kept['layer']}"][3].text.startswith(f"{kept['tuned']:.2f} {kept['tuned_low']:.2f}–")
    assert all(cell.note for row in rows(found) for cell in row[1:] if cell.text)


def test_a_run_without_text_or_with_too_little_is_told_so(text_run: MakeTextRun, measure: Measure) -> None:
    run = text_run(layers=2, width=8, context=64)
    short = with_text(run, "a short text of its own " * 20, split=0.8)
    with pytest.raises(UserError, match="too few to judge a lens on 5 windows of 64"):
        measure("lens_distance", short)
    (run.run.path / "tokens.bin").unlink()
    with pytest.raises(UserError, match="its text cannot be read"):
        measure("lens_distance", run)


def test_a_model_with_one_layer_has_no_stream_to_judge(text_run: MakeTextRun, measure: Measure) -> None:
    with pytest.raises(UserError, match="has one layer"):
        measure("lens_distance", text_run(layers=1, width=8, context=16))


def test_the_grid_reads_by_the_lens_that_is_chosen_and_ends_in_the_prediction(
    text_run: MakeTextRun, engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitted_lenses, "STEPS", 20)
    run = text_run(layers=2, heads=2, width=16, context=16)
    ids = run.tokenizer.encode(PROMPT)[-16:]
    plain = engine.view(ViewParams(run="tiny", stage="lens", text=PROMPT))
    assert not blocks(plain, Table)
    tuned = engine.view(ViewParams(run="tiny", stage="lens", text=PROMPT, lens="tuned"))
    assert "affine map" in tuned.sentence
    assert blocks(tuned, Table)
    before, after = (blocks(view, TextGrid)[0].values.numpy() for view in (plain, tuned))
    assert np.array_equal(before[:, -1], after[:, -1])
    assert not np.allclose(before[:, 0], after[:, 0])
    every = torch.from_numpy(windows(run, "training text", 10**6, 17)[:, :-1])
    with torch.no_grad():
        stream, *_, last = streams(run.model, torch.tensor([ids]))
        wanted = final_logits(run.model, last).softmax(-1)[0].max(-1).values
    assert after[:, -1] == pytest.approx(wanted.numpy(), rel=1e-3)
    maps = fit_lenses(run.model, every[:64], [every[:5]]).maps
    assert [len(each) for each in maps.values()] == [2, 2, 2]
    assert stream.shape[-1] == maps["tuned"][0].matrix.shape[0]
