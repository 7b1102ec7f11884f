"""Record the five-minute tour of the README: the app itself, driven by keys, as an animated SVG.

    .venv/bin/python -m tests.e2e.record_tour                # writes screens/tour.svg, in about two minutes
    .venv/bin/python -m tests.e2e.record_tour --picture      # writes the pictures: screens/screenshot.svg and the others
    .venv/bin/python -m tests.e2e.record_tour --picture loss # writes this one

It runs in a home of its own, with a real engine, a real training run and a real check.
"""

import asyncio
import os
import re
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from textual.app import App
from textual.pilot import Pilot

from lab.exercises.exercise import NAMES
from lab.exercises.learner_files import begin, file_of, write_folder
from tests.e2e.animated_svg import Frame, animated_svg

ROOT = Path(__file__).parents[2]
HOME = Path("/tmp/llmlab-tour")
"""The user's home while recording, with a folder of texts and the runs: the screen says nothing of this machine's files."""
SIZE = (120, 36)
PATIENCE = 120.0
"""Seconds that something may take to appear."""
STILL = 0.6
"""Seconds without a change after which a screen counts as drawn."""
SECONDS_BETWEEN = 0.5
"""Seconds that the frame of a key is shown which others follow."""
LARGEST = 2_000_000
"""Bytes of the recording at most."""


@dataclass(frozen=True)
class Scene:
    """Keys pressed one after the other, each with a frame; the last one is shown for `seconds`."""

    keys: Sequence[str]
    words: str
    seconds: float = 2.5
    until: str = ""
    """Pattern on the screen to wait for after the last key."""
    shown_keys: str = ""
    """The keys as the caption says them; "" for the keys themselves."""
    before: Sequence[str] = ()
    """Keys pressed before, without a frame."""


READY = "matches the|merged bytes give"
"""A view of Inspect has come, and was compared with the model."""

TO_THE_PATTERN = (
    Scene(["5"], "look inside a model: the demo, and what it predicts next", 3.0, until=READY),
    Scene(["v"], "all heads at once: which one is worth a look?", 3.5, until="Worth a look"),
    Scene(["v"], "where that head looks", 3.5, until="attention · head 4 · pattern"),
)
TOUR = (
    Scene([], "llmlab: train a language model on a text, then look inside", 2.5, until="demo"),
    *TO_THE_PATTERN,
    Scene(["x"], "switch it off: the prediction is another", 3.5),
    Scene(["c"], "before and after", 3.0),
    Scene(["end", "k", "k"], "the logit lens: what each layer would predict, for every token", 3.5, before=["c", "u"]),
    Scene(["enter", "enter"], "ask any number where it comes from", 3.5, before=["escape"]),
    Scene(["2"], "choose a text", 2.5, until=r"split\s+\d", before=["escape", "escape"]),
    Scene(["n"], "use it: a new run, and what it will cost", 2.5, until=r"about \d+k tokens"),
    Scene(["s"], "train: the loss falls", 1.5, until=r"step\s+[1-9]\d{1,} "),
)
"""Until training has begun; `record` goes on from there."""
AFTER_TRAINING = (
    Scene([], "the model has learned from the text", 3.0, until="finished"),
    Scene(["a"], "each attention head while it learned", 3.0),
    Scene(["v"], "look inside the model you have just trained", 3.5, READY, "i  v", ["escape", "i"]),
)
TRAINING_FRAMES = 8
SECONDS_BETWEEN_TRAINING_FRAMES = 3.0
SETTINGS = {
    "preset": "micro",
    "layers": "2",
    "heads": "4",
    "width": "64",
    "context": "64",
    "length": "400 steps",
    "name": "first",
}
"""Of the run that is trained: small enough to finish while one watches."""

WITHOUT_A_MASK = """import math

import torch


def head(q, k, v):
    scores = q @ k.T / math.sqrt(q.shape[1])
    pattern = torch.softmax(scores, -1)
    return pattern @ v
"""
"""An exercise of *write* with a mistake that many make."""


class Recorder:
    """Presses keys, waits until the screen stands still, and keeps a frame of it."""

    def __init__(self, pilot: Pilot[None]) -> None:
        self.pilot = pilot
        self.frames: list[Frame] = []

    @property
    def app(self) -> App[None]:
        return self.pilot.app

    def text(self) -> str:
        """The characters on the screen, line by line."""
        svg = self.app.export_screenshot()
        lines: dict[str, str] = {}
        for y, words in re.findall(r'<text [^>]*?y="([\d.]+)" textLength[^>]*>([^<]*)</text>', svg):
            lines[y] = lines.get(y, "") + words.replace("&#160;", " ") + " "
        return "\n".join(lines.values())

    async def until(self, pattern: str) -> None:
        """Wait for a match on the screen. Raises AssertionError with what was there instead."""
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, self.text()):
            assert time.monotonic() < end, f"never saw {pattern!r}; the screen was:\n{self.text()}"
            await self.pilot.pause(0.1)

    async def stand_still(self) -> None:
        """Wait until nothing has changed for a while, and nothing says that it loads."""
        before, since = "", time.monotonic()
        end = since + PATIENCE
        while time.monotonic() < since + STILL and time.monotonic() < end:
            now = self.app.export_screenshot()
            if now != before or "Loading" in now:
                before, since = now, time.monotonic()
            await self.pilot.pause(0.05)

    def keep(self, seconds: float, keys: str, words: str) -> None:
        self.frames.append(Frame(self.app.export_screenshot(title="llmlab"), seconds, keys, words))

    async def play(self, scene: Scene) -> None:
        for key in scene.before:
            await self.pilot.press(key)
            await self.stand_still()
        keys = scene.shown_keys or "  ".join(scene.keys)
        for key in scene.keys[:-1]:
            await self.press(key, keys, scene.words)
        if scene.keys:
            await self.pilot.press(scene.keys[-1])
        if scene.until:
            await self.until(scene.until)
        await self.stand_still()
        self.keep(scene.seconds, keys, scene.words)

    async def press(self, key: str, keys: str, words: str) -> None:
        """Press a key and keep a short frame of what comes."""
        await self.pilot.press(key)
        await self.stand_still()
        self.keep(SECONDS_BETWEEN, keys, words)


async def record() -> list[Frame]:
    """Play the whole tour."""
    from screens.app import LabApp

    app = LabApp()
    async with app.run_test(size=SIZE) as pilot:
        recorder = Recorder(pilot)
        for scene in TOUR[:-1]:
            await recorder.play(scene)
        for name, value in SETTINGS.items():
            app.screen.query_one(f"#{name}").value = value  # type: ignore[attr-defined]
        await recorder.stand_still()
        recorder.keep(1.5, "", "a small model, so that it is done in a minute")
        app.set_focus(None)
        await pilot.press(*TOUR[-1].keys)
        await recorder.until(TOUR[-1].until)
        for _ in range(TRAINING_FRAMES):
            recorder.keep(0.8, "s", TOUR[-1].words)
            await pilot.pause(SECONDS_BETWEEN_TRAINING_FRAMES)
        for scene in AFTER_TRAINING:
            await recorder.play(scene)
        return recorder.frames


async def recording() -> str:
    """The whole tour as an animated SVG."""
    svg = animated_svg(
        await record(), *SIZE, "A tour of llmlab: look inside a model, switch a head off, train one, look inside it"
    )
    assert len(svg.encode()) <= LARGEST, f"{len(svg.encode()):,} bytes are too many"
    return svg


async def attention(recorder: Recorder) -> None:
    """The attention pattern of a head of the demo."""
    for scene in TO_THE_PATTERN:
        await recorder.play(scene)


async def loss(recorder: Recorder) -> None:
    """A run on the built-in stories, while it trains."""
    await recorder.play(Scene(["2"], "", until=r"split\s+\d"))
    await recorder.play(Scene(["n"], "", until=r"about \d+k tokens"))
    await recorder.play(Scene(["s"], "", until=r"step\s+[3-9]\d\d "))


async def mistake(recorder: Recorder) -> None:
    """The check of an attention head without its mask."""
    folder = write_folder()
    begin(folder, "head")
    file_of(folder, "head").write_text(WITHOUT_A_MASK, encoding="utf-8")
    await recorder.play(Scene(["6", "[", "["], "", until="write it yourself"))
    await recorder.play(Scene([*["j"] * NAMES.index("head"), "enter", "enter"], "", until="The mask is missing"))


async def funnel(recorder: Recorder) -> None:
    """What each cleaning rule takes from the licences of the installed packages, many of which say the same."""
    await recorder.play(Scene(["2"], "", until=r"split\s+\d"))
    await recorder.play(Scene(["j", "j", "j", "m"], "", until=r"split\s+\d"))
    await recorder.play(Scene(["]", "]", "a"], "", until=r"kept .*\d%"))
    await recorder.play(Scene(["end", "k", "k"], "", until="near"))


PICTURES: dict[str, Callable[[Recorder], Awaitable[None]]] = {
    "screenshot": attention,
    "loss": loss,
    "mistake": mistake,
    "funnel": funnel,
}
"""By the names of their files in `screens`; each leads to the place that is drawn."""


async def picture(name: str) -> str:
    """A picture of the README."""
    from screens.app import LabApp

    app = LabApp()
    async with app.run_test(size=SIZE) as pilot:
        await PICTURES[name](Recorder(pilot))
        return app.export_screenshot(title="llmlab")


def licences() -> list[str]:
    """The licences of the Python packages that are installed."""
    files = [file for package in metadata.distributions() for file in package.files or () if "licenses" in file.parts]
    return [Path(str(file.locate())).read_text(encoding="utf-8", errors="replace") for file in sorted(files)]


def fill(texts: Path) -> None:
    """Write the texts that the lab shows: a file, and a folder of many."""
    shutil.copy(ROOT / "README.md", texts / "notes.txt")
    folder = texts / "licences"
    folder.mkdir()
    for number, words in enumerate(licences(), 1):
        (folder / f"{number:03}.txt").write_text(words, encoding="utf-8")


def main() -> None:
    os.environ.pop("NO_COLOR", None)
    os.environ |= {"COLORTERM": "truecolor", "TERM": "xterm-256color", "HOME": str(HOME), "LLMLAB_HOME": str(HOME / "runs")}
    texts = HOME / "texts"
    names = ["tour"]
    if "--picture" in sys.argv:
        names = sys.argv[sys.argv.index("--picture") + 1 :] or list(PICTURES)
    for name in names:
        shutil.rmtree(HOME, ignore_errors=True)
        texts.mkdir(parents=True)
        fill(texts)
        os.chdir(texts)
        try:
            svg = asyncio.run(recording() if name == "tour" else picture(name))
        finally:
            shutil.rmtree(HOME)
        path = ROOT / "screens" / f"{name}.svg"
        path.write_text(svg, encoding="utf-8")
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
