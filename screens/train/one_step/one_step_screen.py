"""One training step under the microscope, opened from Train: what the run's next step would do, and what comes of it."""

from __future__ import annotations

import msgspec
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.reactive import var
from textual.timer import Timer
from textual.widgets import Input

from lab.core.number_format import fixed, significant, whole
from lab.engine.client import EngineClient, EngineDied, EngineError, Superseded
from lab.engine.method_table import ONE_STEP
from lab.engine.one_step_protocol import STAGES, StepAnswer, StepParams
from lab.views.number_refs import split
from screens.base_screen import LabScreen
from screens.blocks.block_view import BlockView
from screens.engine.engine_interface import Engine
from screens.messages import Arrived
from screens.train.one_step.loss_strip import LossStrip
from screens.train.one_step.stage_list import StageList
from screens.widgets.forward_pass_list import ForwardPassList
from screens.widgets.prompt_input import PromptInput, shown
from screens.widgets.status_line import StatusLine
from screens.widgets.token_strip import TokenStrip

PENDING_AFTER = 0.12
"""Seconds without an answer after which the view is marked as being waited for."""
STARTING = "Loading PyTorch and the run's weights… (a few seconds)"
WORKING = "Working it out… (a large model takes a while; escape to Train gives it up)"
KEYS = "space takes the step · e a sentence of yours · escape to Train"


class OneStepScreen(LabScreen):
    """State is one `aim`: keys change it, and the rest follows when the engine answers.

    The engine is a process of its own that ends with the screen, and with it the copies of weights and optimizer.
    """

    MODE = "train"
    HELP = (
        "One training step, taken apart. `j` and `k` go through its stages: the batch, the loss of each token, p − one-hot "
        "(where "
        "the gradient begins), the gradient of each part, the weights that move most, the optimizer's formula for one weight, "
        "and "
        "what has become of the loss.\n\n"
        "`space` takes the step, and again for another on the same text; `u` undoes one. The run on disk is never changed.\n\n"
        "At the top stands what is learned from, beneath each token its loss, −ln p. `←` `→` choose a token, `[` `]` a window "
        "of the "
        "batch, `{` `}` an earlier or later batch of the run; `e` types a sentence instead, `b` goes back to the run's own "
        "next batch. "
        "`r` reads the checkpoint again, where the run has trained on.\n\n"
        "`enter` puts a cursor into the view; `enter` on one of the largest moves shows that weight in full."
    )
    FIRST_KEYS = ("step.next", "step.take", "step.undo", "step.right", "step.edit", "step.own", "step.window")
    DEFAULT_CSS = """
    OneStepScreen {
        #step-columns { height: 1fr; }
        #step-stages { width: 24; height: 1fr; }
        #step-view { width: 1fr; height: 1fr; }
        #step-editor { display: none; height: 3; border: round $accent; border-title-color: $foreground 90%; }
        #step-editor { background: $background; }
        &.-narrow #step-stages { width: 20; }
        &.-editing #step-tokens, &.-editing #step-facts { display: none; }
        &.-editing #step-editor { display: block; }
    }
    """
    BINDINGS = [
        Binding("j,down", "stage(1)", "Stage", id="step.next", key_display="j/k", tooltip="The next stage of the step"),
        Binding("k,up", "stage(-1)", "Back", id="step.previous", show=False, tooltip="The stage before"),
        Binding("space", "take", "Take the step", id="step.take", tooltip="Take the step; again: another on the same text"),
        Binding("u", "undo", "Undo", id="step.undo", tooltip="Undo the last step"),
        Binding("right,l", "position(1)", "Token", id="step.right", key_display="←/→", tooltip="The token to the right"),
        Binding("left,h", "position(-1)", "Left", id="step.left", show=False, tooltip="The token to the left"),
        Binding("e,slash", "edit", "Sentence", id="step.edit", key_display="e", tooltip="Type a sentence to learn from"),
        Binding("b", "own", "Own batch", id="step.own", tooltip="The batch that the run's trainer would take next"),
        Binding("right_square_bracket", "window(1)", "Window", id="step.window", key_display="[ ]", tooltip="The next window"),
        Binding("left_square_bracket", "window(-1)", "Window before", id="step.before", show=False, tooltip="The window before"),
        Binding(
            "right_curly_bracket", "ahead(1)", "Batch", id="step.later", key_display="{ }", tooltip="The batch of the step after"
        ),
        Binding("left_curly_bracket", "ahead(-1)", "Batch before", id="step.earlier", show=False, tooltip="The batch before"),
        Binding("enter", "enter_view", "Numbers", id="step.enter", tooltip="Put a cursor on the numbers of the view"),
        Binding(
            "enter", "weight", "This weight", id="step.weight", tooltip="How the step of the weight under the cursor comes about"
        ),
        Binding("r", "again", "Read again", id="step.again", show=False, tooltip="Read the run's last checkpoint again"),
        Binding("g", "stage_end(0)", "First", id="step.first", show=False, tooltip="The first stage"),
        Binding("G", "stage_end(-1)", "Last", id="step.last", show=False, tooltip="The last stage"),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", id="step.page_down", show=False, tooltip="Scroll the view down"),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", id="step.page_up", show=False, tooltip="Scroll the view up"),
    ]

    aim: var[StepParams | None] = var(None)

    def __init__(self, engine: Engine | None = None) -> None:
        super().__init__()
        self._engine: Engine = engine or EngineClient()
        self._answer: StepAnswer | None = None
        self._good: StepParams | None = None
        """The aim that was answered last: the engine's refusal leads back to it."""
        self._pending: Timer | None = None
        self._known: dict[StepParams, StepAnswer] = {}
        """What was answered ahead: the stages before and after the one that is shown, and the one that came before it."""
        self._looked_ahead: StepParams | None = None
        """What the engine has found the moves of."""

    def compose_body(self) -> ComposeResult:
        yield LossStrip(id="step-tokens")
        yield StatusLine(id="step-facts")
        editor = PromptInput(id="step-editor", select_on_focus=False)
        editor.border_title = "a sentence to learn from · enter takes it · escape leaves it"
        yield editor
        with Horizontal(id="step-columns"):
            yield StageList(id="step-stages")
            yield BlockView(id="step-view")
        yield StatusLine(most_lines=3, id="step-status")

    def on_mount(self) -> None:
        self._list, self._view = self.query_one(StageList), self.query_one(BlockView)
        self._list.focus()
        self._say(STARTING)
        self.watch(self.lab, "run_name", self._follow_run)

    async def on_unmount(self) -> None:
        await self._engine.close()

    def _follow_run(self, name: str) -> None:
        self._good = None
        self.aim = StepParams(run=name)

    @on(Arrived)
    def _arrive(self, message: Arrived) -> None:
        """Whoever comes to Train with a text or a run does not want to see this."""
        self.app.pop_screen()
        self.app.screen.post_message(message)

    @property
    def answered(self) -> StepParams | None:
        """The aim whose answer is shown."""
        return self._good

    @property
    def is_settled(self) -> bool:
        """Whether everything that was asked for has been answered, or refused."""
        return self._good == self.aim and not any(worker.group == "ask" and worker.is_running for worker in self.workers)

    def watch_aim(self, old: StepParams | None, new: StepParams | None) -> None:
        if new is None or new == self._good:
            return
        self._list.current = list(STAGES).index(new.stage)
        known = self._known.get(new)
        if known is not None:
            self.workers.cancel_group(self, "ask")
            self._show(new, known)
            return
        if self._pending is None:
            self._pending = self.set_timer(PENDING_AFTER, self._wait)
        self._ask(new)

    def _wait(self) -> None:
        self._view.wait(True)
        if self._answer is not None:
            self._say(WORKING)

    @work(exclusive=True, group="ask")
    async def _ask(self, aim: StepParams) -> None:
        try:
            answer = await self._call(aim)
        except Superseded:
            return
        except EngineError as error:
            self._refused(str(error), isinstance(error, EngineDied))
        else:
            self._show(aim, answer)

    def _show(self, aim: StepParams, answer: StepAnswer) -> None:
        self._stop_waiting()
        if self._good is not None and self._answer is not None:
            self._known[self._good] = self._answer
        self._known = {each: known for each, known in self._known.items() if _is_beside(each, aim)}
        self._answer, self._good = answer, aim
        strip = self.query_one(LossStrip)
        strip.tokens, strip.chosen = tuple(answer.tokens), answer.position
        self._tell_facts(answer)
        self._view.show(answer.view)
        self._tell_where()
        self.refresh_bindings()
        self._fetch_ahead(aim)

    @work(exclusive=True, group="ahead")
    async def _fetch_ahead(self, aim: StepParams) -> None:
        """Has the engine find the largest moves, which take longest, and answer for the stages on both sides."""
        moves = StepParams(run=aim.run, opened=aim.opened, text=aim.text, ahead=aim.ahead, applied=aim.applied, stage="moves")
        names = list(STAGES)
        place = names.index(aim.stage)
        beside = [msgspec.structs.replace(aim, stage=name) for name in (*names[place + 1 : place + 2], *names[:place][-1:])]
        try:
            if moves != self._looked_ahead:
                await self._call(moves)
                self._looked_ahead = moves
            for each in beside:
                if each not in self._known:
                    self._known[each] = await self._call(each)
        except (Superseded, EngineError):
            return  # the user's own question goes first, and is told what is wrong

    async def _call(self, aim: StepParams) -> StepAnswer:
        return await self._engine.call(ONE_STEP, aim, group="one_step")

    def _refused(self, sentence: str, died: bool) -> None:
        self._stop_waiting()
        self._view.wait(False)
        good = self._good
        if good is not None and not died:
            self.set_reactive(OneStepScreen.aim, good)
            self._list.current = list(STAGES).index(good.stage)
        if died:
            self._good = self._looked_ahead = None
            sentence = f"{sentence} The next key starts another, which takes the steps anew."
        self._say(sentence, trouble=True)
        self.refresh_bindings()

    def _stop_waiting(self) -> None:
        if self._pending is not None:
            self._pending.stop()
            self._pending = None

    def _tell_facts(self, answer: StepAnswer) -> None:
        facts = answer.facts
        line = self.query_one("#step-facts", StatusLine)
        batch = "sentence" if facts.batch is None else f"window {answer.window + 1}/{facts.windows}"
        line.left = f"{batch} · token {answer.position + 1}/{len(answer.tokens)}"
        taken = f" + {facts.applied} taken" if facts.applied else ""
        weights = f"{facts.run} step {whole(facts.step)} ({facts.checkpoint}){taken}"
        losses = " → ".join(fixed(loss, 3) for loss in dict.fromkeys((facts.losses[0], facts.losses[-1])))
        line.right = (f"lr {significant(facts.rate)}", weights, f"loss {losses}")

    def _tell_where(self) -> None:
        if self.focused is not self._view and self.aim is not None:
            place = list(STAGES).index(self.aim.stage) + 1
            self._say(f"stage {place} of {len(STAGES)} · {KEYS}")

    def _say(self, words: str, *, trouble: bool = False) -> None:
        line = self.query_one("#step-status", StatusLine)
        line.set_class(trouble, "-trouble")
        line.left = words

    @on(BlockView.SpotChanged)
    def _spot_changed(self, message: BlockView.SpotChanged) -> None:
        if message.spot is not None:
            self._say(message.spot.in_words)
        elif self._answer is not None:
            self._tell_where()
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not self.is_mounted or self.aim is None:
            return True
        if self.has_class("-editing"):
            return action == "back"
        facts = self._answer.facts if self._answer is not None else None
        match action:
            case "undo":
                return self.aim.applied > 0
            case "weight":
                return self._weight_under_cursor() is not None
            case "enter_view":
                return self._weight_under_cursor() is None
            case "own":
                return self.aim.text is not None or self.aim.ahead != 0
            case "window" | "ahead":
                return self.aim.text is None and (action == "ahead" or facts is None or facts.windows > 1)
        return True

    def _weight_under_cursor(self) -> str | None:
        """The weight that the cursor stands on, where the view lists some."""
        spot = self._view.spot
        listed = self._answer is not None and self._answer.view.stage == "moves"
        return spot.ref if listed and spot is not None and split(spot.ref)[1] else None

    def go_back(self) -> bool:
        if self.has_class("-editing"):
            self._close_editor()
        elif self.focused is self._view:
            self._list.focus()
        else:
            self.app.pop_screen()
        return True

    def action_back(self) -> None:
        self.go_back()

    def _change(self, **changes: object) -> None:
        if self.aim is not None:
            self.aim = msgspec.structs.replace(self.aim, **changes)

    def action_stage(self, by: int) -> None:
        if self.aim is not None:
            names = list(STAGES)
            place = min(max(names.index(self.aim.stage) + by, 0), len(names) - 1)
            self._change(stage=names[place])

    def action_stage_end(self, index: int) -> None:
        self._change(stage=list(STAGES)[index])

    @on(ForwardPassList.Chosen)
    def _stage_chosen(self, message: ForwardPassList.Chosen) -> None:
        self.action_stage_end(message.step)

    def action_take(self) -> None:
        """Take another step; from the first stages on, go and see what came of it."""
        if self.aim is not None and self._answer is not None:
            self._change(applied=self.aim.applied + 1, position=self._answer.position)

    def action_undo(self) -> None:
        if self.aim is not None and self.aim.applied:
            self._change(applied=self.aim.applied - 1)

    def action_position(self, by: int) -> None:
        if self._answer is not None and self.aim is not None:
            at = self._answer.position if self.aim.position is None else self.aim.position
            self._change(position=min(max(at + by, 1), len(self._answer.tokens) - 1))

    @on(TokenStrip.Clicked)
    def _token_clicked(self, message: TokenStrip.Clicked) -> None:
        self._change(position=max(1, message.index))

    def action_window(self, by: int) -> None:
        if self._answer is not None and self.aim is not None:
            window = min(max(self.aim.window + by, 0), self._answer.facts.windows - 1)
            if window != self.aim.window:
                self._change(window=window, position=None)

    def action_ahead(self, by: int) -> None:
        if self.aim is not None:
            self._change(ahead=self.aim.ahead + by, applied=0, position=None)

    def action_own(self) -> None:
        self._change(text=None, ahead=0, applied=0, window=0, position=None)

    def action_again(self) -> None:
        if self.aim is not None:
            self._change(opened=self.aim.opened + 1, applied=0, position=None)

    def action_enter_view(self) -> None:
        self._view.focus()

    def action_weight(self) -> None:
        weight = self._weight_under_cursor()
        if weight is not None:
            self._list.focus()
            self._change(stage="weight", weight=weight)

    def action_page(self, by: int) -> None:
        self._view.page(by)

    def action_edit(self) -> None:
        if self.aim is None:
            return
        editor = self.query_one(PromptInput)
        self.add_class("-editing")
        editor.value = shown(self.aim.text or "")
        editor.cursor_position = len(editor.value)
        editor.focus()
        self.refresh_bindings()

    def _close_editor(self) -> None:
        self.remove_class("-editing")
        self._list.focus()
        self.refresh_bindings()

    @on(Input.Submitted, "#step-editor")
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        editor = self.query_one(PromptInput)
        editor.keep()
        self._close_editor()
        self._change(text=editor.text, ahead=0, applied=0, window=0, position=None)


def _is_beside(one: StepParams, other: StepParams) -> bool:
    """Whether they differ in nothing but the stage."""
    return msgspec.structs.replace(one, stage=other.stage) == other
