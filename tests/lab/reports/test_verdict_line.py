"""The verdict in one line: its numbers are the run's own, and of two compared ones both steps are named."""

import math
from typing import get_args

import pytest
from msgspec.structs import replace

from lab.reports.diagnosis.diagnose import diagnosis_of
from lab.reports.diagnosis.diagnosed_run import DiagnosedRun, Diagnosis, Verdict
from lab.reports.text_entropy import TextEntropy, ValidationText
from lab.reports.verdict_line import TONES, VerdictLine, verdict_line
from lab.runs.origin import CopiedShare
from lab.runs.run_schema import FinalEvaluation, Status
from tests.lab.reports.recorded_curves import recorded
from tests.lab.runs.made_up_runs import TRAINING, config, history


def line_of(name: str) -> VerdictLine:
    judged = recorded(name).judged()
    return verdict_line(judged, diagnosis_of(judged))


def made_up(
    *points: tuple[int, float | None, float | None],
    entropy: float | None = None,
    status: Status = TRAINING,
    copied: float | None = 0.0,
) -> VerdictLine:
    made = config(entropy=entropy)
    made = replace(made, data=replace(made.data, copied=None if copied is None else CopiedShare(copied)))
    run = DiagnosedRun(made, status, history(*points), status.phase, None, ())
    return verdict_line(run, Diagnosis("learning", ""))


def test_overfitting_names_both_evaluations() -> None:
    curve = recorded("overfitting").history
    best, step = min(zip(curve.val_losses, curve.eval_steps, strict=True))
    line = line_of("overfitting")
    assert line.tone == "warn"
    assert line.parts[:2] == ("overfitting", f"val {best:.2f} → {curve.val_losses[-1]:.2f}, steps {step:.0f} → 600")
    assert line.text.startswith("! overfitting · val ")


@pytest.mark.parametrize(("status", "words"), [(TRAINING, "no overfitting yet"), (Status(phase="finished"), "no overfitting")])
def test_a_falling_validation_loss_is_no_overfitting(status: Status, words: str) -> None:
    line = made_up((10, 3.2, 3.3), (20, 3.0, 3.1), status=status)
    assert line.parts[:2] == ("learning", words)
    assert (line.tone, line.text[0]) == ("good", "✓")


@pytest.mark.parametrize(
    ("copied", "words"),
    [(0.09, "no overfitting"), (0.1, "10.0% of validation copied"), (1.0, "100% of validation copied"), (None, "")],
)
def test_over_copied_text_and_where_that_is_not_known_no_overfitting_is_not_said(copied: float | None, words: str) -> None:
    line = made_up((10, 3.2, 3.3), (20, 3.0, 3.1), status=Status(phase="finished"), copied=copied)
    assert [part for part in line.parts if "overfitting" in part or "copied" in part] == [words] * bool(words)


def test_a_rise_says_how_much_between_which_steps_and_one_evaluation_is_none() -> None:
    assert "val 3.10 → 3.25, steps 20 → 30" in made_up((10, 3.2, 3.3), (20, 3.0, 3.1), (30, 2.9, 3.25)).parts
    assert not any("overfitting" in part for part in made_up((10, 3.2, 3.3)).parts)


def test_the_floor_is_the_source_s_entropy_in_the_unit_of_the_loss() -> None:
    """`history` gives half a bit per byte for each nat: a token of the validation text is as long as the two say."""
    line = made_up((10, 3.2, 3.0), entropy=1.25)
    floor = 1.25 * math.log(2) * (3.0 / math.log(2) / 1.5)
    assert line.parts[-1] == f"{3.0 - floor:.2f} nats above the source's entropy"
    assert made_up((10, 3.2, 3.0)).parts[-1] == f"{math.log(1024) - 3.0:.2f} nats below uniform", "without a known source"
    last = FinalEvaluation(step=20, tokens=30, bytes=100, val_loss=2.0, bits_per_byte=1.0)
    line = made_up((10, 3.2, 3.0), entropy=0.5, status=Status(phase="finished", step=20, final=last))
    assert line.parts[-1] == "1.00 nats above the source's entropy", "at the end, on the whole validation text"


@pytest.mark.parametrize("name", ["learning-short-manual", "differs-easier-end"])
def test_the_level_of_token_pairs_is_their_loss_on_the_validation_text(name: str) -> None:
    """As the loss beside it, it is of a text that was not counted; the entropy of the counted text is lower."""
    run = recorded(name)
    assert run.head.entropy is not None
    assert run.head.entropy.validation is not None
    assert run.head.entropy.validation.bigram_loss is not None
    final = run.head.status.final
    apart = (final.val_loss if final else run.history.val_losses[-1]) - run.head.entropy.validation.bigram_loss
    assert line_of(name).parts[-1] == f"{abs(apart):.2f} nats {'above' if apart > 0 else 'below'} bigram"


def test_of_a_text_of_other_tokens_the_level_is_the_lowest_one() -> None:
    text = TextEntropy(2.0, 1.0, ValidationText(100, 2.0, 8.0, 3.0, bigram_loss=9.9))
    run = DiagnosedRun(config(), TRAINING, history((10, 3.2, 7.5)), "training", text, ())
    line = verdict_line(run, Diagnosis("validation text differs", ""))
    assert line.parts[-1] == f"{7.5 - math.log(1024):.2f} nats above uniform"


def test_every_verdict_has_a_tone() -> None:
    assert set(TONES) == set(get_args(Verdict))
