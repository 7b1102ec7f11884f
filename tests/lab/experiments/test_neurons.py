"""Neurons whose strongest places were planted, and neurons of noise."""

import pytest
import torch

from lab.core.errors import UserError
from lab.experiments.linear_probe import FOLDS
from lab.experiments.neurons import PlaceClasses, shared_classes
from tests.lab.engine.conftest import TEXT
from tests.lab.experiments.conftest import MakeTextRun, Measure, rows, with_text

PLACES, RARE = 4000, 10
"""Places, and classes of the first property, one of which each has; the second has two, one of which nearly all have."""


def test_a_neuron_of_one_class_is_found_and_one_of_two_of_none_or_of_what_is_common_is_not() -> None:
    draws = torch.Generator().manual_seed(0)
    rare = torch.randint(RARE, (PLACES,), generator=draws)
    common = (torch.rand(PLACES, generator=draws) < 0.1).long()
    places = PlaceClasses(torch.stack([rare, RARE + common], 1), ["rare"] * RARE + ["common"] * 2)
    noise = torch.rand(PLACES, 6, generator=draws)
    told = [rare == 3, (rare == 3) | (rare == 4), torch.zeros(PLACES, dtype=torch.bool), common == 0, common == 1]
    activations = noise + torch.stack([*(5.0 * each for each in told), torch.zeros(PLACES)], 1)
    activations[:, 5] = -0.0  # a dead one: all places are equally strong
    folds = torch.arange(PLACES) * FOLDS // PLACES
    shared, chosen = shared_classes(activations, places, folds)
    assert shared.tolist() == [[True, False, False, False, True, False]] * FOLDS
    assert chosen[:, 0].tolist() == [3] * FOLDS
    assert [places.property_of[class_] for class_ in chosen[:, 4].tolist()] == ["common"] * FOLDS
    shuffled = places._replace(classes=places.classes[torch.randperm(PLACES, generator=draws)])
    assert not shared_classes(activations, shuffled, folds)[0].any()


def test_the_measures_are_those_of_the_neurons_and_a_short_text_is_refused(text_run: MakeTextRun, measure: Measure) -> None:
    run = with_text(text_run(width=16, context=32), TEXT * 200)
    with pytest.raises(UserError, match="too few to tell"):
        measure("neuron_concepts", with_text(text_run(name="short", width=16, context=32), TEXT * 5))
    found = measure("neuron_concepts", run)
    kept = found.measures
    assert kept["neurons"] == run.model.config.layers * 4 * 16
    assert len(rows(found)) == run.model.config.layers
    assert kept["shared_low"] <= kept["shared"] <= kept["shared_high"]
    assert kept["shuffled"] < 0.1
    assert kept["is_special"] == (kept["shared_low"] > max(kept["mixed_high"], kept["shuffled_high"]))
    for block in run.model.blocks:
        block.mlp.c_fc.weight.data.zero_()
    assert measure("neuron_concepts", run).measures["shared"] == 0, "no neuron tells two places apart"
