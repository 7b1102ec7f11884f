"""The prompt at the top of Inspect: its tokens and the facts on them, or the fields to change it."""

from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input

from lab.core.number_format import fixed, whole
from lab.views.blocks import LensPath, ModelFacts
from models.sampling_settings import SamplingSettings
from screens.inspect.intervention_list import on_in_words
from screens.inspect.sampling_form import SamplingForm, in_short
from screens.inspect.selection import Prompt, Selection, position_in
from screens.widgets.prompt_input import PromptInput, shown
from screens.widgets.status_line import StatusLine
from screens.widgets.token_strip import TokenStrip


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

    def compose(self) -> ComposeResult:
        yield TokenStrip(id="prompt-tokens")
        yield StatusLine(id="prompt-facts")
        editor = PromptInput(id="prompt-editor", select_on_focus=False)
        editor.border_title = "prompt · enter shows it to the model · escape leaves it"
        yield editor
        yield SamplingForm()

    @property
    def is_editing(self) -> bool:
        """Whether fields stand in the place of the tokens."""
        return self.has_class("-editing") or self.has_class("-settings")

    def show_way(self, way: LensPath, prompt: Prompt) -> None:
        """Draw the tokens of `prompt`, whose way is `way`."""
        strip = self.query_one(TokenStrip)
        strip.tokens, strip.dropped = tuple(way.tokens), way.dropped + prompt.earlier
        strip.written = prompt.appended
        strip.guess = way.top[0] if way.top else None

    def mark(self, aim: Selection, way: LensPath | None, facts: ModelFacts | None) -> None:
        """Show what follows from the aim alone: the chosen token, and which numbers are being looked at."""
        line = self.query_one("#prompt-facts", StatusLine)
        if way is not None:
            position = position_in(aim, way)
            strip = self.query_one(TokenStrip)
            strip.chosen = position
            strip.hidden = frozenset(each.place or 0 for each in aim.interventions if each.how == "hide")
            changed = f" · {on_in_words(aim.interventions)}" if aim.interventions else ""
            line.left = f"position {position + 1}/{len(way.tokens)}: predicts token {position + 2}{changed}"
            line.set_class(bool(changed), "-changed")
        model = f"{aim.run} ({aim.checkpoint})"
        loss: tuple[str, ...] = ()
        if facts is not None:
            model = f"{facts.run} step {whole(facts.step)} ({'snapshot' if facts.checkpoint.isdecimal() else facts.checkpoint})"
            loss = (f"val loss {fixed(facts.val_loss, 3)}",) if facts.val_loss is not None else ()
        line.right = (*loss, in_short(aim.sampling), model)

    def edit(self, text: str) -> None:
        """Open the field with `text` in it."""
        editor = self.query_one(PromptInput)
        self.remove_class("-settings").add_class("-editing")
        editor.value = shown(text)
        editor.cursor_position = len(editor.value)
        editor.focus()

    def edit_sampling(self, settings: SamplingSettings) -> None:
        """Open the sampling form with `settings` in it."""
        self.remove_class("-editing").add_class("-settings")
        self.query_one(SamplingForm).load(settings)

    def close(self) -> None:
        """Show the tokens again."""
        self.remove_class("-editing", "-settings")

    @on(Input.Submitted, "#prompt-editor")
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        editor = self.query_one(PromptInput)
        editor.keep()
        self.post_message(self.Edited(editor.text))
