"""Editing in Inspect: the prompt, the sampling settings (temperature, top-k, top-p, seed), and a head built by hand."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from textual.binding import Binding

from lab.experiments.built_head import BUILT, READS, refusal
from models.config import SamplingSettings
from screens.about_key import About, described, keyless
from screens.app_state import AppState
from screens.dialogs.ask import AskText
from screens.inspect.inspect_part import Actions, InspectHost, InspectPart
from screens.inspect.selection import Prompt
from screens.inspect.widgets.prompt_bar import PromptBar
from screens.widgets.prompt_input import meant, shown

EDITS = {"compare": "second", "patches": "metric", "built_head": "build"}
"""Actions that edit what is in view aside."""


class PromptEditing(InspectPart):
    """Opens the fields in place of the tokens, and applies their values."""

    BINDINGS = described(
        Binding("e", "do('edit')", "Edit", id="inspect.edit", tooltip="Edit the prompt, or what is compared or built"),
        About(
            "Prompt and sampling",
            words="edit the prompt; undo a token, an edit or an intervention",
            also=("inspect.undo",),
            place=-1,
            synonyms="text input type",
        ),
        keyless("do('build')", "inspect.build", "Build a head by hand: choose what q and k read; see its pattern", "Build head"),
        About(synonyms="attention pattern query key previous token induction"),
    )

    def __init__(self, host: InspectHost, bar: PromptBar, change_prompt: Callable[[Prompt], None]) -> None:
        super().__init__(host)
        self._bar, self._change_prompt = bar, change_prompt
        self._opened_with, self._opened_for = "", Prompt()

    def actions(self) -> Actions:
        return {"edit": self.edit, "build": self.build, "settings": self.settings}

    async def edit(self) -> None:
        if (aside := self._host.selection.aside) in EDITS:
            await self._host.run_action(f"do('{EDITS[aside]}')")
        else:
            self._host.start(self._edit(), "edit")

    @property
    def hint(self) -> str:
        return "e edits the head · Esc back" if self._host.selection.aside == "built_head" else ""

    def build(self) -> None:
        self._host.start(self._build(), "built head")

    async def _build(self) -> None:
        words = (
            "What the query of a token reads → what the key of a token reads × the score of the two where both are the same. So "
            f"“{BUILT}” looks at the token before. To choose from: {', '.join(READS)}."
        )
        before = self._host.selection
        answer = await self._host.ask(AskText("build a head", words, before.built, refuse=refusal))
        if answer:
            self._host.selection = replace(self._host.selection.on_stage(), aside="built_head", built=answer)

    async def _edit(self) -> None:
        selection = self._host.selection
        text, problem = await text_of(selection.run, selection.prompt)
        if problem:
            self._host.say(problem, error=True)
            return
        self._opened_with, self._opened_for = meant(shown(text)), selection.prompt
        self._bar.edit(text)
        self._host.refresh_bindings()
        self._host.say_location()

    def would_be_lost(self) -> str:
        return "the prompt being typed" if self._bar.is_typing and self._bar.editor.text != self._opened_with else ""

    def apply_prompt(self, text: str) -> None:
        """Show the text as the prompt; one that was not changed keeps its tokens."""
        self.close()
        self._bar.editor.keep(text, run=self._host.selection.run)
        self._change_prompt(self._opened_for if text == self._opened_with else Prompt(text))

    def settings(self) -> None:
        self._bar.edit_sampling(self._host.selection.sampling)
        self._host.refresh_bindings()
        self._host.say("Enter apply · Tab next field · Esc cancel")

    def apply_settings(self, settings: SamplingSettings) -> None:
        self.close()
        self._host.selection = replace(self._host.selection, sampling=settings)
        cast(AppState, self._host.app).change_preferences(sampling=settings)

    def close(self) -> None:
        """Show the tokens again."""
        self._bar.close()
        self._host.focus_steps()
        self._host.refresh_bindings()
        self._host.say_location()


async def text_of(run: str, prompt: Prompt) -> tuple[str, str]:
    """A prompt as text, with the tokens sampled after it; or the problem with the run or its tokenizer."""
    written = prompt.ids[-prompt.appended :] if prompt.ids and prompt.appended else ()
    if prompt.is_cut:
        written = prompt.ids or ()
    text, problem = await asyncio.to_thread(_decode, run, written) if written else ("", "")
    return ("" if prompt.is_cut else prompt.text) + text, problem


def _decode(run: str, ids: tuple[int, ...]) -> tuple[str, str]:
    """The text of these tokens, or the problem with the run or its tokenizer."""
    from lab.core.errors import UserError
    from lab.runs.find_runs import open_run
    from lab.runs.run_folder import tokenizer_of
    from models.config import TokenizerError

    try:
        return tokenizer_of(open_run(run)).decode(ids), ""
    except (UserError, TokenizerError) as error:
        return "", str(error)
