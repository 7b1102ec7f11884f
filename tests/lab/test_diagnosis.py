"""The diagnosis, on curves recorded by record_curves.py, whose names begin with what they are."""

import re
from pathlib import Path

import msgspec
import pytest

from lab.curves import History
from lab.diagnosis import Diagnosis, diagnose
from lab.run_config import Metric, RunConfig, Status

CURVES = sorted(Path(__file__).parent.joinpath("curves").glob("*.jsonl"))
VERDICTS = {
    "learning": "learning",
    "overfitting": "overfitting",
    "too-small": "text too small",
    "plateau": "plateau",
    "diverged": "diverged",
    "warming-up": "warming up",
}


class Head(msgspec.Struct):
    """The first line of a recorded curve."""

    config: RunConfig
    status: Status


def recorded(path: Path, until: float = float("inf")) -> tuple[Head, History]:
    first, *rest = path.read_bytes().splitlines()
    history = History()
    metrics = (msgspec.json.decode(line, type=Metric) for line in rest)
    history.add(metric for metric in metrics if metric.step <= until)
    return msgspec.json.decode(first, type=Head), history


def diagnosis_of(name: str, until: float = float("inf")) -> Diagnosis:
    head, history = recorded(Path(__file__).parent / "curves" / f"{name}.jsonl", until)
    return diagnose(head.config, head.status, history)


def test_there_are_curves_of_every_kind() -> None:
    assert len(CURVES) >= 10
    assert all(any(path.stem.startswith(kind) for path in CURVES) for kind in VERDICTS)


@pytest.mark.parametrize("path", CURVES, ids=lambda path: path.stem)
def test_each_recorded_curve_gets_its_verdict(path: Path) -> None:
    found = diagnosis_of(path.stem)
    expected = next(verdict for kind, verdict in VERDICTS.items() if path.stem.startswith(kind))
    assert found.verdict == expected, found.sentences
    assert found.sentences.lower().startswith(expected)
    assert re.search(r"\d", found.evidence), "the evidence is numbers"
    assert found.sentences.endswith(".")


@pytest.mark.parametrize("path", CURVES, ids=lambda path: path.stem)
def test_no_run_is_called_overfitting_or_diverged_before_it_is(path: Path) -> None:
    """At every evaluation on the way, the verdict is one that the run's kind may pass through."""
    kind = next(kind for kind in VERDICTS if path.stem.startswith(kind))
    may = {"waiting", "warming up", "learning", "plateau", VERDICTS[kind]}
    _, history = recorded(path)
    for step in history.eval_steps:
        found = diagnosis_of(path.stem, step)
        assert found.verdict in may, f"{found.sentences} at step {step}"


def test_a_text_too_small_names_the_best_step_too() -> None:
    _, history = recorded(Path(__file__).parent / "curves" / "too-small-text.jsonl")
    best_step = min(zip(history.val_losses, history.eval_steps, strict=True))[1]
    advice = diagnosis_of("too-small-text").advice
    assert advice.startswith(f"The weights of step {best_step:.0f} are kept as the best; on unseen text ")
    assert "A longer text" in advice


def test_overfitting_names_the_best_step_and_both_losses() -> None:
    head, history = recorded(Path(__file__).parent / "curves" / "overfitting.jsonl")
    best_loss, best_step = min(zip(history.val_losses, history.eval_steps, strict=True))
    said = diagnose(head.config, head.status, history)
    assert f"since step {best_step:.0f} " in said.evidence
    assert f"rose from {best_loss:.2f} to {history.val_losses[-1]:.2f}" in said.evidence
    assert f"The weights of step {best_step:.0f} are kept" in said.advice


def test_overfitting_is_said_from_the_third_evaluation_above_the_best() -> None:
    _, history = recorded(Path(__file__).parent / "curves" / "overfitting.jsonl")
    best = min(range(len(history.val_losses)), key=lambda at: history.val_losses[at])
    verdicts = [diagnosis_of("overfitting", step).verdict for step in history.eval_steps[best : best + 4]]
    assert verdicts[:3] != ["overfitting"] * 3
    assert verdicts[0] == "learning"
    assert verdicts[2] != "overfitting"
    assert verdicts[3] == "overfitting"


def test_a_rate_is_blamed_in_the_right_direction() -> None:
    assert "too low" in diagnosis_of("plateau-at-chance").advice
    assert "0.3 is high" in diagnosis_of("plateau-rate-too-high").advice
    assert "rate" not in diagnosis_of("plateau-nothing-to-learn").advice
    assert "such as 0.10 instead of 1" in diagnosis_of("diverged").advice


def test_before_the_first_step_it_waits() -> None:
    head, history = recorded(CURVES[0], until=0)
    assert diagnose(head.config, head.status, history).verdict == "waiting"


def test_no_sentence_says_that_a_loss_went_from_a_number_to_the_same() -> None:
    """On every recorded curve, at every evaluation."""
    for path in CURVES:
        _, history = recorded(path)
        for step in history.eval_steps:
            for before, now in re.findall(r"from ([\d.]+) to ([\d.]+)", diagnosis_of(path.stem, step).evidence):
                assert before != now, (path.stem, step)


@pytest.mark.parametrize("fall", [0.004, 0.0])
def test_losses_that_are_near_each_other_are_told_apart(fall: float) -> None:
    first, *rest = (Path(__file__).parent / "curves" / "learning.jsonl").read_bytes().splitlines()
    head = msgspec.json.decode(first, type=Head)
    metrics = [msgspec.json.decode(line, type=Metric) for line in rest]
    evaluations = [metric for metric in metrics if metric.val_loss is not None]
    before = [metric.val_loss for metric in evaluations if metric.step <= metrics[-1].step * 0.75][-1]
    assert before is not None
    evaluations[-1].val_loss = before - fall
    history = History()
    history.add(metrics)
    words = f"went from {before:.3f} to {before - fall:.3f}" if fall else f"stayed at {before:.4f}"
    assert f"the validation loss {words}" in diagnose(head.config, head.status, history).evidence


def test_a_step_that_is_no_number_is_not_called_diverged_while_the_trainer_can_go_back() -> None:
    head, history = recorded(Path(__file__).parent / "curves" / "diverged-to-no-number.jsonl")
    training = msgspec.structs.replace(head.status, phase="training")
    assert head.status.phase == "failed"
    assert diagnose(head.config, training, history).verdict != "diverged"
