"""The verdict in one line: its numbers are the run's own, and of two compared ones both steps are named."""

import dataclasses
import math
import re
from typing import get_args

import pytest
from msgspec.structs import replace

from lab.analysis.baselines import TextEntropy, ValidationText, bits_per_byte
from lab.analysis.diagnose import diagnosis_of
from lab.analysis.diagnosed_run import DiagnosedRun, Diagnosis, Verdict
from lab.analysis.run_sentence import TONES, VerdictLine, reasons, verdict_line
from lab.runs.run_schema import FinalEvaluation, Status, ValidationSegments
from lab.runs.schema_parts import CopiedShare
from tests.lab.analysis.recorded_curves import NAMES, recorded
from tests.lab.runs.made_up_runs import TRAINING, config, history


def line_of(name: str, until: float = math.inf, phase: str = "") -> VerdictLine:
    judged = recorded(name, until).judged(phase)
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


@pytest.mark.parametrize("name", NAMES)
def test_at_every_evaluation_a_newcomer_gets_one_sentence_without_terms(name: str) -> None:
    for step in (*recorded(name).history.eval_steps, math.inf):
        for phase in ("training", "stopped", "finished", "failed"):
            said = line_of(name, step, phase).sentence
            assert re.fullmatch(r"[A-Z]([^.]|\.\d|\.jsonl)+\.", said), said
            assert not TERMS.search(said), said


@pytest.mark.parametrize(
    ("name", "until", "phase", "sentence"),
    [
        ("copied-one-letter", 0, "training", "No step has been taken yet."),
        ("copied-one-letter", 0, "stopped", "The run is at step 100, and its metrics.jsonl has no step."),
        ("copied-one-letter", 100, "failed", "Training failed at step 100."),
        ("diverged-nan-without-rollback", 4, "training", "It is warming up: its steps are still small."),
        ("learning-muon", 20, "finished", "Too short to say: it has taken 20 steps."),
        ("little-lr-1e-4", 20, "training", "Too early to tell: in 20 steps it has learned no more than blind guessing."),
        ("differs-bpe", 20, "training", "It is learning: so far not even how common each token is."),
        ("differs-bpe", 40, "training", "It is learning: unsure as among 115 of 400 tokens on new text."),
        (
            "diverged-lr-1000",
            24,
            "training",
            "It went wrong by step 24: back at an earlier state, it takes smaller steps, after 6 returns to an earlier state.",
        ),
        ("learning-manual", math.inf, "", "It has learned: unsure as among 17 of 256 tokens on new text."),
        ("learning-half-way", math.inf, "", "It was learning: unsure as among 7.4 of 256 tokens in validation."),
        ("little-coin", math.inf, "", "Too short to say: in 120 steps it has learned only how common each token is."),
        ("little-lr-1e-4", math.inf, "", "It has learned little: after 300 steps, not even how common each token is."),
        ("nothing-stopped", math.inf, "", "It has learned nothing: after 70 steps, no more than blind guessing."),
        ("overfitting", math.inf, "", "It has begun to memorize the text: validation loss rises since step 140."),
        ("small-text", math.inf, "", "The text is too small for this model, which has read it 160 times."),
        ("differs-bpe", math.inf, "", "The validation text is of another kind: loss 4.68 there, 2.13 in training."),
        ("copied-text", math.inf, "", "Validation says little: 100% of its text is also in the training text."),
        ("plateau-model-too-small", math.inf, "", "It has hardly improved since step 1,126: its training loss is about 2.64."),
        (
            "lr-too-low-rarely-evaluated",
            math.inf,
            "",
            "It has hardly improved since step 301: it has learned no more than blind guessing.",
        ),
        ("diverged-without-rollback", math.inf, "", "Its training went wrong: by step 60 the loss rose instead of falling."),
        ("diverged-nan-without-rollback", math.inf, "", "Its training went wrong: by step 4 the loss is no number any more."),
    ],
)
def test_each_kind_of_run_gets_a_sentence_of_its_own_with_its_number(name: str, until: float, phase: str, sentence: str) -> None:
    assert line_of(name, until, phase).sentence == sentence


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name.startswith(("learning", "short-but", "lr-too-high", "rollbacks-m"))]
)
def test_it_is_as_unsure_as_among_as_many_tokens_as_the_validation_loss_amounts_to(name: str) -> None:
    run = recorded(name)
    found = re.search(r"among ([\d.]+) of (\d+)", line_of(name).sentence)
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
    assert said == "It has hardly improved since step 376: its loss is near the lowest that this text allows."


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
        ([(10, 3.2, None)], 0.0, "25 of 1,024 tokens in training"),
        ([(10, 3.2, 4.0)], 0.0, "55 of 1,024 tokens on new text"),
        ([(10, 3.2, 4.0)], None, "55 of 1,024 tokens in validation"),
    ],
)
def test_the_sentence_says_of_which_text_its_number_is(
    points: list[tuple[int, float | None, float | None]], copied: float | None, said: str
) -> None:
    assert made_up(*points, copied=copied).sentence == f"It is learning: unsure as among {said}."


def test_a_falling_validation_loss_is_no_overfitting() -> None:
    finished = Status(phase="finished")
    for status in (TRAINING, finished):
        line = made_up((10, 3.2, 3.3), (20, 3.0, 3.1), status=status)
        assert line.details.startswith("No overfitting yet (validation loss 0.10 above training, not rising), "), (
            "the gap of the plot"
        )
        assert (line.tone, line.text[0]) == ("good", "✓")
    assert made_up((10, 3.2, 3.3), (20, 3.0, 3.0), status=finished).details.startswith("No overfitting, ")


def test_the_headline_of_another_kind_of_text_has_the_figure_of_the_end_and_the_unit_in_use() -> None:
    """As the panel beside it: on all of the validation text where the run has ended; training's by its own bytes per token."""
    run = recorded("differs-bpe")
    data = replace(run.head.config.data, train_bytes=2 * run.head.config.data.split)
    last = FinalEvaluation(step=400, tokens=100, bytes=400, val_loss=4.0, bits_per_byte=4.0 / math.log(2) / 4)
    status = replace(run.head.status, final=last)
    unit = bits_per_byte(data, run.history, last)
    for phase, there in (("finished", 4.0), ("training", run.history.val_losses[-1])):
        judged = dataclasses.replace(run.judged(phase), status=status, config=replace(run.head.config, data=data), unit=unit)
        found = diagnosis_of(judged)
        assert found.verdict == "validation text differs"
        bits, trained = there / math.log(2) / 4, run.history.smooth[-1] / math.log(2) / 2
        said = f"The validation text is of another kind: loss {bits:.2f} bits/byte there, {trained:.2f} in training."
        assert verdict_line(judged, found).sentence == said


def test_rollbacks_are_told_in_the_headline() -> None:
    assert line_of("rollbacks-muon").sentence.endswith(", after 3 returns to an earlier state.")
    assert "return" not in line_of("learning").sentence


def test_two_evaluations_a_step_apart_are_no_trend() -> None:
    """A run by minutes whose time ended just after its first evaluation: its losses are compared over the last quarter."""
    falling = [(step, 6.0 - step / 100, 4.208 if step == 200 else 4.209 if step == 201 else None) for step in range(1, 202)]
    run = DiagnosedRun(config(), TRAINING, history(*falling), "finished", None, ())
    found = diagnosis_of(run)
    assert found.verdict == "learned"
    assert re.fullmatch(
        r"from step 151 to 201 the training loss went from 4\.5\d to 4\.0\d; the validation loss was 4\.21 at step 201\.",
        found.evidence,
    )
    level = [(step, 6.0 - step / 100 if step < 20 else 5.8, None) for step in range(1, 41)]
    flat = diagnosis_of(DiagnosedRun(config(), TRAINING, history(*level), "training", None, ()))
    assert flat.verdict == "learning"
    assert flat.evidence.startswith("from step 1 to 40 the training loss went from 5.99 to 5.8")


@pytest.mark.parametrize(
    ("has_ended", "words"),
    [
        (
            False,
            (
                "the validation loss was 3.50 at step 40",
                "(validation loss 0.50 above training,",
                "on 30 of 100 bytes of validation text",
            ),
        ),
        (
            True,
            (
                "the validation loss (on 30% of that text) was 3.50",
                "(final validation loss 0.25 above training,",
                "On all 100 bytes of",
            ),
        ),
    ],
)
def test_of_two_validation_losses_each_says_on_how_much_text_it_is(has_ended: bool, words: tuple[str, ...]) -> None:
    made = config()
    sampled = replace(made.data, evaluated=ValidationSegments(((270, 280),), 30, "e"), copied=CopiedShare(0.0))
    last = FinalEvaluation(step=40, tokens=30, bytes=100, val_loss=3.25, bits_per_byte=1.0)
    status = Status(phase="finished", step=40, final=last) if has_ended else TRAINING
    points = history(*((step, 3.0, 3.5 if step in (2, 40) else None) for step in range(1, 41)))
    run = DiagnosedRun(replace(made, data=sampled), status, points, status.phase, None, ())
    said = reasons(run, Diagnosis("learning", run.describe_trend()))
    for each in words:
        assert each in said


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
    assert made_up((10, 3.2, 3.0)).details.endswith(f"{math.log(1024) - 3.0:.2f} nats below the uniform baseline."), (
        "without a known source"
    )
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
    said = (
        f"{apart:.2f} nats above the bigram baseline, so worse than it."
        if apart > 0
        else f"{-apart:.2f} nats below the bigram baseline."
    )
    assert line_of(name).details.endswith(said)


def test_of_a_text_of_other_tokens_the_level_is_the_lowest_one() -> None:
    text = TextEntropy(2.0, 1.0, ValidationText(100, 2.0, 8.0, 3.0, bigram_loss=9.9))
    run = DiagnosedRun(config(), TRAINING, history((10, 3.2, 7.5)), "training", text, ())
    line = verdict_line(run, Diagnosis("validation text differs", ""))
    assert line.details.endswith(f"{7.5 - math.log(1024):.2f} nats above the uniform baseline, so worse than it.")


def test_every_verdict_has_a_tone() -> None:
    assert set(TONES) == set(get_args(Verdict))
