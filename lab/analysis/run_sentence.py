"""The losses of a run in two sentences, and the verdict on it with what is behind it: rollbacks, overfitting, the nearest
baseline."""

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from lab.analysis.baselines import NATS, Baseline, LossUnit, baselines, bigram_sentence
from lab.analysis.diagnose import near_source
from lab.analysis.diagnosed_run import NEAR, RISE, DiagnosedRun, Diagnosis, Verdict, differs_visibly, rollbacks_text, step_text
from lab.core.number_format import counted, fixed, perplexity, probability, whole
from lab.core.safetensors_file import is_whole, read_metadata, step_of
from lab.data.statistics.copied_share import copied_error
from lab.planning.text_difficulty import AS_PLANNED
from lab.runs.run_folder import ACTIVE, Run
from lab.runs.run_in_words import at_the_end, during_training
from lab.runs.run_schema import FinalEvaluation, RunConfig, Status
from models.config import uniform_baseline

if TYPE_CHECKING:
    from lab.runs.run_history import LossHistory

SAME = 0.03
"""Training and validation loss this near each other, as a fraction, are called about the same."""


def run_sentence(
    config: RunConfig, status: Status, history: "LossHistory", *, generalizes: bool = True, unit: LossUnit = NATS
) -> str:
    """Training loss beside the uniform baseline, and validation loss; `generalizes` if that text and what was learned allow
    it."""
    beside = unit.train if history.smooth else unit
    baseline = f"uniform baseline {beside(uniform_baseline(config.tokenizer.vocab_size))} {unit.name}"
    if status.phase == "failed":
        return status.message or "The trainer failed without a message; see trainer.log in the run's folder."
    if config.imported is not None:
        return f"U{baseline[1:]}."
    if history.last_training is None and history.last_evaluation is None:
        return f"No step taken yet; {baseline}." if config.tuning is None else f"U{baseline[1:]}."
    evaluation = history.last_evaluation
    parts = [f"Training loss {unit.train(history.smooth[-1])} (mean); {baseline}." if history.smooth else f"U{baseline[1:]}."]
    bits, entropy = evaluation.bits_per_byte if evaluation else None, config.data.entropy_bits_per_byte
    source = f"entropy of the source {fixed(entropy)} bits/byte" if entropy is not None else ""
    if status.final is not None:
        last, best = status.final, status.final_best
        words = f"On {at_the_end(config.data, last).in_words} of validation text: last weights {_loss_of(last, unit)}"
        if best is not None and best.step != last.step:
            words += f", best weights (step {whole(best.step)}) {_loss_of(best, unit)}"
        expected = against_expectation(config, status)
        parts.insert(0, f"{words}{f'; {source}' if source else ''}{f'; {expected}' if expected else ''}.")
    elif evaluation is not None and evaluation.val_loss is not None:
        share = during_training(config.data, status)
        part = f", on {share.in_words} of validation text" if share and not share.is_whole else ""
        words = _validation_loss(evaluation.step, evaluation.val_loss, history, generalizes, config.model.dropout > 0, unit)
        both = f"{fixed(bits)} bits/byte, " if unit == NATS and bits is not None else ""
        parts.append(f"{words}{part}{f'; {both}{source}' if source and bits is not None else ''}.")
    return " ".join(parts)


def against_expectation(config: RunConfig, status: Status) -> str:
    """The expectation of the run against the result: `expected 2.06 bits per byte (1.98 to 2.15), got 2.09: 1.5% more`. Empty
    where nothing was expected, or it has not ended."""
    got = status.final_best and status.final_best.bits_per_byte
    if config.expected is None or not got:
        return ""
    expected = config.expected
    off = got / expected.bits_per_byte - 1
    slow = status.step < AS_PLANNED * expected.steps
    why = f", with {whole(status.step)} of {whole(expected.steps)} planned steps" if slow else ""
    by = "" if expected.is_wide else f": {probability(abs(off))} {'more' if off > 0 else 'less'}"
    return f"expected {expected.in_words}, got {fixed(got, 2)}{by}{why}"


def _loss_of(found: FinalEvaluation, unit: LossUnit) -> str:
    if found.val_loss is None or found.bits_per_byte is None:
        return "NaN"
    return unit(found.val_loss, 3) + f" ({fixed(found.bits_per_byte)} bits/byte)" * (unit == NATS)


def _validation_loss(step: int, val_loss: float, history: "LossHistory", generalizes: bool, dropout: bool, unit: LossUnit) -> str:
    before = bisect_right(history.steps, step)
    val_loss *= unit.factor
    if not before:
        return f"Validation loss {fixed(val_loss, 2)} at step {whole(step)}"
    loss = history.smooth[before - 1] * unit.train_factor
    then = fixed(loss, 2)
    has_moved = then != unit.train(history.smooth[-1])
    without = ", measured without dropout" if dropout else ""
    if abs(val_loss - loss) <= SAME * loss:
        beside = f", against a training loss of {then} at step {whole(step)}" if has_moved else ""
        # With dropout the training loss is higher than the same weights lose without it, so it says less.
        words = ": the model generalizes" if generalizes and not dropout else ""
        return f"Validation loss about the same ({fixed(val_loss, 2)}{without}{beside}){words}"
    apart = fixed(abs(round(val_loss, 2) - round(loss, 2)), 2)
    beside = f" than the training loss of {then} at step {whole(step)}" if has_moved else ""
    return f"Validation loss {fixed(val_loss, 2)}{without}, {apart} {'higher' if val_loss > loss else 'lower'}{beside}"


def saved_step(run: Run) -> int | None:
    """The step that training would resume from; None where no checkpoint is whole."""
    for name in ("last", "previous"):
        path = run.path / f"{name}.safetensors"
        step = step_of(read_metadata(path))
        if step is not None and is_whole(path):
            return step
    return None


def stopped_sentence(run: Run, resume: str) -> tuple[str, bool]:
    """A sentence on a stopped run, and True if its step is saved. `resume` is the command that resumes it."""
    status, saved = run.status(), saved_step(run)
    message = f" {status.message}" if status.message else ""
    if saved == status.step:
        return f"{run.name} is stopped at step {saved} and saved.{message} `{resume}` resumes it.", True
    if saved is None:
        return f"{run.name} is stopped at step {status.step}, and no checkpoint of it is whole.{message}", False
    return (
        f"{run.name} is stopped at step {status.step}, which is not saved: its last whole checkpoint is of step {saved}."
        f"{message} `{resume}` resumes from there."
    ), False


Tone = Literal["good", "wait", "warn", "bad"]
BY_TONE: dict[Tone, tuple[Verdict, ...]] = {
    "warn": get_args(Verdict),  # but for these
    "good": ("fine-tuned", "imported", "learning", "learned"),
    "wait": ("waiting", "too early to tell", "too short to say", "warming up"),
    "bad": ("losses missing", "diverged"),
}
TONES = {verdict: tone for tone, verdicts in BY_TONE.items() for verdict in verdicts}
SIGNS: dict[Tone, str] = {"good": "✓", "wait": "…", "warn": "!", "bad": "✗"}
"""Sign of each tone, so that it is told without colour."""
JUDGED: tuple[Verdict, ...] = ("learning", "learned", "plateau", "overfitting", "text too small")
"""Verdicts of runs whose validation loss says whether they overfit."""
SHOWN_GAP = 0.005
"""Least difference of validation and training loss that two decimals show."""
WITHOUT_LOSSES: tuple[Verdict, ...] = ("waiting", "losses missing", "fine-tuned", "imported")
NO_LEVEL: tuple[Verdict, ...] = (*WITHOUT_LOSSES, "too early to tell", "warming up", "rolled back", "diverged")
"""Verdicts of runs without losses, or whose validation loss still changes too fast to compare it with a baseline."""


@dataclass(frozen=True)
class VerdictLine:
    """A sentence without terms, and its tone; `details` are for who knows the terms."""

    tone: Tone
    sentence: str
    details: str = ""

    @property
    def text(self) -> str:
        return f"{SIGNS[self.tone]} {self.sentence}"


def verdict_line(run: DiagnosedRun, found: Diagnosis) -> VerdictLine:
    """The line of a run and its diagnosis."""
    parts = [rollbacks_text(len(run.rollbacks)) if run.rollbacks else ""]
    if found.verdict in JUDGED:
        parts.append(_overfitting(run))
    if found.verdict not in NO_LEVEL:
        parts.append(_level(run))
    tone = "bad" if run.phase == "failed" else TONES[found.verdict]
    if tone == "good" and (run.level or run.rollbacks):
        tone = "wait" if run.phase in ACTIVE and not run.rollbacks else "warn"
    details = ", ".join(part for part in parts if part)
    sentence = plain_sentence(run, found)
    if len(run.rollbacks) > (found.verdict == "rolled back"):  # whose sentence tells of one
        sentence = f"{sentence.removesuffix('.')}, after {counted(len(run.rollbacks), 'return')} to an earlier state."
    return VerdictLine(tone, sentence, details and f"{details[0].upper()}{details[1:]}.")


def reasons(run: DiagnosedRun, found: Diagnosis) -> str:
    """The sentences behind the verdict: the diagnosis, the details, the losses, the bigram baseline."""
    generalizes = run.shows_new_text and run.level is None
    losses = run_sentence(run.config, run.status, run.history, generalizes=generalizes, unit=run.unit)
    if run.phase == "failed" or found.verdict == "waiting":
        return losses
    meaning = pairs = ""
    if found.verdict not in NO_LEVEL:
        choices, on = _choices(run)
        meaning = f"{on.capitalize()} as unsure as an even choice among {choices} tokens (perplexity)."
        pairs = bigram_sentence(run.entropy, on_all=run.status.final is not None, unit=run.unit)
    return " ".join(filter(None, (meaning, found.sentences, verdict_line(run, found).details, losses, pairs)))


def plain_sentence(run: DiagnosedRun, found: Diagnosis) -> str:
    """The verdict for a newcomer, with the number that matters: for a loss, the tokens that it amounts to choosing among."""
    verdict, taken, last = found.verdict, whole(run.last_step), run.history.latest
    if run.phase == "failed" and verdict != "diverged":
        return f"Training failed at step {taken}."
    if not run.last_step:
        return found.evidence[0].upper() + found.evidence[1:]
    match verdict:
        case "warming up":
            return "It is warming up: its steps are still small."
        case "rolled back":
            return f"It went wrong by step {whole(run.start)}: back at an earlier state, it takes smaller steps."
        case "diverged":
            rose = "is no number any more" if last and last.loss is None else "rose instead of falling"
            return f"Its training went wrong: by step {taken} the loss {rose}."
        case "too early to tell" | "too short to say":
            steps = f"{taken} step{'' if run.last_step == 1 else 's'}"
            so_far = f"in {steps} it has learned {_only(run.level, run)}" if run.level else f"it has taken {steps}"
            return f"{verdict.capitalize()}: {so_far}."
        case "nothing learned" | "little learned" if run.level:
            return f"It has learned {verdict.split()[0]}: after {taken} steps, {_only(run.level, run)}."
        case "validation text copied" if run.copied:
            share = f"{probability(run.copied.share)}{copied_error(run.copied)}"
            return f"Validation says little: {share} of its text is also in the training text."
        case "validation text differs" if run.measured:
            there, here = run.unit(run.measured.loss), run.unit.train(run.smoothed_at(run.measured.step) or 0.0)
            return f"The validation text is of another kind: loss {there}{run.unit.suffix} there, {here} in training."
        case "overfitting":
            best = min(run.evaluations, key=lambda evaluation: evaluation.loss)
            return f"It has begun to memorize the text: validation loss rises since step {step_text(best.step)}."
        case "text too small":
            return f"The text is too small for this model, which has read it {run.times_read} times."
        case "plateau":
            now = f"its training loss is about {run.unit.train(run.loss)}{run.unit.suffix}"
            if near_source(run):
                now = "its loss is near the lowest that this text allows"
            elif run.level:
                now = f"it has learned {_only(run.level, run)}"
            return f"It has hardly improved since step {step_text(run.steps[run.trend_start])}: {now}."
    if run.level and run.phase in ACTIVE:
        return f"It is learning: so far {_only(run.level, run)}."
    doing = "has learned" if verdict == "learned" else "is learning" if run.phase in ACTIVE else "was learning"
    choices, on = _choices(run)
    return f"It {doing}: unsure as among {choices} of {whole(run.config.model.vocab_size)} tokens {on}."


def _choices(run: DiagnosedRun) -> tuple[str, str]:
    """The number of tokens that the loss amounts to choosing among, and the text that it is of."""
    measured = None if run.level else run.measured  # an evaluation at a baseline here is of weights that were worse
    on = "in training" if measured is None else "on new text" if run.shows_new_text else "in validation"
    return perplexity(measured.loss if measured else run.loss), on


def _only(level: Baseline, run: DiagnosedRun) -> str:
    """As little as a run has learned whose loss is at this baseline."""
    if level.short == "uniform":
        return "no more than blind guessing"
    far = (run.measured.loss if run.measured else run.loss) > level.loss * (1 + NEAR)
    return f"{'not even' if far else 'only'} how common each token is"


def _overfitting(run: DiagnosedRun) -> str:
    """The change of the validation loss since its lowest, or the copied share where that text is not new; empty if unknown."""
    if len(run.evaluations) < 2:
        return ""
    best, last = min(run.evaluations, key=lambda evaluation: evaluation.loss), run.evaluations[-1]
    if last.loss <= best.loss * (1 + RISE):
        if not run.shows_new_text:
            return f"{probability(run.copied.share)}{copied_error(run.copied)} of validation copied" if run.copied else ""
        now = run.measured or last
        beside = run.smoothed_at(now.step)
        gap = 0.0 if beside is None else now.loss * run.unit.factor - beside * run.unit.train_factor
        final = "final " if run.final else ""
        why = f" ({final}validation loss {fixed(gap, 2)} above training, not rising)" if gap >= SHOWN_GAP else ""
        return "no overfitting" + (" yet" if run.phase in ACTIVE or why else "") + why
    unit, both = run.unit, (best.loss, last.loss)
    decimals = 2 if unit(best.loss) != unit(last.loss) or not differs_visibly(unit, *both) else 4
    losses = " → ".join(unit(loss, decimals) for loss in both) + unit.suffix
    share = during_training(run.config.data, run.status) if run.final else None
    return f"val{share.loss_suffix if share else ''} {losses}, steps {step_text(best.step)} → {step_text(last.step)}"


def _level(run: DiagnosedRun) -> str:
    """The measured loss beside the baseline that it is at, else beside the source's entropy, which is the least possible, or the
    lowest baseline, above which it is worse than that."""
    if run.measured is None:
        return ""
    known = baselines(run.config.model.vocab_size, run.config.data, run.history, run.entropy, run.final)
    source = next((each for each in known if each.short == "source"), None)
    level = run.level or source or known[-1]
    apart, name = run.measured.loss - level.loss, "the source's entropy" if level is source else f"the {level.short} baseline"
    side = "below" if apart < 0 else "above"
    worse = ", so worse than it" if side == "above" and level is not source else ""
    return f"{run.unit(abs(apart))} {run.unit.short} {side} {name}{worse}"
