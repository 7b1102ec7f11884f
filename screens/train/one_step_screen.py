"""One training step, opened from Train: loss, gradients, weight updates, and the loss after it."""

from __future__ import annotations

import math

from msgspec.structs import replace
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.reactive import var
from textual.widgets import Input

from lab.core.number_format import fixed, significant, whole
from lab.engine.client import EngineClient, EngineError
from lab.engine.method_registry import ONE_STEP, OneStepParams
from lab.training.one_step.step_stages import STAGES, StepAnswer
from lab.views.number_refs import split
from lab.views.screen_state import ScreenState
from screens.about_key import About, described
from screens.base_screen import LabScreen
from screens.blocks.block_view import BlockView
from screens.engine_client import Engine, NewestOnly
from screens.engine_notices import EngineNotices, restart_binding
from screens.train.one_step_widgets import HELP, BackwardView, LossStrip, StageList
from screens.widgets.forward_pass_list import ForwardPassList
from screens.widgets.key_bar import KeyBar
from screens.widgets.prompt_input import HOW_TO_APPLY, PromptInput, shown
from screens.widgets.status_line import StatusLine
from screens.widgets.token_strip import TokenStrip

WORKING = "Computing (a large model takes a while; Esc to Train cancels)"
KEYS = "Space take the step · e own sentence"


FIRST = OneStepParams(run="", stage=next(iter(STAGES)))


STEP_KEYS: list[BindingType] = described(
    Binding("j,down", "stage(1)", "Stage", id="step.next", key_display="j/k", tooltip="The next stage of the step"),
    About("The step", words="stage of the training step", also=("step.previous",)),
    Binding("k,up", "stage(-1)", "Back", id="step.previous", show=False, tooltip="The stage before"),
    Binding("space", "take", "Take the step", id="step.take", tooltip="Take the step; again: another on the same text"),
    About("The step", place=2, synonyms="update gradient backward apply"),
    Binding("u", "undo", "Undo", id="step.undo", tooltip="Undo the last step"),
    About("The step", place=2),
    Binding("right,l", "position(1)", "Token", id="step.right", key_display="←/→", tooltip="The token to the right"),
    About("Text it learns from", words="token", also=("step.left",)),
    Binding("left,h", "position(-1)", "Left", id="step.left", show=False, tooltip="The token to the left"),
    Binding("e", "edit", "Sentence", id="step.edit", tooltip="Edit the text: train on a sentence of your own"),
    About("Text it learns from", place=1, synonyms="prompt text"),
    Binding("b", "own", "Own batch", id="step.own", tooltip="The run's own next batch"),
    About("Text it learns from", place=1),
    Binding("right_square_bracket", "window(1)", "Window", id="step.window", key_display="[ ]", tooltip="The next window"),
    About("Text it learns from", words="window of the batch", also=("step.before",)),
    Binding("left_square_bracket", "window(-1)", "Window before", id="step.before", show=False, tooltip="The window before"),
    Binding(
        "right_curly_bracket", "ahead(1)", "Batch", id="step.later", key_display="{ }", tooltip="The batch of the step after"
    ),
    About("Text it learns from", words="later or earlier batch", also=("step.earlier",)),
    Binding("left_curly_bracket", "ahead(-1)", "Batch before", id="step.earlier", show=False, tooltip="The batch before"),
    Binding("enter", "enter_view", "Numbers", id="step.enter", tooltip="Put a cursor on the numbers of the view"),
    About("The step", place=4),
    Binding(
        "enter", "weight", "This weight", id="step.weight", tooltip="The optimizer's formula for the weight under the cursor"
    ),
    About("The step", place=3, synonyms="adamw adam muon momentum"),
    restart_binding("step.restart"),
    Binding("r", "again", "Read again", id="step.again", show=False, tooltip="Read the run's last checkpoint again"),
    About("Text it learns from", place=1),
    Binding("home", "stage_end(0)", "First", id="step.first", show=False, tooltip="The first stage"),
    About("The step", words="first and last stage", also=("step.last",), place=1),
    Binding("end,G", "stage_end(-1)", "Last", id="step.last", show=False, tooltip="The last stage"),
    Binding("pagedown,ctrl+d", "page(1)", "Page down", id="step.page_down", show=False, tooltip="Scroll the view down"),
    Binding("pageup,ctrl+u", "page(-1)", "Page up", id="step.page_up", show=False, tooltip="Scroll the view up"),
)


class OneStepScreen(LabScreen):
    """State is `selected`. The engine is a process that ends with the screen, and with it the copies of weights and optimizer."""

    MODE = "train"
    HEADINGS = ("The step", "Text it learns from")
    AUTO_FOCUS = "#step-stages"
    HELP = HELP
    BINDINGS = STEP_KEYS

    selected: var[OneStepParams] = var(FIRST)

    def __init__(self, engine: Engine | None = None, first: OneStepParams = FIRST) -> None:
        super().__init__()
        self.set_reactive(OneStepScreen.selected, first)
        self._engine: Engine = engine or EngineClient()
        self._answer: StepAnswer | None = None
        self.answered: OneStepParams | None = None
        """The selection whose answer is shown, to which a refusal leads back; None after a change of run and of a dead engine."""
        self._strip, self._facts = LossStrip(id="step-tokens"), StatusLine(id="step-facts")
        self._editor = PromptInput(id="step-editor")
        self._list, self._view = StageList(id="step-stages"), BlockView(id="step-view")
        self._picture = BackwardView(id="step-picture")
        self._status = StatusLine(most_lines=3, id="step-status")
        self.notices = EngineNotices(self, self._engine, self._view, self._status, says_pending=True)
        self._newest = NewestOnly(self._reply, self._look_ahead, self._fail, patience=0)
        self._known: dict[OneStepParams, StepAnswer] = {}
        """Answers that differ from the newest in the stage alone."""
        self._changes_found: OneStepParams | None = None
        """The step whose largest weight changes the engine holds."""

    def compose_body(self) -> ComposeResult:
        self._editor.border_title = f"training sentence · {HOW_TO_APPLY}"
        yield from (self._strip, self._facts, self._editor)
        with Horizontal(id="step-columns"):
            yield from (self._list, self._view, self._picture)
        yield self._status

    def on_mount(self) -> None:
        self.notices.begin()
        self.run_worker(self._newest.serve(), name="engine session", group="engine session", exit_on_error=True)
        self.watch(self.lab, "run_name", self._follow_run)

    async def on_unmount(self) -> None:
        await self._engine.close()

    def _follow_run(self, name: str) -> None:
        self.answered = None
        self.selected = replace(FIRST if self.selected.run else self.selected, run=name)

    @property
    def is_settled(self) -> bool:
        """True when everything that was asked for has been answered, or refused."""
        return bool(self.selected.run) and self._newest.is_idle

    def watch_selected(self, old: OneStepParams, new: OneStepParams) -> None:
        if not new.run:
            return
        self._list.current = list(STAGES).index(new.stage)
        self._ask(new)

    def _ask(self, params: OneStepParams) -> None:
        """Ask for a selection; its answer is shown at once if it is at hand."""
        self._newest.ask(params)
        if (answer := self._known.get(params)) is None:
            self.notices.asked()
        else:
            self._show(params, answer)

    async def _reply(self, params: OneStepParams) -> None:
        answer = self._known.get(params) or await self._fetch(params)
        if answer is not self._answer:
            self._show(params, answer)

    async def _fetch(self, params: OneStepParams) -> StepAnswer:
        answer = await self._engine.call(ONE_STEP, params)
        self._known = {known: other for known, other in self._known.items() if replace(known, stage=params.stage) == params}
        self._known[params] = answer
        return answer

    async def _look_ahead(self, params: OneStepParams) -> None:
        """Have the engine find the largest weight changes, which take longest, and answer for the stages on both sides."""
        changes = replace(params, stage="changes", window=0, position=None, weight="")
        names = list(STAGES)
        place = names.index(params.stage)
        try:
            if changes != self._changes_found:
                await self._engine.call(ONE_STEP, changes)
                self._changes_found = changes
            answer = self._known.get(params)
            if answer is not None and answer.backward is not None and answer.backward.weight is None:
                complete = await self._fetch(params)  # with the weight that moves most, which the engine has found now
                if not self._newest.has_newer:
                    self._show(params, complete)
            for stage in (*names[place + 1 : place + 2], *names[:place][-1:]):
                if (beside := replace(params, stage=stage)) not in self._known:
                    await self._fetch(beside)
        except EngineError:
            return  # the user's own question goes first, and is told what is wrong

    def _show(self, params: OneStepParams, answer: StepAnswer) -> None:
        self.notices.due = WORKING
        self.notices.answered()
        self.answered, self._answer = params, answer
        self._strip.tokens, self._strip.chosen = tuple(answer.tokens), answer.position
        self._facts.left, self._facts.right = facts_of(answer)
        self._view.show(answer.view)
        picture = answer.backward
        if picture is not None:
            self._picture.show(picture, f"“{answer.tokens[answer.position].label}”", answer.view.sentence)
        self._view.display, self._picture.display = picture is None, picture is not None
        self._say_location()
        self.refresh_bindings()

    def _fail(self, sentence: str, died: bool) -> None:
        if died:
            self.answered = None
            self._changes_found = None
            sentence = f"{sentence} The next key starts another, which repeats the steps."
        elif self.answered is not None:
            self.set_reactive(OneStepScreen.selected, self.answered)
            self._list.current = list(STAGES).index(self.answered.stage)
        self.notices.failed(sentence)
        self.refresh_bindings()

    @work(exclusive=True, group="restart")
    async def action_restart_engine(self) -> None:
        await self._engine.kill()
        self._changes_found = None
        self._ask(self.selected)

    def _say_location(self) -> None:
        if self.focused is not self._view and not self.notices.current:
            place = list(STAGES).index(self.selected.stage) + 1
            self._status.say(f"stage {place}/{len(STAGES)} · {KEYS}")

    @on(BlockView.SpotChanged)
    def _spot_changed(self, message: BlockView.SpotChanged) -> None:
        if message.spot is not None:
            self._status.say(message.spot.description)
        elif self._answer is not None:
            self._say_location()
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if self.has_class("-editing"):
            return action in ("back", "more_keys")
        selected = self.selected
        match action:
            case "undo":
                return selected.applied > 0
            case "weight":
                return self._weight_under_cursor() is not None
            case "enter_view":
                return self._weight_under_cursor() is None
            case "own":
                return selected.text is not None or selected.batch_offset != 0
            case "ahead":
                return selected.text is None
            case "window":
                return selected.text is None and (self._answer is None or self._answer.facts.windows > 1)
            case "restart_engine":
                return self.notices.may_restart
        return True

    def _weight_under_cursor(self) -> str | None:
        spot = self._view.spot
        listed = self._answer is not None and self._answer.view.stage == "changes"
        return spot.ref if listed and spot is not None and split(spot.ref)[1] else None

    def screen_state(self) -> ScreenState:
        now = self.selected
        return ScreenState(mode="train", page="one step", run=now.run, prompt=now.text or "", stage=now.stage)

    def would_be_lost(self) -> str:
        typed = self.has_class("-editing") and self._editor.text != (self.selected.text or "")
        return "the sentence being typed" if typed else ""

    def go_back(self) -> bool:
        if self.has_class("-editing"):
            self._close_editor()
        elif self.focused is self._view:
            self._list.focus()
        else:
            self.app.pop_screen()
        return True

    def action_back(self) -> None:
        if self.has_class("-editing") or not self.query_one(KeyBar).close():
            self.go_back()

    def _change(self, **changes: object) -> None:
        if self.selected.run:
            self.selected = replace(self.selected, **changes)

    def action_stage(self, by: int) -> None:
        names = list(STAGES)
        place = min(max(names.index(self.selected.stage) + by, 0), len(names) - 1)
        self._change(stage=names[place])

    def action_stage_end(self, index: int) -> None:
        self._change(stage=list(STAGES)[index])

    @on(ForwardPassList.Chosen)
    def _stage_chosen(self, message: ForwardPassList.Chosen) -> None:
        self.action_stage_end(message.step)

    @on(BackwardView.PartClicked)
    def _part_clicked(self, message: BackwardView.PartClicked) -> None:
        self._change(stage=message.stage)

    def action_take(self) -> None:
        """Take another step; from the first stages, go on to its result."""
        if self._answer is not None:
            self._change(applied=self.selected.applied + 1, position=self._answer.position)

    def action_undo(self) -> None:
        if self.selected.applied:
            self._change(applied=self.selected.applied - 1)

    def action_position(self, by: int) -> None:
        if self._answer is not None:
            at = self._answer.position if self.selected.position is None else self.selected.position
            self._change(position=min(max(at + by, 1), len(self._answer.tokens) - 1))

    @on(TokenStrip.Clicked)
    def _token_clicked(self, message: TokenStrip.Clicked) -> None:
        self._change(position=max(1, message.index))

    def action_window(self, by: int) -> None:
        if self._answer is not None:
            window = min(max(self.selected.window + by, 0), self._answer.facts.windows - 1)
            if window != self.selected.window:
                self._change(window=window, position=None)

    def action_ahead(self, by: int) -> None:
        self._change(batch_offset=self.selected.batch_offset + by, applied=0, position=None)

    def action_own(self) -> None:
        self._change(text=None, batch_offset=0, applied=0, window=0, position=None)

    def action_again(self) -> None:
        self._change(opened=self.selected.opened + 1, applied=0, position=None)

    def action_enter_view(self) -> None:
        """Put a cursor on the numbers; from the picture, on those that it shows."""
        if self.selected.stage == "backward":
            self._change(stage="gradients")
        self._view.focus()

    def action_weight(self) -> None:
        weight = self._weight_under_cursor()
        if weight is not None:
            self._list.focus()
            self._change(stage="weight", weight=weight)

    def action_page(self, by: int) -> None:
        (self._picture if self._picture.display else self._view).page(by)

    def action_edit(self) -> None:
        self.add_class("-editing")
        self._editor.value = shown(self.selected.text or "")
        self._editor.cursor_position = len(self._editor.value)
        self._editor.focus()
        self.refresh_bindings()

    def _close_editor(self) -> None:
        self.remove_class("-editing")
        self._list.focus()
        self.refresh_bindings()

    @on(Input.Submitted, "#step-editor")
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._editor.keep()
        self._close_editor()
        self._change(text=self._editor.text, batch_offset=0, applied=0, window=0, position=None)


def facts_of(answer: StepAnswer) -> tuple[str, tuple[str, ...]]:
    """The place in the batch, and the step's learning rate, weights and losses."""
    facts = answer.facts
    batch = "sentence" if facts.batch is None else f"window {answer.window + 1}/{facts.windows}"
    taken = f" + {facts.applied} taken" if facts.applied else ""
    weights = f"{facts.run} step {whole(facts.step)} ({facts.checkpoint}){taken}"
    losses = " → ".join(fixed(loss, 3) for loss in dict.fromkeys((facts.losses[0], facts.losses[-1])))
    place = f"{batch} · token {answer.position + 1}/{len(answer.tokens)}"
    probabilities = [token.probability for token in answer.tokens if token.probability]
    shaded = (f"losses up to {fixed(-math.log(min(probabilities)), 2)}",) if probabilities else ()
    return place, (f"lr {significant(facts.lr)}", *shaded, weights, f"loss {losses}")
