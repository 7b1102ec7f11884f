"""Damages run folders in every way that comes to mind and has every command and the lab read them.

    python -m tests.fuzz.run_folders --mutations 1000 --seed 1

Every folder must be listed, renamed and deleted; no command may end in a traceback, take longer than `SECONDS`, or touch anything
outside of the folder; the process stays below `MEMORY`. What fails is printed with the mutation that did it, and repeated by its
number: `--first N --mutations 1`. The commands run in this process, the trainer too.
"""

import argparse
import asyncio
import contextlib
import io
import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SECONDS = 5.0
"""Of the processor, for one command; who waits for something that never comes needs none, and is given `LONGEST` by the clock."""
LONGEST = 30.0
MEMORY = 1 << 30

FILES = (
    "config.json",
    "status.json",
    "metrics.jsonl",
    "samples.jsonl",
    "events.jsonl",
    "insights.jsonl",
    "tokenizer.json",
    "tokens.bin",
    "last.safetensors",
    "previous.safetensors",
    "best.safetensors",
    "snapshots/00000000.safetensors",
    "snapshots",
    "control",
    "control/pause",
    "control/sample",
    "lock",
    "trainer.log",
)
RAW = "a number with more digits than Python reads"
ABSURD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2, 0.5, 1e-320, -1e308, 1e308, 2**31, 2**63, 2**80, RAW, "", "x" * 100_000, "\x1b]0;x\x07\x9b2J\u202e",
    "\ud800", "/dev/zero", "a\0b", [], {}, [[]], [None] * 1000, {"step": -1},
)  # fmt: skip


class HungError(Exception):
    """Something took longer than it may."""


@contextlib.contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """Raise a HungError in what takes longer."""

    def too_long(*_: object) -> None:
        raise HungError

    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class Mutant:
    """One way of damaging a run, made from its number alone."""

    def __init__(self, seed: int, number: int) -> None:
        self.random = random.Random(f"{seed} {number}")
        self.words = ""

    def apply(self, run: Path, outside: Path) -> None:
        """Damage the run that lies at this path; `outside` is what links lead to."""
        path = run / self.random.choice(FILES)
        ways: list[Callable[[Path, Path], None]] = [
            self.truncate, self.empty, self.noise, self.flip, self.folder, self.link, self.dangling, self.device, self.pipe,
            self.huge, self.remove, self.nested, self.other_type,
        ]  # fmt: skip
        fields = [self.field] * 8 if path.suffix in (".json", ".jsonl", ".safetensors") else []
        way = self.random.choice(ways + fields)
        self.words = f"{path.relative_to(run)}: {way.__name__}"
        path.parent.mkdir(exist_ok=True)
        way(path, outside)

    def truncate(self, path: Path, outside: Path) -> None:
        raw = self._raw(path)
        self._put(path, raw[: self.random.randrange(len(raw) + 1)])

    def empty(self, path: Path, outside: Path) -> None:
        self._put(path, b"")

    def noise(self, path: Path, outside: Path) -> None:
        self._put(path, self.random.randbytes(self.random.choice((1, 7, 8, 100, 5000, 100_000))))

    def flip(self, path: Path, outside: Path) -> None:
        raw = bytearray(self._raw(path) or b"x")
        for _ in range(self.random.choice((1, 1, 10))):
            raw[self.random.randrange(len(raw))] ^= 1 << self.random.randrange(8)
        self._put(path, bytes(raw))

    def folder(self, path: Path, outside: Path) -> None:
        self._gone(path)
        path.mkdir()
        (path / "inside").write_bytes(b"x")

    def link(self, path: Path, outside: Path) -> None:
        kept = outside / ("folder" if path.is_dir() else "file")
        self._gone(path)
        path.symlink_to(kept)

    def dangling(self, path: Path, outside: Path) -> None:
        self._gone(path)
        path.symlink_to(outside / "missing")

    def device(self, path: Path, outside: Path) -> None:
        self._gone(path)
        path.symlink_to(self.random.choice(("/dev/zero", "/dev/full", "/dev/tty")))

    def pipe(self, path: Path, outside: Path) -> None:
        self._gone(path)
        os.mkfifo(path)

    def huge(self, path: Path, outside: Path) -> None:
        self._gone(path)
        with path.open("wb") as file:
            file.truncate(self.random.choice((1 << 30, 1 << 40)))

    def remove(self, path: Path, outside: Path) -> None:
        if path.name == "config.json":
            self.empty(path, outside)  # a folder without it is no run
        else:
            self._gone(path)

    def nested(self, path: Path, outside: Path) -> None:
        begin, end = self.random.choice(((b"[", b"]"), (b'{"step":', b"}"), (b'{"x":', b"}")))
        depth = self.random.choice((100, 2000, 200_000))
        raw = begin * depth + b"1" + end * depth * self.random.randrange(2)
        self._put(path, struct.pack("<Q", len(raw)) + raw if path.suffix == ".safetensors" else raw + b"\n")

    def other_type(self, path: Path, outside: Path) -> None:
        raw = json.dumps(self.random.choice(ABSURD)).encode("utf-8", "replace")
        self._put(path, struct.pack("<Q", len(raw)) + raw if path.suffix == ".safetensors" else raw + b"\n")

    def field(self, path: Path, outside: Path) -> None:
        """Put something absurd in place of one value of the JSON, or leave it out."""
        raw = self._raw(path)
        before, after = b"", b""
        if path.suffix == ".safetensors" and len(raw) > 8:
            length = struct.unpack("<Q", raw[:8])[0]
            after, raw = raw[8 + length :], raw[8 : 8 + length]
        elif path.suffix == ".jsonl":
            lines = raw.splitlines(keepends=True) or [b"{}\n"]
            at = self.random.randrange(len(lines))
            before, raw, after = b"".join(lines[:at]), lines[at], b"\n" + b"".join(lines[at + 1 :])
        value = json.loads(raw or b"{}")
        places = list(_places(value))
        if not places:
            return
        holder, key, name = self.random.choice(places)
        put = self.random.choice(ABSURD)
        holder[key] = put
        self.words += f" {name} = {str(put)[:40]!r}"
        made = json.dumps(value).replace(json.dumps(RAW), "9" * 5000).encode()
        if path.suffix == ".safetensors":
            before = struct.pack("<Q", len(made))
        self._put(path, before + made + after)

    def _raw(self, path: Path) -> bytes:
        return path.read_bytes() if path.is_file() else b""

    def _put(self, path: Path, raw: bytes) -> None:
        self._gone(path)
        path.write_bytes(raw)

    def _gone(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _places(value: Any, name: str = "") -> Iterator[tuple[Any, Any, str]]:
    """Every value within a JSON value: what holds it, under which key, and where it is."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value[:20]) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key, f"{name}.{key}"
        yield from _places(inner, f"{name}.{key}")


def make_run(home: Path) -> Path:
    """A small run that was stopped in the middle, with every file that a run can have; trained in this process."""
    from lab.planning.prepare_run import prepare_run
    from lab.planning.settings_table import RunRequest
    from lab.training import trainer

    text = home / "tale.txt"
    text.write_text("".join(f"The {size} dog met the {colour} cat.\n" for size in ("big", "old") for colour in "abcdefgh") * 4)
    run = prepare_run(
        RunRequest(
            text=str(text), name="whole", home=home, preset="nano", tokenizer="bpe", vocab=260, layers=1, heads=2, width=16,
            context=16, batch=4, threads=1, steps=6, eval_every=2, sample_tokens=3, device="cpu", precision="fp32",
            attention="plain", prompts=("The",),
        )
    )  # fmt: skip
    assert trainer.main([str(run.path)]) == 0
    status = json.loads(run.status_path.read_bytes())
    run.status_path.write_text(json.dumps(status | {"phase": "stopped"}))
    shutil.copy(run.path / "last.safetensors", run.path / "previous.safetensors")
    return run.path


class Fuzzer:
    """Has commands read damaged copies of one run, in a home of its own for each."""

    def __init__(self, seed: int, place: Path, say: Callable[[str], None] = print) -> None:
        """`say` is told what fails."""
        self.seed, self.place, self.say = seed, place, say
        self.failures: list[str] = []
        self.slowest = (0.0, "")
        self.runs = self.refused = 0
        self.outside = place / "outside"
        (self.outside / "folder").mkdir(parents=True)
        (self.outside / "file").write_bytes(b"kept")
        (self.outside / "folder" / "00000003.safetensors").write_bytes(b"kept")
        (place / "origin").mkdir()
        self.whole = make_run(place / "origin")
        os.environ["LLMLAB_HOME"] = str(place / "origin")
        for arguments in (("generate", "whole", "-n", "2"), ("trace", "whole", "-p", "The")):
            self.call("the whole run", arguments)  # what torch imports when it is used first is not the run's fault
        self.slowest = (0.0, "")

    def mutant(self, number: int, home: Path) -> Mutant:
        """Damage a copy of the run, called by its number, in this home."""
        made = Mutant(self.seed, number)
        run = home / f"run-{number:05d}"
        shutil.copytree(self.whole, run)
        made.apply(run, self.outside)
        return made

    def commands(self, number: int) -> None:
        """Every command on one damaged run."""
        home = self.place / "home"
        home.mkdir()
        name = f"run-{number:05d}"
        mutant = self.mutant(number, home)
        os.environ["LLMLAB_HOME"] = str(home)
        told = f"mutation {number} ({mutant.words})"
        for arguments in (
            ("runs",),
            ("runs", "--json"),
            ("params", name),
            ("generate", name, "-n", "2"),
            ("trace", name, "-p", "The"),
            ("report", name, "-o", str(self.place / "report.html")),
            ("report", name, "-p", "The", "-o", str(self.place / "report.html")),
            ("stop", name),
            ("resume", name),
            ("runs", "--json"),
            ("rename", name, "renamed"),
            ("runs", "--json"),
            ("delete", "renamed", "--yes"),
        ):
            code, out = self.call(told, arguments)
            if arguments[0] == "runs":
                listed = name if (home / name).exists() else "renamed"
                if code != 0 or listed not in out:
                    self.fail(told, arguments, f"not listed, exit code {code}")
            elif arguments[0] in ("rename", "delete") and code != 0:
                self.fail(told, arguments, f"exit code {code}")
        left = [path.name for path in home.iterdir() if not path.name.startswith(".s")]  # what is remembered of the machine
        if left:
            self.fail(told, (), f"left {left}")
        if self._outside() != self._kept:
            self.fail(told, (), "something outside was touched")
        shutil.rmtree(home)

    _kept: dict[str, bytes] = {"file": b"kept", "folder/00000003.safetensors": b"kept"}

    def _outside(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.outside)): path.read_bytes() for path in self.outside.rglob("*") if path.is_file()}

    def call(self, told: str, arguments: tuple[str, ...]) -> tuple[int | None, str]:
        """One command in this process: its exit code and what it wrote."""
        from lab.cli.command_registry import run

        out, err = io.StringIO(), io.StringIO()
        code: int | None = None
        started = time.process_time()
        try:
            with ended_after(LONGEST), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = run(list(arguments))
        except BaseException:
            self.fail(told, arguments, traceback.format_exc())
        took = time.process_time() - started
        if took > SECONDS:
            self.fail(told, arguments, f"took {took:.1f} s")
        self.slowest = max(self.slowest, (took, f"{told}: {' '.join(arguments)}"))
        self.runs += 1
        self.refused += bool(code)
        said = err.getvalue()
        if "Traceback" in said or "an internal error" in said + out.getvalue():
            self.fail(told, arguments, said + out.getvalue())
        if code not in (0, 1, 2, None):
            self.fail(told, arguments, f"exit code {code}")
        return code, out.getvalue()

    def fail(self, told: str, arguments: tuple[str, ...], what: str) -> None:
        self.failures.append(f"{told}: llmlab {' '.join(arguments)}: {what}")
        self.say(f"FAILED {self.failures[-1]}")

    def lab(self, first: int, mutations: int, visited: int) -> None:
        """The lab opened on all damaged runs at once, some of them looked at in Train."""
        home = self.place / "all"
        home.mkdir()
        for number in range(first, first + mutations):
            self.mutant(number, home)
        os.environ["LLMLAB_HOME"] = str(home)
        started = time.monotonic()
        try:
            self._open_the_lab(mutations, visited)
        except BaseException:
            self.fail("the lab on all", (), traceback.format_exc())
        self.say(f"the lab opened on {mutations} damaged runs, {visited} visited: {time.monotonic() - started:.1f} s")

    def _open_the_lab(self, mutations: int, visited: int) -> None:
        from lab.runs.home_folder import BUNDLED
        from screens.app import LabApp
        from screens.messages import RunChosen
        from tests.screens.pilot_waits import wait_until

        app = LabApp()

        async def walk(pilot: Any) -> None:
            async with asyncio.timeout(30 + 0.1 * mutations + 2 * visited):
                await wait_until(pilot, lambda: app.runs_known)
                assert len(app.runs) == mutations + len(BUNDLED), f"{len(app.runs)} listed"
                for run in app.runs[:: max(1, len(app.runs) // max(1, visited))] if visited else ():
                    app.post_message(RunChosen(run.name, "train"))
                    await pilot.pause(0.3)
                await pilot.press("1", "q")

        app.run(headless=True, size=(120, 40), auto_pilot=walk)
        assert app.return_code == 0, f"the lab ended with {app.return_code}"

    def memory(self) -> int:
        """The most that this process ever had in memory, in bytes."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextlib.contextmanager
def trainers_in_this_process() -> Iterator[None]:
    """Lets `resume` train here: a process for each would take most of the time."""
    import torch

    from lab.runs.run_folder import Run
    from lab.training import start_trainer as starting
    from lab.training import trainer

    def start_trainer(run: Run, ranks: int | None = None) -> int:
        starting.refuse_to_start(run)
        if trainer.main([str(run.path)]) == 2:
            raise starting.UserError("the trainer did not begin")
        return os.getpid()

    real, nice = starting.start_trainer, trainer.lower_priority_on_cpu
    threads, handlers = torch.get_num_threads(), {number: signal.getsignal(number) for number in (1, 2, 15)}
    starting.start_trainer, trainer.lower_priority_on_cpu = start_trainer, lambda run: None
    try:
        yield
    finally:
        starting.start_trainer, trainer.lower_priority_on_cpu = real, nice
        torch.set_num_threads(threads)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def main() -> int:
    """Returns 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--visited", type=int, default=50)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, trainers_in_this_process():
        fuzzer = Fuzzer(asked.seed, Path(place), lambda words: print(words, flush=True))
        started = time.monotonic()
        for number in range(asked.first, asked.first + asked.mutations):
            fuzzer.commands(number)
            if (number + 1) % 100 == 0:
                print(f"{number + 1} mutations, {time.monotonic() - started:.0f} s", flush=True)
        fuzzer.lab(asked.first, asked.mutations, asked.visited)
        memory = fuzzer.memory()
        print(
            f"{asked.mutations} mutations, {fuzzer.runs} commands, of which {fuzzer.refused} refused in words; "
            f"{len(fuzzer.failures)} failures; slowest {fuzzer.slowest[0]:.2f} s ({fuzzer.slowest[1]}); "
            f"at most {memory / 1e6:.0f} MB; {time.monotonic() - started:.0f} s"
        )
    return 1 if fuzzer.failures or memory > MEMORY else 0


if __name__ == "__main__":
    sys.exit(main())
