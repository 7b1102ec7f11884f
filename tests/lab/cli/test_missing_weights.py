"""A run whose best weights are gone: whatever opens it says which weights it opened instead, and why."""

import json
from pathlib import Path

import msgspec
import pytest

from lab.api import open_model
from lab.runs.run_folder import Run
from lab.runs.run_schema import Status
from lab.runs.weights_file import save_best
from models.gpt import GPT
from models.tokenizers.tokenizer import Tokenizer
from tests.fixture_types import Call
from tests.lab.engine.conftest import InProcessEngine
from tests.lab.trainee import Trainee

SAID = (
    "tale has no best.safetensors, the weights of its lowest validation loss (4.107, step 400): these are its last weights, of "
    "step 1,500."
)


@pytest.fixture
def run(empty_run) -> Run:
    """Trained to step 1,500, best at 400, and that file is gone."""
    run: Run = empty_run("tale")
    Tokenizer.bytes_().save(run.tokenizer_path)
    trainee = Trainee(run)
    trainee.step = 1500
    trainee.save(run)
    status = Status(phase="finished", step=1500, best_step=400, best_val_loss=4.107)
    run.status_path.write_bytes(msgspec.json.encode(status))
    return run


def test_every_command_says_so_and_names_the_weights_that_it_opened(llmlab: Call, run: Run, tmp_path: Path) -> None:
    for at, command in enumerate(
        (
            ("trace", "tale", "-p", "ab"),
            ("generate", "tale", "-p", "ab", "-n", "2"),
            ("export", "tale", "TARGET"),
            ("report", "tale", "--prompt", "ab", "-o", "TARGET"),
            ("claims", "tale", "--only", "token-ids"),
        )
    ):
        targets = [tmp_path / f"{at}-{number}" for number in range(2)]
        done = llmlab(*(targets[0] if each == "TARGET" else each for each in command))
        assert (done.code, done.err) == (0, f"llmlab: {SAID}\n"), command
        done = llmlab(*(targets[1] if each == "TARGET" else each for each in command), "--checkpoint", "last")
        assert (done.code, done.err) == (0, ""), command
    assert "the last weights of tale" in (tmp_path / "3-0").read_text()
    assert llmlab("trace", "tale", "-p", "ab").out.startswith("tale, last weights, step 1500\n")
    traced = json.loads(llmlab("trace", "tale", "-p", "ab", "--json").out)
    assert (traced["checkpoint"], traced["step"]) == ("last", 1500)
    save_best(run, GPT(run.config.model, seed=1), step=400, val_loss=4.107)
    done = llmlab("trace", "tale", "-p", "ab")
    assert done.err == ""
    assert done.out.startswith("tale, best weights, step 400\n")


def test_of_a_run_that_trains_and_was_not_evaluated_yet_no_file_is_named(llmlab: Call, run: Run) -> None:
    run.status_path.write_bytes(msgspec.json.encode(Status(phase="training", step=1500)))
    done = llmlab("trace", "tale", "-p", "ab")
    assert done.err == "llmlab: tale has no best weights yet: these are its last weights, of step 1,500.\n"


def test_python_warns_and_the_engine_tells_it_with_the_model_and_above_a_chat(run: Run) -> None:
    engine = InProcessEngine()
    with pytest.warns(UserWarning, match="these are its last weights, of step 1,500"):
        opened = open_model("tale")
    assert (opened.checkpoint, opened.step) == ("last", 1500)
    facts = engine.open(run="tale")
    assert (facts.checkpoint, facts.step, facts.note) == ("last", 1500, SAID)
    assert engine.open(run="tale", checkpoint="last").note == ""
    assert engine.chat(run="tale", turns=()).about.startswith(f"{SAID} ")
    assert not engine.chat(run="tale", turns=(), checkpoint="last").about.startswith("tale")
