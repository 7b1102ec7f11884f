"""Runs whose text is hostile."""

from collections.abc import Callable

import msgspec
import pytest

from lab.runs.run_folder import Run
from lab.runs.run_schema import Metric, Sample, Status
from lab.runs.weights_file import save_best
from models.gpt import GPT
from models.tokenizers.tokenizer import Tokenizer

HOSTILE = (
    "</script><script>window.pwned=1</script><!-- <img src=x onerror='window.pwned=2'> \x1b[31m\x00\u202eabc\u2028\ud800 &amp;"
)


@pytest.fixture
def tale(empty_run: Callable[..., Run]) -> Run:
    """A run of 400 steps with random weights, whose text, prompts and samples hold markup, escapes and what is no text."""
    run = empty_run("tale")
    names = {"name": "</title><script>window.pwned=3</script>", "encoding": "utf-8\"'><b>"}
    hostile = msgspec.structs.replace(run.config, data=msgspec.structs.replace(run.config.data, **names))
    (run.path / "config.json").write_bytes(msgspec.json.encode(hostile))
    save_best(run, GPT(run.config.model, seed=1), step=400, val_loss=1.0)
    Tokenizer.bytes_().save(run.tokenizer_path)
    encode = msgspec.json.Encoder().encode
    metrics = [
        Metric(
            step=step,
            tokens=step * 64,
            epoch=step / 100,
            seconds=step / 10,
            loss=None if step in (0, 7) else 5.0 / (1 + step / 50) + (step % 3) / 10,
            lr=None if not step else 0.001,
            val_loss=5.2 / (1 + step / 50) + 0.2 if step % 100 == 0 else None,
            bits_per_byte=1.5 if step % 100 == 0 else None,
        )
        for step in range(401)
    ]
    run.metrics_path.write_bytes(b"".join(encode(metric) + b"\n" for metric in metrics))
    # JSON cannot hold half of a character: the others come through the file.
    text = HOSTILE.replace("\ud800", "")
    samples = [Sample(step=step, prompt=f"{text} {number}", text=text) for step in range(0, 401, 20) for number in (1, 2)]
    run.samples_path.write_bytes(b"".join(encode(sample) + b"\n" for sample in samples))
    run.status_path.write_bytes(msgspec.json.encode(Status(phase="finished", step=400, steps=400, seconds=40.0)))
    return Run(run.path)
