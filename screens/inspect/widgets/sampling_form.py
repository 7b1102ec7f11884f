"""Temperature, filters, repetition penalty and seed on one row of fields."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input

from models.config import ConfigError, SamplingSettings

N = TypeVar("N", int, float)


class SettingError(ValueError):
    """A field's value is invalid; the message is one sentence."""


def settings_from(temperature: str, top_k: str, top_p: str, min_p: str, penalty: str, seed: str) -> SamplingSettings:
    """The settings that the fields hold; an empty one, or `-`, is off. Temperature 0 always takes the most probable token.

    Raises:
        SettingError: naming the first field that cannot be used.
    """
    heat = _number(float, temperature, 1.0, "The temperature must be a number, 0 or above")
    kept = _number(int, top_k, 0, "Top-k must be a whole number of tokens to keep, or 0 for all")
    mass = _number(float, top_p, 1.0, "Top-p must be a probability, 1 for off")
    least = _number(float, min_p, 0.0, "Min-p must be a share of the largest probability, 0 for off")
    factor = _number(float, penalty, 1.0, "The repetition penalty must be a number, 1 for off")
    start = _number(int, seed, 0, "The seed must be a whole number")
    try:
        return SamplingSettings(heat or 1.0, kept, mass, least, factor, start, greedy=heat == 0)
    except ConfigError as error:
        raise SettingError(f"{str(error)[:1].upper()}{str(error)[1:]}") from None


def _number(kind: Callable[[str], N], text: str, off: N, sentence: str) -> N:
    text = text.strip().replace(",", ".")
    if text in ("", "-", "–"):
        return off
    try:
        return kind(text)
    except ValueError:
        raise SettingError(f"{sentence}, not {text!r}.") from None


def in_short(settings: SamplingSettings) -> str:
    """The settings in the facts line: `T=1 k=- p=- seed 0`, and the rarer ones where they are on."""
    heat = "0 greedy" if settings.greedy else f"{settings.temperature:g}"
    least = f" min-p={settings.min_p:g}" if settings.min_p else ""
    penalty = f" penalty={settings.repetition_penalty:g}" if settings.repetition_penalty > 1 else ""
    p = "-" if settings.top_p >= 1 else f"{settings.top_p:g}"
    return f"T={heat} k={settings.top_k or '-'} p={p}{least}{penalty} seed {settings.seed}"


class SamplingForm(Horizontal):
    """Six fields; `enter` in any of them applies all."""

    DEFAULT_CSS = """
    SamplingForm {
        height: 3;
        & > Input { width: 1fr; min-width: 11; border: round $foreground 30%; }
        & > #sampling-temperature { min-width: 17; }
        & > Input { border-title-color: $foreground 90%; background: $background; }
        & > Input:focus { border: round $accent; }
    }
    """
    HELP = (
        "**Sampling.** *Temperature* divides the logits: below 1 sharper, above 1 flatter, 0 always takes the most probable. "
        "*Top-k* keeps the k most probable tokens, *top-p* the fewest whose probabilities reach p, *min-p* those with that share "
        "of the largest. The *penalty* makes tokens that are there already less probable. The *seed* fixes the random numbers. "
        "`tab` next field, `enter` apply, `escape` cancel."
    )

    @dataclass
    class Applied(Message):
        settings: SamplingSettings

    @dataclass
    class Refused(Message):
        sentence: str

    def compose(self) -> ComposeResult:
        for title in ("temperature", "top-k", "top-p", "min-p", "penalty", "seed"):
            field = Input(id=f"sampling-{title.replace('-', '_')}")
            field.border_title = title
            yield field

    def load(self, settings: SamplingSettings) -> None:
        """Fill the fields and put the cursor into the first."""
        heat = 0 if settings.greedy else settings.temperature
        filters = (str(settings.top_k), f"{settings.top_p:g}", f"{settings.min_p:g}", f"{settings.repetition_penalty:g}")
        values = (f"{heat:g}", *filters, str(settings.seed))
        fields = list(self.query(Input))
        for field, value in zip(fields, values, strict=True):
            field.value = value
        fields[0].focus()

    @on(Input.Submitted)
    def _apply(self, event: Input.Submitted) -> None:
        event.stop()
        try:
            settings = settings_from(*(field.value for field in self.query(Input)))
        except SettingError as error:
            self.post_message(self.Refused(str(error)))
        else:
            self.post_message(self.Applied(settings))
