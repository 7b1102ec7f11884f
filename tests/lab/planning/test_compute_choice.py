"""What training chooses by itself. Nothing here asserts which way is quicker."""

import errno
import os
from pathlib import Path

import pytest
import torch

from lab.planning import compute_choice
from lab.planning.compute_choice import Candidate, choose_compute, describe_choice, measure
from lab.planning.device import default_threads
from lab.runs.run_schema import TrainConfig
from models.config import ModelConfig

SHAPE = ModelConfig(layers=2, heads=2, width=64, context=64, vocab_size=300)
TINY = ModelConfig(layers=1, heads=1, width=8, context=16, vocab_size=20)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _bf16_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.planning.device.is_bf16_quicker", lambda: True)
    monkeypatch.setattr(compute_choice, "cores", lambda: 2)


def measured(monkeypatch: pytest.MonkeyPatch, seconds: dict[Candidate, float]) -> list[list[Candidate]]:
    """Puts these times in the place of measured ones; gives the list of what was asked for."""
    asked: list[list[Candidate]] = []

    def answer(candidates: list[Candidate], _: object) -> dict[Candidate, float]:
        asked.append(candidates)
        return {candidate: seconds[candidate] for candidate in candidates}

    monkeypatch.setattr(compute_choice, "measure", answer)
    return asked


TIMES: dict[Candidate, float] = {
    ("fp32", "fused"): 4.0,
    ("fp32", "plain"): 5.0,
    ("bf16", "fused"): 3.0,
    ("bf16", "plain"): 2.0,
}


def test_the_quickest_way_is_chosen_told_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = measured(monkeypatch, TIMES)
    chosen = choose_compute(SHAPE, TrainConfig(), CPU, tmp_path)
    assert (chosen.precision, chosen.attention, chosen.threads) == ("bf16", "plain", 2)
    assert chosen.reason == (
        "bf16 (2.5 times as fast as fp32), attention written out (1.5 times as fast as the fused attention kernel), 2 threads"
    )
    assert describe_choice(("fp32", "fused"), {("fp32", "fused"): 1.0}, 1).endswith("1 thread")
    assert choose_compute(SHAPE, TrainConfig(), CPU, tmp_path) == chosen
    assert len(asked) == 1
    (tmp_path / compute_choice.SPEEDS.name).write_text("spoiled")
    assert choose_compute(SHAPE, TrainConfig(), CPU, tmp_path) == chosen
    assert len(asked) == 2


def test_what_is_asked_for_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = measured(monkeypatch, TIMES)
    chosen = choose_compute(SHAPE, TrainConfig(precision="fp32", threads=3), CPU, tmp_path)
    assert (chosen.precision, chosen.attention, chosen.threads) == ("fp32", "fused", 3)
    chosen = choose_compute(SHAPE, TrainConfig(attention="plain"), CPU, tmp_path)
    assert (chosen.precision, chosen.attention) == ("bf16", "plain")
    assert asked == [[("fp32", "fused"), ("fp32", "plain")], [("fp32", "plain"), ("bf16", "plain")]]
    chosen = choose_compute(SHAPE, TrainConfig(precision="bf16", attention="fused"), CPU, tmp_path)
    assert (chosen.precision, chosen.attention) == ("bf16", "fused")
    assert len(asked) == 2


def test_a_step_of_milliseconds_takes_one_core_and_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = measured(monkeypatch, TIMES)
    assert choose_compute(TINY, TrainConfig(), CPU, tmp_path).threads == 1
    assert choose_compute(TINY, TrainConfig(threads=2), CPU, tmp_path).threads == 2
    assert asked == []
    assert list(tmp_path.iterdir()) == []


def test_one_core_of_many_is_left_to_others() -> None:
    assert [default_threads(cores) for cores in (1, 2, 3, 16)] == [1, 2, 2, 15]


def test_measuring_times_every_way_and_leaves_the_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    tried: list[Candidate] = []
    times = measure(list(TIMES), tried.append)
    assert times.keys() == TIMES.keys()
    assert min(times.values()) >= 0
    assert [tried.count(candidate) for candidate in TIMES] == [compute_choice.ROUNDS + 1] * 4
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


@pytest.mark.parametrize("trouble", ["a folder in the file's place", "a pipe in it", "a full disk", "bytes that are no text"])
def test_a_file_that_cannot_be_read_or_written_is_no_hindrance(
    trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = measured(monkeypatch, TIMES)
    if trouble == "a folder in the file's place":
        (tmp_path / compute_choice.SPEEDS.name).mkdir()
    elif trouble == "a pipe in it":
        os.mkfifo(tmp_path / compute_choice.SPEEDS.name)
    elif trouble == "a full disk":

        def no_room(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("lab.core.atomic_io.write_atomic", no_room)
    else:
        (tmp_path / compute_choice.SPEEDS.name).write_bytes(b'{"\xff": [1.0]}')
    assert choose_compute(SHAPE, TrainConfig(), CPU, tmp_path).precision == "bf16"
    assert len(asked) == 1
