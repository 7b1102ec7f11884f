"""Runs beside each other: settings and results in a table, and a sentence on which is best and why that may be so."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lab.analysis.baselines import bits_per_byte
from lab.analysis.comparable_runs import comparable, figures_of, in_bits, same_text, same_tokens, score, share_of
from lab.analysis.compared_run import ComparedRun
from lab.analysis.diagnosed_run import PARTLY_COPIED
from lab.core.number_format import count, counted, duration, fixed, probability, significant, whole
from lab.data.statistics.copied_share import copied_error
from lab.runs.run_in_words import label, value_in_words
from lab.runs.run_schema import TrainConfig
from lab.runs.run_summary import fraction_done
from models.config import ModelConfig
from models.parameter_count import parameter_count

NONE = "·"


@dataclass(frozen=True)
class ComparisonRow:
    """A line of the table: one value for each run. `winner` is the index of the best, where one is."""

    label: str
    values: tuple[str, ...]
    winner: int | None = None


def results(runs: Sequence[ComparedRun]) -> list[ComparisonRow]:
    """Results of each run. The best is marked where all compare."""
    ranked, final = comparable(runs)
    all_compare = len(ranked) == sum(run.has_learned for run in runs)
    ends = [final or (not all_compare and run.final is not None) for run in runs]
    best = [figures_of(run, end) for run, end in zip(runs, ends, strict=True)]

    def row(label: str, values: Sequence[float | None], write: Any, best: bool = False) -> ComparisonRow:
        known = [value for value in values if value is not None]
        winner = values.index(min(known)) if best and len(known) > 1 and len(set(known)) > 1 else None
        return ComparisonRow(label, tuple(NONE if value is None else write(value) for value in values), winner)

    latest = [run.history.latest for run in runs]
    shares = [share_of(run, end) for run, end in zip(runs, ends, strict=True)]
    copied = [f"{probability(found.share)}{copied_error(found)}" if (found := run.copied) else NONE for run in runs]
    return [
        ComparisonRow("state", tuple(run.phase for run in runs)),
        row("best val loss", [score(each, bits=False) for each in best], fixed, best=all_compare and same_tokens(runs)),
        row("… in bits/byte", [score(each, bits=True) for each in best], fixed, best=all_compare),
        row("… at step", [each.step if each else None for each in best], whole),
        ComparisonRow("… evaluated on", tuple(share.in_short if share else NONE for share in shares)),
        *[ComparisonRow("… in training", tuple(copied))] * any(run.copied for run in runs),
        row("steps done", [run.status.step for run in runs], whole),
        row("tokens seen", [metric.tokens if metric else None for metric in latest], count),
        row("time training", [run.status.seconds or None for run in runs], duration),
        row("parameters", [parameter_count(run.config.model) for run in runs], count),
    ]


def differences(runs: Sequence[ComparedRun]) -> list[ComparisonRow]:
    """The settings in which they differ."""
    texts = [run.config.data.name for run in runs]
    if not same_text(runs) and len(set(texts)) < len(texts):
        texts = [f"{run.config.data.name}, {whole(run.config.data.bytes)} bytes, {run.config.data.sha256[:6]}" for run in runs]
    rows = [ComparisonRow("text", tuple(texts))]
    rows.append(ComparisonRow("tokenizer", tuple(run.config.tokenizer.kind for run in runs)))
    if not same_tokens(runs) and len(set(rows[-1].values)) == 1:
        rows[-1] = ComparisonRow("tokenizer", tuple(f"{run.config.tokenizer.kind} of {run.name}" for run in runs))
    rows += [_setting(name, [getattr(run.config.model, name) for run in runs]) for name in ModelConfig.__dataclass_fields__]
    rows.append(ComparisonRow("validation", tuple(run.config.data.holdout.in_words for run in runs)))
    rows = [row for row in rows if len(set(row.values)) > 1]
    for name in TrainConfig.__struct_fields__:
        row = _setting(name, [None if run.config.imported is not None else getattr(run.config.train, name) for run in runs])
        here = {value for run, value in zip(runs, row.values, strict=True) if run.config.imported is None}
        rows += [row] * (len(here) > 1)
    return rows


def _setting(name: str, values: Sequence[object]) -> ComparisonRow:
    return ComparisonRow(label(name), tuple(value_in_words(name, value) or NONE for value in values))


ALIKE = 0.005
"""Relative difference of results up to which they are alike."""

ABOUT_AS_FAR = 0.95
"""If one run has seen less than this share of another's tokens, they are also compared after the same number. Evaluations this
close count as made after the same number."""


def unit_note(runs: Sequence[ComparedRun]) -> str:
    """The reason for bits per byte, and their limits; empty where losses per token compare."""
    tokenizers = [run.config.tokenizer for run in runs]
    named = [f"{each.kind} {whole(each.vocab_size)}" for each in tokenizers]
    kinds = _grouped(runs, [run.vocabulary for run in runs], named)
    texts = _grouped(runs, [run.validated_on for run in runs], _text_names(runs))
    if same_tokens(runs):
        easier = f"Their texts differ ({texts}): one may be easier to predict than another, in any unit."
        return "" if same_text(runs) else easier
    if same_text(runs):
        return f"Their tokenizers differ ({kinds}): losses per token do not compare, bits per byte do."
    return f"Their tokenizers ({kinds}) and texts ({texts}) differ: only bits per byte compare, and one text may be easier."


def _grouped(runs: Sequence[ComparedRun], keys: Sequence[str], names: Sequence[str]) -> str:
    """The letters of the runs with the same key, and its name: `A B bpe 512, C another bpe 512`."""
    parts: list[str] = []
    for key, first in {key: keys.index(key) for key in keys}.items():
        letters = " ".join(run.letter for run, each in zip(runs, keys, strict=True) if each == key)
        parts.append(f"{letters} {'another ' if names[first] in names[:first] else ''}{names[first]}")
    return ", ".join(parts)


def _text_names(runs: Sequence[ComparedRun]) -> list[str]:
    """Names of the texts; where one file was cleaned in several ways, with the rules."""
    data = [run.config.data for run in runs]
    is_one_file = len({each.name for each in data}) == 1 and len({each.cleaning for each in data}) > 1
    return [f"{each.name} after {', '.join(each.cleaning) or 'no rule'}" if is_one_file else each.name for each in data]


def verdict(runs: Sequence[ComparedRun]) -> str:
    """The better run and its margin; what does not compare; losses after equal tokens, where some runs trained on more."""
    bits = in_bits(runs)
    learned = [run for run in runs if run.has_learned]
    if len(learned) < 2:
        who = f"Only {learned[0].title}" if learned else "None of them"
        words = f"{who} has been evaluated since its first step, so there is nothing to compare yet."
        return " ".join(part for part in (words, _unfinished(runs)) if part)
    ranked, final = comparable(runs)
    others = _not_compared([run for run in learned if run not in ranked], ranked)
    scored = [(value, run) for run in ranked if (value := score(figures_of(run, final), bits)) is not None]
    if len(scored) < 2:
        each = "; ".join(f"{run.letter} {on.in_words}" for run in learned if (on := share_of(run, final=False)))
        words = f"They do not compare: they were evaluated on different parts of the text{f' ({each})' if each else ''}. "
        words += "Train them again, with the same text, to compare them."
        return " ".join(part for part in (words, _unfinished(runs)) if part)
    scored.sort(key=lambda pair: pair[0])
    unit = "bits per byte" if bits else "nats per token"
    (low, first), *rest = scored
    second = rest[0][0]
    behind = "; ".join(f"{run.title} {fixed(value)}, {fixed(_apart(low, value), sign=True)}" for value, run in rest)
    # First, since a small screen may cut off the rest.
    own = not same_text([run for _, run in scored])
    on = share_of(first, final)
    where = f" on {on.in_words} of validation text" if on else " on text they never train on"
    where = ", each on its own validation text" if own else where
    if second - low <= ALIKE * low:
        words = f"{first.title} and {rest[0][1].title} are alike{where}: a loss of {fixed(low)} and {fixed(second)} at their best"
        words += f"; then {behind.partition('; ')[2]}." if len(rest) > 1 else "."
    elif len(rest) == 1:
        less = significant(100 * (second - low) / second, 2)
        better = "has the lower loss" if own else "is better"
        words = f"{first.title} {better}{where}: a loss of {fixed(low)} at its best against {fixed(second)} "
        words += f"of {rest[0][1].title}, {fixed(_apart(low, second))} less ({less}%)."
    else:
        best = "has the lowest loss" if own else "is best"
        words = f"{first.title} {best}{where}: a loss of {fixed(low)} at its best; then {behind}."
    as_far = _at_equal_tokens([run for _, run in scored], bits, unit)
    sizes = [run.config.data.val_bytes for _, run in scored]
    between = max(sizes) - min(sizes)
    apart = f"Their validation parts, the end of the text, begin {counted(between, 'byte')} apart."
    notes = [_copied([run for _, run in scored]), others, "" if own or not final or not between else apart]
    notes.insert(0 if own else len(notes), unit_note(runs))
    notes.append(f"Losses are in {unit}.")
    return " ".join(part for part in (words, *notes, as_far, _unfinished(runs)) if part)


def _copied(runs: Sequence[ComparedRun]) -> str:
    """The runs whose validation text is in part text that they trained on, which a lower loss may have memorized."""
    found = [(run.letter, run.copied) for run in runs if run.copied is not None and run.copied.share >= PARTLY_COPIED]
    shares = ", ".join(f"{letter} {probability(copied.share)}{copied_error(copied)}" for letter, copied in found)
    return f"Of the validation text this much also stands in the training text: {shares}." if shares else ""


def _apart(low: float, high: float) -> float:
    """The difference of two results as they are written, to three decimals; of the results themselves where these read alike."""
    return round(high, 3) - round(low, 3) or high - low


def _not_compared(left_out: Sequence[ComparedRun], ranked: Sequence[ComparedRun]) -> str:
    if not left_out or len(ranked) < 2:
        return ""
    letters = " and ".join(run.letter for run in left_out)
    verb = "does" if len(left_out) == 1 else "do"
    return f"{letters} {verb} not compare with them, evaluated on another part of the text."


def _at_equal_tokens(runs: Sequence[ComparedRun], bits: bool, unit: str) -> str:
    """The losses at the latest token count at which all were evaluated; empty if that is the end."""
    if same_text(runs) and len({run.evaluated_on for run in runs}) > 1:
        return ""
    trained_on = [run.history.eval_steps[-1] * run.tokens_per_step for run in runs]
    if min(trained_on) >= ABOUT_AS_FAR * max(trained_on):
        return ""
    shortest = runs[trained_on.index(min(trained_on))]
    for step in reversed(list(shortest.history.eval_steps)):
        tokens = step * shortest.tokens_per_step
        found = [_evaluated_near(run, tokens) for run in runs]
        if tokens and None not in found:
            per = [bits_per_byte(run.config.data, run.history, None).factor if bits else 1.0 for run in runs]
            values = [f"{run.letter} {fixed((loss or 0.0) * by)}" for run, loss, by in zip(runs, found, per, strict=True)]
            when = f"In evaluations during training, after about the same {count(tokens)} tokens"
            return f"{when}: {', '.join(values)} {unit}."
    return ""


def _evaluated_near(run: ComparedRun, tokens: float) -> float | None:
    steps, wanted = run.history.eval_steps, tokens / run.tokens_per_step
    after = bisect_left(steps, wanted)
    near = min(range(max(0, after - 1), min(after + 1, len(steps))), key=lambda at: abs(steps[at] - wanted))
    return run.history.val_losses[near] if abs(steps[near] - wanted) <= (1 - ABOUT_AS_FAR) * wanted else None


def _unfinished(runs: Sequence[ComparedRun]) -> str:
    going = [
        f"{run.letter} is still {run.phase}, {fraction_done(run.config, run.status):.0%} done" for run in runs if run.is_active
    ]
    return "; ".join(going) + "." if going else ""
