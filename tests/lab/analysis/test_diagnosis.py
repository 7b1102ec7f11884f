"""The diagnosis, on the runs that record_curves.py trained to go well or to fail in a known way."""

import dataclasses
import math
import re
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from lab.analysis.diagnose import diagnosis_of
from lab.analysis.diagnosed_run import DiagnosedRun, Diagnosis
from lab.analysis.run_sentence import verdict_line
from lab.planning.default_hyperparameters import default_lr, fine_tuning_lr
from lab.runs.expected_loss_range import ExpectedLoss
from lab.runs.run_history import LossHistory
from lab.runs.run_schema import RunConfig, Status
from lab.runs.schema_parts import StartConfig
from tests.lab.analysis.recorded_curves import NAMES, Recorded, recorded

LIMIT = r"what this model can make|no limit|near the entropy|not help"
"""Said of none of them."""
MORE_STEPS = "a run with more steps may well go lower"


@dataclass(frozen=True)
class Case:
    """What a run must be told, and what it must not."""

    verdict: str
    says: tuple[str, ...] = ()
    """Regular expressions, each of which the sentences must hold."""
    never: tuple[str, ...] = ()
    """And those of which they must hold none."""
    passes: tuple[str, ...] = ()
    """Verdicts that it may get on the way, beside those that every run may, and after a rollback that one."""


ON_THE_WAY = {"waiting", "too early to tell", "warming up", "learning", "plateau"}


UNIFORM = "about the uniform baseline"
UNIGRAM = r"(?:about|above) the unigram baseline"
LR_UP = (r"is far below the default of 0\.003",)
LR_DOWN = (r"is far above the default of 0\.003",)

HEADLINES = {
    "diverged": "✗ Its training went wrong: ",
    "learned": "[✓!] It has learned: ",
    "learning": "✓ It (is|was) learning: ",
    "little learned": r"! It has learned little: .* nats (above|below) the unigram baseline(, so worse than it)?\.$",
    "nothing learned": r"! It has learned nothing: .* nats (above|below) the uniform baseline(, so worse than it)?\.$",
    "overfitting": "! It has begun to memorize the text: ",
    "plateau": "! It has hardly improved since step ",
    "text too small": "! The text is too small for this model",
    "too early to tell": "… Too early to tell: ",
    "too short to say": r"… Too short to say: .* nats (above|below) the (unigram|bigram) baseline(, so worse than it)?\.$",
    "validation text copied": "! Validation says little: ",
    "validation text differs": "! The validation text is of another kind: ",
    "waiting": r"… No step has been taken yet\.$",
    "warming up": "… Too early to tell: ",  # of a run that was stopped
}
"""Regular expressions that the verdict and its details must match."""

TABLE = {
    "learning": Case("learned", (MORE_STEPS,), ("rate",)),
    "learning-manual": Case("learned", (MORE_STEPS,), ("rate", "longer text")),
    "learning-half-way": Case("learning", (), ("ended", "rate")),
    "learning-muon": Case("learned", (), ("rate",)),
    "learning-dropout": Case("learned", (), ("dropout",)),
    "learning-rare-evaluations": Case("learning", (r"the validation loss was [\d.]+ at step 400",), ("step 0 ", "ended")),
    "learning-by-minutes": Case("learned", (MORE_STEPS,)),
    "learning-before-overfitting": Case("learning", (), ("best", "ended")),
    "learning-with-a-gap": Case("learned", (), ("rate",)),
    "learning-short-manual": Case("learned", (), ("rate", "mix")),
    "too-short": Case("too short to say", (UNIGRAM, MORE_STEPS)),
    "too-short-to-tell": Case("too short to say", ("10 steps", "more steps would tell more"), ("from", "went", "so far")),
    "paused-early": Case("too early to tell", (r"1\d steps so far",), ("ended", "went")),
    "paused-at-once": Case("waiting", ("no step",)),
    "overfitting": Case("overfitting", ("longer text",), ("stopped", "vocabulary")),
    "overfitting-bpe": Case("overfitting", ("longer text",)),
    "overfitting-at-first": Case("overfitting"),
    "overfitting-paused": Case("overfitting", ("so that the run can be stopped",)),
    "overfitting-ended-early": Case("overfitting", (), ("can be stopped",)),
    "overfitting-large-vocabulary": Case("overfitting", (r"smaller vocabulary may help",)),
    "overfitting-last-tenth": Case("overfitting", ("longer text",), ("stopped",)),
    "overfitting-blocks": Case("overfitting", ("longer text",), ("stopped",)),
    "small-text": Case("text too small", ("540 training tokens", "a longer text"), ("vocabulary", "rate")),
    "small-text-large-model": Case("text too small", ("smaller model",), ("vocabulary", "rate")),
    "small-text-vocabulary": Case("text too small", ("smaller vocabulary may help",), ("rate",)),
    "differs-manual-at-the-end": Case("validation text differs", ("token frequencies", "mix"), ("overfit", "longer text")),
    "differs-bpe": Case("validation text differs", ("mix",), ("overfit", "longer text")),
    "differs-in-the-first-epoch": Case("validation text differs", ("in the first epoch", "mix"), ("overfit", "longer text")),
    "differs-easier-end": Case("validation text differs", ("token frequencies",), ("overfit", "longer text")),
    "copied-text": Case("validation text copied", ("100% of the validation text",), ("rate", "new text is")),
    "copied-one-letter": Case("validation text copied", ("100% of the validation text",), ("nan",)),
    "lr-too-low-at-uniform-baseline": Case("plateau", (*LR_UP, "uniform baseline", "not the limit")),
    "lr-too-low-rarely-evaluated": Case("plateau", (*LR_UP, "not the limit")),
    "lr-too-low-muon": Case("little learned", (UNIGRAM, r"0\.0001 is far below the default of 0\.016")),
    "lr-too-low-plateau": Case("plateau", (r"1e-05 is far below the default of 0\.016", "not the limit of the text")),
    "lr-too-high-without-rollback": Case("little learned", (UNIGRAM, *LR_DOWN, r"0\.3 "), ("below",)),
    "lr-too-high": Case("learned", LR_DOWN, ("below", MORE_STEPS)),
    "lr-too-high-muon": Case("learned", (r"far above the default of 0\.016",), ("below", MORE_STEPS)),
    "rolled-back": Case("learned", (*LR_DOWN, r"learning rate of 3 \(0\.38 after 3 rollbacks\)"), (r"0\.30", MORE_STEPS)),
    "rolled-back-half-way": Case("little learned", (UNIGRAM, *LR_DOWN, r"after \d rollbacks"), (r"0\.30",)),
    "plateau-independent-letters": Case(
        "plateau",
        (r"about the bigram entropy of the training text \(2\.08\)", "depends on more than one"),
        ("not the limit", "rate"),
    ),
    "dropout-too-high": Case("little learned", (UNIGRAM, r"dropout of 0\.9 is high"), ("learning rate of",)),
    "learning-context-of-two": Case("learned", (MORE_STEPS,), ("far",)),
    "plateau-model-too-small": Case("plateau", ("larger model",), ("far",)),
    "diverged-without-rollback": Case("diverged", (r"such as 0\.0030, the default .* instead of 1\.",), ("0.10", "Stop it")),
    "diverged-nan-without-rollback": Case("diverged", ("NaN or infinite", r"such as 0\.0030"), ("Stop it",)),
    "diverged-lr-1000": Case("diverged", (r"after 6 rollbacks", r"such as 0\.0030"), ("Stop it",)),
    "warming-up": Case("warming up", (r"rises to 0\.003 until step 100",), ("plateau",)),
    "warming-up-by-minutes": Case("warming up", (r"rises to 0\.003 over the first 150 seconds",), ("plateau",)),
    "diverged-while-warming-up": Case("diverged", (r"such as 0\.0030", r"10 \(1\.2 after 3 rollbacks\)"), ("rises to",)),
    "nothing-lr-1e-5": Case("nothing learned", (UNIFORM, r"6\.20", r"1e-05 is far below")),
    "nothing-rarely-evaluated": Case("nothing learned", (UNIFORM, r"1e-07 is far below")),
    "nothing-stopped": Case("nothing learned", (UNIFORM, r"1e-06 is far below")),
    "nothing-paused": Case("too early to tell", (UNIFORM,), ("ended",)),
    "little-lr-1e-4": Case("little learned", (r"above the unigram baseline", *LR_UP)),
    "little-dropout": Case("plateau", (r"dropout of 0\.9 is high", "not the limit of the text")),
    "little-independent-letters": Case("too short to say", ("about the unigram baseline",), ("rate",)),
    "little-coin": Case("too short to say", ("about the unigram baseline",), ("rate",)),
    "little-while-training": Case("learning", (), ("ended", "rate")),
    "little-at-a-high-rate": Case("little learned", ("about the unigram baseline", *LR_DOWN)),
    "short-20-steps": Case("too short to say", ("20 steps", "above the unigram baseline")),
    "short-45-steps": Case("too short to say", ("45 steps", "above the unigram baseline")),
    "short-60-steps-bpe": Case("learned", (MORE_STEPS,), ("rate",)),
    "short-narrow": Case("too short to say", ("100 steps", "above the unigram baseline")),
    "short-stopped": Case("too early to tell", ("30 steps", "above the unigram baseline"), ("ended",)),
    "short-by-minutes": Case("too short to say", ("60 steps", "about the unigram baseline")),
    "short-20-steps-below-unigram": Case("too short to say", ("20 steps", MORE_STEPS), ("baseline",)),
    "short-but-learned": Case("learned", (MORE_STEPS,), ("rate",)),
    "rollbacks-lr-10": Case("little learned", ("about the unigram baseline", r"10 \(0\.16 after 6 rollbacks\)")),
    "rollbacks-lr-3-wide": Case("plateau", ("after 4 rollbacks",)),
    "rollbacks-muon": Case("learned", ("after 3 rollbacks",), (MORE_STEPS,)),
    "rollbacks-just-now": Case("little learned", (UNIGRAM, "after 5 rollbacks")),
    "rollbacks-while-training": Case("plateau", ("after 3 rollbacks",)),
    "rollbacks-small-text": Case("overfitting", ("longer text",), (), ("text too small",)),
}


def headline(name: str, until: float = float("inf"), phase: str = "") -> str:
    """The verdict and its details."""
    judged = recorded(name, until).judged(phase)
    line = verdict_line(judged, diagnosis_of(judged))
    return f"{line.text} {line.details}".rstrip()


def diagnose(config: RunConfig, status: Status, history: LossHistory, phase: str = "") -> Diagnosis:
    """The diagnosis of a run whose text and events are not known."""
    return diagnosis_of(DiagnosedRun(config, status, history, phase or status.phase, None, ()))


def test_every_recorded_run_is_in_the_table() -> None:
    assert list(NAMES) == sorted(TABLE)


@pytest.mark.parametrize("name", NAMES)
def test_each_run_gets_its_verdict_and_no_other(name: str) -> None:
    case = TABLE[name]
    found = recorded(name).diagnosis("training" if case.verdict == "warming up" else "")
    assert found.verdict == case.verdict, found.sentences
    assert found.sentences.lower().startswith(case.verdict)
    assert found.sentences.endswith(".")
    for words in case.says:
        assert re.search(words, found.sentences), (words, found.sentences)
    for words in (*case.never, LIMIT, *(() if case.verdict in ("learned", "too short to say") else (MORE_STEPS,))):
        assert not re.search(words, found.sentences), (words, found.sentences)
    assert re.match(HEADLINES[case.verdict], headline(name)), headline(name)
    for phase in ("finished", "stopped", "interrupted", "failed"):
        said = recorded(name).diagnosis(phase).sentences
        assert "Stop it" not in said, "advice for a run that goes on"
        assert "can be stopped" not in said


@pytest.mark.parametrize("name", NAMES)
def test_at_every_evaluation_on_the_way_nothing_is_said_that_does_not_hold(name: str) -> None:
    """The verdict is one that a run of this kind may pass through; a loss above the text's entropies is not called its limit; a
    lower learning rate that is advised is at most half of what rollbacks have left, and at most the default."""
    case = TABLE[name]
    for step in recorded(name).history.eval_steps:
        run = recorded(name, step)
        found, entropy = run.diagnosis("training"), run.head.entropy
        assert found.verdict in {*ON_THE_WAY, case.verdict, *case.passes} | ({"rolled back"} if run.events else set()), (
            f"{found.sentences} at step {step}"
        )
        assert entropy is not None
        assert "can make of this text" not in found.sentences
        if found.verdict == "plateau" and run.history.smooth[-1] > min(entropy.unigram, entropy.bigram) * 1.03:
            assert "so it is not the limit of the text" in found.sentences, found.sentences
        left = run.head.config.train.lr * 0.5 ** sum(event.kind == "back" for event in run.events)
        default = default_lr(run.head.config.model.width, run.head.config.train.optimizer)
        said = run.diagnosis().sentences
        assert "weights of step 0 " not in said, "the trainer does not keep them"
        for before, now in re.findall(r"(?:went|fell|rose) from ([\d.]+) to ([\d.]+)", said):
            assert before != now, step
        for advised in re.findall(r"lower learning rate, such as ([\d.e−-]+\d)", said):
            assert float(advised.replace("−", "-")) <= min(left / 2, default) * 1.05
        for above in re.findall(r"far above the default of ([\d.e-]+\d);", said):
            assert float(above) <= min(left / 2, default)


@pytest.mark.parametrize("name", NAMES)
def test_a_headline_has_every_rollback_and_no_tick_at_a_baseline_that_needs_no_learning(name: str) -> None:
    """At every evaluation on the way and at the end: what token frequencies alone lose, or more, is nothing to be ticked."""
    run = recorded(name)
    backs = [event.step for event in run.events if event.kind == "back"]
    for step in (*run.history.eval_steps, float("inf")):
        number = sum(back <= min(step, run.history.steps[-1]) for back in backs) if len(run.history.steps) else 0
        said = headline(name, step)
        assert (f"{number} rollback" in said) == (number > 0), said
    assert run.head.entropy is not None
    assert run.head.entropy.validation is not None
    level = min(math.log(run.head.config.model.vocab_size), run.head.entropy.validation.unigram_loss)
    for step, loss in zip(run.history.eval_steps, run.history.val_losses, strict=True):
        for phase in ("training", "stopped"):
            if loss > 0.98 * level:
                assert not headline(name, step, phase).startswith("✓"), (step, loss, level)


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_in_a_sentence_is_that_of_the_step_it_names(name: str) -> None:
    """Recomputed from the metrics: evaluations exactly, smoothed losses within what their smoothing can differ by."""
    run = recorded(name)
    losses = dict(zip(run.history.eval_steps, run.history.val_losses, strict=True))
    bad = {event.step for event in run.events if event.kind == "bad_step"}
    trained = [metric for metric in run.metrics if metric.loss is not None and metric.step not in bad]
    said = run.diagnosis().sentences
    number = r"([\d,]+(?:\.\d+)?)"
    for first, last, before, now in re.findall(
        rf"from step {number} to {number} the validation loss went from {number} to {number}", said
    ):
        assert losses[float(first.replace(",", ""))] == pytest.approx(float(before), abs=0.005)
        assert losses[float(last.replace(",", ""))] == pytest.approx(float(now), abs=0.005)
    for first, last, *pair in re.findall(
        rf"from step {number} to {number} the training loss (?:went|fell) from {number} to {number}", said
    ):
        for step, loss in zip((first, last), pair, strict=True):
            near = [m.loss for m in trained if m.loss is not None and abs(m.step - float(step.replace(",", ""))) <= 30]
            assert min(near) - 0.005 <= float(loss) <= max(near) + 0.005


def test_the_rate_that_trained_weights_get_is_not_called_far_below_the_default() -> None:
    run = recorded("learning-muon")
    config = run.head.config
    train = replace(config.train, lr=fine_tuning_lr(config.model.width, config.train.optimizer))
    slow = replace(config, train=train)
    tuned = replace(slow, start=StartConfig(base="base", base_step=300))
    said = [replace_head(run, each).diagnosis().sentences for each in (slow, tuned)]
    assert ["far below the default" in each for each in said] == [True, False]
    too_slow = replace(tuned, train=replace(train, lr=train.lr / 100))
    assert f"far below the default of {train.lr:g}" in replace_head(run, too_slow).diagnosis().sentences


def replace_head(run: Recorded, config: RunConfig) -> Recorded:
    return dataclasses.replace(run, head=replace(run.head, config=config))


def test_overfitting_is_said_from_the_third_evaluation_above_the_best_and_names_its_step_and_both_losses() -> None:
    history = recorded("overfitting").history
    best = min(range(len(history.val_losses)), key=lambda at: history.val_losses[at])
    verdicts = [recorded("overfitting", step).diagnosis().verdict for step in history.eval_steps[best : best + 4]]
    assert verdicts == ["learned", "learned", "learned", "overfitting"]
    run = recorded("overfitting")
    best_loss, best_step = min(zip(run.history.val_losses, run.history.eval_steps, strict=True))
    said = run.diagnosis()
    assert f"from step {best_step:.0f} to 600 the training loss fell" in said.evidence
    assert f"rose from {best_loss:.2f} to {run.history.val_losses[-1]:.2f}" in said.evidence
    assert f"The weights of step {best_step:.0f} are kept" in said.advice
    small = recorded("small-text")
    best_step = min(zip(small.history.val_losses, small.history.eval_steps, strict=True))[1]
    assert small.diagnosis().advice.startswith(f"The weights of step {best_step:.0f} are kept as the best; a longer text ")


def test_what_is_said_after_a_rollback_follows_what_is_left_of_the_rate_and_no_step_that_was_left_out_is_judged() -> None:
    run = recorded("rolled-back")
    (first, *_) = [event.step for event in run.events if event.kind == "back"]
    found = recorded("rolled-back", first + 5).diagnosis("training")
    assert found.verdict == "rolled back"
    assert "for the first time: 3 was set, and its peak is now 1.5." in found.evidence
    run = recorded("diverged-while-warming-up", 200)
    found = run.diagnosis("training")
    assert found.verdict == "warming up", found.sentences
    left = 10 * 0.5 ** sum(event.kind == "back" for event in run.events)
    assert f"rises to {left:g} until step 500 (10 was set; " in found.evidence
    found = run.diagnosis("stopped")
    assert found.verdict == "too early to tell", found.sentences
    assert "the run ended at step 200 with a learning rate of" in found.evidence
    run = recorded("rolled-back")
    bad = {event.step for event in run.events if event.kind == "bad_step"}
    worst = max(metric.loss for metric in run.metrics if metric.step in bad and metric.loss is not None)
    assert worst > 2 * math.log(256)
    for step in range(min(bad), 300, 7):
        assert recorded("rolled-back", step).diagnosis("training").verdict != "diverged"
    run = recorded("diverged-nan-without-rollback")
    assert run.head.status.phase == "failed"
    assert run.diagnosis("training").verdict != "diverged"


LOST = "the run is at step 300, and its metrics.jsonl has no step."


@pytest.mark.parametrize(
    ("phase", "step", "verdict", "evidence"),
    [
        ("training", 0, "waiting", "no step has been taken yet."),
        ("stopped", 0, "too early to tell", "no step has been taken."),
        ("interrupted", 0, "too early to tell", "no step has been taken."),
        ("finished", 300, "losses missing", LOST),
    ],
)
def test_before_the_first_step_it_waits_and_a_run_at_rest_for_nothing(phase: str, step: int, verdict: str, evidence: str) -> None:
    run = recorded("learning", until=0)
    found = diagnose(run.head.config, replace(run.head.status, step=step), run.history, phase)
    assert (found.verdict, found.evidence) == (verdict, evidence)


@pytest.mark.parametrize("fall", [0.004, 0.0])
def test_losses_that_are_near_each_other_are_told_apart(fall: float) -> None:
    run = recorded("learning")
    evaluations = [metric for metric in run.metrics if metric.val_loss is not None]
    assert evaluations[-1] is run.metrics[-1]
    before = next(metric.val_loss for metric in evaluations if metric.step == 460)
    assert before is not None
    history = LossHistory()
    history.add([*run.metrics[:-1], replace(run.metrics[-1], val_loss=before - fall)])
    fell, stayed = f"from {before:.3f} to {before - fall:.3f}", f"stayed at {before:.4f} (steps 460 to 600)"
    words = fell if fall else stayed
    assert f", and the validation loss {words}." in diagnose(run.head.config, run.head.status, history).evidence


def test_a_loss_near_the_entropy_of_the_source_is_called_its_limit() -> None:
    """The independent letters again, as if their source were known as that of `stories` is."""
    run = recorded("plateau-independent-letters")
    data = replace(run.head.config.data, entropy_bits_per_byte=3.0)  # eight letters alike
    said = diagnose(replace(run.head.config, data=data), run.head.status, run.history).sentences
    assert re.search(r"At 3\.0\d\d bits per byte it is near the entropy of the source \(3\.000\)", said)


def test_the_text_is_not_judged_where_it_is_not_known() -> None:
    """As with a run whose tokens are gone."""
    run = recorded("lr-too-low-muon")
    said = diagnose(run.head.config, run.head.status, run.history).sentences
    assert "entropy" not in said
    assert "limit" not in said


def test_parts_that_were_alike_in_the_first_epoch_are_not_of_another_kind_whatever_their_frequencies_say() -> None:
    judged = recorded("differs-bpe").judged()
    assert diagnosis_of(judged).verdict == "validation text differs"
    epoch = 55305 / (32 * 8)  # in steps: tokens over those of a batch
    early = [each for each in judged.evaluations if each.step <= epoch]
    alike = [
        dataclasses.replace(each, loss=judged.smoothed_at(each.step)) if each in early else each for each in judged.evaluations
    ]
    judged.evaluations[:] = alike
    assert diagnosis_of(judged).verdict != "validation text differs"


@pytest.mark.parametrize(("name", "said"), [("too-short", "It ended as planned"), ("small-text-large-model", "a longer text")])
def test_a_run_whose_settings_were_chosen_for_it_is_not_told_to_choose_others(name: str, said: str) -> None:
    run = recorded(name)
    expected = ExpectedLoss(bits_per_byte=2.0, low=1.9, high=2.1, by_law=2.0, steps=run.head.status.step)
    train = replace(run.head.config.train, steps=run.head.status.step, minutes=None)
    told = diagnose(replace(run.head.config, expected=expected, train=train), run.head.status, run.history).sentences
    assert said in told.replace("A longer", "a longer")
    assert MORE_STEPS not in told
    assert "smaller" not in told
