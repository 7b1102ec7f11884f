"""Settings and fixtures of every test."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.lab.training.module_forker import ModuleForker

# Property tests share a machine with whatever else runs on it: the time of one example says nothing. Each run draws others.
settings.register_profile("llmlab", deadline=None, max_examples=40)
settings.load_profile("llmlab")

# A lab in a real terminal would load PyTorch before anybody opens Inspect, beside whatever else is tested.
os.environ["LLMLAB_WARM_UP"] = "0"

# Processes that choose no number of threads would have one for each core, which wait for each other in busy loops.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A rank's own setting, read when torch is loaded, which those that are forked from here have already.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")

# Tests start Python some hundred times: where it may keep no bytecode, each would compile the lab.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

TESTS = Path(__file__).parent

MODULES_TO_FREEZE = 200
"""Imports of the tests that are worth walking through everything once more."""

COLLECTION_THRESHOLDS = (20_000, 20, 20)
"""Rarer collections of garbage than Python's (700, 10, 10): a test of a screen spends a seventh of its time in those."""

_frozen_modules = 0


def _freeze_all() -> None:
    global _frozen_modules
    gc.collect()
    gc.freeze()
    _frozen_modules = len(sys.modules)


def pytest_configure() -> None:
    """Let Ctrl-C and hang-ups through: a background job ignores the one, one under `nohup` the other."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    gc.set_threshold(*COLLECTION_THRESHOLDS)


def pytest_xdist_auto_num_workers() -> int:
    """Three processes more than cores: the tests of screens, real terminals and trainers wait for half of their time."""
    return (os.cpu_count() or 1) + 3


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mix the modules of all rooms: those of the lab and of real terminals wait for processes, those of the screens compute.

    The modules of each room are spread evenly over the whole session, the last ones first: a long one at the very end would
    leave the other processes without work.
    """
    rooms: dict[Path, dict[Path, None]] = {}
    for item in items:
        rooms.setdefault(Path(*item.path.relative_to(TESTS).parts[:1]), {})[item.path] = None
    shares = {path: at / len(room) for room in rooms.values() for at, path in enumerate(reversed(room))}
    items.sort(key=lambda item: shares[item.path])


def pytest_collection_finish() -> None:
    """Freeze what the imports have made: walking through it at each collection costs a screen's test a third of its time.

    Keep torch, where it is among them, to one thread: those of several processes wait for each other in busy loops.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
    _freeze_all()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Freeze once more, after a file's last test, where its tests have imported much, such as torch's compiler."""
    yield
    if nextitem is not None and nextitem.path != item.path and len(sys.modules) >= _frozen_modules + MODULES_TO_FREEZE:
        _freeze_all()


_forkers: list[ModuleForker] = []
"""The forker of this session, once it is there."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Fork the process that tests fork others from, if some do, before any of them has run."""
    if any("forker" in getattr(item, "fixturenames", ()) for item in session.items):
        _forkers.append(ModuleForker())


def pytest_sessionfinish() -> None:
    """Freeze what the tests have left: pytest goes through all of it five times at the end."""
    gc.freeze()


@pytest.fixture(scope="session")
def forker() -> Iterator[ModuleForker]:
    """Forks processes that have torch from the start."""
    yield _forkers[0]
    _forkers[0].end()


@pytest.fixture(scope="session", autouse=True)
def _nobody_s_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep every test, and whatever it starts, out of the real user's home of runs, prompts and preferences."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMLAB_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_process_starves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let Python's processes keep their priority: on few cores those of a low one would wait for most of the other tests."""
    folder = tmp_path_factory.mktemp("priority")
    (folder / "sitecustomize.py").write_text("import os\n\nos.nice = lambda increment: 0\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_disk_is_waited_for() -> Iterator[None]:
    """Leave it to the system when it writes to the disk what a test writes: no test survives a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: os.fstat(descriptor) and None)
        yield
