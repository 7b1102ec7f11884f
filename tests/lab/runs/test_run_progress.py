import pytest

from lab.runs.loss_history import LossHistory
from lab.runs.run_progress import fraction_done, planned_length, time_left
from lab.runs.run_schema import DataConfig, Metric, RunConfig, Status, TokenizerConfig, TrainConfig
from models.config import PRESETS


def config(entropy: float | None = None, **train: object) -> RunConfig:
    data = DataConfig(
        name="text",
        source="text",
        encoding="utf-8",
        sha256="",
        bytes=1000,
        characters=1000,
        tokens=300,
        split=270,
        train_bytes=900,
        val_bytes=100,
        entropy_bits_per_byte=entropy,
    )
    return RunConfig(
        name="run",
        created=0.0,
        model=PRESETS["nano"].config(1024),
        tokenizer=TokenizerConfig(kind="bpe", vocab_size=1024),
        data=data,
        train=TrainConfig(**train),  # type: ignore[arg-type]
    )


def history(*lines: tuple[int, float | None, float | None]) -> LossHistory:
    made = LossHistory()
    made.add(
        Metric(
            step=step,
            tokens=0,
            epoch=0.0,
            seconds=0.0,
            loss=loss,
            val_loss=val_loss,
            tokens_per_second=2048.0 if loss else None,
            bits_per_byte=val_loss / 2 if val_loss else None,
        )
        for step, loss, val_loss in lines
    )
    return made


TRAINING = Status(phase="training", step=10)


def test_time_left_follows_from_the_speed() -> None:
    run = config(steps=110, batch=16)
    # 100 steps of 16 windows of 64 tokens at 2,048 tokens a second
    assert time_left(run, TRAINING, history((10, 3.0, None))) == pytest.approx(100 * 16 * 64 / 2048)
    assert time_left(run, TRAINING, LossHistory()) is None
    by_minutes = config(steps=None, minutes=2.0)
    assert time_left(by_minutes, Status(phase="training", seconds=30.0), LossHistory()) == pytest.approx(90.0)


def test_progress_is_a_share() -> None:
    assert fraction_done(config(steps=200), Status(phase="training", step=50)) == 0.25
    assert fraction_done(config(steps=None, minutes=1.0), Status(phase="training", seconds=90.0)) == 1.0
    assert fraction_done(config(steps=200), Status(phase="finished", step=200)) == 1.0
    assert planned_length(config(steps=2000)) == "2,000 steps"
    assert planned_length(config(steps=None, minutes=5.0)) == "5 min 00 s"
