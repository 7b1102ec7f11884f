import dataclasses

import msgspec
import pytest

from lab.analysis.insight_sentences import updates_sentence
from lab.analysis.run_sentence import run_sentence
from lab.core.number_format import scientific
from lab.runs.run_history import LossHistory
from lab.runs.run_schema import FinalEvaluation, PartUpdate, Status, ValidationSegments
from tests.lab.runs.made_up_runs import TRAINING, config, history


def test_the_sentence_is_made_of_the_runs_own_numbers() -> None:
    assert "No step taken" in run_sentence(config(), TRAINING, LossHistory())
    said = run_sentence(config(), TRAINING, history((10, 3.2, None)))
    assert said == "Training loss 3.20 (mean); uniform baseline 6.93 nats per token."
    for val_loss, words in ((3.25, "about the same (3.25)"), (4.0, "loss 4.00, 0.80 higher"), (2.9, "loss 2.90, 0.30 lower")):
        assert words in run_sentence(config(), TRAINING, history((10, 3.2, val_loss)))
    said = run_sentence(config(entropy=1.25), TRAINING, history((10, 3.2, 3.0)))
    assert "; 1.500 bits/byte, entropy of the source 1.250 bits/byte." in said


def test_on_a_copied_validation_text_the_model_is_not_said_to_generalize() -> None:
    assert "the model generalizes" in run_sentence(config(), TRAINING, history((10, 3.2, 3.2)))
    for val_loss in (3.2, 4.0):
        said = run_sentence(config(), TRAINING, history((10, 3.2, val_loss)), generalizes=False)
        assert "Validation loss" in said
        assert "generalizes" not in said


@pytest.mark.parametrize("val_loss", [2.9, 3.2, 4.0])
def test_the_validation_loss_is_said_to_be_without_dropout_where_there_is_some(val_loss: float) -> None:
    """The training loss is measured with it and is higher for that: near the validation loss it proves nothing."""
    made = config()
    with_dropout = msgspec.structs.replace(made, model=dataclasses.replace(made.model, dropout=0.1))
    said = run_sentence(with_dropout, TRAINING, history((10, 3.2, val_loss)))
    assert f"{val_loss:.2f}, measured without dropout" in said
    assert "generalizes" not in said
    assert "dropout" not in run_sentence(made, TRAINING, history((10, 3.2, val_loss)))


def test_a_failure_is_told_in_its_own_words() -> None:
    assert run_sentence(config(), Status(phase="failed", message="No room."), LossHistory()) == "No room."
    assert "trainer.log" in run_sentence(config(), Status(phase="failed"), LossHistory())


def test_validation_is_compared_with_the_training_of_its_own_step() -> None:
    said = run_sentence(config(), TRAINING, history((0, None, 6.9), (1, 6.8, None), (50, 3.0, None)))
    assert "Validation loss 6.90 at step 0." in said
    said = run_sentence(config(), TRAINING, history((100, 4.0, 4.5), (101, 1.0, None)))
    assert "Validation loss 4.50, 0.50 higher than the training loss of 4.00 at step 100." in said
    said = run_sentence(config(), TRAINING, history((100, 3.088, 3.465)))
    assert "Training loss 3.09" in said
    assert "Validation loss 3.46, 0.37 higher." in said  # what is said adds up, though 3.465 − 3.088 is nearer to 0.38
    said = run_sentence(config(), TRAINING, history((100, 3.7, 3.75), (101, 1.0, None)))
    assert "Validation loss about the same (3.75, against a training loss of 3.70 at step 100)" in said


def test_figures_say_on_how_much_of_the_validation_part_they_are() -> None:
    now, seen = TRAINING, history((10, 3.2, 3.3))
    part = msgspec.structs.replace(config().data, evaluated=ValidationSegments(((270, 280),), 33, "e"))
    sampled = msgspec.structs.replace(config(), data=part)
    assert run_sentence(sampled, now, seen).endswith(", on 33 of 100 bytes of validation text.")
    assert "bytes of" not in run_sentence(config(), now, seen), "it is not known yet"
    last = FinalEvaluation(step=20, tokens=30, bytes=100, val_loss=3.25, bits_per_byte=1.4)
    ended = Status(phase="finished", step=20, final=last, final_best=last)
    last_weights = "On all 100 bytes of validation text: last weights 3.250 (1.400 bits/byte)"
    assert run_sentence(sampled, ended, seen).startswith(f"{last_weights}.")
    ended.final_best = msgspec.structs.replace(last, step=10, val_loss=3.125, bits_per_byte=1.3)
    best_weights = "best weights (step 10) 3.125 (1.300 bits/byte)"
    assert run_sentence(sampled, ended, seen).startswith(f"{last_weights}, {best_weights}.")


def test_updates_are_told_by_part_with_the_rule_they_are_measured_by() -> None:
    parts = [PartUpdate("embedding", 3.0, 2e-4), PartUpdate("1 MLP", 4.0, 1.2e-3), PartUpdate("final norm", 0.0, None)]
    words = updates_sentence(1200, parts)
    most = "The update at step 1,200 changes layer 1's MLP most, by 1.2e−3 of its size"
    assert words.startswith(f"{most}, embedding least, by 2.0e−4;")
    assert "64% of the squared gradient is in layer 1's MLP. A healthy ratio is about 1e−3." in words
    assert "far" not in words
    assert "far more" in updates_sentence(9, [PartUpdate("embedding", 1.0, 0.05)])
    assert "far less" in updates_sentence(9, [PartUpdate("embedding", 1.0, 1e-5)])
    muon = updates_sentence(9, [PartUpdate("1 MLP", 1.0, 0.05)], "muon")
    assert "With Muon about 1e−2 is usual, in proportion to the learning rate." in muon
    assert "far" not in muon, "it is measured by Muon's own usual ratio"
    assert "far more" in updates_sentence(9, [PartUpdate("1 MLP", 1.0, 0.2)], "muon")
    assert "far less" in updates_sentence(9, [PartUpdate("1 MLP", 1.0, 5e-4)], "muon")
    assert updates_sentence(0, []) == "No step had been taken yet."
    assert updates_sentence(7, []).startswith("The update at step 7 was not measured")
    assert scientific(0.0123) == "1.2e−2"
