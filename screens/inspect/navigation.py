"""Navigation of Inspect: keys for step, position, head, layer, checkpoint and run; the status line that says where one is."""

from dataclasses import replace
from functools import partial

from rich.cells import cell_len
from textual.binding import Binding

from lab.core.number_format import whole
from lab.inspect.stages.stage_context import LENSES
from lab.inspect.stages.stage_registry import STAGES
from lab.views.blocks import Destination, View
from screens.about_key import About, described, keyless
from screens.app_state import AppState
from screens.blocks.block_view import BlockView
from screens.inspect.inspect_part import Actions, InspectHost, InspectPart, Loading, ModelState, Opened, Ready, Starting
from screens.inspect.intervention_keys import target
from screens.inspect.selection import Selection, at_destination, at_position, at_step, in_head, in_layer, index_of, position_in
from screens.messages import RunChosen
from screens.widgets.forward_pass_list import ForwardPassList

NEWEST = "best checkpoint as it is now"
"""Offered by the chooser of models while the run in view has a newer best checkpoint than the one shown."""


def newer_best(lab: AppState, model: ModelState) -> int | None:
    """Step of the run's best checkpoint on disk, where that in view is the best or the last of before."""
    if not isinstance(model, Opened | Ready) or model.facts.checkpoint not in ("best", "last"):
        return None
    steps = (run.best_step for run in lab.runs if run.name == model.facts.run)
    return next((step for step in steps if step is not None and step > model.facts.step), None)


def location_text(selection: Selection, model: ModelState, steps: ForwardPassList, writing: str, hint: str, width: int) -> str:
    """The words for a line of `width` columns; `writing`: the pace of generation."""
    words = (f"{writing} · " if writing else "") + f"stage {index_of(selection, steps.steps) + 1}/{len(steps.steps)}"
    dropped = model.path.dropped + selection.prompt.earlier if isinstance(model, Ready) else 0
    if dropped and isinstance(model, Ready):
        seen = whole(model.facts.context)
        words += f" · context {seen} tokens: {whole(dropped)} earlier ones (left of ┆) are cut off"
    words = f"{words} · {hint}" if hint else words
    rank = steps.rank_sentence
    return ranked if rank and cell_len(ranked := f"{words} · {rank}") <= width else words


def _side(by: int) -> str:
    return "before" if by < 0 else "after"


class Navigation(InspectPart):
    """Moves of the selection through the forward pass."""

    BINDINGS = described(
        Binding(
            "j,down", "do('step', 1)", "Stage", id="inspect.next", key_display="j/k", tooltip="The next stage of the forward pass"
        ),
        About(
            "Move",
            words="stage of the forward pass; token whose prediction is inspected",
            also=("inspect.previous", "inspect.right", "inspect.left"),
            rank=5,
        ),
        Binding("k,up", "do('step', -1)", "Back", id="inspect.previous", show=False, tooltip="The stage before"),
        Binding("right,l", "do('position', 1)", "Token", id="inspect.right", key_display="←/→", tooltip="The token to the right"),
        About(rank=6),
        Binding("left,h", "do('position', -1)", "Left", id="inspect.left", show=False, tooltip="The token to the left"),
        Binding("right_square_bracket", "do('head', 1)", "Head", id="inspect.head", key_display="[ ]", tooltip="The next head"),
        About(
            "Move",
            words="head; layer; another view of the same",
            also=("inspect.head_before", "inspect.layer", "inspect.layer_before", "inspect.view"),
            rank=14,
        ),
        Binding("left_square_bracket", "do('head', -1)", "Back", id="inspect.head_before", show=False, tooltip="The head before"),
        Binding(
            "right_curly_bracket", "do('layer', 1)", "Layer", id="inspect.layer", key_display="{ }", tooltip="The next layer"
        ),
        About(
            synonyms="block",
            rank=16,
            matters=lambda selection: selection.shows == selection.stage and STAGES[selection.stage].layer_key,
        ),
        Binding(
            "left_curly_bracket", "do('layer', -1)", "Back", id="inspect.layer_before", show=False, tooltip="The layer before"
        ),
        Binding(
            "v", "do('another_view')", "View", id="inspect.view", tooltip="Another view: all heads, one matrix, another token"
        ),
        About(synonyms="attention patterns panel versus", rank=12),
        keyless("do('all_heads')", "inspect.all_heads", "All heads of all layers; again: the chosen one", "All heads"),
        About(synonyms="attention patterns thumbnails gallery overview"),
        keyless("do('stage', 'lens')", "inspect.lens_grid", "Logit lens of every token and layer", "Logit lens"),
        About(synonyms="logitlens predictions grid heatmap"),
        keyless("do('next_lens')", "inspect.next_lens", "Lens of the grid: logit, Jacobian or tuned lens", "Lens"),
        About(synonyms="belrose translator derivative", needs="the grid of the logit lens"),
        keyless("do('panel')", "inspect.panel", "The next of several matrices, alone; or all side by side", "Panel"),
        About(needs="a view of several matrices"),
        Binding("home", "do('step_end', 0)", "First", id="inspect.first", show=False, tooltip="The first stage"),
        Binding("end", "do('step_end', -1)", "Last", id="inspect.last", show=False, tooltip="The last stage"),
        Binding(
            "m", "do('choose_run')", "Model", id="inspect.run", tooltip="Choose the model: a run, or its best or last checkpoint"
        ),
        About("Model", words="model: run or checkpoint; over time: any training step", also=("inspect.time",), synonyms="open"),
        keyless("do('checkpoint')", "inspect.checkpoint", "Switch between the best and the last checkpoint", "Best/last"),
        About(synonyms="weights best last"),
        Binding(
            "pagedown,ctrl+d", "do('page', 1)", "Page down", id="inspect.page_down", show=False, tooltip="Scroll the view down"
        ),
        Binding("pageup,ctrl+u", "do('page', -1)", "Page up", id="inspect.page_up", show=False, tooltip="Scroll the view up"),
        Binding("escape", "back", "Back", id="screen.back", tooltip="Leave the text field, or go back one place"),
        About(rank=200),
    )

    def __init__(self, host: InspectHost, steps: ForwardPassList, second: BlockView) -> None:
        """`second` is the view of the second prompt."""
        super().__init__(host)
        self._second = second
        self._list = steps
        self._is_head_chosen = False
        """True once a head of this run has been chosen; until then all heads begin at the one worth a look."""
        self._looks_for_head = self._has_found_head = False

    def actions(self) -> Actions:
        return (
            *(self.do_step, self.do_step_end, self.do_another_view, self.do_panel, self.do_position, self.do_head),
            *(self.do_all_heads, self.do_next_lens, self.do_layer, self.do_stage, self.do_checkpoint, self.do_page),
            self.do_choose_run,
        )

    def do_step(self, by: int) -> None:
        if steps := self._list.steps:
            index = min(max(index_of(self._host.selection, steps) + by, 0), len(steps) - 1)
            self._go(at_step(self._host.selection, steps[index]), f"No stage comes {_side(by)} this one.")

    def _go(self, to: Selection, why_not: str) -> None:
        """Go there; say why not where that is the place in view."""
        if to == self._host.selection:
            self._host.say(why_not)
        else:
            self._host.selection = to

    def do_step_end(self, index: int) -> None:
        """Go to a step by its index; -1 is the last."""
        if self._list.steps:
            self._host.selection = at_step(self._host.selection, self._list.steps[index])

    def is_enabled(self, action: str) -> bool:
        if action == "another_view":
            return self._view_key() is not None
        if action == "next_lens":
            return self._host.selection.shows == "lens"
        return action != "panel" or self._host.view.has_panels

    def _view_key(self) -> str | None:
        """The first action for another view that there is here; all heads only from a stage, not from what is opened aside."""
        selection = self._host.selection
        on_stage = ("features",) if selection.stage == "resid_post" else ("all_heads",)
        views = ("against", "other_pane", "panel", "next_lens", *(() if selection.aside or selection.trail else on_stage))
        return next((view for view in views if self._host.check_action("do", (view,))), None)

    async def do_another_view(self) -> None:
        if (action := self._view_key()) is not None:
            await self._host.run_action(f"do('{action}')")

    def do_panel(self) -> None:
        for view in (self._host.view, self._second):
            view.next_panel()

    def do_position(self, by: int) -> None:
        if isinstance(model := self._host.model, Ready):
            to = at_position(self._host.selection, model.path, position_in(self._host.selection, model.path) + by)
            self._go(to, f"No token comes {_side(by)} this one." + (" space samples the next." if by > 0 else ""))

    def go_to_position(self, position: int) -> None:
        if isinstance(model := self._host.model, Ready):
            self._host.selection = at_position(self._host.selection, model.path, position)

    def do_head(self, by: int) -> None:
        model = self._host.model
        if not isinstance(model, Starting | Loading):
            self._go(in_head(self._host.selection, model.facts, by), "This model has one head in each layer.")

    def do_all_heads(self) -> None:
        """All heads at once; from there, the pattern of the one under the cursor, else of the chosen one."""
        selection, model = self._host.selection, self._host.model
        if selection.stage != "thumbnails" or selection.aside or selection.trail:
            self._looks_for_head = not self._is_head_chosen
            self._host.selection = replace(selection.on_stage(), stage="thumbnails")
            return
        found = target(selection, model.path, self._ref) if isinstance(model, Ready) else None
        chosen = selection if found is None else replace(selection, layer=found.layer, head=found.head)
        self._host.focus_steps()
        self._host.selection = replace(chosen, stage="matrix")

    def do_next_lens(self) -> None:
        selection = self._host.selection
        self._host.selection = replace(selection, lens=LENSES[(LENSES.index(selection.lens) + 1) % len(LENSES)])

    def selection_changed(self, old: Selection, new: Selection) -> None:
        if old.run != new.run:
            self._is_head_chosen = False
        elif old.head != new.head and new.stage in (old.stage, "matrix"):  # a way back to another stage chooses none
            model = self._host.model
            self._is_head_chosen = not isinstance(model, Opened | Ready) or old.head < model.facts.heads  # else it had none such

    def view_shown(self, selection: Selection, view: View) -> None:
        if view.stage != "thumbnails":
            return
        if self._has_found_head:
            self._has_found_head = False
            self._host.view.show_head()  # with the sentence that names it, as the view would have opened
        if self._looks_for_head:
            self._looks_for_head = False
            if view.worth_a_look is not None:
                self._host.call_later(partial(self._look_at_head, view.worth_a_look))

    def _look_at_head(self, head: Destination) -> None:
        """Choose the head that the view of all heads recommends; a key that came before it wins."""
        found = at_destination(self._host.selection, head)
        if self._host.selection.shows == "thumbnails" and not self._is_head_chosen and found != self._host.selection:
            self._has_found_head = True
            self._host.selection = found
            self._is_head_chosen = False

    def do_layer(self, by: int) -> None:
        if self._list.steps:
            self._go(in_layer(self._host.selection, self._list.steps, by), f"No layer comes {_side(by)} this place.")

    def do_stage(self, name: str) -> None:
        self._host.selection = replace(self._host.selection.on_stage(), stage=name)

    def do_checkpoint(self) -> None:
        selection = self._host.selection
        self._host.selection = replace(selection, checkpoint="last" if selection.checkpoint == "best" else "best")

    def do_page(self, by: int) -> None:
        for view in (self._host.view, self._second):
            view.page(by)

    def do_choose_run(self) -> None:
        self._host.start(self._choose_run(), "choose run")

    async def _choose_run(self) -> None:
        from screens.dialogs.ask import RunChooser

        selection, lab = self._host.selection, self._host.lab
        newer = newer_best(lab, self._host.model)
        other = "last checkpoint" if selection.checkpoint == "best" else "best checkpoint"
        newest = [] if newer is None else [(NEWEST, f"step {whole(newer)} of {selection.run}")]
        names = [(run.name, f"{run.text}, {run.phase}") for run in lab.runs]
        offered = [*newest, (other, f"of {selection.run}"), *names]
        name = await self._host.ask(RunChooser(offered, NEWEST if newest else lab.run_name, "model"))
        if name == NEWEST:
            self._host.ask_again()
        elif name == other:
            self.do_checkpoint()
        elif name:
            lab.post_message(RunChosen(name))
