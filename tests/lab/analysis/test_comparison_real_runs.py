"""Real runs on two texts with three tokenizers: what Compare says of them, against the whole validation part in float64."""

import json
import math
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from lab.analysis.compared_run import ComparedRun, comparable, figures_of, vocabulary_of
from lab.analysis.comparison import results, verdict
from lab.runs.run_folder import Run
from lab.runs.run_history import LossHistory, RunFollower
from lab.runs.run_schema import Status
from lab.runs.weights_file import load_model

pytestmark = pytest.mark.usefixtures("one_core")

C = "".join(
    f"static int field_{at}(struct node *n) {{\n\treturn n->next[{at % 7}] + {at * 31 % 101};\n}}\n\n" for at in range(80)
)
ENGLISH = "".join(f"The {at * 7 % 13} dogs ran over hill {at % 29}, and the cat sat on the mat.\n" for at in range(45))
GERMAN = "".join(f"Der {at * 5 % 17}. größere Hund lief über Straße {at % 23} nach Hause.\n" for at in range(35))
TEXTS = {"mixed": C + ENGLISH + GERMAN, "ends otherwise": ENGLISH + C + GERMAN[:750] + C[:450]}
KINDS: dict[str, dict[str, object]] = {
    "bytes": {"steps": 20, "eval_every": 10},
    "bpe": {"vocab": 400, "steps": 20, "eval_every": 5},
    "gpt2": {"steps": 4, "eval_every": 4, "batch": 2, "sample_tokens": 1},
}


def bits_per_byte(run: Run) -> float:
    """Of the best weights, over every byte of the validation part."""
    data, context = run.config.data, run.config.model.context
    model = load_model(run, "best")[0].double()
    ids = torch.from_numpy(np.fromfile(run.tokens_path, "<u2").astype(np.int64))
    total = 0.0
    for start in range(data.split - 1, data.tokens - 1, context):
        window = ids[start : min(start + context, data.tokens - 1) + 1]
        with torch.no_grad():
            total -= float(model(window[None, :-1])[0].log_softmax(-1).gather(1, window[1:, None]).sum())
    return total / math.log(2) / data.val_bytes


def contenders(runs: list[Run]) -> list[ComparedRun]:
    found = []
    for letter, run in zip("ABC", runs, strict=False):
        news = RunFollower(run).read()
        found.append(ComparedRun(letter, run.name, vocabulary_of(run), news.config, news.status, news.phase, LossHistory()))
        found[-1].apply(news)
    return found


@pytest.mark.parametrize("text", TEXTS)
def test_runs_are_ranked_as_the_whole_validation_part_ranks_them(
    text: str, tmp_path: Path, tiny_run: Callable[..., Run], train_here: Callable[..., Status], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.data.train_val_split.EVALUATION_SEGMENTS", (4, 75))
    path = tmp_path / "text.txt"
    path.write_text(TEXTS[text])
    runs = [tiny_run(text=str(path), tokenizer=kind, name=kind, **more) for kind, more in KINDS.items()]
    for run in runs:
        assert train_here(run).phase == "finished"
    truth = {run.name: bits_per_byte(run) for run in runs}
    shown = contenders(runs)
    assert comparable(shown) == (shown, True)
    figures = {run.name: found.bits_per_byte or 0.0 for run in shown if (found := figures_of(run, final=True))}
    assert figures == pytest.approx(truth, rel=1e-5)
    assert sorted(figures, key=lambda name: figures[name]) == sorted(truth, key=lambda name: truth[name])
    row = next(row for row in results(shown) if row.label == "… in bits/byte")
    assert row.winner == min(range(3), key=lambda at: truth[runs[at].name])
    for pair in combinations(shown, 2):
        better, worse = sorted(pair, key=lambda run: truth[run.name])
        if truth[worse.name] > 1.006 * truth[better.name]:
            size = f"{better.config.data.val_bytes:,}"
            assert (
                f"{better.title} is better on all {size} bytes of validation text: a loss of {truth[better.name]:.3f}"
                in verdict(pair)
            )
    for run in runs:
        status = json.loads(run.status_path.read_bytes())
        del status["final"], status["final_best"]
        run.status_path.write_text(json.dumps(status))
    shown = contenders(runs)
    assert comparable(shown) == (shown, False), "the same bytes, whatever the tokenizer, eval_every and batch"
    part = {run.name: found.bits_per_byte or 0.0 for run in shown if (found := figures_of(run, final=False))}
    assert sorted(part, key=lambda name: part[name]) == sorted(truth, key=lambda name: truth[name])
