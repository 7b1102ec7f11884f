"""Following and commanding a run, with the test in the place of its trainer."""

import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lab.cli.follow_run import FollowedRun, follow, report_end
from lab.cli.trainer_answer import wait_until
from lab.core.atomic_io import write_atomic
from lab.core.errors import UserError
from lab.core.safetensors_file import write_tensors
from lab.runs.metrics_log import LineWriter
from lab.runs.run_control import take_commands
from lab.runs.run_folder import Run
from lab.runs.run_schema import FinalEvaluation, Metric, Phase, Status, TrainConfig
from tests.fixture_types import Call

LLMLAB = Path(sys.executable).with_name("llmlab")
STEPS = 40


class StandIn:
    """Does to a run's files what a trainer does."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.status = Status(phase="training", steps=STEPS, pid=os.getpid())
        self.metrics = LineWriter(run.metrics_path)

    def say(self, phase: Phase, step: int, message: str = "") -> None:
        if phase == "stopped":
            write_tensors(self.run.path / "last.safetensors", {}, {"step": str(step)})
        self.status = msgspec.structs.replace(
            self.status, phase=phase, step=step, message=message, heartbeat=time.time(), seconds=step / 10
        )
        write_atomic(self.run.status_path, msgspec.json.encode(self.status))

    def evaluate(self, step: int) -> None:
        common = {"step": step, "tokens": step * 64, "epoch": 0.0, "seconds": step / 10}
        self.metrics.write(Metric(**common, loss=5 - step / 10, lr=1e-3, grad_norm=1.0, tokens_per_second=2560.0))
        self.metrics.write(Metric(**common, val_loss=5.5 - step / 10, bits_per_byte=(5.5 - step / 10) / 0.693147))

    def answer(self, asked: str, phase: Phase, step: int) -> threading.Thread:
        """Waits for a command in the background, and then is in that phase."""

        def wait() -> None:
            while [command.name for command in take_commands(self.run.control_path)] != [asked]:
                time.sleep(0.01)
            self.say(phase, step)

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        return thread


@contextmanager
def owned(run: Run) -> Iterator[StandIn]:
    with run.lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield StandIn(run)


@pytest.fixture
def run(empty_run: Any) -> Run:
    run = empty_run("tale")
    config = msgspec.structs.replace(run.config, train=TrainConfig(batch=4, steps=STEPS))
    (run.path / "config.json").write_bytes(msgspec.json.encode(config))
    return Run(run.path)


def test_how_steps_are_computed_on_a_gpu_is_said_once(run: Run) -> None:
    stand_in = StandIn(run)
    stand_in.status = msgspec.structs.replace(stand_in.status, device="cuda:0", computed="bf16, for the tensor cores of it")
    stand_in.say("training", 1)
    followed = FollowedRun(run, -1)
    assert followed.new_messages() == ["Steps run in bf16, for the tensor cores of it."]
    assert followed.new_messages() == []


def test_a_line_for_each_evaluation_and_a_last_word(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with owned(run) as trainer:
        trainer.evaluate(10)
        trainer.evaluate(20)
        trainer.say("training", 20)
        codes: list[int] = []
        following = threading.Thread(target=lambda: codes.append(follow(run, quiet=True)))
        following.start()
        out = ""
        while "20/40" not in out and following.is_alive():
            out += capsys.readouterr().out
            time.sleep(0.01)
        trainer.evaluate(STEPS)
        trainer.say("finished", STEPS)
    following.join(timeout=60)
    assert codes == [0]
    lines = (out + capsys.readouterr().out).splitlines()
    assert lines[0] == "step 10/40  loss 4.000  val loss 4.500  6.492 bits/byte  2,560 tokens/s", "too few steps for a time left"
    assert [line.split()[1] for line in lines[:3]] == ["10/40", "20/40", "40/40"]
    assert lines[3] == "tale finished: 40 steps in 4.0 s, validation loss 1.500, 2.164 bits/byte."


def test_evaluations_of_before_are_no_news(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with owned(run) as trainer:
        trainer.evaluate(10)
        trainer.evaluate(20)
        trainer.say("stopped", 20)
    assert follow(run, after=10, quiet=True) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("step 20/40")
    assert lines[1] == "tale is stopped at step 20 and saved. `llmlab resume tale` resumes it."


def test_failure_and_death_are_told_on_stderr(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with owned(run) as trainer:
        trainer.say("failed", 7, "The loss became NaN at step 7; lower the learning rate.")
    assert report_end(run) == 1
    assert capsys.readouterr() == ("", "llmlab: tale failed at step 7: The loss became NaN at step 7; lower the learning rate.\n")
    trainer.say("training", 9)
    assert follow(run, quiet=True) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "died at step 9" in err
    assert "llmlab resume tale" in err


def test_a_run_that_is_renamed_or_deleted_while_it_trains_is_told(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with owned(run) as trainer:
        trainer.say("training", 9)
        run.path.rename(run.path.with_name("other"))
    assert follow(run, quiet=True) == 1
    out, err = capsys.readouterr()
    gone = "There is no run called tale any more: it was renamed or deleted while it trained, which ends its trainer;"
    assert (out, err.startswith(f"llmlab: {gone} if it was renamed,")) == ("", True)
    with pytest.raises(UserError, match=gone):
        wait_until(run, "stopped")


def test_a_command_says_what_it_waits_for(run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.cli.trainer_answer.SILENT_SECONDS", 0.0)
    monkeypatch.setattr("lab.cli.trainer_answer.ANSWER_SECONDS", 0.3)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with owned(run) as trainer:
            trainer.status = msgspec.structs.replace(trainer.status, pid=process.pid)
            trainer.say("training", 9)
            halted = f"is halted: `kill -CONT {process.pid}` resumes it"
            for number, words in ((signal.SIGSTOP, halted), (signal.SIGCONT, "finishes what it is at first")):
                process.send_signal(number)
                os.waitpid(process.pid, os.WUNTRACED | os.WCONTINUED)
                with pytest.raises(UserError, match="has not responded for 0 s"):
                    wait_until(run, "stopped")
                assert capsys.readouterr().err.count(words) == 1
    finally:
        process.kill()
        process.communicate()


def test_after_a_kill_the_step_of_the_checkpoint_is_told(run: Run, llmlab: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in (("tokens.bin", b"ab"), ("status.json", b"")):
        (run.path / name).write_bytes(content)
    StandIn(run).say("training", 9)
    monkeypatch.setattr("lab.training.start_trainer.start_trainer", lambda run, ranks: None)
    died = "tale was interrupted. The trainer died at step 9, and nothing is saved. `llmlab resume tale` resumes from there."
    assert died in llmlab("runs").out
    begins = "tale begins at step 0; the steps after it, up to 9, were not saved."
    assert llmlab("resume", "tale", "--detach").out.startswith(begins)
    write_tensors(run.path / "last.safetensors", {}, {"step": "4"})
    assert died.replace("nothing is saved", "the last checkpoint is of step 4") in llmlab("runs").out
    resumed = llmlab("resume", "tale", "--detach").out
    assert resumed.startswith("tale resumes from step 4; the steps after it, up to 9, were not saved.")


def test_ctrl_c_leaves_the_training_alone(run: Run) -> None:
    with owned(run) as trainer:
        trainer.say("paused", 5)
        process = subprocess.Popen(
            [LLMLAB, "resume", "tale", "--quiet"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        trainer.answer("resume", "training", 5).join(timeout=60)
        trainer.evaluate(10)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("step 10/40")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert (out, err.strip()) == ("", "tale is still training. `llmlab stop tale` stops it, `llmlab` shows it.")
        assert take_commands(run.control_path) == []


def test_a_bar_in_a_terminal(run: Run) -> None:
    """At 80 columns, the bar's line holds steps, losses, speed and time left."""
    with owned(run) as trainer:
        trainer.say("training", 30)
        trainer.evaluate(1)
        trainer.evaluate(30)
        screen, terminal = pty.openpty()
        environment = os.environ | {"COLUMNS": "80", "LINES": "24", "TERM": "xterm-256color"}
        imports = "from lab.cli.follow_run import follow; from lab.runs.find_runs import open_run"
        code = f"{imports}; raise SystemExit(follow(open_run('tale')))"
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", code], stdin=terminal, stdout=terminal, stderr=terminal, env=environment
        )
        os.close(terminal)
        seen = ""
        while "left" not in seen:
            seen += os.read(screen, 4096).decode()
        trainer.evaluate(STEPS)
        trainer.say("finished", STEPS)
    while True:
        try:
            seen += os.read(screen, 4096).decode()
        except OSError:
            break
    os.close(screen)
    assert process.wait(timeout=60) == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
    first = next(line for line in re.split(r"[\r\n]+", plain) if "left" in line)
    assert re.fullmatch(r"30/40 [━╸╺]+ +loss 2.000  val 2.500 2,560 tokens/s 1\.\d s left", first.strip())
    assert "40/40" in plain
    assert "tale finished: 40 steps" in plain


def test_stop_and_pause_wait_for_the_trainer(run: Run, llmlab: Call) -> None:
    with owned(run) as trainer:
        trainer.say("training", 10)
        trainer.answer("pause", "paused", 11)
        assert llmlab("pause", "tale") == (0, "tale is paused at step 11. `llmlab resume tale` continues it.\n", "")
        llmlab("pause", "tale").assert_mistake("paused already")
        answering = trainer.answer("resume", "training", 11)
        assert llmlab("resume", "tale", "--detach") == (0, "tale continues from step 11.\n", "")
        answering.join(timeout=60)
        trainer.say("training", 12)
        llmlab("resume", "tale").assert_mistake("is already being trained")
        trainer.answer("stop", "stopped", 13)
        assert llmlab("stop", "tale") == (0, "tale is stopped at step 13 and saved. `llmlab resume tale` resumes it.\n", "")


def test_runs_as_json_and_as_a_table_filtered_and_on_the_whole_validation_part_once_they_have_ended(
    run: Run, llmlab: Call
) -> None:
    with owned(run) as trainer:
        trainer.evaluate(20)
        trainer.say("training", 20)
        found = msgspec.json.decode(llmlab("runs", "--json").out)
        table = llmlab("runs").out
        for terms, name in ("TAL", "tale"), ("byte loss<4 training", "tale"), ("loss<0.6", "demo"), ("tale loss<3.5", ""):
            some = msgspec.json.decode(llmlab("runs", *terms.split(), "--json").out)
            assert [each["name"] for each in some] == ["tale"] * (name == "tale"), "the demo is in the table alone"
            filtered = llmlab("runs", *terms.split()).out
            if name:
                assert filtered.splitlines()[1].split()[0] == name
            else:
                assert filtered == "No run matches tale loss<3.5; llmlab runs lists them all.\n"
        last = {"step": STEPS, "tokens": 100, "bytes": 100, "val_loss": 1.75, "bits_per_byte": 2.52}
        trainer.status.final = trainer.status.final_best = msgspec.convert(last, FinalEvaluation)
        trainer.say("finished", STEPS)
    facts = {"name": "tale", "path": str(run.path), "phase": "training", "alive": True, "step": 20, "steps": 40, "seconds": 2.0}
    losses = {
        "loss": 3.0,
        "val_loss": 3.5,
        "bits_per_byte": pytest.approx(3.5 / 0.693147),
        "val_step": 20,
        "validation_bytes": 100,
    }
    parameters = 2 * (12 * 16**2 + 13 * 16) + 256 * 16 + 16 * 16 + 2 * 16
    model = {"parameters": parameters, "tokenizer": "bytes", "text": "tale", "created": 1.0}
    unknown = {**dict.fromkeys(("evaluated_bytes", "copied", "final", "final_best")), "ranks": [], "imported": False}
    assert found == [{**facts, **losses, **model, **unknown, "device": "", "host": "", "message": ""}]
    assert table.splitlines()[1].split()[:5] == ["tale", "training", "20/40", "~3.500", "~5.049"]
    (ended,) = msgspec.json.decode(llmlab("runs", "--json").out)
    assert (ended["val_loss"], ended["bits_per_byte"]) == (1.75, 2.52)
    assert (ended["evaluated_bytes"], ended["validation_bytes"], ended["final"]) == (100, 100, last)
    assert llmlab("runs").out.splitlines()[1].split()[:5] == ["tale", "finished", "40/40", "1.750", "2.520"]


def test_no_runs(home: Path, llmlab: Call) -> None:
    assert llmlab("runs", "--json").out.strip() == "[]"
    assert llmlab("runs").out.splitlines()[-1].startswith(f"No runs of yours yet in {home}")


def test_the_end_of_a_run_is_told_on_the_whole_validation_part(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """The data of the run: 100 tokens and 100 bytes of validation. Before the end, it says on how much of it the figures are."""
    with owned(run) as trainer:
        trainer.evaluate(STEPS)
        trainer.status.eval_tokens = 64
        trainer.say("finished", STEPS)
    assert report_end(run) == 0
    assert "validation loss 1.500, 2.164 bits/byte on 64 of 100 tokens of validation text." in capsys.readouterr().out
    trainer.status.eval_tokens, trainer.status.best_step, trainer.status.best_val_loss = 0, 20, 1.25
    trainer.say("finished", STEPS)
    assert report_end(run) == 0
    lowest = "validation loss 1.500, 2.164 bits/byte; the lowest was 1.250 at step 20, whose weights are opened."
    assert lowest in capsys.readouterr().out
    best = FinalEvaluation(step=20, tokens=100, bytes=100, val_loss=1.7, bits_per_byte=2.45)
    trainer.status.final = FinalEvaluation(step=STEPS, tokens=100, bytes=100, val_loss=1.75, bits_per_byte=2.52)
    trainer.status.final_best = best
    trainer.say("finished", STEPS)
    assert report_end(run) == 0
    assert (
        "validation loss 1.750, 2.520 bits/byte on all 100 bytes (100 tokens) of validation text; "
        "of the best weights, those of step 20, which are opened, validation loss 1.700, 2.450 bits/byte."
    ) in capsys.readouterr().out
