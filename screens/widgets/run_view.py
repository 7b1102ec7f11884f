"""A run as it trains: how far it is, its curves, its numbers, what they mean, and what it writes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rich.segment import Segment
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from lab.curves import History
from lab.diagnosis import diagnose
from lab.numbers import count, duration, fixed, significant, whole
from lab.reading import chance, choices, plan_in_words, progress, reading, time_left
from lab.run_config import RunConfig, Sample, Status
from lab.summary import PHASES
from screens.widgets.facts import Fact, Facts
from screens.widgets.layout import wrap
from screens.widgets.plot import Figure, Plot, Series
from screens.widgets.samples import Samples

MOST_LINES_OF_WORDS = 5
"""As many lines of sentences about the run leave room for what it writes, in 24 lines."""


@dataclass
class Watched:
    """All that is known of the run in view."""

    name: str
    config: RunConfig
    status: Status
    phase: str
    history: History
    samples: tuple[Sample, ...] = ()


class RunHeader(Widget):
    """One line: name, phase, a bar, and the time left."""

    COMPONENT_CLASSES = {"run-header--name", "run-header--phase", "run-header--bar", "run-header--rest"}
    DEFAULT_CSS = """
    RunHeader {
        height: 1;
        & > .run-header--name { text-style: bold; }
        & > .run-header--phase { color: $text-success; text-style: bold; }
        & > .run-header--bar { color: $primary; }
        & > .run-header--rest { color: $text-muted; }
        &.-ended > .run-header--phase { color: $text; }
        &.-failed > .run-header--phase { color: $text-error; }
    }
    """
    watched: reactive[Watched | None] = reactive(None, always_update=True)

    def watch_watched(self, watched: Watched | None) -> None:
        phase = watched.phase if watched else ""
        self.set_class(phase in ("stopped", "finished"), "-ended")
        self.set_class(phase in ("failed", "interrupted"), "-failed")

    def render_line(self, y: int) -> Strip:
        if self.watched is None:
            return Strip.blank(self.size.width, self.rich_style)
        width = self.size.width
        config, status, phase = self.watched.config, self.watched.status, self.watched.phase
        sign, word = PHASES[phase]
        done = progress(config, status)
        left = time_left(config, status, self.watched.history) if phase == "training" else None
        rest = f"{done:.0%} of {plan_in_words(config)}" + (f", {duration(left)} left" if left is not None else "")
        name = self.watched.name if len(self.watched.name) <= width // 3 else self.watched.name[: width // 3 - 1] + "…"
        room = width - len(name) - len(word) - len(rest) - 8
        filled = round(max(0, room) * done)
        pieces = [
            (f"{name}  ", "name"),
            (f"{sign} {word}  ", "phase"),
            ("━" * filled, "bar"),
            ("╌" * (room - filled) + "  " + rest, "rest"),
        ]
        return Strip(
            [Segment(text, self.get_component_rich_style(f"run-header--{role}")) for text, role in pieces]
        ).adjust_cell_length(width, self.rich_style)


class RunView(Widget):
    """Everything about one run on one screen. `show` is called when something is new."""

    log_y: reactive[bool] = reactive(False)
    recent: reactive[bool] = reactive(False)
    """Only the second half of the steps so far, where the curve is flat in full view."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.watched: Watched | None = None

    def compose(self) -> ComposeResult:
        yield RunHeader(id="run-header")
        with Horizontal(id="run-middle"):
            yield Plot(id="run-plot")
            yield Facts(id="run-facts")
        with Vertical(id="run-words"):
            yield Static(id="run-reading", markup=False)
            yield Samples(id="run-samples")

    @property
    def samples(self) -> Samples:
        """The part that shows what the run writes."""
        return self.query_one(Samples)

    def show(self, watched: Watched) -> None:
        """Show this run as it is now."""
        self.watched = watched
        self.query_one(RunHeader).watched = watched
        self.query_one("#run-facts", Facts).facts = numbers_of(watched)
        self.query_one("#run-reading", Static).update(self._words(watched))
        self.samples.samples = watched.samples
        self._draw()

    def show_trouble(self, sentence: str) -> None:
        """Show why there is nothing to see."""
        self.query_one("#run-reading", Static).update(sentence)

    def watch_log_y(self) -> None:
        self._draw()

    def watch_recent(self) -> None:
        self._draw()

    def _draw(self) -> None:
        if self.watched is not None:
            self.query_one(Plot).figure = figure_of(self.watched, log_y=self.log_y, recent=self.recent)

    def _words(self, watched: Watched) -> str:
        found = diagnose(watched.config, watched.status, watched.history)
        parts = [reading(watched.config, watched.status, watched.history)]
        if found.verdict != "waiting" and watched.phase != "failed":
            parts.insert(0, found.sentences)
        if watched.phase == "interrupted":
            parts.insert(0, "The trainer is gone without a word, killed or with its machine; r goes on from the last checkpoint.")
        if watched.phase == "stopped" and watched.history.latest is not None:
            parts.insert(0, "It was stopped; r goes on from there.")
        return whole_sentences(" ".join(parts), self.content_size.width - 4, MOST_LINES_OF_WORDS)


def whole_sentences(text: str, width: int, lines: int) -> str:
    """The first sentences of the text, as many as fit whole, and at least one."""
    sentences = re.split(r"(?<=\.) (?=[A-Z])", text)
    while len(sentences) > 1 and width > 0 and len(wrap(" ".join(sentences), width)) > lines:
        sentences.pop()
    return " ".join(sentences)


def numbers_of(watched: Watched) -> tuple[Fact, ...]:
    """The panel beside the plot."""
    config, status, history = watched.config, watched.status, watched.history
    last, evaluation, best = history.last_training, history.last_evaluation, history.best_evaluation
    steps = status.steps or config.train.steps
    step = max(status.step, history.latest.step if history.latest else 0)
    left = time_left(config, status, history)
    facts: list[Fact] = [
        ("step", whole(step) + (f" / {whole(steps)}" if steps else "")),
        ("epoch", fixed(history.latest.epoch, 2) if history.latest else "·"),
        ("tokens/s", count(history.speed) if history.speed else "·"),
        ("time left", duration(left) if left is not None and watched.phase == "training" else "·"),
        ("rate", significant(last.lr, 3) if last and last.lr is not None else "·"),
        ("train", fixed(history.smooth[-1], 3) if history.smooth else "·"),
        ("val", fixed(evaluation.val_loss, 3) if evaluation and evaluation.val_loss is not None else "·"),
        ("best val", f"{fixed(best.val_loss, 3)} @ {count(best.step)}" if best and best.val_loss is not None else "·"),
        ("bits/byte", fixed(evaluation.bits_per_byte, 3) if evaluation and evaluation.bits_per_byte is not None else "·"),
        ("by chance", f"{fixed(chance(config.model.vocab_size), 3)}"),
        ("one of", f"{choices(history.smooth[-1])} tokens" if history.smooth else "·"),
    ]
    return tuple(facts)


def figure_of(watched: Watched, *, log_y: bool, recent: bool) -> Figure:
    """The curves of a run, the latest half of them if `recent`."""
    history = watched.history
    start = len(history.steps) // 2 if recent else 0
    first = history.steps[start] if start else 0
    eval_start = next((at for at, step in enumerate(history.eval_steps) if step >= first), len(history.eval_steps))
    level = chance(watched.config.model.vocab_size)
    return Figure(
        (
            Series("train loss, each step", "step", "dots", "raw", history.steps[start:], history.losses[start:]),
            Series("smoothed", "mean", "line", "train", history.steps[start:], history.smooth[start:]),
            Series(
                "validation",
                "val",
                "marks",
                "validation",
                history.eval_steps[eval_start:],
                history.val_losses[eval_start:],
            ),
            Series(f"by chance: ln V = {level:.2f}", "chance", "level", "level", (0.0,), (level,)),
        ),
        version=(watched.name, history.version, recent),
        x_label="steps",
        log_y=log_y,
        empty="The curve begins with the first step.",
    )
