"""Features of a tiny run: their measures against a second implementation, their file, and what is refused."""

import os
import resource
import subprocess
import sys
from functools import partial
from itertools import count
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from lab.core.errors import UserError
from lab.core.unfinished_folder import owner, remove_abandoned
from lab.experiments import feature_twins, features
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.features import (
    FEATURES,
    FILE,
    FILE_OF,
    PASSES,
    TRIED,
    Features,
    activity,
    effect,
    feature_card,
    fit_cost,
    fit_features,
    fitting_vectors,
    load_features,
    measured,
    replaced,
    save_features,
    token_parts,
)
from lab.experiments.layer_streams import window_losses
from lab.inspect.model_cache import OpenModel, TraceCache
from lab.views.blocks import NO_FEATURES
from models.check import alone, checked_by
from models.sparse_autoencoder import STEPS, SparseAutoencoder, fit
from models.trace_edits import Edit
from tests.lab.engine.conftest import PROMPT, InProcessEngine, TinyRun
from tests.lab.experiments.conftest import MakeTextRun
from tests.models.oracle import Oracle


def context_of(tiny: TinyRun, step: int = 100) -> ExperimentContext:
    opened = OpenModel(tiny.run, "best", step, tiny.model.eval(), tiny.tokenizer, (str(tiny.run.path), 0, 0, 0))
    return ExperimentContext(opened, TraceCache(), tiny.tokenizer.encode(PROMPT))


def drawn(width: int, features: int = 24) -> SparseAutoencoder:
    draws = torch.Generator().manual_seed(5)
    directions = torch.nn.functional.normalize(torch.randn(features, width, generator=draws))
    return SparseAutoencoder(4, directions * 0.7, torch.zeros(features), directions, torch.randn(width, generator=draws) * 0.1)


def test_the_loss_with_a_reconstruction_equals_that_of_a_second_implementation(text_run: MakeTextRun) -> None:
    tiny = text_run(width=16, context=16)
    context, model = context_of(tiny), drawn(16)
    windows = context.windows(3)[0]
    e, d, c = (each.double().numpy() for each in (model.encoder, model.decoder, model.bias))
    found = window_losses(context.model, windows, replaced(0, model.reconstruct)).numpy()
    plain, total, divergence = (
        window_losses(context.model, windows).numpy(),
        effect(context.model, 0, windows, model.reconstruct),
        0.0,
    )
    for row, loss in zip(windows, found, strict=True):
        ids = row[:-1].tolist()
        state = tiny.model.state_dict()
        edits, own = list[Edit](), Oracle(state, tiny.model.config, ids).values
        for at, vector in enumerate(own["blocks.0.resid_post"]):
            before = e @ (vector - c)
            made = c + sum(max(before[of], 0.0) * d[of] for of in np.argsort(-before)[:4])
            if at:
                edits.append(Edit("blocks.0.resid_post", "patch", position=at, value=tuple(made)))
        p = Oracle(state, tiny.model.config, ids, tuple(edits)).values["probability"]
        assert abs(-np.log(p[np.arange(len(ids)), row[1:]]).mean() - loss) < 1e-5
        divergence += (own["probability"] * np.log(own["probability"] / p)).sum(1).mean() / len(windows)
    assert abs(total.cost[0] - (found - plain).mean()) < 1e-5
    assert abs(total.kl[0] - divergence) < 1e-5


def test_a_fit_is_kept_read_again_and_says_what_it_cannot_do(text_run: MakeTextRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "fit", partial(fit, steps=60))
    tiny = text_run(width=16, context=16)
    context = context_of(tiny)
    assert load_features(context) is None
    found = fit_features(context, 0, 32, 4)
    record = found.record
    assert record.explained[1] <= record.explained[0] <= record.explained[2] <= 1
    assert record.explained[0] > record.explained_by_chance
    assert 0 < record.effects[FEATURES].kl[0] < record.effects["zero"].kl[0]
    save_features(tiny.run, found)
    save_features(tiny.run, fit_features(context, 1, 32, 4)).replace(tiny.run.path / FILE)  # as older versions named it
    layers = [kept.layer for at in (0, 1, None) if (kept := load_features(context, at)) is not None]
    assert layers == [0, 1, 1], "each layer has its own; without one the newest are meant"
    again = load_features(context, 0)
    assert again is not None
    assert again.record == record
    assert torch.equal(again.autoencoder.decoder, found.autoencoder.decoder)
    seen = activity(context, found)
    used = int(seen.shares(32).argmax())
    card = feature_card(context, found, used)
    assert card.strongest[0].activation == pytest.approx(float(seen.of(used).max()))
    assert card.active == pytest.approx(float(seen.shares(32)[used]))
    parts = token_parts(found, context.trace(context.ids, ()).trace["blocks.0.resid_post"][-1])
    assert sum(each[2] for each in parts.features) + parts.error == pytest.approx(1)
    with pytest.raises(UserError, match="fitted to its weights of step 100"):
        load_features(context_of(tiny, step=7))
    with pytest.raises(UserError, match="has no layer 9"):
        fit_features(context, 8, 32, 4)


def test_a_file_that_does_not_fit_is_refused_in_a_sentence(text_run: MakeTextRun) -> None:
    tiny = text_run(width=16, context=16)
    context, model = context_of(tiny), drawn(16)
    vectors = torch.randn(50, 16, generator=torch.Generator().manual_seed(1))
    record = measured(context, 0, model, vectors, 0)
    wrongs: list[tuple[dict[str, Any], str]] = [
        ({"features": 25}, "does not hold 25 features"),
        ({"active": 99}, "more active"),
        ({"layer": 40}, "of a layer"),
        ({"effects": {}}, "what its features miss"),
    ]
    for wrong, words in wrongs:
        save_features(tiny.run, Features(model, msgspec.structs.replace(record, **wrong)))
        with pytest.raises(UserError, match=words):
            load_features(context)
    (tiny.run.path / FILE).write_bytes(b"no")
    with pytest.raises(UserError, match="too short"):
        load_features(context)
    (tiny.run.path / FILE_OF.format(2)).symlink_to("nowhere")
    with pytest.raises(UserError, match="is a link, not a regular file"):
        load_features(context, 1)
    with pytest.raises(UserError):
        load_features(context)


def test_a_full_disk_leaves_the_features_of_before_and_a_killed_writer_s_file_goes(text_run: MakeTextRun) -> None:
    tiny = text_run(width=16, context=16)
    context, model = context_of(tiny), drawn(16)
    record = measured(context, 0, model, torch.randn(50, 16, generator=torch.Generator().manual_seed(1)), 0)
    killed = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    ).stdout.strip()
    leftover = tiny.run.path / f".{FILE_OF.format(1)}.{owner().replace(str(os.getpid()), killed, 1)}.tmp"
    leftover.touch()
    remove_abandoned(tiny.run.path.parent)
    assert not leftover.exists(), "as when the lab is opened"
    leftover.touch()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for kept in ("there is still no", "those of before are still in"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            words = f"Cannot save the features of {tiny.run.name} after layer 1: file too large; {kept} features-1.safetensors."
            with pytest.raises(UserError, match=words):
                save_features(tiny.run, Features(model, record))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not [*tiny.run.path.glob(".*.tmp")]
        save_features(tiny.run, Features(model, record))


def test_the_time_of_a_fit_is_told_from_a_little_of_each_of_its_parts(
    text_run: MakeTextRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part takes a second here: 2,048 of its tokens, a step, and the effect on 2,048 tokens."""
    context = context_of(text_run(width=16, context=16))
    monkeypatch.setattr("lab.experiments.features.time.monotonic", count(0.0).__next__)
    cost = fit_cost(context, 0, 32, 4)
    vectors = fitting_vectors(context, 0)
    judged = measured(context, 0, drawn(16), vectors, 0).places / 15
    tried = len(context.windows(TRIED // 16)[0])
    assert cost.seconds == pytest.approx(len(vectors) / len(fitting_vectors(context, 0, TRIED)) + STEPS + PASSES * judged / tried)
    assert cost.memory > 2 * vectors.nbytes


def test_inspect_shows_shares_that_add_up_and_explain_themselves_and_the_card_of_each_feature(text_run: MakeTextRun) -> None:
    tiny, engine = text_run(width=16, context=16), InProcessEngine()
    assert engine.features().stage == NO_FEATURES
    context, model = context_of(tiny), drawn(16)
    record = measured(context, 0, model, torch.randn(50, 16, generator=torch.Generator().manual_seed(1)), 0)
    save_features(tiny.run, Features(model, record))
    view = engine.features()
    table = view.blocks[0]
    ids = tiny.tokenizer.encode(PROMPT)
    stream = Oracle(tiny.model.state_dict(), tiny.model.config, ids).values["blocks.0.resid_post"][-1]
    e, d, c = (each.half().double().numpy() for each in (model.encoder, model.decoder, model.bias))
    before = e @ (stream - c)
    strongest = [of for of in np.argsort(-before)[:4] if before[of] > 0]
    assert [row[-1].value for row in table.rows[:-1]] == strongest
    wanted = [before[of] * d[of] @ (stream - c) / ((stream - c) ** 2).sum() for of in strongest]
    shares = [row[2].value for row in table.rows]
    assert shares == pytest.approx([*wanted, 1 - sum(wanted)], abs=1e-4)
    asked = {cell.ref: cell.value for row in table.rows for cell in row[1:3] if cell.ref}
    assert len(asked) == 2 * len(strongest) + 1
    for depth in range(3):  # an error, a share, an activation
        found = [engine.explain(ref=ref) for ref in asked]
        assert [each.value for each in found] == pytest.approx([*asked.values()], abs=1e-5)
        assert all(each.recomputed == pytest.approx(each.value, abs=1e-5) for each in found if each.recomputed is not None)
        asked = {each.ref: each.value for answer in found for each in answer.operands if ".feature" in each.ref}
        assert bool(asked) == (depth < 2)
    assert view.sentence.startswith(f"{len(strongest)} feature")
    other = engine.features(layer=1)
    assert (other.is_elsewhere, view.is_elsewhere, other.blocks[1]) == (True, False, table)
    assert "None were fitted after layer 2" in other.blocks[0].text
    assert (" Doubt them: " in view.sentence) == (record.than_noise >= 0)
    assert "first token has none" in engine.features(position=0).sentence
    card = engine.features(ref=table.rows[0][-1].ref)
    assert card.stage == f"explain blocks.0.feature[{strongest[0]}]"
    assert card.blocks[1].rows[0][0].value == max(row[0].value for row in card.blocks[1].rows)
    for wrong in ("blocks.0.feature[24]", "blocks.0.feature[x]", "blocks.1.feature[3]", "feature"):
        with pytest.raises(UserError, match="features are 0 to 23"):
            engine.features(ref=wrong)


def test_a_fit_in_the_engine_lets_others_in_and_leaves_nothing_when_it_is_given_up(text_run: MakeTextRun) -> None:
    tiny, engine, seen = text_run(width=16, context=16), InProcessEngine(), list[tuple[str, bool]]()

    class GivenUp(BaseException): ...

    def let_in() -> None:
        with alone():
            seen.append((engine.features(layer=1).sentence, torch.is_grad_enabled()))

    def give_up() -> None:
        if len(seen) > 50:
            raise GivenUp

    with pytest.raises(GivenUp), checked_by(give_up, let_in):
        engine.fit_features(layer=1)
    assert "after layer 2 are being fitted: 2%" in seen[-1][0]
    assert not any(grads for _, grads in seen)
    assert engine.features().stage == NO_FEATURES
    assert not [*tiny.run.path.glob("features*")]


def test_planted_features_are_found_again_with_each_seed(text_run: MakeTextRun, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = torch.Generator().manual_seed(3)
    directions = torch.nn.functional.normalize(torch.randn(6, 16, generator=draws))
    planted = (1 + torch.rand(4000, 1, generator=draws)) * directions[torch.randint(6, (4000,), generator=draws)]
    monkeypatch.setattr(feature_twins, "fitting_vectors", lambda *_: planted)
    monkeypatch.setattr(feature_twins, "FEATURES", 12)
    monkeypatch.setattr(feature_twins, "ACTIVE", 1)
    monkeypatch.setattr(feature_twins, "STEPS", 300)
    found = feature_twins.feature_twins(context_of(text_run(width=16, context=16))).measures
    assert (found["features"], found["twins_low"]) == (6, 1.0), "six of twelve are ever active"
