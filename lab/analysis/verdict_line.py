"""The verdict on a run: a sentence in plain words, and the details behind it: rollbacks, overfitting, the nearest baseline."""

from dataclasses import dataclass
from typing import Literal, get_args

from lab.analysis.baselines import Baseline, baselines, bigram_sentence
from lab.analysis.diagnosis.diagnose import near_source
from lab.analysis.diagnosis.diagnosed_run import (
    NEAR,
    RISE,
    DiagnosedRun,
    Diagnosis,
    Verdict,
    differs_visibly,
    rollbacks_text,
    step_text,
)
from lab.analysis.run_sentence import run_sentence
from lab.core.number_format import counted, fixed, perplexity, probability, whole
from lab.data.statistics.copied_share import copied_error
from lab.runs.run_folder import ACTIVE
from lab.runs.run_in_words import during_training

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
            return f"It has not improved since step {step_text(run.steps[run.trend_start])}: {now}."
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
