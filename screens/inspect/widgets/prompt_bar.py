"""Bar of the prompt: its tokens and facts, or the fields in which the prompt and the sampling settings are edited."""

from collections.abc import Callable
from typing import TypeVar

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from lab.core.number_format import fixed, probability, whole
from lab.views.blocks import LensPath
from models.config import ConfigError, SamplingSettings
from screens.inspect.inspect_part import Loading, ModelState, Opened, Ready
from screens.inspect.selection import Prompt, Selection, position_in
from screens.inspect.widgets.inspect_columns import number_on
from screens.widgets.prompt_input import HOW_TO_APPLY, PromptInput, shown
from screens.widgets.status_line import StatusLine
from screens.widgets.text_fitting import fit_ends
from screens.widgets.token_shading import Shading
from screens.widgets.token_strip import TokenStrip

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

    applied: Callable[[SamplingSettings], None]
    """Takes the settings. `PromptEditing` sets these two."""
    refused: Callable[[str], None]
    """Takes the sentence that says what is wrong with a field."""

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
            self.refused(str(error))
        else:
            self.applied(settings)


SHORTEST_NAME, LEAST_MODEL = 5, 26
"""Cells below which a run's name is not cut; and those of the run with its step, before the shading is told of."""


class PromptBar(Vertical):
    """Three lines: tokens, ids and facts; while the user edits, a field or the sampling form takes their place."""

    DEFAULT_CSS = """
    PromptBar {
        height: 3;
        StatusLine.-changed > .line--left { color: $warning; text-style: bold; }
        #prompt-editor, SamplingForm { display: none; height: 3; }
        #prompt-editor { border: round $accent; border-title-color: $foreground 90%; background: $background; }
        &.-editing > *, &.-settings > * { display: none; }
        &.-editing #prompt-editor, &.-settings SamplingForm { display: block; }
    }
    """

    edited: Callable[[str], None]
    """Takes the text that the user wants as the prompt; set by `PromptEditing`."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.editor = PromptInput(id="prompt-editor")
        self.editor.border_title = f"prompt · {HOW_TO_APPLY}"
        self._strip, self._facts, self.form = TokenStrip(id="prompt-tokens"), StatusLine(id="prompt-facts"), SamplingForm()
        self._settings: tuple[str, ...] = ()
        self._model = ("", "")
        """The run in view, and which of its weights."""
        self._shown_model = ""
        """Both as they are shown, the run's name cut where there is no room for it."""

    def compose(self) -> ComposeResult:
        yield from (self._strip, self._facts, self.editor, self.form)

    @property
    def is_editing(self) -> bool:
        """True while fields replace the tokens."""
        return self.has_class("-editing") or self.has_class("-settings")

    @property
    def is_typing(self) -> bool:
        """True while the field for the prompt is open."""
        return self.has_class("-editing")

    def show_tokens(self, path: LensPath, prompt: Prompt) -> None:
        """Draw the tokens of `prompt`, whose lens path is `path`."""
        strip = self._strip
        strip.tokens, strip.dropped = tuple(path.tokens), path.dropped + prompt.earlier
        strip.written = prompt.appended
        strip.guess = path.top[0] if path.top else None

    @property
    def is_shaded(self) -> bool:
        """True while the tokens are shaded by attention."""
        return self._strip.shading is not None

    @property
    def veiled(self) -> bool:
        """True while the tokens show no prediction and no attention."""
        return self._strip.veiled

    @veiled.setter
    def veiled(self, veiled: bool) -> None:
        self._strip.veiled = veiled
        self.shade(self._strip.shading)

    def highlight_last(self, strength: float) -> None:
        """Highlight the last token, which has just been sampled; 0 for not at all."""
        self._strip.highlight = strength

    def shade(self, shading: Shading | None) -> None:
        """Shade the tokens, and say by what; None takes the shading away."""
        self._strip.shading = shading
        width = self.content_size.width - self._facts.gutter.width  # while one edits, the facts have no size of their own
        room = width - cell_len(self._facts.left) - 2
        if shading is None or self._strip.veiled:
            self._shown_model = self._model_within(room)
            self._facts.right = (*self._settings, self._shown_model)
            return
        largest = probability(shading.limit, 0)
        names = f"shaded: {shading.words}, 0 to", f"{shading.brief}, 0 to", f"{shading.head} attn █", f"{shading.head} █"
        words = [f"{each} {largest}" for each in names]
        self._shown_model = self._model_within(max(room - cell_len(words[-1]) - 2, min(room, LEAST_MODEL)))
        room -= cell_len(self._shown_model) + 2
        said = [each for each in words if cell_len(each) <= room][:1]
        self._facts.right = (*self._settings, self._shown_model, *said)

    def _model_within(self, room: int) -> str:
        """The run in view and its step, of a long name the beginning and the end."""
        run, which = self._model
        left = room - cell_len(which)
        return (run if cell_len(run) <= left or left < SHORTEST_NAME else fit_ends(run, left)) + which

    def on_resize(self) -> None:
        """Say as many words as there is room for."""
        self.shade(self._strip.shading)

    def mark(self, selection: Selection, model: ModelState, is_outdated: bool) -> None:
        """Show what follows from the selection alone: the chosen token, and which model and settings are in use."""
        if isinstance(model, Loading) and model.path is not None:
            self._strip.chosen = model.path.position
        if isinstance(model, Ready):
            tokens, position = model.path.tokens, position_in(selection, model.path)
            self._strip.chosen = position
            self._strip.hidden = frozenset(each.position or 0 for each in selection.interventions if each.how == "hide")
            changed = f" · {number_on(selection.interventions)}" if selection.interventions else ""
            self._facts.left = f"position {position + 1}/{len(tokens)}: predicts token {position + 2}{changed}"
            self._facts.set_class(bool(changed), "-changed")
        self._model = selection.run, f" ({selection.checkpoint})"
        known: tuple[str, ...] = ()
        if isinstance(model, Opened | Ready):
            facts = model.facts
            which = "snapshot" if facts.checkpoint.isdecimal() else f"was {facts.checkpoint}" if is_outdated else facts.checkpoint
            self._model = facts.run, f" step {whole(facts.step)} ({which})"
            loss = f"val loss{facts.val_on} {fixed(facts.val_loss, 3)}" if facts.val_loss is not None else ""
            known = tuple(filter(None, (facts.origin, loss)))
        self._settings = (*known, in_short(selection.sampling))
        self.shade(self._strip.shading)

    def edit(self, text: str) -> None:
        """Open the field with `text` in it."""
        self.remove_class("-settings").add_class("-editing")
        self.editor.value = shown(text)
        self.editor.cursor_position = len(self.editor.value)
        self.editor.focus()

    def edit_sampling(self, settings: SamplingSettings) -> None:
        """Open the sampling form with `settings` in it."""
        self.remove_class("-editing").add_class("-settings")
        self.form.load(settings)

    def close(self) -> None:
        """Show the tokens again."""
        self.remove_class("-editing", "-settings")

    @on(Input.Submitted, "#prompt-editor")
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.edited(self.editor.text)

    @on(StatusLine.Clicked, "#prompt-facts")
    async def _fact_clicked(self, event: StatusLine.Clicked) -> None:
        """Change the run or the sampling settings, whichever was clicked on."""
        event.stop()
        sampling = self._settings[-1] if self._settings else ""
        if event.part in (sampling, self._shown_model):
            await self.run_action("screen.do('settings')" if event.part == sampling else "screen.do('choose_run')")
