"""Wrong input to every command, more than 300 kinds: one sentence, exit code 1 or 2, and nothing left behind.

They are called in this process, as the console script calls them; a sample goes through processes of their own.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from lab.cli.command_registry import COMMANDS, llmlab, run
from lab.runs.run_folder import Run

LLMLAB = Path(sys.executable).with_name("llmlab")
TEXT = "TEXT"
"""Stands for a good text in the cases below."""

HUGE = ("1000000000000", "9" * 30, "1" + "0" * 400, "9" * 5000)
NO_NUMBERS = ("", " ", "x", "nan", "inf", "-inf", "1e300", "0x10", "1,5", "½", "-1", "1\n2", "\x1b[2J", "\udce9")

NAMES = (
    *("", " ", ".", "..", "a/b", "/", "-x", ".x", "a\nb", "a\x1b[2Jb", "\udce9", "a\\b", "a:b", "‮x"),
    *("n" * 101, "n" * 9000, "漢" * 100),
)
"""That no run can have."""
NO_RUNS = ("", "nothing", "/nowhere/at/all", "~nobody", "~nobody/x", "a\0b", "\udce9", "n" * 9000, "a/" * 3000, "\x1b[2J", "‮x")
NO_MACHINES = (
    *("", " ", "-oProxyCommand=x", "..", "a/b", "/", "a b", "a\nb", "me@box;x", "\x1b[2J", "\udce9", ":/runs", "n" * 9000),
    "box",
)
"""That cannot be watched: the last one only since these are called without a terminal."""
NO_TEXTS = (
    *("", "/dev", "/proc", "*.nothing", "nothing/**", "[", "\n", "/dev/null", "nothing.txt", "a\0b", "\udce9", "~nobody/x"),
    *("n" * 9000, "a/" * 3000, "\x1b[2J", "stories:0MB", "stories:101GB", "stories:" + "9" * 400),
)

WHOLE = ("steps", "vocab", "layers", "heads", "width", "context", "batch", "accumulate", "threads", "eval-every", "patience")
CHOICES = ("preset", "tokenizer", "optimizer", "schedule", "precision", "attention", "device")
OPTIONS: dict[tuple[str, ...], dict[str, tuple[str, ...]]] = {
    ("train", TEXT): {
        **dict.fromkeys(WHOLE, (*HUGE, *NO_NUMBERS, "0", "1.5")),
        **dict.fromkeys(("minutes", "lr", "dropout"), (*HUGE, *filter(None, NO_NUMBERS))),
        **dict.fromkeys(CHOICES, ("", "x", "CPU\n", "\x1b[2J", "n" * 9000)),
        "seed": ("9" * 30, "-1", "1.5", "x", "9" * 5000),
        "name": NAMES,
        "encoding": ("", "klingon", "utf-16", "ascii\n", "rot13", "\udce9", "n" * 9000),
        "prompt": ("\udce9",),
    },
    ("generate", "demo"): {
        "tokens": (*HUGE, "0", "-1", "x", ""),
        "samples": (*HUGE, "0", "-1", "x", "1.5"),
        "temperature": ("-1", "nan", "inf", "x", ""),
        "top-k": ("-1", "x", "1.5", ""),
        "top-p": ("0", "-1", "2", "nan", "x"),
        "min-p": ("-1", "2", "nan", "x"),
        "repetition-penalty": ("0", "-1", "1e9", "nan", "x"),
        "stop": ("",),
        "seed": ("-1", "x", "9" * 30, "9" * 5000),
        "precision": ("", "fp64"),
        "checkpoint": ("", "worst", "²", "-1", "7", "9" * 5000, "\x1b[2J", "../best"),
        "prompt": ("",),
    },
    ("trace", "demo", "--prompt=a"): {
        "top": (*HUGE, "0", "-1", "x"),
        "npz": ("/nowhere/at/all.npz", "."),
        "checkpoint": ("", "worst", "9" * 5000),
    },
    ("params", "--preset=nano"): {"vocab": (*HUGE, "0", "-1", "x")},
    ("params",): {"preset": ("huge",)},
    ("claims",): {"only": ("", "alchemy", "\x1b[2J", "n" * 9000), "checkpoint": ("worst",)},
    ("bench",): {
        "against": ("x", "nanogpt=", "nanogpt=/nowhere", "nanogpt=\udce9", "nanogpt=" + "n" * 9000, "nanogpt=a\0b"),
        "race": ("stories",),
    },
}
"""Values that an option of a command cannot have."""
TOGETHER = (
    f"train {TEXT} nothing.txt",
    f"train {TEXT} /dev/zero {TEXT}",
    f"train {TEXT} --steps=1 --minutes=1",
    f"train {TEXT} --width=130 --heads=4",
    f"train {TEXT} --width=65536 --layers=1024",
    f"train {TEXT} --batch=4 --accumulate=5",
    f"train {TEXT} --tokenizer=bytes --vocab=300",
    f"train {TEXT} --prompt=a --prompt=",
    f"train {TEXT} --context=100000",
    "rename demo new",
    "delete demo --yes",
    "params demo --preset=nano",
    "tokenize a --file=b",
)
"""What does not go together, or with what is there."""


def cases() -> Iterator[tuple[str, ...]]:
    """The command lines."""
    for command, options in OPTIONS.items():
        for option, values in options.items():
            yield from ((*command, f"--{option}={value}") for value in values)
    yield from (tuple(words.split()) for words in TOGETHER)
    for text in NO_TEXTS:
        yield "train", text
        yield "tokenize", "--tokenizer", "bytes", "--file", text
    for name in NO_RUNS:
        yield from ((command, name) for command in ("resume", "stop", "pause", "delete", "generate", "params", "claims"))
        yield "trace", name, "--prompt", "a"
        yield "rename", name, "new"
        yield "tokenize", "a", "--tokenizer", name
    yield from (("watch", machine) for machine in NO_MACHINES)
    for command in COMMANDS:
        yield command, "--nonsense"
        if command != "runs":  # its words are those that a run is found by
            yield command, "a", "b", "c", "d"
    yield from ((command,) for command in ("", "x", "\x1b[2J", "\udce9", "n" * 9000, "-z"))


CASES = list(cases())


def is_one_clear_sentence(said: str) -> bool:
    """On one line and not long, without anything a terminal acts on; never the words of a fault of the lab's own."""
    words = said.removeprefix("llmlab: ")
    return (
        said.startswith("llmlab: ")
        and said.count("\n") == 1
        and said.endswith(".\n")
        and 20 < len(words) < 500
        and words.strip().isprintable()
        and not any(name in words for name in ("Traceback", "Error", "Errno", "an internal error"))
    )


def test_there_are_enough_of_them_and_every_command_is_among_them() -> None:
    assert len(set(CASES)) >= 300
    assert set(COMMANDS) <= {case[0] for case in CASES}


@pytest.mark.parametrize("command", [*COMMANDS, "no command"])
def test_wrong_input_is_one_sentence_and_leaves_nothing(
    command: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The big dog ran fast. Straße. " * 200)
    monkeypatch.chdir(tmp_path)

    def accepted(run: Run) -> int:
        raise RuntimeError(f"{run.name} would be trained")

    monkeypatch.setattr("lab.training.start_trainer.start_trainer", accepted)
    before = sorted(tmp_path.rglob("*"))
    wrong = []
    for case in CASES:
        if case[0] == command or (command == "no command" and case[0] not in COMMANDS):
            capfd.readouterr()
            try:
                code = run([str(text) if argument == TEXT else argument for argument in case])
            except Exception as error:  # every fault is told, with the input it came from
                wrong.append((case, repr(error)))
                continue
            out, said = capfd.readouterr()
            if code not in (1, 2) or out or not is_one_clear_sentence(said):
                wrong.append((case, f"{code} {out[:200]!r} {said[:600]!r}"))
            if sorted(tmp_path.rglob("*")) != before:
                wrong.append((case, f"left {sorted(tmp_path.rglob('*'))}"))
                break
    assert not wrong, "\n".join(f"{str(case)[:150]}: {said}" for case, said in wrong)


def test_no_number_is_left_to_the_words_of_click() -> None:
    context = click.Context(llmlab)
    commands = [command for name in COMMANDS if (command := llmlab.get_command(context, name))]
    kinds = (click.types.IntParamType, click.types.FloatParamType)
    assert len(commands) == len(COMMANDS)
    assert [(each.name, option.name) for each in commands for option in each.params if isinstance(option.type, kinds)] == []


def test_an_option_without_its_value_leads_to_the_help_of_its_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "stories", "--save"]) == 2
    assert capfd.readouterr().err == "llmlab: Option '--save' requires an argument. `llmlab data --help` explains.\n"


def test_the_same_in_a_process_of_its_own(home: Path, tmp_path: Path) -> None:
    (tmp_path / "TEXT").write_text("The big dog ran fast. " * 100)
    for arguments in ("train", "TEXT", "--layers", "1000000000"), ("train", b"\xff\x1b[2J"):
        command = [os.fsencode(LLMLAB), *map(os.fsencode, arguments)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False)
        assert done.returncode in (1, 2)
        assert done.stdout == b""
        assert is_one_clear_sentence(done.stderr.decode())
        assert list(home.iterdir()) == []
