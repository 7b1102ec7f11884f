"""Inspect screen: one prompt followed through one model, a step at a time."""

from dataclasses import replace
from functools import partial
from inspect import isawaitable

from msgspec import structs
from rich.cells import cell_len
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen

from lab.core.number_format import counted
from lab.inspect.stages.stage_registry import STAGES, stage_entries
from lab.views.blocks import LensPath, ModelFacts, View
from lab.views.screen_state import ScreenState
from screens.about_key import About, about, described
from screens.blocks.block_view import BlockView
from screens.engine_client import Engine
from screens.engine_notices import WAITING, EngineNotices, restart_binding
from screens.inspect.engine_session import Callbacks, EngineSession
from screens.inspect.explanations import Explanations
from screens.inspect.feature_keys import FeatureKeys
from screens.inspect.guessing import Guessing
from screens.inspect.inspect_part import InspectHost, Loading, ModelState, Opened, Ready, Starting
from screens.inspect.intervention_keys import InterventionKeys
from screens.inspect.navigation import Navigation, location_text, newer_best
from screens.inspect.places import PlaceHistory, RestoredPlace, state_of
from screens.inspect.prompt_editing import PromptEditing, SecondPrompt
from screens.inspect.run_hold import RunHold, RunRead, read_first_prompt
from screens.inspect.selection import Selection, after_refusal, index_of, with_prompt, within
from screens.inspect.shading_and_transitions import AttentionShading, SampledTokenTransition, ViewTransition
from screens.inspect.time_travel import TimeTravel
from screens.inspect.token_sampling import TokenSampling
from screens.inspect.tour import Tour
from screens.inspect.view_export import ViewExport
from screens.inspect.widgets.inspect_columns import InspectColumns, InterventionList, SecondPromptBar
from screens.inspect.widgets.prompt_bar import PromptBar
from screens.inspect.widgets.time_slider import TimeSlider
from screens.inspect.your_functions import YourFunctions
from screens.messages import Arrived
from screens.terminal.textual_internals import is_being_removed
from screens.widgets.forward_pass_list import ForwardPassList
from screens.widgets.guess_view import GuessView
from screens.widgets.key_bar import KeyBar
from screens.widgets.status_line import StatusLine
from screens.widgets.text_fitting import fit
from screens.widgets.token_strip import TokenStrip

HELP = (
    "Follow one prompt through the forward pass: `j` next stage, `k` back; `←` `→` choose the token whose prediction you "
    "inspect, `[` `]` the head, `{` `}` the layer. The left column shows the logit lens: the prediction if the model stopped "
    "there. `v` shows the attention patterns of all heads, again: of one; where there are several matrices, it shows one at a "
    "time. The tokens are shaded by the attention that the chosen one pays in the chosen head, with arcs to the largest.\n\n"
    "`space` draws the next token at random, by its probability; at an earlier token, it replaces what follows. The bar "
    "before its id shows that probability.\n\n"
    "`enter` puts a cursor on the numbers of the view; `enter` on a number explains it: its formula with the real numbers, each "
    "of which can be explained in turn, down to a single weight; `backspace` climbs back.\n\n"
    "`a` shows the direct logit attribution of the predicted token, `w` the evidence for it in the training text; in the last "
    "two stages, of the token under the cursor. `#` shows the lines of `models/gpt.py` that compute it and their shapes.\n\n"
    "`x` ablates what the line below names: a head (2.1 is head 1 of layer 2), all of an attention or MLP; or it hides a token. "
    "`c` compares before and after: the ranking, and the KL divergence in bits (0: none). `tab` leads to the list of "
    "interventions; `enter` there scales, forces a head to one token, ablates to the mean, or patches from a second prompt. "
    "Without interventions `c` asks for that prompt, and compares with it; there `e` edits it.\n\n"
    "Type here for what has no key: `lens` shows the logit lens of every token and layer, `features` a token as a few "
    "directions and an error, which are fitted in the background where a run has none (`n`); `shade` changes the shading, "
    "`build` builds a head by hand, `guess` hides the next token, or at an attention step the most attended one, until you "
    "have guessed it. Learn shows your score.\n\n"
    "`✓` before a stage, and `yours` in the border: a function of yours computes it, which passes on the page *write* of Learn. "
    "`yours`, typed here, computes a forward pass by such functions; the border then says how far its logits are from the "
    "model's.\n\n"
    "Position t predicts token t + 1. Layers and heads count from 1 on screen, from 0 in names: `blocks.0.attn.pattern`."
)


WAY_OUT = 2
"""Rank in the key bar of escape where another part has the focus, or something stands in the stage's place."""
OF_STAGE = 8
"""Rank in the key bar of a stage's own first key: those of lower ranks are shown at every stage."""


def forward_pass_picture(facts: ModelFacts | None) -> str:
    """The forward pass of the model in view, with the keys that move along it."""
    layers, heads = (f" × {facts.layers}", counted(facts.heads, "head")) if facts is not None else ("", "heads")
    before, block = "tokens → embed → ", f"( attention → MLP ){layers}"
    first = f"{before}{block} → norm → logits → sample"
    keys = fit("←/→", cell_len(before)) + fit(f"[ ] {heads}", cell_len(block) - len(layers) - 4)
    keys = fit(f"{keys}{{ }} layer", cell_len(first) - len("sample")) + "space"
    dashes = "─" * ((cell_len(first) - 6) // 2)
    return "\n".join((first, keys, f"{dashes} j/k {dashes}▸"))


class InspectScreen(InspectHost):
    """State is one `selection`: keys of the parts change it; marks follow at once, the view when the engine answers."""

    MODE = "inspect"
    HELP = HELP
    HEADINGS = ("Move", "Ask why", "Prompt and sampling", "Switch off and change", "Model")
    DEFAULT_CSS = """
    InspectScreen {
        &.-narrow #steps-column { width: 25; }
        &.-two SecondView { display: block; }
        &.-narrow.-two SecondView, &.-narrow.-two.-other #inspect-view { display: none; }
        &.-narrow.-two.-other SecondView { display: block; }
        &.-huge #steps-column { width: 48; }
        &.-tall PromptBar { height: 6; & > #prompt-tokens { height: 5; } }
    }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide"), (160, "-huge")]
    BINDINGS = described(
        *TimeTravel.BINDINGS,
        *TokenSampling.BINDINGS,
        *(*Explanations.BINDINGS, *YourFunctions.BINDINGS),
        *ViewExport.BINDINGS,
        *(*FeatureKeys.BINDINGS, *InterventionKeys.BINDINGS),
        *SecondPrompt.BINDINGS,
        *(*Navigation.BINDINGS, *AttentionShading.BINDINGS),
        *(*PromptEditing.BINDINGS, *Tour.BINDINGS, *Guessing.BINDINGS),
        restart_binding("inspect.restart"),
        About("Model", synonyms="stuck hang kill"),
    )

    def __init__(self, engine: Engine | None = None) -> None:
        super().__init__()
        self._engine: Engine = engine or self.lab.shared_engine()
        self.model: ModelState = Starting()
        self._is_behind_dialog = False
        """True while a dialog stands before this screen: then it was not left."""
        self._refused = ""
        """The run that was to be opened and has no weights yet: what is in view is the model before it."""
        self._bar, self._columns, self._second_bar = PromptBar(id="inspect-prompt"), InspectColumns(), SecondPromptBar()
        self._slider, self._status = TimeSlider(id="inspect-time"), StatusLine(most_lines=3, id="inspect-status")
        self.view, self._steps = self._columns.view, self._columns.steps
        self._hold = RunHold(self._engine)
        self.notices = EngineNotices(self, self._engine, self.view, self._status)
        self._navigation = Navigation(self, self._steps, self._columns.second.view)
        self.sampling = TokenSampling(self)
        self._editing = PromptEditing(self, self._bar, self.sampling.change_prompt)
        self._explanations = Explanations(self)
        self._interventions = InterventionKeys(self, self._columns, self._second_bar.strip, self.sampling.keep_for_undo)
        self._second = SecondPrompt(self, self._second_bar, self._columns.second, self._bar.editor)
        self._time = TimeTravel(self, self._slider)
        self._places = PlaceHistory(self, lambda: self._steps.steps)
        self._restored = RestoredPlace(self, self.sampling.keep_for_undo)
        others = (self._navigation, self._editing, self.sampling, self._time, self._places, ViewExport(self))
        self._tour = Tour(self, self._steps)
        drawing = AttentionShading(self, self._bar), ViewTransition(self), SampledTokenTransition(self, self._bar, self.sampling)
        self._guessing = Guessing(self, self._bar, self._second_bar, self._columns, self._time, self.sampling)
        about_model = (self._explanations, self._interventions, self._second, YourFunctions(self, self._steps), FeatureKeys(self))
        self._parts = (*about_model, *others, *drawing, self._tour, self._guessing)
        self._actions = {act.__name__.removeprefix("do_"): (part, act) for part in self._parts for act in part.actions()}
        take = (self._take_facts, self._take_path, self._take_view, self.fail, self._interventions.take_effect)
        second, cost = self._second.take_answer, self._interventions.take_cost
        answers = Callbacks(*take, second=second, cost=cost, partial=self.notices.show_progress)
        self.session = EngineSession(self._engine, answers, partial(is_being_removed, self))

    def compose_body(self) -> ComposeResult:
        yield from (self._bar, self._second_bar, self._columns, self._slider, self._status)

    def on_mount(self) -> None:
        self._steps.focus()
        self.notices.begin()
        self.run_worker(self.session.serve(), name="engine session", group="engine session", exit_on_error=True)
        self.watch(self.app, "run_name", self._follow_run)
        self.watch(self.app, "runs", self._follow_weights, init=False)
        self.lab.release_run.append(self._hold.let_go)

    async def on_unmount(self) -> None:
        self._hold.release()
        await self._engine.close()

    def on_screen_resume(self) -> None:
        if self._is_behind_dialog:
            self._is_behind_dialog = False
        elif isinstance(self.model, Starting):
            return
        elif self.selection.run != self.lab.run_name:
            self._follow_run(self.lab.run_name)
        elif not isinstance(self.model, Loading):
            # A run that is training has newer weights on disk than those seen when this screen was left.
            self.ask_again()

    def on_screen_suspend(self) -> None:
        self._is_behind_dialog = isinstance(self.app.screen, ModalScreen)
        self.sampling.stop_writing()
        self._tour.stop()

    def on_key(self, event: events.Key) -> None:
        if any(part.key_pressed(event.key) for part in self._parts):
            event.stop()

    @property
    def is_settled(self) -> bool:
        """True when everything that was asked for has been answered, or refused."""
        return not isinstance(self.model, Starting) and self.session.is_idle

    @property
    def is_free(self) -> bool:
        return self.is_current and not self._bar.is_editing

    def would_be_lost(self) -> str:
        return next((words for part in self._parts if (words := part.would_be_lost())), "")

    def action_back(self) -> None:
        if self._bar.is_editing:
            self._editing.close()
        elif self.sampling.leave() or self._guessing.close() or self._explanations.leave_one_level():
            return
        elif self.focused is not self._steps:
            self._steps.focus()
        else:
            super().action_back()

    async def action_do(self, name: str, *arguments: object) -> None:
        """Run an action of a part; none before anything is selected."""
        if isinstance(self.model, Starting):
            return
        for part in self._parts:
            part.before_action(name)
        done = self._actions[name][1](*arguments)
        if isawaitable(done):
            await done

    def rank_of(self, binding: Binding) -> int | None:
        key, stage = about(binding), self.selection.shows
        if binding.action == "back" and (self.focused is not self._steps or stage != self.selection.stage):
            return WAY_OUT
        if isinstance(self.model, Ready) and not key.matters(self.selection):
            return None
        own = [f"inspect.{action}" for action in STAGES[stage].keys] if stage in STAGES else []
        return OF_STAGE + own.index(binding.id) if binding.id in own else key.rank

    def help_picture(self) -> str:
        return forward_pass_picture(None if isinstance(self.model, Starting | Loading) else self.model.facts)

    def go_back(self) -> bool:
        return self._places.go_back()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if self._bar.is_editing:
            return action in ("back", "more_keys")
        if action == "restart_engine":
            return self.notices.may_restart
        return action != "do" or self._actions[str(parameters[0])][0].is_enabled(str(parameters[0]))

    def screen_state(self) -> ScreenState:
        return super().screen_state() if isinstance(self.model, Starting) else state_of(self.selection, self.model)

    def restore_state(self, state: ScreenState) -> None:
        self._time.close()
        self._restored.restore(structs.replace(state, run=state.run or self.lab.run_name))
        if self.lab.opened_from:
            self._places.forget()  # escape leads back to where this was opened, not through places seen before
        if isinstance(self.model, Starting | Loading):
            self._read_run(self._hold.next_number(), self.lab.run_name)  # the prompt's tokens, which need no model

    def _follow_run(self, name: str) -> None:
        self._restored.run_chosen(name)
        self.sampling.forget()
        self._read_run(self._hold.next_number(), name)

    @work(thread=True, exclusive=True, group="first prompt")
    def _read_run(self, number: int, name: str) -> None:
        from lab.core.errors import UserError

        try:
            self.post_message(RunRead(number, read_first_prompt(name, self._restored.prompt_of(name))))
        except UserError as error:
            self.post_message(RunRead(number, None, str(error)))

    @on(RunRead)
    def _begin(self, read: RunRead) -> None:
        opened = self.model.facts.run if isinstance(self.model, Opened | Ready) else ""
        if not self._hold.take(read, opened):
            return
        self._refused = ""
        if (message := read.first) is None:
            self.fail(read.problem, False)
            return
        self._time.close()
        if isinstance(self.model, Starting | Loading):
            self._steps.steps = tuple(stage_entries(message.layers))
        base = self.selection
        if isinstance(self.model, Starting):
            self.model = Loading()
            base = Selection(message.run, width=self.view.room, sampling=self.lab.preferences.sampling)
        layer, head = message.head or (base.layer, base.head)
        first = replace(with_prompt(base, message.prompt), run=message.run, checkpoint="best", layer=layer, head=head)
        self.selection = self._restored.first_selection(first)
        self.sampling.let_undo_lead_to(message.own)
        if isinstance(self.model, Loading) and message.tokens is not None and self.selection.prompt == first.prompt:
            self._show_tokens(*message.tokens)

    def _show_tokens(self, path: LensPath, view: View) -> None:
        self.model = Loading(path)
        self._bar.show_tokens(path, self.selection.prompt)
        self._mark()
        if self.selection.shows == view.stage:
            self.view.show(view)

    def watch_selection(self, old: Selection, new: Selection) -> None:
        if isinstance(self.model, Starting):
            return
        self._mark()
        for part in self._parts:
            part.selection_changed(old, new)
        self._ask(new)

    def _follow_weights(self) -> None:
        """Open the run that had no weights, once it has; else say that there are newer ones."""
        run = self.lab.run_summary(self._refused) if self._refused and self.is_free else None
        if run is not None and run.best_step is not None:
            self._follow_run(run.name)
        elif newer_best(self.lab, self.model) is not None:
            self._mark()

    def _ask(self, selection: Selection) -> None:
        view = self.session.select(selection)
        if view is None:
            self.notices.asked()
        else:
            self._take_view(selection, view)

    def ask_again(self) -> None:
        self.session.forget()
        self._ask(self.selection)

    def _mark(self) -> None:
        self._steps.current = index_of(self.selection, self._steps.steps)
        self._bar.mark(self.selection, self.model, newer_best(self.lab, self.model) is not None)
        self.say_location()

    def _take_facts(self, facts: ModelFacts) -> None:
        self._hold.release()  # the engine holds it now
        if facts.note and not (isinstance(self.model, Opened | Ready) and self.model.facts == facts):
            self.notify(facts.note, severity="warning", markup=False)
        self.notices.due = WAITING
        self.model = replace(self.model, facts=facts) if isinstance(self.model, Ready) else Opened(facts)
        self.selection = within(self.selection, facts)
        self._steps.origin = facts.origin
        self._mark()

    def _take_path(self, selection: Selection, path: LensPath) -> None:
        assert isinstance(self.model, Opened | Ready), "facts come before a path"
        self.model = Ready(self.model.facts, selection, path)
        self._steps.steps = tuple(path.steps)
        self._bar.show_tokens(path, selection.prompt)
        for part in self._parts:
            part.take_path(selection, path)
        self._mark()

    def _take_view(self, selection: Selection, view: View) -> None:
        self.notices.answered()
        self.view.show(view)
        self._second.align()
        for part in self._parts:
            part.view_shown(selection, view)
        self.say_location()

    def fail(self, sentence: str, died: bool) -> None:
        kept = after_refusal(self.selection, self.model.answered if isinstance(self.model, Ready) else None)
        refused = self.selection
        more = " The next key starts another." if died else f" In view: {kept.run}." if kept.run != refused.run else ""
        self.notices.failed(sentence + more)
        if died or isinstance(self.model, Starting):
            return
        if (run := self.lab.run_summary(refused.run)) is not None and run.best_step is None:
            self._refused = refused.run
        self.set_reactive(InspectScreen.selection, kept)
        if (kept.model, kept.prompt) != (refused.model, refused.prompt):
            self.sampling.prompt_refused(kept.prompt)
            self._time.selection_changed(refused, kept)
            self._bar.mark(kept, self.model, newer_best(self.lab, self.model) is not None)

    @work(exclusive=True, group="restart")
    async def action_restart_engine(self) -> None:
        await self._engine.kill()
        if not isinstance(self.model, Starting):
            self.ask_again()

    def say(self, words: str, *, error: bool = False) -> None:
        self._status.say(words, error=error)
        self._status.set_class(False, "-next")

    def say_location(self) -> None:
        self.query_one(KeyBar).update_keys()
        if not (self.is_on_numbers or self.notices.current or isinstance(self.model, Starting)) and self._steps.steps:
            newer = "newer weights: m, then enter" if newer_best(self.lab, self.model) is not None else ""
            waits = f"this is {self.selection.run}: {self._refused} has no weights yet" if self._refused else ""
            own = waits or self._guessing.hint or self._interventions.told or self._second.hint or self._editing.hint
            hint = own or " · ".join(filter(None, (self.sampling.told, self._tour.hint or self._interventions.hint, newer)))
            words = location_text(self.selection, self.model, self._steps, self.sampling.pace_text, hint, self.size.width - 2)
            self.say(self._tour.caption or words)
            self._status.set_class(bool(self._tour.hint) and not (own or self._tour.caption), "-next")

    def focus_steps(self) -> None:
        self._steps.focus()

    def focus_numbers(self) -> None:
        self._second.show_first_pane()
        self.view.focus()

    @on(BlockView.WidthChanged)
    def _width_changed(self, message: BlockView.WidthChanged) -> None:
        if not isinstance(self.model, Starting):
            self.selection = replace(self.selection, width=message.width)

    @on(Arrived)
    def _arrived(self) -> None:
        if isinstance(self.focused, BlockView | InterventionList):
            self.query_one(ForwardPassList).focus()  # the keys move along the stages again

    @on(BlockView.SpotChanged)
    def _spot_changed(self, message: BlockView.SpotChanged) -> None:
        if message.spot is not None:
            words, hint = message.spot.description, self._interventions.hint
            with_hint = f"{words} · {hint}" if hint else words
            self.say(with_hint if cell_len(with_hint) <= self.size.width - 2 else words)
        else:
            self.say_location()

    @on(ForwardPassList.Chosen)
    def _step_chosen(self, message: ForwardPassList.Chosen) -> None:
        self._navigation.do_step_end(message.step)

    @on(TokenStrip.Clicked)
    def _token_clicked(self, message: TokenStrip.Clicked) -> None:
        self._navigation.go_to_position(message.index)

    @on(GuessView.Revealed)
    def _answer_revealed(self) -> None:
        self._guessing.revealed()
