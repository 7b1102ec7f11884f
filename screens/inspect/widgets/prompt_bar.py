"""Prompt bar at the top of Inspect: the tokens and facts on them, or the fields to change them."""

from dataclasses import dataclass

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input

from lab.core.number_format import fixed, probability, whole
from lab.views.blocks import LensPath
from models.config import SamplingSettings
from screens.inspect.inspect_part import Loading, ModelState, Opened, Ready
from screens.inspect.selection import Prompt, Selection, position_in
from screens.inspect.widgets.intervention_list import number_on
from screens.inspect.widgets.sampling_form import SamplingForm, in_short
from screens.widgets.prompt_input import HOW_TO_APPLY, PromptInput, shown
from screens.widgets.status_line import StatusLine
from screens.widgets.text_fitting import fit_ends
from screens.widgets.token_shading import Shading
from screens.widgets.token_strip import TokenStrip

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

    @dataclass
    class Edited(Message):
        """The user wants this text as the prompt."""

        text: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.editor = PromptInput(id="prompt-editor")
        self.editor.border_title = f"prompt · {HOW_TO_APPLY}"
        self._strip, self._facts, self._form = TokenStrip(id="prompt-tokens"), StatusLine(id="prompt-facts"), SamplingForm()
        self._settings: tuple[str, ...] = ()
        self._model = ("", "")
        """The run in view, and which of its weights."""
        self._shown_model = ""
        """Both as they are shown, the run's name cut where there is no room for it."""

    def compose(self) -> ComposeResult:
        yield from (self._strip, self._facts, self.editor, self._form)

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
        self._form.load(settings)

    def close(self) -> None:
        """Show the tokens again."""
        self.remove_class("-editing", "-settings")

    @on(Input.Submitted, "#prompt-editor")
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Edited(self.editor.text))

    @on(StatusLine.Clicked, "#prompt-facts")
    async def _fact_clicked(self, event: StatusLine.Clicked) -> None:
        """Change the run or the sampling settings, whichever was clicked on."""
        event.stop()
        sampling = self._settings[-1] if self._settings else ""
        if event.part in (sampling, self._shown_model):
            await self.run_action("screen.do('settings')" if event.part == sampling else "screen.do('choose_run')")
