"""Settings, status and losses of runs that never ran, for tests of what is said about runs."""

import platform
import time

import msgspec

from lab.core.atomic_io import write_atomic
from lab.runs.run_folder import Run
from lab.runs.run_history import LossHistory
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


def say(run: Run, **fields: object) -> Status:
    """Write a status, by default that of a live trainer of this machine."""
    known = {"phase": "training", "heartbeat": time.time(), "pid": 7, "host": platform.node()}
    status = Status(**known | fields)  # type: ignore[arg-type]
    write_atomic(run.status_path, msgspec.json.encode(status))
    return status
