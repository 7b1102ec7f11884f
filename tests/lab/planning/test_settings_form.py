from dataclasses import replace
from pathlib import Path

import pytest

from lab.planning.default_hyperparameters import default_steps
from lab.planning.estimates.duration_estimate import evaluation_share
from lab.planning.estimates.run_cost import run_cost
from lab.planning.settings_form import defaults, fit_plan, make_plan
from lab.planning.settings_table import FORM, Settings
from models.config import PRESETS
from models.parameter_count import by_part
from tests.lab.planning.planned_runs import MACHINE, TEXT, plan_of, resolved


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMLAB_HOME", str(tmp_path))
    monkeypatch.setattr("lab.planning.settings_form.no_cuda_reason", lambda: "this machine shows no NVIDIA GPU")
    monkeypatch.setattr("lab.planning.settings_form.has_mps", lambda: False)


def test_the_defaults_are_a_plan_without_problems() -> None:
    plan = make_plan(Settings(), TEXT, MACHINE)
    assert not plan.problems
    assert plan.request is not None
    run = resolved(Settings())
    assert plan.run == run
    assert run.model == PRESETS["micro"].config(1024, dropout=0.1)
    assert run.train.steps == 2000
    # By hand: 1024·128 + 128·128 + 4·(12·128² + 13·128) + 2·128
    assert run.parameters == 131072 + 16384 + 4 * (12 * 128 * 128 + 13 * 128) + 256
    assert sum(by_part(run.model).values()) == run.parameters
    assert run.tokens_per_step == 16 * 128


@pytest.mark.parametrize(
    ("field", "typed", "words"),
    [
        ("width", "130", "width 130 cannot be divided among 4 heads"),
        ("layers", "two", "Layers must be a whole number of at least 1, not two."),
        ("layers", "0", "at least 1, not 0"),
        ("context", "-5", "at least 1"),
        ("context", "30000", "does not fit into the tenth of the text"),
        ("vocab", "256", "at least 257, not 256"),
        ("dropout", "1", "at least 0 and below 1, not 1"),
        ("lr", "0", "above 0, not 0"),
        ("lr", "nan", "not nan"),
        ("lr", "inf", "not inf"),
        ("length", "soon", "like 2000 steps, 5 min or 2 h, not soon"),
        ("length", "0", "not 0"),
        ("length", "1.5 steps", "not 1.5 steps"),
        ("batch", "", ""),
        ("batch", "0", "at least 1, not 0"),
        ("accumulate", "0", "at least 1, not 0"),
        ("accumulate", "17", "A batch of 16 windows cannot be computed in 17 parts"),
        ("patience", "0", "at least 1, not 0"),
        ("patience", "many", "not many"),
        ("seed", "-1", "at least 0"),
        ("device", "cuda", "no NVIDIA GPU"),
        ("device", "mps", "needs a Mac"),
        ("name", "a/b", "cannot be a run's name"),
        ("name", "demo", "choose another name"),
        ("clean", "blnk-lines", "did you mean blank-lines"),
    ],
)
def test_a_mistake_is_told_beside_its_field(field: str, typed: str, words: str) -> None:
    plan = plan_of(Settings(**{field: typed}))
    if not words:
        assert not plan.problems
        return
    assert list(plan.problems) == [field]
    assert words in plan.problems[field]
    assert plan.request is None


def test_a_taken_name_and_too_little_memory_are_told(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    assert "called taken already" in plan_of(Settings(name="taken")).problems["name"]
    assert "of memory and this machine has 1.0 MB" in plan_of(Settings(), memory=1_000_000).problems["batch"]


def test_a_card_s_memory_is_left_to_the_trainer_and_a_mac_shares_the_main_memory() -> None:
    card = replace(MACHINE, memory=1_000_000, gpu="NVIDIA H100", gpus=1)
    plan = make_plan(Settings(), TEXT, card)
    assert not plan.problems
    assert plan.run is not None
    assert dict(run_cost(plan.run, (), card))["memory"].endswith("on the GPU; where it has less, a step is computed in parts")
    assert "batch" in make_plan(Settings(), TEXT, replace(card, gpu="Apple GPU", gpus=0)).problems
    assert "batch" in make_plan(Settings(device="cpu"), TEXT, card).problems


@pytest.mark.parametrize(
    ("typed", "steps", "minutes"),
    [
        ("300", 300, None),
        ("300 steps", 300, None),
        ("5 min", None, 5.0),
        ("90s", None, 1.5),
        ("2 h", None, 120.0),
        ("1,5 h", None, 90.0),
    ],
)
def test_a_length_is_steps_or_time(typed: str, steps: int | None, minutes: float | None) -> None:
    assert not plan_of(Settings(length=typed)).problems
    train = resolved(Settings(length=typed)).train
    assert (train.steps, train.minutes) == (steps, minutes)


def test_empty_fields_show_what_they_stand_for() -> None:
    shown = defaults(Settings(preset="small"), TEXT, MACHINE)
    run = resolved(Settings(preset="small"))
    assert (shown["width"], shown["vocab"]) == (str(run.model.width), str(run.model.vocab_size))
    assert (float(shown["lr"]), int(shown["batch"])) == (run.train.lr, run.train.batch)
    assert defaults(Settings(tokenizer="gpt2"), TEXT, MACHINE)["vocab"] == "50257"


def test_without_a_length_a_run_has_as_many_steps_as_fit_into_four_minutes() -> None:
    """Of 0.25 s with the evaluations: 960, rounded down to hundreds."""
    plan = make_plan(Settings(), TEXT, MACHINE)
    share = 1 + evaluation_share(resolved(Settings()))
    found = {}
    for seconds in (0.05, 0.12, 0.121, 0.25, 2.0):
        request = fit_plan(plan, [], MACHINE, (seconds / share,)).request
        assert request is not None
        steps = request.steps
        assert steps is not None
        found[seconds] = steps
        assert steps == default_steps(seconds)
    assert found == {0.05: 2000, 0.12: 2000, 0.121: 1900, 0.25: 900, 2.0: 300}
    chosen = fit_plan(plan, [], MACHINE, (0.25 / share,))
    assert chosen.run is not None
    assert chosen.request is not None
    assert chosen.request.steps == 900, "config.json has it, so that the run can be made again"
    assert defaults(Settings(), TEXT, MACHINE, chosen.run)["length"] == "900 steps"
    told = dict(run_cost(chosen.run, [], MACHINE, (0.25 / share,)))["time"]
    assert told == (
        "about 3 min 45 s, measured by up to twenty steps on this machine; 900 steps, since no length was given: about as many "
        "as this machine takes in 4 minutes"
    )
    by_steps = make_plan(Settings(length="70"), TEXT, MACHINE)
    assert fit_plan(by_steps, [], MACHINE, (0.25 / share,)) == by_steps
    by_time = fit_plan(make_plan(Settings(length="2 min"), TEXT, MACHINE), [], MACHINE, (0.25 / share,))
    assert by_time.run is not None
    assert (by_time.run.train.steps, by_time.run.train.minutes) == (None, 2.0)


def test_the_help_of_each_field_fits_below_the_form() -> None:
    assert [setting.name for setting in FORM if len(setting.help) > 76] == []
