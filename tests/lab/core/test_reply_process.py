import asyncio
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil  # type: ignore[import-untyped]
import pytest

from lab.core.child_process import Reply, ask_process
from lab.core.errors import UserError

CHILD = """
import os, signal, sys, time
import msgspec
from lab.core.child_process import Reply, answer, tell

class Request(msgspec.Struct):
    name: str

def work(request, progress):
    if request.name == "kill":
        sys.stdout.buffer.write(b'{"wor')
        sys.stdout.buffer.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    if request.name == "term":
        signal.signal(signal.SIGTERM, lambda number, frame: os._exit(128 + number))
        os.kill(os.getpid(), signal.SIGTERM)
    if request.name == "fault":
        raise KeyError("a fault of the lab")
    if request.name == "words":
        tell(os.fsdecode(b"\\xff"))
        return Reply()
    tell(str(os.getpid()))
    while True:
        signal.pause()

answer(Request, work)
"""
ASKER = """
import asyncio, msgspec
from lab.core.child_process import Reply, ask_process

class Request(msgspec.Struct):
    name: str

say = lambda words: print(words, flush=True)
asyncio.run(ask_process("reply_child", Request("wait"), Reply, lambda done, total: None, say, work="work"))
"""


class Request(msgspec.Struct):
    name: str


@pytest.fixture(autouse=True)
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reply_child.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(Path(__file__).parents[3]))))


def ask(name: str) -> list[str]:
    words: list[str] = []
    asyncio.run(ask_process("reply_child", Request(name), Reply, lambda done, total: None, words.append, work="work"))
    return words


def test_a_process_that_a_signal_ends_is_one_sentence_and_a_fault_stays_one() -> None:
    with pytest.raises(UserError, match=r"^The work ended before it was done, perhaps for lack of memory\.$"):
        ask("kill")
    with pytest.raises(UserError, match=r"^The work ended before it was done \(SIGTERM\)\.$"):
        ask("term")
    with pytest.raises(RuntimeError, match="a fault of the lab"):
        ask("fault")


def test_names_that_are_no_text() -> None:
    assert ask("words") == ["\\xff"]
    with pytest.raises(UserError, match=r"bad\\xff is a name that is not UTF-8"):
        ask(os.fsdecode(b"bad\xff"))


def test_a_process_ends_with_the_one_that_asked() -> None:
    with subprocess.Popen([sys.executable, "-c", ASKER], stdout=subprocess.PIPE) as asker:
        assert asker.stdout is not None
        waiting = psutil.Process(int(asker.stdout.readline()))
        asker.kill()
        asker.wait()
    waiting.wait(20)
