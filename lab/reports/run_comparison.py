"""Runs side by side: what they came to, which is better and by how much, in what their settings differ, and what they wrote."""

import hashlib
import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.core.atomic_io import os_error_in_words
from lab.core.bounded_json import LARGEST_TOKENIZER
from lab.core.number_format import count, duration, fixed, significant, whole
from lab.core.safe_open import read_regular
from lab.runs.evaluation_coverage import EvaluatedShare, at_the_end, during_training
from lab.runs.loss_history import LossHistory
from lab.runs.run_folder import ACTIVE, Run
from lab.runs.run_follower import RunUpdate
from lab.runs.run_progress import fraction_done
from lab.runs.run_schema import FinalEvaluation, Metric, RunConfig, Sample, Status, TrainConfig
from models.config import ModelConfig
from models.parameter_count import parameter_count

LETTERS = "ABCDE"
"""What the runs are called in a plot and a table; more than these nobody tells apart."""

ALIKE = 0.005
"""Results this near each other, as a fraction, are not called better or worse."""

ABOUT_AS_FAR = 0.95
"""Where one has seen less than this share of another's tokens, they are compared after as many too. Evaluations this near each
other count as made after the same."""

LABELS = {
    "vocab_size": "vocabulary",
    "lr": "learning rate",
    "final_lr": "final rate, × peak",
    "batch": "batch, windows",
    "clip": "gradient clip",
    "eval_every": "evaluates every",
    "sample_tokens": "tokens in samples",
}
"""What a setting is called where its field's name does not say it."""

NONE = "·"


@dataclass
class ComparedRun:
    """A run that is compared. `letter` stands for it in the plot; `vocabulary` is the same for runs with the same tokens."""

    letter: str
    name: str
    vocabulary: str
    config: RunConfig
    status: Status
    phase: str
    history: LossHistory
    samples: list[Sample] = field(default_factory=list)

    @property
    def title(self) -> str:
        """`A shakespeare`: the letter and the name."""
        return f"{self.letter} {self.name}"

    @property
    def best(self) -> Metric | None:
        """The evaluation with the lowest validation loss."""
        return self.history.best_evaluation

    @property
    def has_learned(self) -> bool:
        """Whether it has been evaluated after a step. What a model is before that is chance, and differs with the tokenizer."""
        return len(self.history.eval_steps) > 0 and self.history.eval_steps[-1] > 0

    @property
    def tokens_per_step(self) -> int:
        return self.config.train.batch * self.config.model.context

    @property
    def going_on(self) -> bool:
        """Whether a trainer is at it."""
        return self.phase in ACTIVE

    def take(self, news: RunUpdate) -> None:
        """Take in what was read of it."""
        self.status, self.phase = news.status, news.phase
        if news.history is not None:
            self.history = news.history
        self.history.add(news.metrics)
        self.samples = ([] if news.samples_restarted else self.samples) + news.samples

    @property
    def whole(self) -> FinalEvaluation | None:
        """The best weights on the whole validation part, once the run has ended."""
        found = self.status.final_best
        return found if found is not None and found.val_loss is not None else None

    @property
    def evaluated_on(self) -> str:
        """What is the same for runs whose evaluations during training are on the same bytes.

        Runs from before these were kept were evaluated on the first tokens of a part that their tokenizer cut.
        """
        data = self.config.data
        if data.evaluated is not None:
            return data.evaluated.sha256
        return f"{data.sha256} {self.vocabulary} {data.split} {self.status.eval_tokens}"

    @property
    def whole_of(self) -> str:
        """What is the same for runs whose evaluations at the end are on the same bytes."""
        data = self.config.data
        return data.final.sha256 if data.final is not None else f"{data.sha256} {self.vocabulary} {data.split}"

    def share(self, step: int) -> float:
        """How much of its planned training was done at an evaluation's step, 0 to 1."""
        train = self.config.train
        if train.minutes is not None:
            at = bisect_right(self.history.eval_steps, step) - 1
            seconds = self.history.eval_seconds[at] if at >= 0 else 0.0
            whole_time = self.status.seconds if self.phase == "finished" else train.minutes * 60
            return min(1.0, seconds / whole_time) if whole_time else 0.0
        steps = self.status.steps or train.steps
        return min(1.0, step / steps) if steps else 0.0


def vocabulary_of(run: Run) -> str:
    """What is the same for two runs if and only if they cut a text into the same tokens.

    Raises:
        UserError: if its tokenizer cannot be read.
    """
    kind = run.config.tokenizer.kind
    if kind != "bpe":
        return kind
    try:
        return hashlib.sha256(read_regular(run.tokenizer_path, LARGEST_TOKENIZER)).hexdigest()
    except OSError as error:
        raise os_error_in_words(error, f"read the tokenizer of {run.name}") from error


def same_tokens(runs: Sequence[ComparedRun]) -> bool:
    """Whether their losses per token compare."""
    return len({run.vocabulary for run in runs}) <= 1


def same_text(runs: Sequence[ComparedRun]) -> bool:
    """Whether they learn from the same text, and so are tested on the same."""
    return len({run.config.data.sha256 for run in runs}) <= 1


def in_bits(runs: Sequence[ComparedRun]) -> bool:
    """Whether they have to be compared in bits per byte."""
    return not (same_tokens(runs) and same_text(runs))


def unit_note(runs: Sequence[ComparedRun]) -> str:
    """Why bits per byte are shown, or what even these do not tell; empty where losses simply compare."""
    kinds = ", ".join(f"{run.letter} {run.config.tokenizer.kind} {whole(run.config.tokenizer.vocab_size)}" for run in runs)
    texts = ", ".join(f"{run.letter} {run.config.data.name}" for run in runs)
    if same_tokens(runs):
        easier = f"Their texts differ ({texts}): one may be easier to predict than another, in any unit."
        return "" if same_text(runs) else easier
    if same_text(runs):
        return f"Their tokenizers differ ({kinds}): losses per token do not compare, bits per byte do."
    return f"Their tokenizers ({kinds}) and texts ({texts}) differ: only bits per byte compare, and one text may be easier."


Figures = Metric | FinalEvaluation
"""Both have a step, a validation loss, and bits per byte."""


def comparable(runs: Sequence[ComparedRun]) -> tuple[list[ComparedRun], bool]:
    """Those of the runs whose results are of the same bytes, and whether these are the results at the end.

    Runs on other texts have a validation part each: they count as comparable, and it is said.
    Results at the end are taken where all have them, else those of the evaluations during training.
    """
    learned = [run for run in runs if run.has_learned]
    for final in (True, False):
        if final and not all(run.whole for run in learned):
            continue
        if not same_text(learned):
            return learned, final
        same: dict[str, list[ComparedRun]] = {}
        for run in learned:
            same.setdefault(run.whole_of if final else run.evaluated_on, []).append(run)
        largest = max(same.values(), key=len, default=[])
        if not final or len(largest) == len(learned):
            return largest, final
    return [], False


def figures_of(run: ComparedRun, final: bool) -> Figures | None:
    """What the run has come to at its best."""
    return run.whole if final else run.best


def _score(figures: Figures | None, bits: bool) -> float | None:
    return None if figures is None else figures.bits_per_byte if bits else figures.val_loss


def share_of(run: ComparedRun, final: bool) -> EvaluatedShare | None:
    """How much of its validation part these are of; None where that is not known."""
    data = run.config.data
    return at_the_end(data, run.whole) if final and run.whole else during_training(data, run.status)


def verdict(runs: Sequence[ComparedRun]) -> str:
    """Which is better and by how much, at its best; what does not compare; and how they stood after the same tokens, where some
    have seen more."""
    bits = in_bits(runs)
    learned = [run for run in runs if run.has_learned]
    if len(learned) < 2:
        who = f"Only {learned[0].title}" if learned else "None of them"
        words = f"{who} has been evaluated since its first step, so there is nothing to compare yet."
        return " ".join(part for part in (words, _unfinished(runs)) if part)
    ranked, final = comparable(runs)
    others = _not_compared([run for run in learned if run not in ranked], ranked)
    scored = [(score, run) for run in ranked if (score := _score(figures_of(run, final), bits)) is not None]
    if len(scored) < 2:
        each = "; ".join(f"{run.letter} {on.in_words}" for run in learned if (on := share_of(run, final=False)))
        words = f"They do not compare: they were evaluated on different parts of the text{f' ({each})' if each else ''}. "
        words += "Train them again, with the same text, to compare them."
        return " ".join(part for part in (words, _unfinished(runs)) if part)
    scored.sort(key=lambda pair: pair[0])
    unit = "bits per byte" if bits else "nats per token"
    (low, first), *rest = scored
    second = rest[0][0]
    behind = "; ".join(f"{run.title} {fixed(score)}, {fixed(score - low, sign=True)}" for score, run in rest)
    # Said first, since it must not be among what a small screen has no room for.
    own = not same_text([run for _, run in scored])
    on = share_of(first, final)
    where = (
        ", each on a validation text of its own"
        if own
        else f" on {on.in_words} of validation text"
        if on
        else " on text they never train on"
    )
    if second - low <= ALIKE * low:
        words = f"{first.title} and {rest[0][1].title} are alike{where}: {fixed(low)} and {fixed(second)} {unit} at their best"
        words += f"; then {behind.partition('; ')[2]}." if len(rest) > 1 else "."
    elif len(rest) == 1:
        less = significant(100 * (second - low) / second, 2)
        words = f"{first.title} is better{where}: {fixed(low)} {unit} at its best against {fixed(second)} "
        words += f"of {rest[0][1].title}, {fixed(second - low)} less ({less}%)."
    else:
        words = f"{first.title} is best{where}: {fixed(low)} {unit} at its best; then {behind}."
    as_far = _as_far([run for _, run in scored], bits, unit)
    return " ".join(part for part in (words, others, unit_note(runs), as_far, _unfinished(runs)) if part)


def _not_compared(left_out: Sequence[ComparedRun], ranked: Sequence[ComparedRun]) -> str:
    if not left_out or len(ranked) < 2:
        return ""
    letters = " and ".join(run.letter for run in left_out)
    verb = "does" if len(left_out) == 1 else "do"
    return f"{letters} {verb} not compare with them, evaluated on another part of the text."


def _as_far(runs: Sequence[ComparedRun], bits: bool, unit: str) -> str:
    """The comparison where all had seen about as many tokens, as late as they were evaluated so; empty where that is the end."""
    if same_text(runs) and len({run.evaluated_on for run in runs}) > 1:
        return ""
    seen = [run.history.eval_steps[-1] * run.tokens_per_step for run in runs]
    if min(seen) >= ABOUT_AS_FAR * max(seen):
        return ""
    shortest = runs[seen.index(min(seen))]
    for step in reversed(list(shortest.history.eval_steps)):
        tokens = step * shortest.tokens_per_step
        found = [_evaluated_near(run, tokens) for run in runs]
        if tokens and None not in found:
            per = [per_byte(run) if bits else 1.0 for run in runs]
            values = [f"{run.letter} {fixed((loss or 0.0) * by)}" for run, loss, by in zip(runs, found, per, strict=True)]
            return f"After about the same {count(tokens)} tokens: {', '.join(values)} {unit}."
    return ""


def _evaluated_near(run: ComparedRun, tokens: float) -> float | None:
    """Its validation loss when it had seen about so many tokens, if it was evaluated then."""
    steps, wanted = run.history.eval_steps, tokens / run.tokens_per_step
    after = bisect_left(steps, wanted)
    near = min(range(max(0, after - 1), min(after + 1, len(steps))), key=lambda at: abs(steps[at] - wanted))
    return run.history.val_losses[near] if abs(steps[near] - wanted) <= (1 - ABOUT_AS_FAR) * wanted else None


def per_byte(run: ComparedRun) -> float:
    """Turns its nats per token into bits per byte."""
    from lab.reports.baselines import bytes_per_token

    return 1 / math.log(2) / bytes_per_token(run.config.data, run.history)


def _unfinished(runs: Sequence[ComparedRun]) -> str:
    going = [
        f"{run.letter} is still {run.phase}, {fraction_done(run.config, run.status):.0%} done" for run in runs if run.going_on
    ]
    return "; ".join(going) + "." if going else ""


@dataclass(frozen=True)
class ComparisonRow:
    """A line of the table: one value for each run. `winner` is the index of the best, where one is."""

    label: str
    values: tuple[str, ...]
    winner: int | None = None


def results(runs: Sequence[ComparedRun]) -> list[ComparisonRow]:
    """What each run has come to. The best is marked where all compare."""
    ranked, final = comparable(runs)
    all_compare = len(ranked) == sum(run.has_learned for run in runs)
    ends = [final or (not all_compare and run.whole is not None) for run in runs]
    best = [figures_of(run, end) for run, end in zip(runs, ends, strict=True)]

    def row(label: str, values: Sequence[float | None], write: Any, best: bool = False) -> ComparisonRow:
        known = [value for value in values if value is not None]
        winner = values.index(min(known)) if best and len(known) > 1 and len(set(known)) > 1 else None
        return ComparisonRow(label, tuple(NONE if value is None else write(value) for value in values), winner)

    latest = [run.history.latest for run in runs]
    rows = [ComparisonRow("state", tuple(run.phase for run in runs))]
    losses = row("best val loss", [_score(each, bits=False) for each in best], fixed, best=all_compare and same_tokens(runs))
    rows.append(losses)
    rows.append(row("… in bits/byte", [_score(each, bits=True) for each in best], fixed, best=all_compare))
    rows.append(row("… at step", [each.step if each else None for each in best], whole))
    shares = [share_of(run, end) for run, end in zip(runs, ends, strict=True)]
    rows.append(ComparisonRow("… evaluated on", tuple(share.in_short if share else NONE for share in shares)))
    rows.append(row("steps done", [run.status.step for run in runs], whole))
    rows.append(row("tokens seen", [metric.tokens if metric else None for metric in latest], count))
    rows.append(row("time training", [run.status.seconds or None for run in runs], duration))
    rows.append(row("parameters", [parameter_count(run.config.model) for run in runs], count))
    return rows


def differences(runs: Sequence[ComparedRun]) -> list[ComparisonRow]:
    """The settings in which they differ, and no other."""
    texts = [run.config.data.name for run in runs]
    if not same_text(runs) and len(set(texts)) < len(texts):
        texts = [f"{run.config.data.name}, {whole(run.config.data.bytes)} bytes, {run.config.data.sha256[:6]}" for run in runs]
    rows = [ComparisonRow("text", tuple(texts))]
    rows.append(ComparisonRow("tokenizer", tuple(run.config.tokenizer.kind for run in runs)))
    if not same_tokens(runs) and len(set(rows[-1].values)) == 1:
        rows[-1] = ComparisonRow("tokenizer", tuple(f"{run.config.tokenizer.kind} of {run.name}" for run in runs))
    rows += [_setting(name, [getattr(run.config.model, name) for run in runs]) for name in ModelConfig.__dataclass_fields__]
    rows += [_setting(name, [getattr(run.config.train, name) for run in runs]) for name in TrainConfig.__struct_fields__]
    return [row for row in rows if len(set(row.values)) > 1]


def _setting(name: str, values: Sequence[object]) -> ComparisonRow:
    return ComparisonRow(LABELS.get(name, name.replace("_", " ")), tuple(_written(value) for value in values))


def _written(value: object) -> str:
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return whole(value)
    return " | ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def stops(runs: Sequence[ComparedRun]) -> list[float]:
    """The shares of training at which any of them wrote samples, in order."""
    return sorted({round(run.share(step), 3) for run in runs for step in {sample.step for sample in run.samples}})


def furthest_common(runs: Sequence[ComparedRun]) -> int:
    """Index of the last of `stops` that every run which has written anything has reached."""
    reached = [max(run.share(sample.step) for sample in run.samples) for run in runs if run.samples]
    return max(0, bisect_right(stops(runs), round(min(reached, default=0.0), 3)) - 1)


def written_at(run: ComparedRun, stop: float) -> list[Sample]:
    """What the run had written last when so much of its training was done; nothing if it has not come so far."""
    steps = sorted({sample.step for sample in run.samples})
    shares = [round(run.share(step), 3) for step in steps]
    at = bisect_right(shares, stop) - 1
    if at < 0 or (at == len(shares) - 1 and run.going_on and shares[at] < stop):
        return []
    return [sample for sample in run.samples if sample.step == steps[at]]
