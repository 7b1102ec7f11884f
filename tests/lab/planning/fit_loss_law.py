"""Fit of the loss law: the numbers of `lab/planning/loss_law.json`, from the runs of `loss_sweep`.

    python -m tests.lab.planning.fit_loss_law tests/lab/planning/loss_sweep.jsonl

The numbers have the least sum of squares of the logarithms of what runs got over what is expected, and stay near `BEFORE`, from
which few runs move them little. Where a text has no pilot its mean error is taken out of its runs' errors. The range that is told
is what leaving one text after the other out of the fit shows: one more text like them is within it in eight of ten cases (the
quantile of split conformal prediction, Vovk et al. 2005, "Algorithmic Learning in a Random World").
"""

import argparse
import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec

from lab.planning.expected_loss import FILE, LAW, UNUSUAL_FALL, Learning, LossLaw
from lab.planning.text_difficulty import Pilot

EVALUATIONS = 40
"""Steps of the search, at most: the misfit changes by less than a thousandth then."""
SURE = 0.3
"""Runs that the zero mean of a text's errors counts as: with few runs of a text its mean is not believed."""
LARGEST_ERROR = 0.05
"""Beyond it an error counts linearly: a run that fails is no guide."""
FITTED = tuple(
    name for name in LossLaw.__struct_fields__ if name not in ("range", "range_of_unusual", "longest", "bytes_per_token_at")
)
BEFORE = {
    **{"floor": 0.00062, "size": 0.2412, "size_power": 0.0972, "data": 0.6441, "data_power": 0.1797, "context_power": 0.0513},
    **{"repeats": 15.37, "vocabulary": 0.00282, "vocabulary_best": 29150.0, "memorized": 0.00731, "memorized_power": 0.9261},
    **{"memorized_size_power": 0.4059, "memorized_dropout": 3.467, "memorized_decay": 0.4169, "dropout_cost": 0.642},
    **{"decay_cost": 0.0172, "pilot_level": 1.0, "pilot_fall": 0.9, "usual_fall": 0.08},
}
"""The numbers that the runs without pilots give by themselves, and guesses for those on pilots."""
HELD_BACK = 0.12
"""Weight of the logarithm of a number over that before: what the runs say little about stays as it was."""
UNUSUAL_WEIGHT = 0.09
"""Weight of the squared errors of texts whose pilots fell unusually fast."""
MANY_RUNS = 4
"""Runs from which on a text's errors count for less each: no text decides the law."""
RANGE = 0.8
"""Share of the texts that are in the range."""
STEP_TOKENS = 2048
USELESS, USELESS_BESIDE_PILOT = 1.2, 1.25
"""Loss of a run that is memorized beyond all use, over its text's entropy or its pilot."""
UNUSUAL = {"final_lr", "lr"}
"""Settings of jobs that the law does not know."""
NARROWEST = 64
"""Width of the narrowest model that the law is about: narrower ones do worse than their parameters say."""
FEWEST_TOKENS = 150_000
"""Tokens of a run on a text whose pilot fell unusually fast: shorter ones end amid the fall."""


def learning_of(run: dict[str, Any]) -> Learning:
    return Learning(
        parameters=run["parameters"] - run["vocab_size"] * run["width"],
        vocabulary=run["vocab_size"],
        context=run["context"],
        tokens=run["steps"] * run["batch"] * run["context"],
        unique_tokens=run["train_tokens"],
        unique_bytes=run["train_bytes"],
        dropout=run.get("dropout", 0.0),
        weight_decay=run.get("weight_decay", 0.1),
        pilot=msgspec.convert(run["pilot"], Pilot) if run.get("pilot") else None,
    )


def name_of(run: dict[str, Any]) -> str:
    return f"{run['text']} {run.get('size', 0)}{'' if run.get('pilot') else ' (no pilot)'}"


def errors_by_text(law: LossLaw, runs: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Logarithms of what each run got over what is expected of it."""
    errors = defaultdict(list)
    for run in runs:
        errors[name_of(run)].append(math.log(run["averaged"] / law.of_last_weights(learning_of(run))))
    return errors


def mean_error(errors: list[float]) -> float:
    return sum(errors) / (len(errors) + SURE)


def residuals(logarithms: list[float], runs: list[dict[str, Any]]) -> list[float]:
    """Weighted errors by the law of these numbers: the misfit is the sum of their squares."""
    law = law_of(logarithms)
    found = [HELD_BACK * (each - math.log(BEFORE[name])) for name, each in zip(FITTED, logarithms, strict=True)]
    piloted = {name_of(run): run["pilot"]["fell_by"] > UNUSUAL_FALL for run in runs if run.get("pilot")}
    for text, errors in errors_by_text(law, runs).items():
        mean = 0.0 if text in piloted else mean_error(errors)
        weight = 1 / max(1.0, len(errors) / MANY_RUNS) if text in piloted else 1.0
        weight *= UNUSUAL_WEIGHT if piloted.get(text) else 1.0
        for each in [*(error - mean for error in errors), math.sqrt(SURE) * mean]:
            size = abs(each)
            square = size**2 if size < LARGEST_ERROR else LARGEST_ERROR * (2 * size - LARGEST_ERROR)
            found.append(math.copysign(math.sqrt(weight * square), each))
    return found


def law_of(logarithms: list[float]) -> LossLaw:
    return msgspec.structs.replace(LAW, **{name: math.exp(each) for name, each in zip(FITTED, logarithms, strict=True)})


def is_usual(run: dict[str, Any]) -> bool:
    """True if the law is about such runs: not about bytes, nor one memorized beyond all use."""
    is_known = (
        not UNUSUAL & run.keys()
        and run["batch"] * run["context"] == STEP_TOKENS
        and run["vocab"] > 300
        and run["width"] >= NARROWEST
    )
    if pilot := run.get("pilot"):
        fell_fast = pilot["fell_by"] > UNUSUAL_FALL and run["steps"] * STEP_TOKENS < FEWEST_TOKENS
        return is_known and not fell_fast and run["averaged"] < USELESS_BESIDE_PILOT * pilot["bits_per_byte"]
    return is_known and run["text"] != "stories" and run["averaged"] < USELESS * run["entropy"]


def search(runs: list[dict[str, Any]], start: LossLaw) -> LossLaw:
    """The law with the least misfit in the valley of this one."""
    from scipy.optimize import least_squares  # here: every process of the tests imports this file, and fits nothing

    begin = [math.log(getattr(start, name)) for name in FITTED]
    return law_of(least_squares(residuals, begin, args=(runs,), max_nfev=EVALUATIONS).x.tolist())


def left_out(runs: list[dict[str, Any]], law: LossLaw) -> dict[str, list[float]]:
    """The errors of each text with a pilot, by the law that is fitted to all the others."""
    texts = dict.fromkeys(name_of(run) for run in runs if run.get("pilot"))
    found = {}
    for text in texts:
        others = search([run for run in runs if name_of(run) != text], law)
        found[text] = errors_by_text(others, [run for run in runs if name_of(run) == text])[text]
    return found


def range_of(errors: list[float]) -> float:
    """What one more is within in eight of ten cases."""
    return round(sorted(map(abs, errors))[min(len(errors), math.ceil(RANGE * (len(errors) + 1))) - 1], 3)


def bytes_per_token(runs: list[dict[str, Any]]) -> dict[int, float]:
    """The mean over texts, by the size of the vocabulary."""
    seen: dict[int, dict[str, float]] = defaultdict(dict)
    for run in runs:
        seen[run["vocab"]][run["text"]] = run["train_bytes"] / run["train_tokens"]
    usual = seen[1024]
    mean = sum(usual.values()) / len(usual)
    ratios = {size: [found[text] / usual[text] for text in found if text in usual] for size, found in sorted(seen.items())}
    return {size: round(mean * sum(each) / len(each), 2) for size, each in ratios.items() if each}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path)
    runs = [json.loads(line) for line in parser.parse_args().runs.read_text().splitlines()]
    known = [run for run in runs if is_usual(run)]
    law = search(known, msgspec.structs.replace(LAW, **BEFORE))
    errors, ranges = left_out(known, law), {False: list[float](), True: list[float]()}
    for text, each in errors.items():
        pilot = next(run["pilot"] for run in known if name_of(run) == text)
        is_unusual = pilot["fell_by"] > UNUSUAL_FALL
        ranges[is_unusual].append(math.sqrt(sum(error**2 for error in each) / len(each)))
        print(f"{text}{', unusual' if is_unusual else ''}: left out, off by {' '.join(f'{100 * error:+.1f}%' for error in each)}")
    rounded = {name: float(f"{getattr(law, name):.4g}") for name in FITTED} | {
        "range": range_of(ranges[False]),
        "range_of_unusual": range_of(ranges[True]),
        "bytes_per_token_at": bytes_per_token(runs),
        "longest": float(max(run["steps"] * STEP_TOKENS for run in known if run.get("pilot"))),
    }
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(law, **rounded)), indent=1) + b"\n")
    for text, each in errors_by_text(law, known).items():
        print(f"{text}: fitted, {100 * mean_error(each):+.1f}%, {len(each)} runs")


if __name__ == "__main__":
    main()
