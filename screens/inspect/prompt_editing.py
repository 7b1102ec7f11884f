"""Prompts of Inspect: the first one and its sampling settings are edited, a second compared with it, a head built by hand."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from msgspec import structs
from textual.binding import Binding

from lab.core.number_format import probability
from lab.experiments.attention_heads import BUILT, READS, refusal
from lab.views.blocks import LensPath, Prediction, View
from lab.views.number_refs import next_token
from models.config import SamplingSettings
from screens.about_key import About, described, keyless
from screens.dialogs.ask import AskText, RunChooser
from screens.inspect.inspect_part import Actions, InspectHost, InspectPart, Ready
from screens.inspect.selection import Prompt, Selection, toggled_aside
from screens.inspect.widgets.inspect_columns import SecondPromptBar, SecondView
from screens.inspect.widgets.prompt_bar import PromptBar
from screens.widgets.prompt_input import PromptInput, meant, shown

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
        bar.edited, bar.form.applied = self.apply_prompt, self.apply_settings
        bar.form.refused = lambda sentence: host.say(sentence, error=True)
        self._opened_with, self._opened_for = "", Prompt()

    def actions(self) -> Actions:
        return self.do_edit, self.do_build, self.do_settings

    async def do_edit(self) -> None:
        if (aside := self._host.selection.aside) in EDITS:
            await self._host.run_action(f"do('{EDITS[aside]}')")
        else:
            self._host.start(self._edit(), "edit")

    @property
    def hint(self) -> str:
        return "e edits the head · Esc back" if self._host.selection.aside == "built_head" else ""

    def do_build(self) -> None:
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

    def do_settings(self) -> None:
        self._bar.edit_sampling(self._host.selection.sampling)
        self._host.refresh_bindings()
        self._host.say("Enter apply · Tab next field · Esc cancel")

    def apply_settings(self, settings: SamplingSettings) -> None:
        self.close()
        self._host.selection = replace(self._host.selection, sampling=settings)
        self._host.lab.change_preferences(sampling=settings)

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


class SecondPrompt(InspectPart):
    """Keeps the second prompt in the selection, and its view laid out as the first one's."""

    BINDINGS = described(
        Binding(
            "c", "do('compare')", "Compare", id="inspect.compare", tooltip="Compare before and after, or with a second prompt"
        ),
        About("Prompt and sampling", place=2, synonyms="prompts difference contrast side effect"),
        keyless("do('other_pane')", "inspect.pane", "On a narrow screen: show the other prompt's view", "Prompt 1/2"),
        About(needs="a narrow screen and a second prompt"),
        keyless("do('metric')", "inspect.metric", "The two tokens whose logits every patch compares", "Tokens compared"),
        About(synonyms="logit difference metric", needs="every patch from a second prompt"),
        keyless("do('second')", "inspect.second", "Edit the second prompt; an empty one removes it", "Second prompt"),
        About(needs="a second prompt"),
    )

    def __init__(self, host: InspectHost, bar: SecondPromptBar, second: SecondView, editor: PromptInput) -> None:
        """`editor` keeps the history of prompts."""
        super().__init__(host)
        self._bar, self._view, self._editor = bar, second.view, editor
        self._top: list[Prediction] = []
        """Most probable next tokens of the second prompt."""

    @property
    def _is_one_pane(self) -> bool:
        """True when two views share one place, since the screen is narrow."""
        return self._host.has_class("-two") and self._host.has_class("-narrow")

    def is_enabled(self, action: str) -> bool:
        if action == "metric":
            return self._host.selection.aside == "patches" and not self._host.selection.trail
        return action != "other_pane" or self._is_one_pane

    @property
    def hint(self) -> str:
        """The keys of the comparison, and for two views that share one place."""
        if self._host.selection.aside == "compare":
            return "c every patch · Esc back · e edits or removes the second prompt"
        if self._host.selection.aside == "patches":
            return "e chooses the two tokens · c the step again"
        return f"v shows prompt {1 if self._host.has_class('-other') else 2} · c differences" if self._is_one_pane else ""

    def actions(self) -> Actions:
        return self.do_compare, self.do_second, self.do_metric, self.do_other_pane

    def do_compare(self) -> None:
        """The first comparison that there is, the next one, and then the step again; where there is none, ask for a prompt."""
        now = self._host.selection
        asides = [*(["effect"] if now.interventions else []), *(["compare", "patches"] if now.second is not None else [])]
        at = asides.index(now.aside) + 1 if now.aside in asides and not now.trail else 0
        if not asides:
            self.do_second()
        else:
            self._host.selection = toggled_aside(now, asides[at], next_token(self._ref)) if at < len(asides) else now.on_stage()

    def do_second(self) -> None:
        self._host.start(self._edit(), "second prompt")

    async def _edit(self) -> None:
        first, second = self._host.selection.prompt, self._host.selection.second
        words = "A second prompt beside the first. Positions are aligned from the end. " + (
            "An empty one is removed." if second is not None else "Change a word and see what differs."
        )
        text, problem = await text_of(self._host.selection.run, second or first)
        if problem:
            self._host.say(problem, error=True)
            return
        answer = await self._host.ask(AskText("second prompt", words, text, of_prompts=True))
        if answer:
            self._editor.keep(answer)
            self._host.selection = replace(self._host.selection.on_stage(), second=Prompt(answer), aside="compare")
        elif answer is not None:
            self._host.selection = replace(self._host.selection.on_stage(), second=None)

    def do_metric(self) -> None:
        self._host.start(self._choose_tokens(), "tokens of every patch")

    async def _choose_tokens(self) -> None:
        """Choose the token whose logit is compared, and the one that it is compared with, of what the two prompts predict."""
        model = self._host.model
        if not isinstance(model, Ready):
            return
        offered: dict[str, int] = {}
        shares: dict[str, list[str]] = {}
        for prompt, guesses in ((2, self._top), (1, model.path.top)):
            for guess in guesses:
                offered[f"“{guess.label}”"] = guess.id
                shares.setdefault(f"“{guess.label}”", []).append(f"{probability(guess.probability)} in prompt {prompt}")
        chosen: list[str] = []
        for title in ("the logit of", "minus the logit of"):
            names = [(name, ", ".join(shares[name])) for name in offered if name not in chosen]
            name = await self._host.ask(RunChooser(names, "", title))
            if name is None:
                return
            chosen.append(name)
        candidate, against = (offered[name] for name in chosen)
        self._host.selection = replace(self._host.selection, candidate=candidate, against=against)

    def do_other_pane(self) -> None:
        """Show the other view on a narrow screen."""
        self._host.set_class(not self._host.has_class("-other"), "-other")
        self._host.focus_steps()
        self._host.say(self.hint)

    def show_first_pane(self) -> None:
        self._host.set_class(False, "-other")

    def selection_changed(self, old: Selection, new: Selection) -> None:
        if (old.second, old.aside, old.trail) == (new.second, new.aside, new.trail):
            return
        self._bar.display = new.second is not None
        is_beside = new.second is not None and not new.aside and not new.trail
        self._host.set_class(is_beside, "-two")
        if not is_beside:
            self.show_first_pane()

    def take_answer(self, selection: Selection, path: LensPath, view: View | None) -> None:
        """Show the second prompt's tokens, and its view of the step unless something else is in view."""
        if selection.second != self._host.selection.second:
            return
        strip = self._bar.strip
        strip.tokens, strip.dropped, strip.chosen = tuple(path.tokens), path.dropped, path.position
        strip.guess = path.top[0] if path.top else None
        self._top = path.top
        if view is not None:
            self._view.show(structs.replace(view, title=f"prompt 2 · {view.title}"))
            self.align()

    def align(self) -> None:
        """Lay out both prompts' views alike where they stand side by side."""
        first = self._host.view
        views = (first.view, self._view.view) if self._host.has_class("-two") else (None, None)
        first.stand_beside(views[1])
        self._view.stand_beside(views[0])
