"""A new run: from settings in the form to a run in the home."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual import events
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Button, Input, Label

from lab.core.errors import UserError
from lab.core.safetensors_file import RawTensor, write_tensors
from lab.data.statistics.text_statistics import read_facts
from lab.planning.fine_tuning import BaseRun
from lab.planning.prepare_text import PrepareProgress
from lab.planning.settings_form import LOCKED
from lab.planning.settings_table import SETTINGS, Settings
from lab.planning.step_time import TIMES
from lab.runs.run_folder import Run
from lab.runs.run_schema import DEFAULT_RULES, TokenizerConfig
from lab.runs.run_summary import RunSummary
from lab.runs.schema_parts import StartConfig
from models.parameter_count import flops_per_token
from models.tokenizers.tokenizer import Tokenizer
from screens.app import LabApp
from screens.dialogs.ask import RunChooser
from screens.messages import ActOnRun, BaseChosen, RunChosen, SettingsCopied, TextChosen
from screens.train.new_run import CancelledError
from screens.train.planned_run import Preparation
from screens.train.run_form import Field
from screens.train.run_header import RunHeader, status_text
from screens.widgets.key_bar import KeyBar
from screens.widgets.piece_lines import FactList
from tests.fixture_types import Open
from tests.screens.pilot_waits import LONGEST_WAIT, press, resize, settle
from tests.screens.train.train_app import TrainApp, act, change, screen_of, text_of

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


def fill(pilot: Pilot[None], **values: str) -> None:
    for name, value in values.items():
        screen_of(pilot).query_one(f"#{name}").value = value


async def test_what_is_wrong_says_why_is_opened_where_it_was_closed_over_it_and_nothing_is_made(
    app: TrainApp, started: list[str], home: Path, until: Any
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        screen = screen_of(pilot)
        form = screen.new_run.form
        fill(pilot, preset="micro", context="8", width="12345678")
        await until(pilot, lambda: form.opened)
        width = screen.query_one("#width", Input)
        width.focus()
        await settle(pilot)
        for key in (*["backspace"] * 8, *"130"):  # in one packet
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: width.value == "130")
        await press(pilot, "escape")
        assert "width 130 cannot be divided among 4 heads" in text_of(pilot, "#problems")
        assert screen.query_one("#field-width", Field).has_class("-wrong")
        assert not screen.query_one("#cost-title").display
        await press(pilot, "s")
        assert app.focused.id == "width", "it goes to what is wrong"
        assert str(screen.query_one("#start-hint", Label).content).startswith("escape leaves the field")
        assert "esc leave field" in app.screen.query_one(KeyBar).render_line(0).text
        assert text_of(pilot, "#field-help").startswith(SETTINGS["width"].help)
        await press(pilot, "down")
        assert app.focused.id == "seed", "the field below"
        await press(pilot, "up", "up", "up")
        assert app.focused.id == "base"
        await press(pilot, "up")
        assert app.focused.id == "more"
        await press(pilot, "up")
        assert app.focused.id == "start"
        assert str(screen.query_one("#start-hint", Label).content).startswith("enter here")
        assert text_of(pilot, "#field-help") == ""
        await press(pilot, "up", "escape", "enter")
        assert not started
        assert not list(home.iterdir())
        fill(pilot, width="132")
        await settle(pilot)
        assert text_of(pilot, "#problems") == ""
        assert screen.query_one("#cost-title").display
        screen.making = False
        await settle(pilot)
        form.focus_start()
        await press(pilot, "enter")
        assert app.focused is None, "a hidden field is never given the focus"
        assert not started
        screen.making = True
        await settle(pilot)
        assert app.focused.id == "start"

        fill(pilot, length="soon")
        await settle(pilot)
        form.opened = False
        fill(pilot, length="sooner")
        await settle(pilot)
        assert not form.opened, "what is wrong is in sight"
        fill(pilot, length="", batch="none")
        await settle(pilot)
        assert form.opened
        assert "Batch must be" in text_of(pilot, "#problems")
        form.opened = False
        await press(pilot, "s")
        assert form.opened
        assert app.focused.id == "batch"
        assert not started


def more_line(pilot: Pilot[None]) -> str:
    return str(screen_of(pilot).query_one("#more", Button).label)


MORE = "more: learning rate, batch, context …"


CHANGED: dict[str, dict[str, str]] = {
    " · not as usual: context 8": {"preset": "micro"},
    " · all as usual": {"preset": "micro", "context": "", "dropout": "0"},
    " · not as usual: context 8, dropout 0.1, seed 7": {"dropout": "0.1", "seed": "7", "length": "5 min", "name": "tale"},
    " · not as usual: tokenizer bytes, context 8, dropout 0, schedule wsd": {"tokenizer": "bytes", "schedule": "wsd"},
    " · not as usual: context 8, layers 2, heads 2, width 64": {"preset": "nano"},
    " · not as usual: context 8, dropout 0, cleaning all": {"clean": "all"},
}
"""What the line says, by what is typed beside a context of 8 and no dropout."""


async def test_a_new_run_has_three_settings_in_sight_and_a_line_that_holds_the_rest_and_says_what_differs(
    app: TrainApp, until: Any
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        screen = screen_of(pilot)
        form = screen.new_run.form
        fill(pilot, preset="micro")
        await until(pilot, lambda: "context" in dict(form.problems))
        assert form.opened, "the text is too short for the context of the shape"
        form.fill(Settings(preset="micro", context="8", dropout="0"))
        screen.new_run.plan_again()
        form.opened = False
        await until(pilot, lambda: "also stands" in str(form.cost))

        def in_sight() -> list[str]:
            return [str(each.id) for each in screen.focus_chain]

        def told() -> set[str]:
            return {label for label, _ in form.query_one(FactList).facts}

        await until(pilot, lambda: "time" in told() and "best" not in told() and form.query_one(FactList).size.height)
        assert in_sight() == ["offers-length", "preset", "name", "start", "more"]
        assert form.max_scroll_y == 0, "with the cost, all of it"
        assert form.query_one(FactList).facts[0][0] == "time"
        assert told() >= {"time", "parameters", "memory"}
        assert "a step" not in told()
        await press(pilot, "down", "enter")
        assert app.focused.id == "base", "the first of those under more"
        assert len(in_sight()) > 20
        assert {setting.name for setting in SETTINGS.values() if setting.in_form} - {"gpus", "length"} <= set(in_sight())
        assert told() >= {"time", "a step"}
        await press(pilot, "up", "enter")
        await until(pilot, lambda: in_sight() == ["offers-length", "preset", "name", "start", "more"])
        assert app.focused.id == "more"
        for is_open in (True, False):
            await pilot.click("#more")
            await until(pilot, lambda is_open=is_open: form.opened == is_open)
        for said, typed in CHANGED.items():
            form.fill(Settings(**{"context": "8", "dropout": "0", **typed}))
            screen.new_run.plan_again()
            await until(pilot, lambda said=said: more_line(pilot)[2:] == f"{MORE}{said}")
        for size in ((120, 40), (200, 60)):
            await resize(pilot, *size)
            assert screen.query_one("#form-cost").region.x > screen.query_one("#offers-length").region.right, (
                "beside the settings"
            )


async def test_start_makes_the_run_that_was_asked_for_and_shows_it(
    app: TrainApp, started: list[str], home: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screens.train.run_form.gpu_count", lambda: 4)
    async with app.run_test(size=(80, 24)) as pilot:
        assert screen_of(pilot).query("#gpus"), "a field for them, where there are several"
        await until(pilot, lambda: "also stands" in dict(screen_of(pilot).query_one(FactList).facts).get("validation", ""))
        assert text_of(pilot, "#form-text").startswith("New run on fable, 1.9 kB, about ")
        fill(pilot, layers="1", heads="2", width="8", context="4", length="30", batch="2", name="small")
        await press(pilot, "s")
        await until(pilot, lambda: started == ["small"] and app.run_name == "small")
        await until(pilot, lambda: screen_of(pilot).watched is not None)
        config = Run(home / "small").config
        assert (config.model.layers, config.model.heads, config.model.width, config.model.context) == (1, 2, 8, 4)
        assert (config.train.steps, config.train.minutes) == (30, None)
        assert (config.train.batch, config.data.name) == (2, "fable")
        assert not screen_of(pilot).making
        assert status_text(replace(screen_of(pilot).watched, phase="starting"), None)[1].startswith("Not started")
        assert {path.name for path in home.iterdir()} - {".steps.json"} == {"small"}, "no pilot where the steps are given"


async def test_what_the_preparation_finds_wrong_is_told_in_the_form_and_escape_or_quitting_gives_it_up(
    app: TrainApp, started: list[str], home: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: Any, progress: Any) -> Run:
        raise UserError("The disk is full; leave --steps out.")

    given_up, too_late = threading.Semaphore(0), threading.Event()

    def prepare(request: Any, progress: Callable[[PrepareProgress], None]) -> Run:
        try:
            limit = time.monotonic() + LONGEST_WAIT
            while not too_late.wait(0.01) and time.monotonic() < limit:
                progress(PrepareProgress("learning", "learning a vocabulary of 300", 0.5))
        except CancelledError:
            given_up.release()
            raise
        raise UserError("It went on.")

    def start(run: Run, waiting: Callable[[], None]) -> int:
        limit = time.monotonic() + LONGEST_WAIT
        while time.monotonic() < limit:
            waiting()
            time.sleep(0.01)
        raise UserError("The trainer's start was not given up.")

    async with app.run_test(size=(80, 24)) as pilot:
        screen, stages = screen_of(pilot), screen_of(pilot).query_one(Preparation)
        fill(pilot, context="4", layers="1", heads="2", width="8", length="30")
        with monkeypatch.context() as patch:
            patch.setattr("screens.train.new_run.prepare_run", refuse)
            await press(pilot, "s")
            await until(pilot, lambda: text_of(pilot, "#problems") == "✗ The disk is full; leave steps out.")
            assert screen.making
            assert app.focused.id == "start"
            assert screen.new_run.form.display
            patch.setattr("screens.train.new_run.prepare_run", prepare)
            await press(pilot, "s")
            await until(pilot, lambda: stages.stages)
            assert "▸ learning a vocabulary of 300  ━━━" in stages.render_line(0).text
            assert stages.render_line(2).text.startswith("escape cancels it")
            await press(pilot, "escape")
            await until(pilot, lambda: "cancelled" in text_of(pilot, "#problems"))
            assert app.focused.id == "start"
            assert app.current_mode == "train"
        with monkeypatch.context() as patch:
            patch.setattr("screens.train.new_run.start_trainer", start)
            await press(pilot, "s")
            await until(pilot, lambda: stages.stages and stages.stages[-1][0] == "starting the trainer")
            assert list(home.iterdir())
            await press(pilot, "escape")
            await until(pilot, lambda: "cancelled" in text_of(pilot, "#problems"))
            await until(pilot, lambda: not list(home.iterdir()))
        app.post_message(TextChosen("gone.txt", "", "train"))
        await until(pilot, lambda: "gone.txt does not exist" in text_of(pilot, "#problems"))
        await press(pilot, "s")
        assert not [path for path in home.iterdir() if path.is_dir()], "no run"
        # The lab is left while another text is prepared.
        app.post_message(TextChosen(str(Path("fable.txt").absolute()), "", "train"))
        await until(pilot, lambda: not text_of(pilot, "#problems"))
        monkeypatch.setattr("screens.train.new_run.prepare_run", prepare)
        await press(pilot, "s")
        await until(pilot, lambda: stages.stages)
        await press(pilot, "q", "q")
    was_given_up = [given_up.acquire(timeout=10) for _ in range(2)]
    too_late.set()
    assert was_given_up == [True, True], "by escape, and by quitting"
    assert not started


async def test_another_encoding_of_the_same_text_is_the_one_that_it_is_prepared_with(
    app: TrainApp, started: list[str], home: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []

    def read(source: str, encoding: str | None, *rest: Any) -> Any:
        asked.append((Path(source).name, encoding))
        return read_facts(source, encoding, *rest)

    monkeypatch.setattr("screens.train.new_run.read_facts", read)
    french = Path("french.txt").absolute()
    french.write_bytes("Où est le chat? Il a dormi à côté.\n".encode("cp1252") * 40)
    async with app.run_test(size=(80, 24)) as pilot:
        for encoding in ("cp1252", "latin-1"):
            app.post_message(TextChosen(str(french), encoding, "train"))
            await until(pilot, lambda encoding=encoding: screen_of(pilot).new_run._text.encoding == encoding)
            await until(pilot, lambda: "tokens" in text_of(pilot, "#form-text"))
        fill(pilot, layers="1", heads="2", width="8", context="4", length="30", name="small")
        await press(pilot, "s")
        await until(pilot, lambda: started == ["small"] and not screen_of(pilot).making)
        assert Run(home / "small").config.data.encoding == "iso8859-1"
        app.post_message(TextChosen(str(Path("fable.txt").absolute()), "", "train"))
        await until(pilot, lambda: text_of(pilot, "#form-text").startswith("New run on fable, 1.9 kB, about "))
        assert ("french.txt", None) not in asked, "it is not read in the encoding of the next text"


@pytest.fixture
def base(make_run: Any) -> Run:
    """A run of 256 tokens with weights, or what passes for them where nothing computes with them."""
    run: Run = make_run("base", step=400)
    model = replace(run.config.model, layers=2, width=8, context=8, vocab_size=256)
    change(run, model=model, tokenizer=TokenizerConfig(kind="bytes", vocab_size=256))
    Tokenizer.bytes_().save(run.tokenizer_path)
    tensors = {"wpe.weight": RawTensor("F32", (8, 8), memoryview(bytes(256)))}
    write_tensors(run.path / "best.safetensors", tensors, {"step": "300"})
    return Run(run.path)


async def test_a_run_begins_with_the_weights_of_another(
    base: Run, app: TrainApp, started: list[str], home: Path, until: Any
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs and "tokens" in text_of(pilot, "#form-text"))
        form = screen_of(pilot).new_run.form
        fill(pilot, width="12", lr="0.1")
        await act(pilot, "base")
        await until(pilot, lambda: isinstance(app.screen, RunChooser))
        await press(pilot, "j", "enter")
        await until(pilot, lambda: form.base == "base")
        assert [form.query_one(f"#{name}").disabled for name in (*LOCKED, "context", "lr")] == [True] * 6 + [False] * 2
        assert more_line(pilot)[2:].startswith(f"{MORE} · ")
        for said in ("begins with base", "tokenizer bytes", "layers 2", "width 8", "optimizer adamw"):
            assert said in more_line(pilot), "closed or open, what a base decides is said"
        assert (form.defaults["width"], form.settings.width, form.settings.lr) == ("8", "", "")
        facts = dict(form.cost)
        assert facts["begins with"] == "base's best weights (step 300), its shape and tokenizer"
        assert ": a tenth of the " in facts["fine-tuning"]
        assert "as base" in form.query_one("#preset").render_line(0).text
        await until(pilot, lambda: screen_of(pilot).new_run._text.tokens == 1950)
        screen_of(pilot).new_run.read_base("base")
        await until(pilot, lambda: not [worker for worker in app.workers if worker.group == "read base"])
        await until(pilot, lambda: screen_of(pilot).new_run._text.tokens == 1950)
        Path("tale.txt").write_text("They ran home. " * 100)
        app.post_message(TextChosen("tale.txt", "", "train"))
        await until(pilot, lambda: text_of(pilot, "#form-text") == "New run on tale, 1.5 kB, about 1,500 tokens (vocabulary 256)")
        assert form.base == "base", "another text, the same weights"
        fill(pilot, length="3", name="tuned")
        await press(pilot, "s")
        await until(pilot, lambda: started == ["tuned"])
        config = Run(home / "tuned").config
        assert (config.start.base, config.start.base_step, config.train.optimizer) == ("base", 300, "adamw")
        assert (config.model.layers, config.model.width, config.tokenizer.kind) == (2, 8, "bytes")
        await until(pilot, lambda: screen_of(pilot).watched is not None)
        header = screen_of(pilot).query_one(RunHeader)
        assert "began with base (step 300) · 0% of 3 steps" in header.render_line(0).text
        await pilot.resize_terminal(60, 24)
        await until(pilot, lambda: header.size.width <= 60)
        assert header.render_line(0).text.rstrip().endswith("0% of 3 steps"), "never cut"
        await press(pilot, "n")
        await act(pilot, "base")
        await until(pilot, lambda: isinstance(app.screen, RunChooser))
        await press(pilot, "home", "enter")
        await until(pilot, lambda: form.base == "")
        assert (form.settings.optimizer, form.settings.tokenizer) == ("muon", "bpe")
        assert form.query_one("#preset").render_line(0).text.startswith("‹ ")
        assert not form.query_one("#width").disabled


async def test_f_on_home_leads_to_the_form_and_a_clone_of_a_fine_tuned_run_begins_as_it_did(
    base: Run, make_run: Any, until: Any
) -> None:
    make_run("bare", created=1.0)
    tuned = make_run("tuned", text="fable.txt")
    change(tuned, start=StartConfig(base="base", base_step=300), model=base.config.model, tokenizer=base.config.tokenizer)
    app = LabApp(text=str(Path("fable.txt").absolute()), preload=False)
    async with app.run_test(size=(80, 24)) as pilot:

        async def press_on(run: str, key: str) -> None:
            await press(pilot, "1")
            app.screen.query_one("#runs").show_run(run)  # type: ignore[attr-defined]
            await press(pilot, key)
            await until(pilot, lambda: app.current_mode == "train")

        await until(pilot, lambda: len(app.runs) == 3)
        await press_on("bare", "f")
        await until(pilot, lambda: "bare has no weights" in text_of(pilot, "#problems"))
        await press_on("base", "f")
        await until(pilot, lambda: screen_of(pilot).new_run.form.base == "base")
        assert text_of(pilot, "#problems") == ""
        assert screen_of(pilot).new_run.would_be_lost() == ""
        await act(pilot, "base")
        await press(pilot, "home", "enter")
        await until(pilot, lambda: screen_of(pilot).new_run.form.base == "")
        await press_on("tuned", "a")
        await until(pilot, lambda: screen_of(pilot).new_run.form.base == "base")
        await until(pilot, lambda: "cannot be read any more" in text_of(pilot, "#problems"))  # its text is gone


async def test_a_base_or_a_clone_that_is_read_late_does_not_replace_a_newer_choice(
    app: TrainApp, listed: Open, make_run: Any, until: Any, late_answer: Any
) -> None:
    make_run("slow", steps=111)
    make_run("base")
    make_run("quick", steps=222)

    def base_run(run: Run) -> BaseRun:
        return BaseRun(run.name, run.path, 300, run.config.model, run.config.tokenizer)

    async with listed(3) as pilot:
        screen = screen_of(pilot)
        form = screen.new_run.form
        for newer in ("random weights", "settings of a run", "another base"):
            late = late_answer("screens.train.new_run.base_run", lambda run: run.name == "slow", base_run)
            screen.post_message(BaseChosen("slow"))
            await until(pilot, late.asked.is_set)
            if newer == "another base":
                screen.post_message(BaseChosen("base"))
                await until(pilot, lambda: form.base == "base")
            elif newer == "random weights":
                await act(pilot, "base")
                await press(pilot, "home", "enter")
            else:
                screen.post_message(SettingsCopied("base", Settings(lr="0.007"), {}, ""))
                await until(pilot, lambda: form.settings.lr == "0.007")
            settings = form.settings
            await late.come(pilot)
            assert (form.base, form.settings) == ("base" if newer == "another base" else "", settings)

        late = late_answer("screens.run_actions.text_problem", lambda config: config.name == "slow")
        app.post_message(ActOnRun("clone", app.run_summary("slow")))
        await until(pilot, late.asked.is_set)
        app.post_message(ActOnRun("clone", app.run_summary("quick")))
        await until(pilot, lambda: form.settings.length == "222 steps")
        await press(pilot, "escape", "1")
        await late.come(pilot)
        assert (app.current_mode, form.settings.length) == ("home", "222 steps"), "the older opens nothing"


async def test_a_text_that_nobody_chose_is_that_of_the_run_in_use_or_built_in_and_told_with_the_key_to_choose_one(
    home: Path, make_run: Any, until: Any
) -> None:
    run = make_run("tale", text="gone.txt")
    app = TrainApp(preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.run_name == "tale" and not screen_of(pilot).making)
        await press(pilot, "n")
        await until(pilot, lambda: text_of(pilot, "#form-text").startswith("New run on stories (built in), "))
        await until(pilot, lambda: "tokens" in text_of(pilot, "#form-text"))
        assert text_of(pilot, "#form-text").endswith(" · 2 changes it")
        rules = (*DEFAULT_RULES, "control-characters")
        data = msgspec.structs.replace(run.config.data, source=str(Path("fable.txt").absolute()), cleaning=rules)
        change(make_run("newer", created=2e9), data=data)
        app.post_message(RunChosen("newer"))
        await until(pilot, lambda: text_of(pilot, "#form-text").startswith("New run on fable, 1.9 kB, about "))
        assert text_of(pilot, "#form-text").endswith(" · 2 changes it")
        form = screen_of(pilot).new_run.form
        await until(pilot, lambda: form.settings.clean == "line-endings,control-characters")
        plain = make_run("plain", created=2.1e9)
        change(plain, data=msgspec.structs.replace(data, cleaning=DEFAULT_RULES))
        app.post_message(RunChosen("plain"))
        await until(pilot, lambda: form.settings.clean == "")
        app.post_message(RunChosen("newer"))
        await until(pilot, lambda: form.settings.clean == "line-endings,control-characters")
        app.post_message(TextChosen("stories", "", "train"))
        await until(pilot, lambda: "changes" not in text_of(pilot, "#form-text"))
        assert form.settings.clean == "", "the rules were those of the suggestion"
        await until(pilot, lambda: "tokens" in text_of(pilot, "#form-text"))
        app.post_message(TextChosen(str(Path("fable.txt").absolute()), "", "train"))
        await until(pilot, lambda: text_of(pilot, "#form-text").startswith("New run on fable"))
        assert "changes" not in text_of(pilot, "#form-text")


async def test_the_time_told_follows_what_has_been_timed(app: TrainApp, until: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guess while steps are timed, their time then, and that of a run like it as soon as it has ended."""
    timed, timers = threading.Event(), list[object]()

    class Timer:
        held_up = 0.0

        def __init__(self, *job: object) -> None:
            timers.append(self)
            self.cancelled = False

        def measure(self, after: float) -> float | None:
            limit = time.monotonic() + LONGEST_WAIT
            while not timed.wait(0.02):
                if self.cancelled or time.monotonic() > limit:
                    return None
            return 0.5

        def cancel(self) -> None:
            self.cancelled = True

    monkeypatch.setattr("screens.train.new_run.StepTimer", Timer)
    async with app.run_test(size=(80, 24)) as pilot:
        new_run = screen_of(pilot).new_run
        fill(pilot, preset="micro", length="2000", context="8")

        def told(words: str) -> bool:
            return words in dict(new_run.form.cost).get("time", "")

        await until(pilot, lambda: told("a guess until its steps have been timed"))
        timed.set()
        await until(pilot, lambda: told("measured by up to twenty steps") and not told("until"))
        await app.push_screen(Screen())
        before = len(timers)
        fill(pilot, width="32")
        await until(pilot, lambda: told("a guess: nothing like it"))
        assert len(timers) == before, "nothing is timed while the form is out of view"
        app.pop_screen()
        await until(pilot, lambda: len(timers) > before)
        run = new_run.plan_again().run
        work = flops_per_token(run.model)
        active = RunSummary("tale", Path("tale"), "text", "training", "", flops_per_token=work, model=run.model, train=run.train)
        active = replace(active, step=100)
        new_run.runs = (active,)
        new_run.runs = (replace(active, phase="finished", mean_speed=4.0 * run.tokens_per_step, device="cpu"),)
        await until(pilot, lambda: told("at the speed of tale") and not told("until"))


async def test_the_form_says_the_copied_share_of_the_part_that_is_chosen(app: TrainApp, tmp_path: Path, until: Any) -> None:
    text, other = tmp_path / "tale.txt", tmp_path / "other.txt"
    text.write_text("".join(f"Line {number} tells of {number * number} dogs, and of no cats.\n" for number in range(500)))
    other.write_text(text.read_text()[:5000])

    async with app.run_test(size=(120, 40)) as pilot:

        def said() -> str:
            return dict(screen_of(pilot).query_one(FactList).facts).get("validation", "")

        screen_of(pilot).new_run.choose_text(str(text), "", ("line-endings",))
        await until(pilot, lambda: said().startswith("the last 10% of the text; 0% of the validation text also stands in"))
        fill(pilot, split_seed="3")
        await until(pilot, lambda: said().startswith("10% of the text in blocks, drawn with seed 3; 0% of the validation text"))
        fill(pilot, split_seed="")
        fill(pilot, validation=str(other))
        await until(pilot, lambda: said().startswith("a text of its own; 100% of the validation text also stands in"))
        fill(pilot, validation="nothing-there.txt")
        await until(pilot, lambda: "nothing-there.txt does not exist" in text_of(pilot, "#problems"))


@pytest.mark.parametrize("seconds", ["-1.0", "0", "1e-300", "1e300", "1e999", "NaN"])
def test_times_of_steps_that_cannot_be_true_are_left_out(home: Path, seconds: str) -> None:
    (home / ".steps.json").write_text(f'{{"one": {seconds}, "other": 0.5}}')
    assert dict(TIMES.known(home)) in ({"other": 0.5}, {}), "of a file that is no JSON, none"
