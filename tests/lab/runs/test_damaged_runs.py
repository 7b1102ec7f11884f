"""A run folder is input, not truth: what is wrong with it is said, it is listed as damaged, and it can be renamed and deleted."""

import json
import os
import re
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from lab.analysis.baselines import run_entropy
from lab.analysis.compared_run import vocabulary_of
from lab.core.errors import DamagedFileError, UserError
from lab.data.source_files import change_of_text, check_tokens
from lab.data.token_file import TokenFile
from lab.planning.settings_form import text_problem
from lab.runs.find_runs import find_run, open_run
from lab.runs.metrics_log import LineWriter, keep_lines_up_to
from lab.runs.run_folder import Run, tokenizer_of
from lab.runs.run_history import RunFollower
from lab.runs.run_schema import Insight, Metric
from lab.runs.run_summary import RunsWatcher
from lab.runs.weights_file import thin_snapshots
from tests.fixture_types import Call, EmptyRun, TinyRun

ABSURD: list[tuple[str, object]] = [
    ("model.layers", 1_000_000_000),
    ("model.layers", 2**80),
    ("model.layers", 2.5),
    ("model.width", 1 << 40),
    ("model.vocab_size", 257),
    ("train.minutes", 0),
    ("train.steps", None),
    ("train.steps", -1),
    ("train.steps", int("9" * 30)),
    ("train.lr", 1e300),
    ("train.batch", 0),
    ("train.accumulate", 17),
    ("train.threads", 100_000),
    ("train.eval_every", 0),
    ("train.prompts", "a"),
    ("data.split", 1001),
    ("data.tokens", -1),
    ("data.bytes", "many"),
    ("data.name", "x" * 501),
    ("created", 1e300),
    ("created", "yesterday"),
    ("name", None),
    ("format", 10**400),
]


FILES = ("config.json", "status.json", "metrics.jsonl", "samples.jsonl", "insights.jsonl", "events.jsonl")


def change(run: Run, field: str, value: object) -> None:
    config = json.loads((run.path / "config.json").read_bytes())
    *groups, name = field.split(".")
    place = config
    for group in groups:
        place = place[group]
    place[name] = value
    (run.path / "config.json").write_text(json.dumps(config))


def assert_can_go(llmlab: Call) -> None:
    """The run can be renamed and deleted."""
    assert llmlab("rename", "tale", "saga").code == 0
    assert llmlab("delete", "saga", "--yes").code == 0


def nested(depth: int) -> bytes:
    return b'{"step":' * depth + b"1" + b"}" * depth


@pytest.mark.parametrize(("field", "value"), ABSURD)
def test_a_setting_out_of_bounds_makes_a_run_damaged_and_is_named(
    empty_run: EmptyRun, field: str, value: object, llmlab: Call
) -> None:
    run = empty_run()
    change(run, field, value)
    with pytest.raises(DamagedFileError, match=r"config\.json is damaged") as refused:
        open_run("tale")
    assert len(str(refused.value)) < 600
    (listed,) = RunsWatcher(run.path.parent).read()[:1]
    assert (listed.name, listed.phase) == ("tale", "damaged")
    assert "config.json is damaged" in listed.problem
    for command in (("params", "tale"), ("generate", "tale"), ("resume", "tale"), ("trace", "tale", "-p", "a")):
        done = llmlab(*command)
        assert (done.code, done.out) == (2, "")
        assert "config.json is damaged" in done.err
    assert llmlab("rename", "tale", "saga").code == 0
    (entry,) = json.loads(llmlab("runs", "--json").out)
    assert (entry["name"], entry["phase"]) == ("saga", "damaged")
    assert "config.json is damaged" in entry["message"]
    assert "saga is damaged: config.json is damaged" in llmlab("runs").out
    assert llmlab("delete", "saga", "--yes").code == 0
    assert not list(run.path.parent.iterdir())


def test_a_run_that_is_never_finished_divides_nothing_by_zero(empty_run: EmptyRun, llmlab: Call) -> None:
    run = empty_run()
    change(run, "train.steps", None)
    change(run, "train.minutes", 0)
    assert llmlab("runs").code == 0
    change(run, "train.minutes", 1e-300)
    assert llmlab("runs").code == 0
    assert RunFollower(open_run("tale")).read().phase == "stopped"


@pytest.mark.parametrize("name", FILES)
def test_deep_nesting_ends_nothing(empty_run: EmptyRun, name: str, llmlab: Call) -> None:
    run = empty_run()
    (run.path / name).write_bytes(nested(200_000) + b"\n")
    done = llmlab("runs")
    assert done.code == 0
    assert "tale" in done.out
    if name != "config.json":
        RunFollower(run).read()
    assert_can_go(llmlab)


def lead_outside(path: Path) -> None:
    path.symlink_to(path.parent.parent.parent / "outside")


def fill(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


KINDS: list[tuple[Callable[[Path], None], str]] = [
    (os.mkfifo, "is a named pipe"),
    (os.mkdir, "is a folder"),
    (lead_outside, "is a link"),
    (fill, "1,099,511,627,776 bytes"),
]


@pytest.mark.parametrize("name", ["config.json", "status.json", "metrics.jsonl"])
@pytest.mark.parametrize(("make", "words"), KINDS)
def test_what_is_no_file_is_not_waited_for_and_is_named(
    empty_run: EmptyRun, tmp_path: Path, name: str, make: Callable[[Path], None], words: str, llmlab: Call
) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"kept")
    run = empty_run()
    (run.path / name).unlink(missing_ok=True)
    make(run.path / name)
    (entry,) = json.loads(llmlab("runs", "--json").out)
    assert (entry["name"], entry["phase"]) == ("tale", "damaged")
    assert words in entry["message"]
    assert RunsWatcher(run.path.parent).read()[0].phase == "damaged"
    assert_can_go(llmlab)
    assert outside.read_bytes() == b"kept"


@pytest.mark.parametrize("name", ["lock", "control", "snapshots", "last.safetensors", "best.safetensors", "tokenizer.json"])
@pytest.mark.parametrize(("make", "words"), KINDS)
def test_no_other_file_is_waited_for_or_written_through(
    empty_run: EmptyRun, tmp_path: Path, name: str, make: Callable[[Path], None], words: str, llmlab: Call
) -> None:
    outside = tmp_path / "outside"
    run = empty_run()
    make(run.path / name)
    assert llmlab("runs").code == 0
    assert not run.is_alive()
    assert run.checkpoints() == []
    for command in (("generate", "tale"), ("trace", "tale", "-p", "a"), ("resume", "tale"), ("stop", "tale"), ("pause", "tale")):
        assert llmlab(*command).code == 2
    assert_can_go(llmlab)
    assert not outside.exists()


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    lines = tmp_path / "metrics.jsonl"
    lines.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DamagedFileError, match=r"metrics.jsonl is a link"):
        LineWriter(lines)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_elsewhere_with_another_kind_of_config_is_not_taken_for_a_run(home: Path, tmp_path: Path, llmlab: Call) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(UserError):
        find_run(model)
    assert llmlab("delete", str(model), "--yes").code == 2
    assert (model / "config.json").exists()


def test_snapshots_are_listed_while_the_trainer_drops_some(empty_run: EmptyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = empty_run()
    run.snapshots_path.mkdir()
    for step in (0, 10, 20):
        (run.snapshots_path / f"{step:08d}.safetensors").write_bytes(b"weights")
    names = os.listdir

    def thinned_meanwhile(folder: Path) -> list[str]:
        found = names(folder)
        (run.snapshots_path / "00000010.safetensors").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(os, "listdir", thinned_meanwhile)
    assert [file.step for file in run.snapshots()] == [0, 20]
    assert [file.name for file in run.checkpoints()] == ["0", "20"]


def test_snapshots_of_another_run_behind_a_link_are_not_thinned(empty_run: EmptyRun, tmp_path: Path) -> None:
    outside = tmp_path / "others"
    outside.mkdir()
    for step in range(9):
        with (outside / f"{step:08d}.safetensors").open("wb") as file:
            file.truncate(30 << 20)
    run = empty_run()
    run.snapshots_path.symlink_to(outside)
    thin_snapshots(run)
    assert len(list(outside.iterdir())) == 9


def test_what_insights_say_of_heads_is_a_table_or_passed_over(empty_run: EmptyRun) -> None:
    run = empty_run()
    good = Insight(step=1, took=0.1, repeated=4, previous=[[0.1, 0.2]], duplicate=[[0.1, 0.2]], induction=[[0.1, 0.2]])
    lines = [
        msgspec.json.encode(good),
        msgspec.json.encode(good).replace(b'"previous":[[0.1,0.2]]', b'"previous":[[0.1]]'),
        b'{"step":2,"took":0.1,"repeated":4}',
        b'{"step":2,"took":0.1,"probe":["a","b"],"pattern":[[[0.5,0.5]],[[1.0]]]}',
        b'{"step":2,"took":0.1,"truth_probability":1e9}',
        b'{"step":3,"took":0.1,"probe":["a","b"],"pattern":[[[0.5,0.5]],[[0.4,0.6]]]}',
    ]
    run.insights_path.write_bytes(b"\n".join(lines) + b"\n")
    assert [moment.step for moment in RunFollower(run).read().insights.points] == [1, 3]


def test_every_number_of_a_line_has_a_bound() -> None:
    good = Metric(step=1, tokens=4, epoch=0.1, seconds=1.0, loss=2.0, val_loss=2.0, lr=0.1, grad_norm=1.0, tokens_per_second=9.0)
    encoded = msgspec.json.encode(good)
    assert msgspec.json.decode(encoded, type=Metric) == good
    for field in re.findall(rb'"(\w+)":', encoded):
        for absurd in (b"1e300", b"-1", b'"a"'):
            line = re.sub(rb'("%s"):[^,}]+' % field, rb"\1:" + absurd, encoded)
            with pytest.raises(msgspec.ValidationError):
                msgspec.json.decode(line, type=Metric)


def test_a_run_whose_text_is_a_pipe_now_is_not_waited_for(tiny_run: TinyRun, tmp_path: Path) -> None:
    config = tiny_run().config
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = msgspec.structs.replace(config.data, source=str(pipe))
    assert "cannot be read any more" in change_of_text(data, 0.0)
    assert "cannot be read any more" in text_problem(msgspec.structs.replace(config, data=data))
    assert "cannot be read any more" in change_of_text(msgspec.structs.replace(data, source="/tmp/a\0b"), 0.0)


@pytest.mark.parametrize(("make", "words"), KINDS)
def test_a_tokenizer_or_tokens_that_are_no_file_are_named(tiny_run: TinyRun, make: Callable[[Path], None], words: str) -> None:
    run = tiny_run(tokenizer="bpe", vocab=257)
    assert run_entropy(run) is not None
    for path, read in (
        (run.tokenizer_path, tokenizer_of),
        (run.tokenizer_path, vocabulary_of),
        (run.tokens_path, check_tokens),
        (run.tokens_path, lambda run: TokenFile(run.tokens_path, np.dtype(np.uint16))),
    ):
        kept = path.with_name("kept")
        path.rename(kept)
        make(path)
        if path != run.tokens_path or words != "1,099,511,627,776 bytes":  # texts may be large
            with pytest.raises(UserError, match=words):
                read(run)
        run_entropy(run)
        path.rmdir() if path.is_dir() else path.unlink()
        kept.rename(path)


def test_tokens_of_another_vocabulary_allocate_nothing(tiny_run: TinyRun) -> None:
    run = tiny_run()
    run.tokens_path.write_bytes(b"\xff" * run.tokens_path.stat().st_size)
    assert run_entropy(run) is None


def test_a_gigabyte_without_a_line_is_not_read_into_memory(empty_run: EmptyRun) -> None:
    run = empty_run()
    with run.metrics_path.open("wb") as file:
        file.truncate(1 << 30)
    tracemalloc.start()
    with pytest.raises(DamagedFileError, match="a line of more than"):
        keep_lines_up_to(run.metrics_path, Metric, 0)
    assert run.metrics().read() == []
    RunFollower(run).read()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 50_000_000


def test_train_says_that_it_waits_for_the_writer_of_a_pipe_and_answers_ctrl_c(home: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [sys.executable, "-P", "-m", "lab.cli", "train", str(pipe)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stderr is not None
            assert "is a named pipe; waiting for a program to write to it" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()
    assert not list(home.iterdir())
