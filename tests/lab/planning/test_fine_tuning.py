from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import save_file

from lab.core.errors import UserError
from lab.data.statistics.text_statistics import count_tokens_of
from lab.data.token_file import TokenFile, token_dtype
from lab.planning.default_hyperparameters import default_lr
from lab.planning.fine_tuning import base_run, fine_tuning_facts
from lab.planning.prepare_run import prepare_run
from lab.planning.resolve_run import TextSize
from lab.planning.run_cost import run_cost
from lab.planning.settings_form import defaults, hidden_settings, make_plan, settings_of_base
from lab.planning.settings_table import RunRequest, SettingError, Settings
from lab.runs.find_runs import open_run
from lab.runs.run_folder import tokenizer_of
from lab.runs.run_summary import RunsWatcher
from lab.runs.weights_file import load_model
from lab.training.training_setup import set_up_training
from models.config import uniform_baseline
from models.gpt import GPT
from tests.lab.conftest import train_in_process
from tests.lab.planning.planned_runs import MACHINE

README = Path(__file__).parents[3] / "README.md"
TEXT = "The big dog ran to the lake. It saw a red apple.\n" * 120


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


def test_it_begins_with_the_weights_shape_and_tokenizer_of_its_base(text: Path, tmp_path: Path) -> None:
    demo = open_run("demo")
    settings = {"steps": 2, "threads": 1, "precision": "fp32", "device": "cpu"}
    run = prepare_run(RunRequest(text=str(text), start="demo", home=tmp_path / "home", **settings))
    config = run.config
    assert config.model == replace(demo.config.model, dropout=config.model.dropout)
    assert tokenizer_of(run).checksum == tokenizer_of(demo).checksum
    tokens = TokenFile(run.tokens_path, token_dtype(config.model.vocab_size)).ids
    assert tokenizer_of(demo).decode(tokens.tolist()) == TEXT
    assert (config.train.optimizer, config.train.lr) == ("adamw", pytest.approx(default_lr(64, "adamw") / 10))
    assert config.start is not None
    assert (config.start.base, config.start.base_step) == ("demo", 6000)
    theirs = load_model(demo)[0].state_dict()
    for ours in (set_up_training(run).trained.model.state_dict(), load_model(run, "0")[0].state_dict()):
        assert all(torch.equal(ours[name], weight) for name, weight in theirs.items())
    summary = next(each for each in RunsWatcher(run.path.parent).read() if each.name == run.name)
    assert summary.origin == "Began with the weights of demo (step 6000)."
    assert hidden_settings(config)["start"] == "demo", "and so does a run with its settings"


def test_a_shorter_context_and_other_settings_that_were_asked_for_stand(text: Path, tmp_path: Path) -> None:
    run = prepare_run(RunRequest(text=str(text), start="demo", steps=2, home=tmp_path / "home", context=16))
    theirs, ours = load_model(open_run("demo"))[0].state_dict(), load_model(run, "0")[0].state_dict()
    assert ours["wpe.weight"].shape == (16, 64)
    assert all(torch.equal(weight, theirs[name][:16] if name == "wpe.weight" else theirs[name]) for name, weight in ours.items())
    request = RunRequest(text=str(text), start="demo", steps=2, home=tmp_path / "home", layers=4, context=128, lr=2e-3)
    config = prepare_run(request).config
    assert (config.train.lr, config.train.optimizer) == (2e-3, "adamw")
    config = prepare_run(msgspec.structs.replace(request, lr=None, optimizer="muon")).config
    assert config.train.lr == pytest.approx(default_lr(64, "muon") / 10)


def test_another_shape_no_base_and_several_documents_are_refused(text: Path, tmp_path: Path) -> None:
    request = RunRequest(text=str(text), start="demo", steps=2, home=tmp_path / "home")
    for changes, words in (
        ({"layers": 3}, "demo has 4 layers, and its weights fit no other: leave out --layers."),
        ({"vocab": 512}, "demo has a vocabulary of 746, and its weights fit no other: leave out --vocab."),
        ({"context": 129}, "demo has a context of 128 tokens"),
        ({"start": "nobody"}, "no run called 'nobody'"),
        ({"start": "gpt2-xl"}, "no run called 'gpt2-xl' yet; `llmlab import gpt2-xl` makes one"),
        ({"text": f"{text}\nstories"}, "no end-of-text token"),
    ):
        with pytest.raises(UserError, match=words) as error:
            prepare_run(msgspec.structs.replace(request, **changes))
        assert isinstance(error.value, SettingError) == (changes.keys() <= {"layers", "vocab", "context"})
    untrained = prepare_run(msgspec.structs.replace(request, start=None, tokenizer="bytes", context=16, name="untrained"))
    with pytest.raises(UserError, match="untrained has no weights to begin with: train it first"):
        prepare_run(msgspec.structs.replace(request, start="untrained"))
    with pytest.raises(UserError, match="has no weights to begin with: train it first"):
        base_run(untrained)
    assert sorted(path.name for path in untrained.path.parent.iterdir() if path.is_dir() and path.name[0] != ".") == ["untrained"]


def test_the_form_takes_the_shape_and_says_why(text: Path, tmp_path: Path) -> None:
    demo = open_run("demo")
    base = base_run(demo)
    size = TextSize(str(text), bytes=text.stat().st_size, tokens=count_tokens_of(tokenizer_of(demo), str(text), None).tokens)
    settings = settings_of_base(Settings(layers="9", lr="0.1", tokenizer="gpt2", context="16", length="3"), base)
    assert (settings.layers, settings.lr, settings.tokenizer, settings.optimizer) == ("", "", "bpe", "adamw")
    plan = make_plan(settings, size, MACHINE, base=base)
    assert plan.run is not None
    assert plan.problems == {}
    assert plan.run.model == replace(demo.config.model, dropout=plan.run.model.dropout)
    assert plan.run.reasons["lr"].startswith("a tenth of the usual")
    assert plan.run.reasons["layers"] == "that of demo, whose weights fit no other"
    shown = defaults(settings, size, MACHINE, plan.run, base)
    assert (shown["layers"], shown["lr"], shown["vocab"]) == ("4", "0.0003", "746")
    assert defaults(settings, size, MACHINE, None, base)["layers"] == "4", "whatever else is wrong"
    facts = dict(fine_tuning_facts(base, "adamw", 3e-4, is_default_lr=True))
    assert facts["begins with"] == "demo's best weights (step 6,000), its shape and tokenizer"
    assert facts["fine-tuning"].startswith(
        "adamw, the usual choice, learning rate up to 0.0003: a tenth of the 0.003 for random weights"
    )
    assert plan.request is not None
    run = prepare_run(msgspec.structs.replace(plan.request, home=tmp_path / "home"))
    assert run.config.start is not None
    assert (run.config.start.base, run.config.train.lr) == ("demo", pytest.approx(3e-4))
    assert run.config.data.tokens == size.tokens, "counted with the tokenizer of the base"
    longer = make_plan(replace(settings, context="129"), size, MACHINE, base=base)
    assert longer.problems == {"context": "demo has a context of 128 tokens; choose at most as many."}
    cost = dict(run_cost(make_plan(replace(settings, lr="0.01"), size, MACHINE, base=base).run, [], MACHINE))  # type: ignore[arg-type]
    assert cost["advice"] == "a learning rate of 0.01 is high for trained weights, 0.0003 is usual"


def test_a_base_whose_weights_are_not_finite_is_refused_and_nothing_is_made(text: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    settings = {"tokenizer": "bytes", "context": 16, "layers": 1, "heads": 1, "width": 8, "steps": 2}
    base = prepare_run(RunRequest(text=str(text), name="base", home=home, **settings))
    weights = GPT(base.config.model, seed=1).state_dict()
    weights["wpe.weight"][3, 4] = float("nan")
    save_file(weights, base.path / "best.safetensors", {"format": "pt", "step": "2"})
    with pytest.raises(UserError, match=r"^base cannot be begun with: its weights hold NaN or infinity, in wpe\.weight\.$"):
        prepare_run(RunRequest(text=str(text), start="base", name="fine", steps=2, home=home))
    assert [path.name for path in home.iterdir() if not path.name.startswith(".")] == ["base"]


def test_a_text_far_from_what_the_weights_know_is_trained_on(tmp_path: Path) -> None:
    """Its first losses are above twice ln V, which in a run from random weights is a sign of divergence."""
    settings = {"steps": 10, "threads": 1, "precision": "fp32", "device": "cpu", "batch": 4}
    run = prepare_run(RunRequest(text=str(README), start="demo", home=tmp_path / "home", **settings))
    assert train_in_process(run).phase == "finished"
    losses = [metric.loss for metric in run.metrics().read() if metric.lr is not None]
    assert losses[0] is not None
    assert losses[-1] is not None
    assert losses[0] > 2 * uniform_baseline(run.config.model.vocab_size), "else this tests nothing"
    assert losses[-1] < losses[0] - 1.0
    assert not [event for event in run.events().read() if event.kind in ("bad_step", "back")]
