"""The command line, called as the console script calls it, except where a test is about processes and terminals."""

import io
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.cli.command_registry import COMMANDS
from lab.core.visible_text import quoted
from lab.runs.run_folder import Run
from tests.fixture_types import Call

LLMLAB = Path(sys.executable).with_name("llmlab")

TINY = (
    *("--preset", "nano", "--context", "16", "--batch", "4", "--tokenizer", "bytes", "--device", "cpu"),
    *("--threads", "1", "--quiet"),
)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("The big dog ran fast. " * 200)
    return path


def test_help(llmlab: Call) -> None:
    for name in ("", *COMMANDS):
        done = llmlab(*name.split(), "--help")
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith(f"Usage: llmlab {name}".rstrip())
    assert llmlab("--version").out.startswith("llmlab 0.")


def test_without_a_terminal_the_lab_does_not_open() -> None:
    done = subprocess.run([LLMLAB], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "llmlab --help" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], ["frobnicate", "llmlab --help"]),
        (["train"], ["TEXT", "llmlab train --help"]),
        (["runs", "stories", "lss<2"], ["'lss<2' is no condition", "loss<2.5"]),
    ],
)
def test_wrong_usage_is_one_line(llmlab: Call, home: Path, arguments: list[str], words: list[str]) -> None:
    llmlab(*arguments).assert_mistake(*words)
    assert list(home.iterdir()) == []


def test_an_error_of_the_labs_own_keeps_its_traceback(llmlab: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.runs.run_summary.RunsWatcher.read", lambda _: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        llmlab("runs")


def test_ctrl_c_is_quiet(llmlab: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.runs.run_summary.RunsWatcher.read", lambda _: signal.raise_signal(signal.SIGINT) or [])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a test before this one may have left another
    try:
        done = llmlab("runs")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (done.code, done.out, done.err.strip()) == (130, "", "")


def test_a_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([LLMLAB, "params", "--preset", "gpt2"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.stderr == ""


def test_closed_streams_end_no_command() -> None:
    for closed in (">&-", "<&- >&- 2>&-"):
        done = subprocess.run(["sh", "-c", f"exec {LLMLAB} runs --json {closed}"], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), closed


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are looked up where Linux lists them")
def test_no_file_gets_the_descriptor_of_a_closed_stream(tmp_path: Path) -> None:
    """A library that writes to descriptor 2 would else write into a file of a run."""
    found = tmp_path / "found"
    program = f"""
import os, sys, lab.cli
sys.argv = ["llmlab", "--version"]
lab.cli.main()
targets = " ".join(os.readlink(f"/proc/self/fd/{{number}}") for number in range(3))
open({str(found)!r}, "w").write(targets)
"""
    for closed, number in (("<&-", 0), (">&-", 1), ("2>&-", 2)):
        command = f"exec {sys.executable} -c {shlex.quote(program)} {closed}"
        subprocess.run(["sh", "-c", command], stdin=subprocess.PIPE, capture_output=True, check=True)
        assert found.read_text().split()[number] == os.devnull


def test_a_folder_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    script = f"cd {tmp_path / 'gone'} && rmdir {tmp_path / 'gone'} && exec {LLMLAB} report demo -o r.html"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "llmlab: the folder that you are in is no longer there; go to another one with cd.\n"
    (tmp_path / "gone").mkdir()
    asked = script.replace("report demo -o r.html", "report --help")
    done = subprocess.run(["sh", "-c", asked], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: llmlab report ")


def test_paths_that_are_not_utf8_are_in_the_json_all_the_same(
    llmlab: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LLMLAB_HOME", f"{tmp_path}/b\udcff")
    done = llmlab("cache", "--json")
    assert done.code == 0
    assert json.loads(done.out)["path"].startswith(f"{tmp_path}/b\\udcff")


def test_a_home_that_can_be_none_is_one_sentence(llmlab: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for name in ("file", "loop", "n" * 300):
        monkeypatch.setenv("LLMLAB_HOME", str(tmp_path / name))
        done = llmlab("train", "stories:60kB", "--preset", "nano", "--steps", "1")
        assert (done.code, done.err.count("\n")) == (2, 1)


@pytest.mark.parametrize("words", [("report", "demo", "-o"), ("trace", "demo", "-p", "x", "--npz")])
def test_pipes_and_devices_are_not_replaced(words: tuple[str, ...], llmlab: Call, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    done = llmlab(*words, str(pipe))
    assert done.code != 0
    assert done.err == f"llmlab: {quoted(str(pipe))} is not a file; choose another name.\n"
    assert pipe.is_fifo()


def test_reports_at_once_have_names_of_their_own(tmp_path: Path) -> None:
    from lab.exchange.export_files import write_new_text

    with ThreadPoolExecutor(8) as threads:
        written = list(threads.map(lambda number: write_new_text(tmp_path / "r.html", str(number))[0], range(24)))
    assert len(set(written)) == 24
    assert sorted(int(path.read_text()) for path in written) == list(range(24))


def test_counts_of_parameters_add_up(llmlab: Call) -> None:
    found = json.loads(llmlab("params", "--preset", "gpt2", "--json").out)
    assert found["total"] == 124_439_808
    assert sum(found["parts"].values()) == found["total"]
    assert sum(weight["count"] for weight in found["weights"] if weight["tied_to"] is None) == found["total"]


def test_printed_counts_of_parameters_add_up(llmlab: Call) -> None:
    done = llmlab("params", "--preset", "nano", "--vocab", "300")
    weights, parts, summary = done.out.split("\n\n")[1:]
    counts = [line.split()[-1].replace(",", "") for line in weights.splitlines()[1:]]
    total = sum(int(count) for count in counts if count.isdigit())
    assert counts[-1] == "wte.weight"
    rows = [line.rsplit(maxsplit=2)[1].replace(",", "") for line in parts.splitlines()[1:]]
    assert [sum(map(int, rows[:-1])), int(rows[-1])] == [total, total]
    assert total == 300 * 64 + 64 * 64 + 2 * (12 * 64**2 + 13 * 64) + 2 * 64
    assert "parameters" in summary


def test_a_run_for_torchrun_is_made_and_not_started(llmlab: Call, home: Path, text: Path) -> None:
    made = llmlab("train", str(text), *TINY, "--steps", "20", "--name", "later", "--no-start", "--ranks", "2", "--device", "cpu")
    assert made.out.splitlines()[-1] == (
        "It does not train yet: `llmlab resume later` starts it, and so does "
        "`python -P -m lab.training.distributed.launcher --standalone --nproc-per-node 2 later`, with the options of torchrun."
    )
    assert json.loads(llmlab("runs", "--json").out)[0]["phase"] == "not started"
    assert "  not started  " in llmlab("runs").out


def test_a_real_training_from_the_command_line(
    llmlab: Call, home: Path, text: Path, forked_trainers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun from standard input, paused, let go on, stopped, resumed to its end, and asked to write."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.read_bytes())))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    begun = llmlab("train", "-", *TINY, "--steps", "200", "--eval-every", "100", "--name", "first", "--detach")
    assert begun.code == 0, begun.err
    assert begun.out.splitlines()[-1] == "first is training. `llmlab` shows it, `llmlab stop first` stops it."
    try:
        assert llmlab("pause", "first").out.startswith("first is paused at step ")
        assert json.loads(llmlab("runs", "--json").out)[0]["phase"] == "paused"
        assert llmlab("resume", "first", "--detach").code == 0
    finally:
        stopped = llmlab("stop", "first")
    assert stopped.out.startswith("first is stopped at step ")
    assert json.loads(llmlab("runs", "--json").out)[0]["alive"] is False
    finished = llmlab("resume", "first", "--quiet")
    assert finished.code == 0, finished.err
    assert "step 200/200" in finished.out
    assert "first finished: 200 steps" in finished.out
    llmlab("resume", "first").assert_mistake("first has finished")
    assert llmlab("generate", "first", "-p", "The big", "-n", "8").out.startswith("The big")
    assert [path.name for path in home.iterdir()] == ["first"]
    assert json.loads((home / "first" / "config.json").read_text())["data"]["bytes"] == len(text.read_bytes())


def test_a_run_for_the_cpu_is_not_resumed_on_gpus(tiny_run: Callable[..., Run], llmlab: Call) -> None:
    run = tiny_run()
    words = f"{run.name} was made to train on cpu, not on CUDA's GPUs; leave --gpus out."
    llmlab("resume", run.name, "--gpus", "2").assert_mistake(words)


TORCH = """
import os, signal
os.kill(os.getpid(), signal.SIGINT)
try:
    for _ in range(100): len("the signal's handler runs")
except BaseException:
    raise AttributeError("as torch does") from None
"""


def test_ctrl_c_while_torch_is_imported_ends_the_command_without_a_word(tmp_path: Path) -> None:
    """A `torch` that is interrupted while it loads, and makes another error of it."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(TORCH)
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['llmlab', 'generate', 'demo']; " + (
        "from lab.cli import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS keeps to no limit on address space")
@pytest.mark.parametrize("command", ["generate demo -n 1", "claims demo"])
def test_a_shell_without_room_for_pytorch_is_one_sentence(home: Path, command: str) -> None:
    script = f"ulimit -v 600000; exec {LLMLAB} {command}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert (done.returncode in (1, 2), done.stdout, done.stderr.count("\n")) == (True, "", 1), done.stderr
    needed = int(done.stderr.partition("`ulimit -v ")[2].partition("`")[0])
    done = subprocess.run(["sh", "-c", script.replace("600000", str(needed))], capture_output=True, text=True)
    assert done.stderr == ""


def test_memory_that_runs_out_is_one_sentence(llmlab: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("lab.runs.run_summary.RunsWatcher.read", fails)
    done = llmlab("runs")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "Memory ran out" in done.err


def test_windows_is_told_of_wsl_before_what_it_has_not_is_imported() -> None:
    program = """
import sys
sys.platform = "win32"
import lab.cli
assert lab.cli.main() == 2
try:
    import lab.api
except ImportError as error:
    assert "WSL" in str(error)
assert "fcntl" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n"), "WSL" in done.stderr) == (0, 1, True), done.stderr
