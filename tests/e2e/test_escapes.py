"""Escape sequences, C1 controls and turns of direction in everything that comes from outside: none reaches the terminal.

Every byte that the lab and its commands write to a pseudo-terminal is checked against the grammar of what they write themselves.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from lab.cli.command_registry import run
from tests.e2e.pseudo_terminal import ForkedCommands, PseudoTerminal, unexplained
from tests.lab.training.module_forker import ModuleForker

COLOUR = "\x1b[38;5;77m"
"""A sequence that the lab's own drawing could hold, but for this colour."""
PAYLOAD = f"\x1b]0;owned\x07\x1b[2J\x9b2J\x9d0;x\x9c\u202eevil\u2066\u200b\x7f{COLOUR}\x1b]0;open"
"""A title, a cleared screen, both as C1 too, what turns and hides text, a colour; the last sequence has no end."""
FOLDER = f"five\x1b[2J[red]{PAYLOAD}"
KEPT = "é犬👩\u200d💻"
ROOT = Path(__file__).parents[2]

SMALL = (
    *("--preset", "nano", "--tokenizer", "bytes", "--layers", "1", "--heads", "2", "--width", "16", "--context", "16"),
    *("--steps", "2", "--batch", "2", "--threads", "1"),
)
"""Settings of a run that is done at once."""


def hostile_texts(folder: Path) -> Path:
    """Files and a folder with such names; gives the folder."""
    content = (PAYLOAD + " The dog ran. " + KEPT + "\n") * 300
    for name in (b"one\x1b]0;owned\x07.txt", "two\u202etxt.exe".encode(), b"three\x9b2J.txt", "four\x9b2J[red].txt".encode()):
        (folder / os.fsdecode(name)).write_text(content)
    (folder / FOLDER).mkdir()
    (folder / FOLDER / f"six{PAYLOAD}").write_text(content)
    (folder / f"six{PAYLOAD}.txt").write_text(content)
    return folder / FOLDER


def make_hostile(run: Path, *, phase: str, host: str) -> None:
    """Put the payload into every string that a run's files hold."""
    config = json.loads((run / "config.json").read_text())
    config["name"] = run.name
    config["data"]["name"] = config["data"]["source"] = PAYLOAD
    config["train"]["prompts"] = [PAYLOAD]
    (run / "config.json").write_text(json.dumps(config))
    status = json.loads((run / "status.json").read_text())
    status |= {"phase": phase, "host": host, "device": PAYLOAD, "computed": PAYLOAD, "message": f"It says {PAYLOAD}."}
    (run / "status.json").write_text(json.dumps(status | {"heartbeat": time.time() + 600}))
    lines = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    (run / "samples.jsonl").write_text(
        "".join(json.dumps(line | {"prompt": PAYLOAD, "text": PAYLOAD + KEPT}) + "\n" for line in lines)
    )
    (run / "events.jsonl").write_text(json.dumps({"step": 1, "seconds": 0.1, "kind": "back", "text": PAYLOAD}) + "\n")
    found = [json.loads(line) for line in (run / "insights.jsonl").read_text().splitlines()]
    for insight in found:
        insight["probe"] = [PAYLOAD for _ in insight.get("probe", [])]
        insight["top"] = [[PAYLOAD, p] for _, p in insight.get("top", [])]
        insight["truth"] = PAYLOAD
    (run / "insights.jsonl").write_text("".join(json.dumps(insight) + "\n" for insight in found))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, forker: ModuleForker) -> Path:
    """A folder with hostile texts in `texts`, and a home with hostile runs."""
    place = tmp_path_factory.mktemp("hostile")
    texts, home = place / "texts", home_in(place)
    texts.mkdir()
    text = hostile_texts(texts)
    check(written(place, forker, ["train", str(text), "--name", "tale", "--prompt", PAYLOAD, *SMALL]))
    (home / "tale").rename(home / f"run{PAYLOAD}")
    make_hostile(home / f"run{PAYLOAD}", phase="finished", host="")
    shutil.copytree(home / f"run{PAYLOAD}", home / f"other{PAYLOAD}")
    make_hostile(home / f"other{PAYLOAD}", phase="training", host=PAYLOAD)
    for name in ("broken", "gone"):
        shutil.copytree(home / f"run{PAYLOAD}", home / f"{name}{PAYLOAD}")
    make_hostile(home / f"broken{PAYLOAD}", phase="failed", host="")
    (home / f"damaged{PAYLOAD}").mkdir()
    (home / f"damaged{PAYLOAD}" / "config.json").write_text(json.dumps({PAYLOAD: PAYLOAD, "format": PAYLOAD}))
    return place


def home_in(place: Path) -> Path:
    return place / "home \x1b[2J\u202e [" / "b]"


def environment(place: Path) -> dict[str, str]:
    return {"LLMLAB_HOME": str(home_in(place)), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def check(written: bytes) -> None:
    assert unexplained(written) == []
    assert COLOUR.encode() not in written


def written(place: Path, forker: ModuleForker, *commands: list[str]) -> bytes:
    """All that commands write to a terminal, of which the last one succeeds."""
    with ForkedCommands(forker, commands, environment(place), place / "texts") as terminal:
        assert terminal.ended() == 0, terminal.written[-2000:]
    return terminal.written


def test_no_command_lets_a_sequence_through(place: Path, forker: ModuleForker) -> None:
    run, other = f"run{PAYLOAD}", f"other{PAYLOAD}"
    calls = [
        ["runs"],
        ["runs", "--json"],
        ["params", run],
        ["params", run, "--json"],
        ["tokenize", PAYLOAD, "--tokenizer", "bytes"],
        ["tokenize", PAYLOAD, "--tokenizer", run, "--json"],
        ["tokenize", "--file", f"nothing{PAYLOAD}"],
        ["generate", run, "-p", PAYLOAD + KEPT, "-n", "300"],
        ["generate", run, "-n", "20", "--samples", "2"],
        ["generate", run, "--checkpoint", PAYLOAD],
        ["trace", run, "-p", PAYLOAD],
        ["trace", run, "-p", PAYLOAD, "--json"],
        ["trace", run, "-p", PAYLOAD, "--npz", f"{PAYLOAD}/x.npz"],
        ["rename", run, PAYLOAD],
        ["rename", other, "new"],
        ["delete", other, "--yes"],
        ["pause", run],
        ["stop", run],
        ["resume", other],
        ["params", f"damaged{PAYLOAD}"],
        ["train", f"nothing{PAYLOAD}"],
        ["delete", f"gone{PAYLOAD}", "--yes"],
        ["data", FOLDER, "--clean", "all"],
        ["data", f"nothing{PAYLOAD}", "--json"],
        ["tokenize", "--learn", f"six{PAYLOAD}.txt", "--merges", "3"],
        ["tokenize", "--tokenizer", run, "--vocabulary", "--limit", "5"],
        ["train", "stories", "--name", PAYLOAD],
        [PAYLOAD],
        ["runs", f"--{PAYLOAD}"],
        ["params", f"nobody{PAYLOAD}"],
    ]
    drawn = written(place, forker, *calls, ["runs"])
    check(drawn)
    assert not (home_in(place) / f"gone{PAYLOAD}").exists()
    assert b"Traceback" not in drawn
    assert drawn.decode().count(r"␛]0;owned␇␛[2J\u009b2J\u009d0;x\u009c\u202eevil\u2066") > 20
    assert f"open{KEPT}" in drawn.decode(), "what people write stays as it is"


def test_a_pipe_gets_every_byte_as_it_is(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setenv("LLMLAB_HOME", str(home_in(place)))
    assert run(["generate", f"run{PAYLOAD}", "-p", PAYLOAD + KEPT, "-n", "1"]) == 0
    assert capfdbinary.readouterr().out.startswith((PAYLOAD + KEPT).encode())


def test_no_screen_lets_a_sequence_through(place: Path) -> None:
    paste = f"\x1b[200~{PAYLOAD}{KEPT}\x1b[201~"
    with PseudoTerminal([sys.executable, "-P", "-m", "lab.cli"], environment(place), place / "texts") as lab:
        lab.until("1 Home", "broken␛]0;o", "run␛]0;ow", "damaged␛]0;")  # as much of the names as the table shows
        lab.press("r", "Rename broken␛]0;owned")
        lab.press("\x1b", "your runs")
        lab.press("x", "Delete this run?", "Deleting its weights")
        lab.press("\x1b", "your runs")
        lab.press("mjmjc", "steps")
        lab.press("d")
        lab.press("\x1b", "▸1 Home◂")
        lab.press("2", "▸2 Data◂", "one␛]0;owned␇.txt", r"two\u202e", "five␛[2J[red]")
        lab.press("jjjjjj", "▌one␛]0;owned", "The dog ran")
        lab.press("\r")
        for keys in ("e", paste[:9], paste[9:], "\r", "\x1b"):  # in two reads, cut within a sequence
            lab.press(keys)
        lab.press("3", "▸3 Tokens◂")
        lab.press("e", "escape leaves")
        lab.press(paste, "owned")
        lab.press("\x1b", "e or enter edits")
        lab.press("1", "▸1 Home◂")
        lab.press("kkji", "▸5 Inspect◂", "predicts token")
        lab.press("e", "Enter apply")
        lab.press(f"{paste}\r", "predicts token")
        for keys in ("jjjj", " "):
            lab.press(keys)
        lab.press("w")
        lab.press("6", "▸6 Learn◂")
        lab.press("1", "▸1 Home◂")
        lab.press("k\r", "▸4 Train◂", "␛]0;owned␇␛[2J")
        for keys in ("a", "t", "d", "w"):  # the last one starts an engine of its own, which ends with the lab
            lab.press(keys)
        lab.press("\x11")
    check(lab.written)
