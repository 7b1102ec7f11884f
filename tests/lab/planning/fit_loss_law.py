"""Fit of the loss law: the numbers of `lab/planning/best_for_minutes/loss_law.json`, from the runs of `loss_sweep`.

    python -m tests.lab.planning.fit_loss_law tests/lab/planning/loss_sweep.jsonl

The numbers are changed one after the other, by ever smaller factors, for the least sum of squares of the logarithms of what runs
got over what is expected (Hooke & Jeeves 1961, "Direct search"). A text may be easier or harder than its entropy says: the mean
error of each text is taken out of its runs' errors, and is part of the spread that is told.
"""

import argparse
import json
import math
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec

from lab.planning.best_for_minutes.loss_law import FILE, LAW, Learning, LossLaw

FACTORS = (1.3, 1.1, 1.03, 1.01)
ROUNDS = 200
"""Times that all numbers are tried with one factor, at most."""
SURE = 0.3
"""Runs that the zero mean of a text's errors counts as: with few runs of a text its mean is not believed."""
LARGEST_ERROR = 0.05
"""Beyond it an error counts linearly: a run that fails is no guide."""
FITTED = tuple(name for name in LossLaw.__struct_fields__ if name not in ("spread", "bytes_per_token_at"))
STARTS, SHAKEN = 60, 0.4
"""Searches, all but the first of them from the best law so far with its numbers shaken by so much."""
STEP_TOKENS = 2048
USELESS = 1.2
UNUSUAL = {"final_lr", "lr"}
"""Settings of jobs that the law does not know."""


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
        entropy=run["entropy"],
    )


def errors_by_text(law: LossLaw, runs: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Logarithms of what each run got over what is expected of it."""
    errors = defaultdict(list)
    for run in runs:
        errors[f"{run['text']} {run.get('size', 0)}"].append(math.log(run["averaged"] / law.of_last_weights(learning_of(run))))
    return errors


def mean_error(errors: list[float]) -> float:
    return sum(errors) / (len(errors) + SURE)


def misfit(law: LossLaw, runs: list[dict[str, Any]]) -> float:
    total = 0.0
    for errors in errors_by_text(law, runs).values():
        mean = mean_error(errors)
        for each in [*(error - mean for error in errors), math.sqrt(SURE) * mean]:
            size = abs(each)
            total += size**2 if size < LARGEST_ERROR else LARGEST_ERROR * (2 * size - LARGEST_ERROR)
    return total


def is_usual(run: dict[str, Any]) -> bool:
    """True if the law is about such runs: not about bytes, nor a text made by a grammar, nor one memorized beyond all use."""
    is_known = not UNUSUAL & run.keys() and run["batch"] * run["context"] == STEP_TOKENS
    return is_known and run["vocab"] > 300 and run["text"] != "stories" and run["averaged"] < USELESS * run["entropy"]


def fit(runs: list[dict[str, Any]], law: LossLaw) -> LossLaw:
    """The law with the least misfit that is found from this one."""
    shaking = random.Random(1)
    best = search(runs, law)
    for _ in range(STARTS - 1):
        shaken = {name: getattr(best, name) * math.exp(shaking.gauss(0, SHAKEN)) for name in FITTED}
        best = min(best, search(runs, msgspec.structs.replace(best, **shaken)), key=lambda found: misfit(found, runs))
    errors = errors_by_text(best, runs)
    within = [error - mean_error(each) for each in errors.values() for error in each]
    between = [mean_error(each) for each in errors.values()]
    spread = math.sqrt(sum(error**2 for error in within) / len(within) + sum(mean**2 for mean in between) / len(between))
    return msgspec.structs.replace(best, spread=round(spread, 4))


def search(runs: list[dict[str, Any]], law: LossLaw) -> LossLaw:
    """The law in the valley of this one."""
    least = misfit(law, runs)
    for factor in FACTORS:
        for _ in range(ROUNDS):
            before = least
            for name in FITTED:
                for change in (factor, 1 / factor):
                    other = msgspec.structs.replace(law, **{name: getattr(law, name) * change})
                    if (found := misfit(other, runs)) < least:
                        law, least = other, found
            if before - least < 1e-3 * least:
                break
    return law


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
    law = fit(known, msgspec.structs.replace(LAW, bytes_per_token_at=bytes_per_token(runs)))
    rounded = {name: float(f"{getattr(law, name):.4g}") for name in FITTED}
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(law, **rounded)), indent=1) + b"\n")
    for text, errors in errors_by_text(law, known).items():
        mean = mean_error(errors)
        most = max(abs(each - mean) for each in errors)
        print(f"{text}: {100 * mean:+.1f}%, beside that at most {100 * most:.1f}%, {len(errors)} runs")
    print(f"misfit {misfit(law, known):.5f}, spread {law.spread}")


if __name__ == "__main__":
    main()
