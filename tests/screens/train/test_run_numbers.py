"""The numbers of a run, its verdict in one line, and what its training takes of the machine."""

import math
import re

import msgspec
import pytest
from textual.app import App, ComposeResult

from lab.analysis.baselines import NATS
from lab.analysis.machine_usage import Usage, UsageMeter
from lab.analysis.run_sentence import VerdictLine
from lab.runs.expected_loss_range import ExpectedLoss
from lab.runs.run_history import LossHistory
from lab.runs.run_schema import FinalEvaluation
from lab.runs.schema_parts import CopiedShare
from screens.plot.plot_settings import PlotSettings
from screens.train.run_header import WHY, VerdictBar, newest_numbers, numbers_at, status_text
from screens.train.run_notices import AFTER_TRAINING
from screens.train.run_plots import RunPlots, WatchedRun, usage_plots
from tests.lab.analysis.recorded_curves import recorded
from tests.screens.pilot_waits import settle


def numbers(part: int = 0, *, bits: bool = False) -> dict[str, str]:
    """After an evaluation at the end on so many bytes of the validation text; 0 for none."""
    run = recorded("overfitting")
    ends = [
        FinalEvaluation(step=step, tokens=part, bytes=part, val_loss=loss, bits_per_byte=loss / math.log(2)) if part else None
        for step, loss in ((600, 4.0), (80, 2.5))
    ]
    status = msgspec.structs.replace(run.head.status, final=ends[0], final_best=ends[1])
    watched = WatchedRun("tale", run.head.config, status, "finished", run.history)
    return dict(newest_numbers(RunPlots(watched, PlotSettings(bits=bits))))


def test_it_is_said_of_how_much_validation_text_the_losses_are() -> None:
    """While it trains they are of the share of its evaluations; at the end the numbers change, and so does the share."""
    whole = recorded("overfitting").head.config.data.val_bytes
    ended = numbers(whole)
    assert [ended[name] for name in ("val loss", "best val loss", "val text used")] == ["4.000", "2.500 @ 80", "all"]
    half = numbers(whole // 2)
    assert [half[name] for name in ("val loss", "best val loss", "val text used")] == ["4.000", "2.500 @ 80", "50%"]
    lowest = recorded("overfitting").history.best_evaluation
    assert numbers()["best val loss"] == f"{lowest.val_loss:.3f} @ {lowest.step}"


@pytest.mark.parametrize("planned", [610, 2000])
def test_a_run_that_took_far_fewer_steps_than_planned_says_so_before_what_to_do_next(planned: int) -> None:
    run = recorded("overfitting")
    end = FinalEvaluation(step=600, tokens=9, bytes=9, val_loss=4.0, bits_per_byte=2.9)
    status = msgspec.structs.replace(run.head.status, phase="finished", step=600, final=end, final_best=end)
    expected = ExpectedLoss(bits_per_byte=2.0, low=1.8, high=2.2, by_law=2.0, steps=planned)
    config = msgspec.structs.replace(run.head.config, expected=expected, imported=None, tuning=None)
    _, notice, _ = status_text(WatchedRun("tale", config, status, "finished", run.history), None)
    outcome = "Expected 2.00 bits per byte (1.80 to 2.20), got 2.90."
    slow = f"It took 600 of 2,000 planned steps: training was slower here than planned. {outcome} {AFTER_TRAINING}"
    assert notice.startswith(slow if planned == 2000 else f"{AFTER_TRAINING} {outcome}")
    early = msgspec.structs.replace(status, message="Ended early: no better validation loss.")
    assert "slower" not in status_text(WatchedRun("tale", config, early, "finished", run.history), None)[1]


def test_the_numbers_follow_the_unit_of_the_plot() -> None:
    whole = recorded("overfitting").head.config.data.val_bytes
    nats, bits = numbers(whole), numbers(whole, bits=True)
    assert nats["bits/byte"] == "5.771 (val)"
    assert (bits["val loss"], bits["best val loss"], bits["unit"]) == ("5.771", "3.607 @ 80", "bits/byte")
    for name in ("train loss", "uniform"):
        assert float(bits[name].split()[0]) == pytest.approx(float(nats[name].split()[0]) / math.log(2), abs=2e-3), (
            "its tokens are bytes"
        )
    assert bits["perplexity"] == nats["perplexity"], "e to the loss in nats"


def test_each_loss_is_in_bits_per_byte_with_the_bytes_per_token_of_its_own_text() -> None:
    """A training part of 3 bytes a token, evaluated on tokens of 2 bytes, at the end on all of them, of 4 bytes."""
    run = recorded("overfitting-bpe")
    split = run.head.config.data.split
    data = msgspec.structs.replace(run.head.config.data, train_bytes=3 * split)
    config = msgspec.structs.replace(run.head.config, data=data)
    history = LossHistory()
    history.add(
        msgspec.structs.replace(each, bits_per_byte=each.val_loss and each.val_loss / math.log(2) / 2) for each in run.metrics
    )
    final = FinalEvaluation(step=800, tokens=100, bytes=400, val_loss=5.0, bits_per_byte=5.0 / math.log(2) / 4)
    for end, length, val in ((None, 2, history.val_losses[-1]), (final, 4, 5.0)):
        status = msgspec.structs.replace(run.head.status, final=end)
        plots = RunPlots(WatchedRun("tale", config, status, "finished", history), PlotSettings(bits=True))
        shown = dict(newest_numbers(plots))
        mean, uniform = history.smooth[-1], math.log(config.model.vocab_size)
        per_nat, in_training = 1 / math.log(2) / length, 1 / math.log(2) / 3
        assert float(shown["train loss"].removesuffix(" (mean)")) == pytest.approx(mean * in_training, abs=1e-3)
        assert float(shown["uniform"]) == pytest.approx(uniform * per_nat, abs=1e-3)
        assert float(shown["val loss"].split()[0]) == pytest.approx(val * per_nat, abs=1e-3)
        figure = plots.losses()
        assert figure.series[1].ys[-1] == pytest.approx(mean * in_training)
        assert figure.series[2].ys[-1] == pytest.approx(history.val_losses[-1] * per_nat)
        gap = val * per_nat - mean * in_training
        assert figure.area.name == f"gap {gap:+.2f} at step 800", "of the losses beside the plot"
        assert float(dict(numbers_at(plots, len(history.steps) - 1, 1.0))["train loss"].split()[0]) == pytest.approx(
            mean * in_training, abs=1e-3
        )
        (*_, in_bits), (*_, in_nats) = (status_text(plots.watched, None, unit) for unit in (plots.loss_unit, NATS))
        assert "nats" not in in_bits
        of_training = (
            f"Training loss {mean * in_training:.2f} (mean); uniform baseline {uniform * in_training:.2f} bits per byte."
        )
        assert of_training in in_bits
        values = [re.findall(r"\d\.\d\d+", said) for said in (in_bits, re.sub(r" \([\d.]+ bits/byte\)", "", in_nats))]
        for told, loss in zip(*values, strict=True):
            either = (float(loss) * per_nat, float(loss) * in_training, gap)
            assert min(abs(float(told) - each) for each in either) < 0.011, "no loss is told in nats"


@pytest.mark.parametrize("name", ["nothing-lr-1e-5", "short-45-steps", "learning"])
def test_only_a_model_that_has_learned_is_said_to_generalize(name: str) -> None:
    run = recorded(name)
    status = msgspec.structs.replace(run.head.status, final=None)
    data = msgspec.structs.replace(run.head.config.data, copied=CopiedShare(share=0.0))
    config = msgspec.structs.replace(run.head.config, data=data)
    watched = WatchedRun(name, config, status, "training", run.history)
    *_, said = status_text(watched, run.head.entropy)
    assert "Validation loss about the same" in said
    assert ("the model generalizes" in said) == (name == "learning")


@pytest.mark.parametrize(("smoothing", "kind"), enumerate(("mean", "strong", "light")))
def test_the_mean_and_the_loss_of_a_step_have_a_name_each_with_the_cursor_and_without(smoothing: int, kind: str) -> None:
    run = recorded("overfitting")
    watched = WatchedRun("tale", run.head.config, run.head.status, "finished", run.history)
    plots = RunPlots(watched, PlotSettings(smoothing=smoothing))
    newest = dict(newest_numbers(plots))
    at_end = dict(numbers_at(plots, len(run.history.steps) - 1, 0.5))
    assert newest["train loss"] == at_end["train loss"]
    assert at_end["step loss"] == f"{run.history.losses[-1]:.3f}"
    assert newest["train loss"].endswith(f" ({kind})")
    assert not {"train", "smoothed"} & {*newest, *at_end}


@pytest.mark.parametrize(("evaluated", "on", "words"), [(False, "(train)", "in training"), (True, "(val)", "in validation")])
def test_the_perplexity_is_the_number_of_the_verdict_and_both_say_of_which_text(evaluated: bool, on: str, words: str) -> None:
    run = recorded("learning-half-way")
    history = LossHistory()
    history.add(each for each in run.metrics if evaluated or each.val_loss is None or not each.step)
    watched = WatchedRun("tale", run.head.config, run.head.status, "stopped", history)
    verdict, *_ = status_text(watched, None)
    number, said_on = dict(newest_numbers(RunPlots(watched, PlotSettings(smoothing=2))))["perplexity"].split()
    assert said_on == on
    assert verdict.sentence == f"It was learning: unsure as among {number} of 256 tokens {words}."


LINE = VerdictLine("warn", "It has begun to memorize the text: validation loss rises since step 1,400.", "")


class BarApp(App[None]):
    def compose(self) -> ComposeResult:
        yield VerdictBar()


@pytest.mark.parametrize(("width", "lines"), [(100, 1), (86, 1), (76, 2), (40, 3)])
async def test_the_verdict_is_a_whole_sentence_at_every_width_with_the_key_to_its_reasons(width: int, lines: int) -> None:
    app = BarApp()
    async with app.run_test(size=(width, 4)) as pilot:
        bar = app.query_one(VerdictBar)
        assert bar.size.height == 1, "no line is taken before there is a verdict"
        bar.verdict = LINE
        await settle(pilot)
        said = [bar.render_line(y).text.strip() for y in range(bar.size.height)]
    assert len(said) == lines
    assert " ".join(said).split() == f"{LINE.text} ⏎ {WHY}".split()


def meter(*samples: Usage) -> UsageMeter:
    made = UsageMeter()
    made.cores, made.memory = 4, 8_000_000_000
    made.samples.extend(samples)
    return made


def test_before_the_second_sample_there_is_a_sentence() -> None:
    for found in (usage_plots(None), usage_plots(meter(Usage(1.0, 0.5, 10)))):
        assert [figure.empty for figure in found] == ["Usage: only while you watch it train here."]


def test_processor_and_memory_are_the_machine_s_and_the_trainer_s() -> None:
    samples = (Usage(100.0, 0.5, 2_000_000_000), Usage(101.5, 0.75, 3_000_000_000, 2.5, 400_000_000))
    cpu, memory = usage_plots(meter(*samples))
    everything, trainer = cpu.series
    assert (everything.name, list(everything.xs), list(everything.ys)) == ("all 3.0 of 4 cores", [0.0, 1.5], [2.0, 3.0])
    assert (trainer.name, list(trainer.xs), list(trainer.ys)) == ("trainer 2.5", [1.5], [2.5])
    everything, trainer = memory.series
    assert (everything.name, list(everything.ys)) == ("all 3.0 GB of 8.0 GB", [2.0, 3.0])
    assert (trainer.name, list(trainer.ys)) == ("trainer 400 MB", [0.4])


def test_a_card_has_panels_of_its_own_where_there_is_one() -> None:
    samples = (Usage(100.0, 0.5, 1, gpu=0.5, gpu_memory=10**9), Usage(101.0, 0.5, 1, gpu=0.98, gpu_memory=2 * 10**9))
    figures = usage_plots(meter(*samples))
    assert [figure.series[0].name for figure in figures[2:]] == ["GPU busy 98%", "GPU memory 2.0 GB"]
    assert list(figures[3].series[0].ys) == [1.0, 2.0]
