"""The mode Inspect: one prompt followed through one model, a step at a time."""

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.screen import ModalScreen
from textual.timer import Timer

from lab.core.number_format import whole
from lab.engine.client import EngineClient, EngineDied
from lab.engine.method_table import RELEASE, ReleaseParams
from lab.inspect.stages.stage_registry import stage_entries
from lab.views.blocks import LensPath, ModelFacts, StageEntry, View
from screens.blocks.block_view import BlockView
from screens.inspect.engine_session import Callbacks, Engine, Microscope
from screens.inspect.explain_mode import WhyScreen
from screens.inspect.export_mode import TakingOutScreen
from screens.inspect.forward_pass_list import WayList
from screens.inspect.interventions_mode import ChangesScreen, Columns, SecondPrompt
from screens.inspect.prompt_bar import PromptBar
from screens.inspect.sampling_form import SamplingForm
from screens.inspect.sampling_mode import SamplingScreen
from screens.inspect.selection import (
    Prompt,
    Selection,
    at_position,
    at_step,
    in_layer,
    index_of,
    position_in,
    with_prompt,
    within,
)
from screens.inspect.time_slider import TimeSlider
from screens.inspect.time_travel import TimeScreen
from screens.messages import RunChosen
from screens.widgets.status_line import StatusLine
from screens.widgets.token_strip import TokenStrip

PENDING_AFTER = 0.12
"""Seconds without an answer after which the view is marked as being waited for; quicker answers need no mark."""

SECONDS_BETWEEN_PULSES = 1.0
ENDED = "The engine that holds the model has ended. The next key starts another; nothing of what you see is lost."
ANSWER_SECONDS = 2.0
"""An answer that takes longer is said to be waited for, with the key that starts the engine anew."""

STARTING = "Loading PyTorch and the model… (a few seconds, once)"


class InspectScreen(ChangesScreen, SamplingScreen, TimeScreen, TakingOutScreen):
    """State is one `aim`: keys change it, and the rest follows, the marks at once and the view when the engine answers."""

    MODE = "inspect"
    HELP = (
        "Follow one prompt through the model, one step at a time: `j` forward, `k` back; `←` `→` choose the token whose "
        "prediction you look at, `[` `]` the head, `{` `}` the layer. The left column says what the model would answer if it "
        "stopped there. `H` shows the patterns of all heads of all layers, and once more leads to the chosen one.\n\n"
        "`space` draws the token after the position and appends it: at an earlier token, it begins another ending there; `n` "
        "does so with the next seed. `u` takes it back, `A` lets the model write on by itself, `+` and `-` change its pace; the "
        "block before a written token's id is as high as the probability that the model gave it. `e` edits the prompt, `s` sets "
        "temperature, top-k, top-p and the seed.\n\n"
        "`enter` puts a cursor into the view, where each number tells its full value and its name, and `enter` explains it: its "
        "formula with the real numbers in it, each of which can be entered in turn, down to a single weight; `backspace` climbs "
        "back.\n\n"
        "`a` shows which parts of the model speak for the predicted token, `w` what the training text itself says about it; "
        "with the cursor on a token of the last two steps, they are about that one.\n\n"
        "`x` switches off the head or the MLP of the step (head 2.1 is head 1 of layer 2), or hides the chosen token; `m` takes "
        "the mean instead of zero, `f` makes a head look at one token only, "
        "`*` multiplies; `b` shows the ranking before and after. `C` puts a second prompt beside this one, `p` takes its vector "
        "over.\n\n"
        "`t` looks at the same place with the weights of any moment of the training. `o` takes the view or the whole trace out: "
        "to the clipboard or into a file.\n\n"
        "Position t predicts token t + 1. Layers and heads count from 1 on screen, from 0 in names: `blocks.0.attn.pattern`."
    )
    DEFAULT_CSS = """
    InspectScreen {
        #inspect-columns { height: 1fr; }
    }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide"), (160, "-huge")]
    BINDINGS = [
        Binding("j,down", "step(1)", "Step", id="inspect.next", key_display="j/k", tooltip="The next step of the way through"),
        Binding("k,up", "step(-1)", "Back", id="inspect.previous", show=False, tooltip="The step before"),
        Binding("right,l", "position(1)", "Position", id="inspect.right", key_display="←/→", tooltip="The token to the right"),
        Binding("left,h", "position(-1)", "Left", id="inspect.left", show=False, tooltip="The token to the left"),
        Binding("right_square_bracket", "head(1)", "Head", id="inspect.head", key_display="[ ]", tooltip="The next head"),
        Binding(
            "left_square_bracket", "head(-1)", "Head before", id="inspect.head_before", show=False, tooltip="The head before"
        ),
        Binding(
            "right_curly_bracket", "layer(1)", "Layer", id="inspect.layer", key_display="{ }", tooltip="Same step, next layer"
        ),
        Binding(
            "left_curly_bracket",
            "layer(-1)",
            "Layer before",
            id="inspect.layer_before",
            show=False,
            tooltip="Same step, layer before",
        ),
        Binding("H", "all_heads", "All heads", id="inspect.all_heads", tooltip="All heads of all layers; again: the chosen one"),
        Binding("e,slash", "edit", "Edit", id="inspect.edit", key_display="e", tooltip="Edit the prompt"),
        Binding("s", "settings", "Settings", id="inspect.settings", tooltip="Temperature, top-k, top-p and seed"),
        Binding(
            "c", "checkpoint", "Best/last", id="inspect.checkpoint", tooltip="Switch between the best and the last checkpoint"
        ),
        Binding("r", "choose_run", "Run", id="inspect.run", tooltip="Choose the run whose model is shown"),
        Binding(
            "R",
            "restart_engine",
            "Restart engine",
            id="inspect.restart",
            show=False,
            tooltip="End an engine that does not answer, and start another",
        ),
        Binding("g", "step_end(0)", "First", id="inspect.first", show=False, tooltip="The first step"),
        Binding("G", "step_end(-1)", "Last", id="inspect.last", show=False, tooltip="The last step"),
        # Two actions of one key must stand in one class, since a class's own keys hide those of the classes it is made of.
        *(
            binding
            for binding in (*WhyScreen.BINDINGS, *TakingOutScreen.BINDINGS)
            if isinstance(binding, Binding) and binding.key[0] == "o"
        ),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", id="inspect.page_down", show=False, tooltip="Scroll the view down"),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", id="inspect.page_up", show=False, tooltip="Scroll the view up"),
    ]

    @dataclass
    class FirstPrompt(Message):
        """What to begin with has been read from the run: a prompt, and how many layers to outline."""

        run: str
        text: str
        layers: int
        hold: int | None
        """Keeps the run from being renamed or deleted until the engine, which takes seconds to start, holds it itself."""

    def __init__(self, engine: Engine | None = None) -> None:
        super().__init__()
        self._engine: Engine = engine or EngineClient()
        self.microscope = Microscope(
            self._engine,
            Callbacks(self._facts_came, self._way_came, self._view_came, self._trouble_came, self.effect_came, self.second_came),
        )
        self._facts: ModelFacts | None = None
        self._way: LensPath | None = None
        self._steps: tuple[StageEntry, ...] = ()
        self._good: Selection | None = None
        """The aim that was answered last: its model and prompt are kept where another cannot be opened, or is no prompt."""
        self._pending: Timer | None = None
        self._is_behind_question = False
        """Whether a question stood before this screen: then it was not left."""
        self._notice = ""
        """What stands in the line below until the next view comes."""
        self._hold: int | None = None

    def compose_body(self) -> ComposeResult:
        yield PromptBar(id="inspect-prompt")
        yield SecondPrompt(id="inspect-second")
        yield Columns(id="inspect-columns")
        yield TimeSlider(id="inspect-time")
        yield StatusLine(most_lines=3, id="inspect-status")

    def on_mount(self) -> None:
        self._bar, self._list, self._view = self.query_one(PromptBar), self.query_one(WayList), self.query_one(BlockView)
        self._list.focus()
        self._notify(STARTING)
        self.set_interval(SECONDS_BETWEEN_PULSES, self._feel_pulse)
        self.run_worker(self.microscope.serve(), name="microscope", group="microscope", exit_on_error=True)
        self.watch(self.app, "run_name", self._follow_run)
        self.lab.release_run.append(self._let_go)

    async def _let_go(self, path: Path) -> None:
        """Have the engine, where one runs, hold the run in this folder no longer."""
        self._release()
        if self._engine.pid is not None:
            with suppress(EngineDied):  # then it holds nothing
                await self._engine.call(RELEASE, ReleaseParams(path=str(path)))

    def _release(self) -> None:
        """Hold the run no longer from here."""
        if self._hold is not None:
            os.close(self._hold)
            self._hold = None

    async def on_unmount(self) -> None:
        self._release()
        await self._engine.close()

    def on_screen_resume(self) -> None:
        if self._is_behind_question:
            self._is_behind_question = False
            return
        # A run that is training has newer weights on disk than those seen when this screen was left.
        if self.aim is not None and self.aim.run != self.lab.run_name:
            self._follow_run(self.lab.run_name)
        elif self.aim is not None and self._facts is not None:
            self.microscope.forget()
            self.microscope.look(self.aim)

    @property
    def is_settled(self) -> bool:
        """Whether everything that was asked for has been answered, or refused."""
        return self.aim is not None and self.microscope.is_idle

    def action_back(self) -> None:
        if self._bar.is_editing:
            self._close_editors()
        elif self.leave_one_level():
            return
        elif self.focused is self._view:
            self._list.focus()
        else:
            super().action_back()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if self.is_mounted and self._bar.is_editing:
            return action == "back"
        if action == "restart_engine":
            return self.microscope.waited >= ANSWER_SECONDS
        return bool(self._undo) if action == "undo" else super().check_action(action, parameters)

    def on_screen_suspend(self) -> None:
        self._is_behind_question = isinstance(self.app.screen, ModalScreen)
        self.stop_writing()

    def _follow_run(self, name: str) -> None:
        self.stop_writing()
        self._undo.clear()
        self._read_run(name)

    @work(thread=True, exclusive=True, group="first prompt")
    def _read_run(self, name: str) -> None:
        from lab.core.errors import UserError
        from lab.data.default_prompts import first_prompt
        from lab.runs.run_locks import hold_inspect_lock
        from lab.runs.run_store import open_run

        try:
            run = open_run(name)
            self.post_message(self.FirstPrompt(name, first_prompt(run), run.config.model.layers, hold_inspect_lock(run.path)))
        except UserError as error:
            self.app.call_from_thread(self._trouble_came, str(error), False)

    @on(FirstPrompt)
    def _begin(self, message: FirstPrompt) -> None:
        self._release()
        self._hold = message.hold
        if message.run != self.lab.run_name:
            self._release()
            return
        self.leave_time()
        if self._facts is None:
            self._set_steps(tuple(stage_entries(message.layers)))
        base = self.aim or Selection(message.run, width=self._view.room)
        self.aim = replace(with_prompt(base, Prompt(message.text)), run=message.run, checkpoint="best")

    @on(BlockView.WidthChanged)
    def _width_changed(self, message: BlockView.WidthChanged) -> None:
        if self.aim is not None:
            self.aim = replace(self.aim, width=message.width)

    def watch_aim(self, old: Selection | None, new: Selection | None) -> None:
        if new is None:
            return
        self._mark()
        self.why_changed(old, new)
        view = self.microscope.look(new)
        self.time_aimed()
        if view is not None:
            self._show(view)
            self.time_view(new, view)
        elif self._pending is None and self._view.view is not None:
            self._pending = self.set_timer(PENDING_AFTER, lambda: self._view.wait(True))

    def _mark(self) -> None:
        """Everything that follows from the aim alone, without the engine."""
        if self.aim is not None:
            self._list.current = index_of(self.aim, self._steps)
            self._bar.mark(self.aim, self._way, self._facts)
            if self.focused is not self._view:
                self._say_where()

    def _set_steps(self, steps: tuple[StageEntry, ...]) -> None:
        self._steps = steps
        self._list.steps = steps

    def _facts_came(self, facts: ModelFacts) -> None:
        self._release()  # the engine holds it now
        self._facts = facts
        if self.aim is not None:
            self.aim = within(self.aim, facts)
            self._mark()

    def _way_came(self, aim: Selection, way: LensPath) -> None:
        self._way, self._way_prompt, self._good = way, aim.prompt, aim
        self._set_steps(tuple(way.steps))
        self._bar.show_way(way, aim.prompt)
        self.time_way(aim, way)
        self.way_changed(way)
        self._mark()

    def _view_came(self, aim: Selection, view: View) -> None:
        self._show(view)
        self.time_view(aim, view)

    def _feel_pulse(self) -> None:
        """Tell of an engine that ended while nothing was asked of it, and of one that does not answer."""
        waited = self.microscope.waited
        if waited >= ANSWER_SECONDS:
            what = "Loading PyTorch and the model" if self._facts is None else "Waiting for the engine, which does not answer"
            self._notify(f"{what}… {waited:.0f} s. R ends it and starts another.")
            self.refresh_bindings()
        if self.microscope.has_ended and self.microscope.is_idle and not self._notice:
            self._notify(ENDED, trouble=True)

    @work(exclusive=True, group="restart")
    async def action_restart_engine(self) -> None:
        await self._engine.kill()
        self.microscope.forget()
        if self.aim is not None:
            self.microscope.look(self.aim)

    def _show(self, view: View) -> None:
        self._notice = ""
        if self._pending is not None:
            self._pending.stop()
            self._pending = None
        self._view.show(view)
        self.stand_side_by_side()
        self.return_cursor(view)
        if self.focused is not self._view:
            self._say_where()

    def _trouble_came(self, sentence: str, died: bool) -> None:
        if self._pending is not None:
            self._pending.stop()
            self._pending = None
        self._view.wait(False)
        self._notify(f"{sentence} The next key starts another." if died else sentence, trouble=True)
        if not died:
            self.take_back()
        good = self._good
        if (
            not died
            and self.aim is not None
            and good is not None
            and (self.aim.model, self.aim.prompt) != (good.model, good.prompt)
        ):
            self.forget_prompt(good.prompt)
            kept = replace(self.aim, run=good.run, checkpoint=good.checkpoint, prompt=good.prompt, position=good.position)
            self.set_reactive(InspectScreen.aim, kept)
            self.time_aimed()
            self._bar.mark(self.aim, self._way, self._facts)

    def tell(self, words: str) -> None:
        self._say(words)

    def _notify(self, words: str, *, trouble: bool = False) -> None:
        self._notice = words
        self._say(words, trouble=trouble)

    def _say(self, words: str, *, trouble: bool = False) -> None:
        line = self.query_one("#inspect-status", StatusLine)
        line.set_class(trouble, "-trouble")
        line.left = words

    def _say_where(self) -> None:
        """Say which step this is and, where the prompt is longer than the window, how much of it is out of sight."""
        if self.aim is None or not self._steps or self._notice:
            return
        writing = self.writing_in_words
        words = (f"{writing} · " if writing else "") + f"step {index_of(self.aim, self._steps) + 1} of {len(self._steps)}"
        dropped = self._way.dropped + self.aim.prompt.earlier if self._way is not None else 0
        if dropped and self._facts is not None:
            seen = whole(self._facts.context)
            words += f" · the model sees {seen} tokens at most: {whole(dropped)} before them (left of ┆) are out of its sight"
        hint, rank = self.hint(), self._list.rank_in_words
        words = f"{words} · {hint}" if hint else words
        fits = len(words) + len(rank) + 3 <= self.size.width - 2
        self._say(f"{words} · {rank}" if rank and fits else words)

    @on(BlockView.SpotChanged)
    def _spot_changed(self, message: BlockView.SpotChanged) -> None:
        if message.spot is None:
            self._mark()
        else:
            self._say(message.spot.in_words)

    def action_step(self, by: int) -> None:
        if self.aim is not None and self._steps:
            index = min(max(index_of(self.aim, self._steps) + by, 0), len(self._steps) - 1)
            self.aim = at_step(self.aim, self._steps[index])

    def action_step_end(self, index: int) -> None:
        if self.aim is not None and self._steps:
            self.aim = at_step(self.aim, self._steps[index])

    @on(WayList.Chosen)
    def _step_chosen(self, message: WayList.Chosen) -> None:
        self.action_step_end(message.step)

    def action_position(self, by: int) -> None:
        if self.aim is not None and self._way is not None:
            self.aim = at_position(self.aim, self._way, position_in(self.aim, self._way) + by)

    @on(TokenStrip.Clicked)
    def _token_clicked(self, message: TokenStrip.Clicked) -> None:
        if self.aim is not None and self._way is not None:
            self.aim = at_position(self.aim, self._way, message.index)

    def action_head(self, by: int) -> None:
        if self.aim is not None and self._facts is not None:
            self.aim = replace(self.aim, head=(self.aim.head + by) % self._facts.heads, trail=())

    def action_all_heads(self) -> None:
        """All heads at once; from there, the scores of the one under the cursor, else of the chosen one."""
        if self.aim is None:
            return
        if self.aim.stage != "thumbnails" or self.aim.aside or self.aim.trail:
            self.aim = replace(self.aim.on_stage(), stage="thumbnails")
            return
        found = self.target_here()
        chosen = self.aim if found is None else replace(self.aim, layer=found.layer, head=found.head)
        self._list.focus()
        self.aim = replace(chosen, stage="scores")

    def action_layer(self, by: int) -> None:
        if self.aim is not None and self._steps:
            self.aim = in_layer(self.aim, self._steps, by)

    def may_write(self) -> bool:
        return super().may_write() and not self._bar.is_editing

    def trouble(self, sentence: str, died: bool) -> None:
        self._trouble_came(sentence, died)

    def tell_where(self) -> None:
        if self.focused is not self._view:
            self._say_where()

    @work(exclusive=True, group="edit")
    async def action_edit(self) -> None:
        if self.aim is None:
            return
        prompt = self.aim.prompt
        written = prompt.ids[-prompt.appended :] if prompt.ids and prompt.appended else ()
        if prompt.is_cut:
            written = prompt.ids or ()
        text, trouble = await self._decode(self.aim.run, written).wait() if written else ("", "")
        if trouble:
            self._say(trouble, trouble=True)
            return
        self._bar.edit(("" if prompt.is_cut else prompt.text) + text)
        self.refresh_bindings()

    @work(thread=True)
    def _decode(self, run: str, ids: tuple[int, ...]) -> tuple[str, str]:
        """The text of these tokens, or what is wrong with the run or its tokenizer."""
        from lab.core.errors import UserError
        from lab.runs.run_store import open_run
        from lab.runs.run_tokenizer import tokenizer_of
        from models.tokenizers.tokenizer_kinds import TokenizerError

        try:
            return tokenizer_of(open_run(run)).decode(ids), ""
        except (UserError, TokenizerError) as error:
            return "", str(error)

    @on(PromptBar.Edited)
    def _edited(self, message: PromptBar.Edited) -> None:
        self._close_editors()
        self.change_prompt(Prompt(message.text))

    def action_settings(self) -> None:
        if self.aim is not None:
            self._bar.edit_sampling(self.aim.sampling)
            self.refresh_bindings()
            self._say("enter applies · tab: the next field · escape: leave it as it was")

    @on(SamplingForm.Applied)
    def _settings_applied(self, message: SamplingForm.Applied) -> None:
        self._close_editors()
        if self.aim is not None:
            self.aim = replace(self.aim, sampling=message.settings)

    @on(SamplingForm.Refused)
    def _settings_refused(self, message: SamplingForm.Refused) -> None:
        self._say(message.sentence, trouble=True)

    def _close_editors(self) -> None:
        self._bar.close()
        self._list.focus()
        self.refresh_bindings()
        self._mark()

    def action_enter_view(self) -> None:
        self.remove_class("-other")
        self._view.focus()

    def action_page(self, by: int) -> None:
        self._view.page(by)

    def action_checkpoint(self) -> None:
        if self.aim is not None:
            self.aim = replace(self.aim, checkpoint="last" if self.aim.checkpoint == "best" else "best")

    @work(exclusive=True, group="choose run")
    async def action_choose_run(self) -> None:
        from screens.dialogs.choose_run import RunChooser

        names = [(run.name, f"{run.text}, {run.phase}") for run in self.lab.runs]
        name = await self.app.push_screen_wait(RunChooser(names, self.lab.run_name))
        if name:
            self.post_message(RunChosen(name))
