"""The toy of superposition against the results of Elhage et al. 2022 and closed forms."""

import math
from typing import Any

import pytest
import torch

from lab.experiments import superposition
from lab.experiments.superposition import IMPORTANCE, picture, told_apart, train_toys
from tests.lab.experiments.conftest import Measure


def test_dense_features_leave_the_least_important_out_and_sparse_ones_are_a_pentagon() -> None:
    weights, biases = train_toys([0.0, 0.95], seed=0)
    apart = told_apart(weights, biases)
    for dense, bias in zip(weights[0], biases[0], strict=True):
        lengths = dense.norm(dim=0)
        assert (lengths[:2] - 1).abs().max() < 0.03
        assert lengths[2:].max() < 0.2
        assert abs(float(dense[:, 0] @ dense[:, 1])) < 0.03, "the two are orthogonal"
        assert (bias[0, 3:] - 0.5).abs().max() < 0.05, "what is left out is said to be its mean"
        x = torch.rand(100_000, 5, generator=torch.Generator().manual_seed(1))
        loss = (IMPORTANCE * (x - torch.relu(x @ dense.T @ dense + bias)) ** 2).sum(-1).mean()
        assert abs(float(loss) - float(IMPORTANCE[2:].sum()) / 12) < 0.003, "1/12: the variance of what is left out"
    assert apart[0].tolist() == [[True, True, False, False, False]] * 5
    for sparse in weights[1]:
        angles = torch.atan2(sparse[1], sparse[0]).sort().values
        gaps = torch.diff(torch.cat([angles, angles[:1] + 2 * math.pi])) * 180 / math.pi
        assert (gaps - 72).abs().max() < 6
        lengths = sparse.norm(dim=0)
        assert lengths.max() - lengths.min() < 0.05
    assert apart[1].all()


def test_a_feature_is_told_apart_where_it_alone_gives_the_largest_output() -> None:
    weights = torch.tensor([[1.0, 0.0, 0.0, -1.0, 0.9], [0.0, 1.0, 0.0, 0.0, 0.0]])
    assert told_apart(weights, torch.zeros(1, 5)).tolist() == [False, True, False, True, False]


def test_the_picture_turns_the_first_direction_to_the_right_and_ends_each_with_its_number() -> None:
    directions = torch.tensor([[0.0, -1.0, 0.0, 0.0, 0.5], [1.0, 0.0, -1.0, 0.0, 0.0]])
    lines = picture(directions, 1.0)
    middle, half = (len(lines) - 1) // 2, len(lines[0]) // 2
    assert lines[0] == " " * half + "2" + " " * half
    assert (lines[middle][0], lines[middle][half], lines[middle][-1]) == ("3", "+", "1")
    assert lines[-1] == "4 end at +"
    assert [line.find("5") for line in lines if "5" in line] == [half], "turned as the others are"


def test_without_zeros_both_cases_are_alike_and_the_measures_are_those_of_the_toys(
    tiny: Any, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(superposition, "STEPS", 1000)
    kept = measure("superposition", tiny, inputs={"zeros": "0"}).measures
    assert (kept["dense_apart"], kept["sparse_apart"]) == (2, 2)
    assert kept["dense_third"] < kept["dense_second"]
