"""The verdict in one line: its numbers are the run's own, and of two compared ones both steps are named."""

import dataclasses
import math
import re
from typing import get_args

import pytest
from msgspec.structs import replace

from lab.reports.diagnosis.diagnose import diagnosis_of
from lab.reports.diagnosis.diagnosed_run import DiagnosedRun, Diagnosis, Verdict
from lab.reports.text_entropy import TextEntropy, ValidationText
from lab.reports.verdict_line import TONES, VerdictLine, verdict_line
from lab.runs.origin import CopiedShare
from lab.runs.run_schema import FinalEvaluation, Status
from tests.lab.reports.recorded_curves import NAMES, recorded
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


TERMS = re.compile(
    r"nats|bits|unigram|bigram|uniform|baseline|entropy|perplexity|overfit|rollback|rolled|logit|diverge|plateau|epoch"
    r"|learning rate|dropout|NaN|--|[→·;]"
)
FORMS = [
    r"No step has been taken( yet)?\.",
    r"The run is at step [\d,]+, and its metrics.jsonl has no step\.",
    r"It is warming up: its steps are still small\.",
    r"Too (early to tell|short to say): it has taken \d+ steps?\.",
    r"Too (early to tell|short to say): in \d+ steps it has learned ONLY\.",
    r"It has learned (nothing|little): after [\d,]+ steps, ONLY\.",
    r"It ((is|was) learning|has learned): next token narrowed to [\d.]+ of \d+ (on new text|in (validation|training))\.",
    r"It is learning: so far ONLY\.",
    r"It has begun to memorize the text: validation loss rises since step \d+\.",
    r"The text is too small for this model, which has read it [\d.]+ times\.",
    r"The validation text is of another kind: loss [\d.]+ there, [\d.]+ in training\.",
    r"Validation says little: 100% of its text is also in the training text\.",
    r"It has not improved since step [\d,]+: its training loss is about [\d.]+\.",
    r"It has not improved since step [\d,]+: it has learned ONLY\.",
    r"It went wrong by step \d+: back at an earlier state, it takes smaller steps\.",
    r"Its training went wrong: by step \d+ the loss (rose instead of falling|is no number any more)\.",
    r"Training failed at step [\d,]+\.",
]
ONLY = r"(no more than blind guessing|(only|not even) how common each token is)"


@pytest.mark.parametrize("name", NAMES)
def test_at_every_evaluation_a_newcomer_gets_one_sentence_without_terms(name: str) -> None:
    for step in (*recorded(name).history.eval_steps, math.inf):
        for phase in ("training", "paused", "stopped", "finished", "failed"):
            judged = recorded(name, step).judged(phase)
            said = verdict_line(judged, diagnosis_of(judged)).sentence
            assert any(re.fullmatch(form.replace("ONLY", ONLY), said) for form in FORMS), said
            assert not TERMS.search(said), said


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("learning-manual", "It has learned: next token narrowed to 17 of 256 on new text."),
        ("learning-half-way", "It was learning: next token narrowed to 7.4 of 256 in validation."),
        ("little-coin", "Too short to say: in 120 steps it has learned only how common each token is."),
        ("little-lr-1e-4", "It has learned little: after 300 steps, not even how common each token is."),
        ("nothing-stopped", "It has learned nothing: after 70 steps, no more than blind guessing."),
        ("overfitting", "It has begun to memorize the text: validation loss rises since step 140."),
        ("small-text", "The text is too small for this model, which has read it 160 times."),
        ("differs-bpe", "The validation text is of another kind: loss 4.68 there, 2.13 in training."),
        ("copied-text", "Validation says little: 100% of its text is also in the training text."),
        ("plateau-model-too-small", "It has not improved since step 1,126: its training loss is about 2.64."),
        ("lr-too-low-rarely-evaluated", "It has not improved since step 301: it has learned no more than blind guessing."),
        ("diverged-without-rollback", "Its training went wrong: by step 60 the loss rose instead of falling."),
        ("diverged-nan-without-rollback", "Its training went wrong: by step 4 the loss is no number any more."),
    ],
)
def test_each_kind_of_run_gets_a_sentence_of_its_own_with_its_number(name: str, sentence: str) -> None:
    assert line_of(name).sentence == sentence


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name.startswith(("learning", "short-but", "lr-too-high", "rollbacks-m"))]
)
def test_the_next_token_is_narrowed_to_as_many_as_the_validation_loss_amounts_to(name: str) -> None:
    run = recorded(name)
    found = re.search(r"to ([\d.]+) of (\d+)", line_of(name).sentence)
    if found is None:
        assert line_of(name).tone == "warn"
        return
    final = run.head.status.final
    loss = final.val_loss if final and run.head.status.phase == "finished" else run.history.val_losses[-1]
    assert float(found[1]) == pytest.approx(math.exp(loss or 0.0), rel=0.03)
    assert int(found[2]) == run.head.config.model.vocab_size


def test_a_plateau_at_the_known_limit_of_the_text_says_so() -> None:
    """Independent letters, as if their source were known as that of `stories` is."""
    judged = recorded("plateau-independent-letters").judged()
    known = replace(judged.config, data=replace(judged.config.data, entropy_bits_per_byte=3.0))
    judged = dataclasses.replace(judged, config=known)
    said = verdict_line(judged, diagnosis_of(judged)).sentence
    assert said == "It has not improved since step 376: its loss is near the lowest that this text allows."


def test_overfitting_names_both_evaluations() -> None:
    curve = recorded("overfitting").history
    best, step = min(zip(curve.val_losses, curve.eval_steps, strict=True))
    line = line_of("overfitting")
    assert line.tone == "warn"
    assert line.details.startswith(f"Val {best:.2f} → {curve.val_losses[-1]:.2f}, steps {step:.0f} → 600, ")
    assert line.text.startswith("! It has begun to memorize")


@pytest.mark.parametrize(
    ("points", "copied", "said"),
    [
        ([(10, 3.2, None)], 0.0, "25 of 1,024 in training"),
        ([(10, 3.2, 4.0)], 0.0, "55 of 1,024 on new text"),
        ([(10, 3.2, 4.0)], None, "55 of 1,024 in validation"),
    ],
)
def test_the_sentence_says_of_which_text_its_number_is(
    points: list[tuple[int, float | None, float | None]], copied: float | None, said: str
) -> None:
    assert made_up(*points, copied=copied).sentence == f"It is learning: next token narrowed to {said}."


@pytest.mark.parametrize(
    ("status", "words"), [(TRAINING, "No overfitting yet"), (Status(phase="finished"), "No overfitting yet")]
)
def test_a_falling_validation_loss_is_no_overfitting(status: Status, words: str) -> None:
    line = made_up((10, 3.2, 3.3), (20, 3.0, 3.1), status=status)
    assert line.details.startswith(f"{words} (val − train +0.10, val not rising), "), "the gap of the plot"
    assert made_up((10, 3.2, 3.3), (20, 3.0, 3.0), status=Status(phase="finished")).details.startswith("No overfitting, ")
    assert (line.tone, line.text[0]) == ("good", "✓")


@pytest.mark.parametrize(
    ("copied", "words"),
    [
        (0.09, r"No overfitting yet \(.*\), "),
        (0.1, "10.0% of validation copied, "),
        (1.0, "100% of validation copied, "),
        (None, ""),
    ],
)
def test_over_copied_text_and_where_that_is_not_known_no_overfitting_is_not_said(copied: float | None, words: str) -> None:
    line = made_up((10, 3.2, 3.3), (20, 3.0, 3.1), status=Status(phase="finished"), copied=copied)
    assert re.match(rf"{words}\d\.\d\d nats", line.details)


def test_a_rise_says_how_much_between_which_steps_and_one_evaluation_is_none() -> None:
    assert "Val 3.10 → 3.25, steps 20 → 30, " in made_up((10, 3.2, 3.3), (20, 3.0, 3.1), (30, 2.9, 3.25)).details
    assert "overfitting" not in made_up((10, 3.2, 3.3)).details.lower()


def test_the_floor_is_the_source_s_entropy_in_the_unit_of_the_loss() -> None:
    """`history` gives half a bit per byte for each nat: a token of the validation text is as long as the two say."""
    line = made_up((10, 3.2, 3.0), entropy=1.25)
    floor = 1.25 * math.log(2) * (3.0 / math.log(2) / 1.5)
    assert line.details.endswith(f"{3.0 - floor:.2f} nats above the source's entropy.")
    assert made_up((10, 3.2, 3.0)).details.endswith(f"{math.log(1024) - 3.0:.2f} nats below uniform."), "without a known source"
    last = FinalEvaluation(step=20, tokens=30, bytes=100, val_loss=2.0, bits_per_byte=1.0)
    line = made_up((10, 3.2, 3.0), entropy=0.5, status=Status(phase="finished", step=20, final=last))
    assert line.details.endswith("1.00 nats above the source's entropy."), "at the end, on the whole validation text"


@pytest.mark.parametrize("name", ["learning-short-manual", "differs-easier-end"])
def test_the_level_of_token_pairs_is_their_loss_on_the_validation_text(name: str) -> None:
    """As the loss beside it, it is of a text that was not counted; the entropy of the counted text is lower."""
    run = recorded(name)
    assert run.head.entropy is not None
    assert run.head.entropy.validation is not None
    assert run.head.entropy.validation.bigram_loss is not None
    final = run.head.status.final
    apart = (final.val_loss if final else run.history.val_losses[-1]) - run.head.entropy.validation.bigram_loss
    assert line_of(name).details.endswith(f"{abs(apart):.2f} nats {'above' if apart > 0 else 'below'} bigram.")


def test_of_a_text_of_other_tokens_the_level_is_the_lowest_one() -> None:
    text = TextEntropy(2.0, 1.0, ValidationText(100, 2.0, 8.0, 3.0, bigram_loss=9.9))
    run = DiagnosedRun(config(), TRAINING, history((10, 3.2, 7.5)), "training", text, ())
    line = verdict_line(run, Diagnosis("validation text differs", ""))
    assert line.details.endswith(f"{7.5 - math.log(1024):.2f} nats above uniform.")


def test_every_verdict_has_a_tone() -> None:
    assert set(TONES) == set(get_args(Verdict))
