"""The part of Inspect that changes the model: what is switched off or replaced, what that does, and a second prompt beside."""

from dataclasses import replace

from msgspec import structs
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from lab.inspect.intervention_effect import Effect, in_short
from lab.inspect.interventions import Intervention, all_in_words, at, in_prompt, put, toggled, without
from lab.views.blocks import LensPath, Token, View
from screens.blocks.block_view import BlockView
from screens.dialogs.ask_text import AskText
from screens.inspect.explain_mode import WhyScreen
from screens.inspect.forward_pass_list import WayList
from screens.inspect.intervention_list import InterventionList
from screens.inspect.intervention_targets import Target, from_second, key_under, look_at, scaled, switch, target
from screens.inspect.selection import Prompt, Selection
from screens.widgets.prompt_input import PromptInput
from screens.widgets.token_strip import TokenStrip

NOTHING_HERE = "Nothing is switched off at this step: go to an attention or MLP step, or to the tokens to hide one."
NOTHING_ON = "Nothing is changed yet: x switches off what the step is about, and b shows what that does."
NO_SECOND = "There is no second prompt to take anything from: C asks for one."


class Beside(Vertical):
    """The second prompt's view of the same step, which has no say in what is looked at."""

    DEFAULT_CSS = """
    Beside { display: none; }
    """

    def compose(self) -> ComposeResult:
        yield BlockView(id="second-view")

    @on(BlockView.WidthChanged)
    @on(BlockView.SpotChanged)
    def _keep(self, message: BlockView.WidthChanged | BlockView.SpotChanged) -> None:
        message.stop()


class Columns(Horizontal):
    """The way through with the interventions beneath it, the view, and beside or under that the second prompt's."""

    DEFAULT_CSS = """
    Columns {
        height: 1fr;
        #way-column { width: 32; }
        #way-column > WayList { height: 1fr; }
        #views { layout: horizontal; width: 1fr; }
        #views > * { width: 1fr; height: 1fr; }
    }
    """

    def compose(self) -> ComposeResult:
        with Vertical(id="way-column"):
            yield WayList(id="inspect-way")
            yield InterventionList(id="inspect-interventions")
        with Vertical(id="views"):
            yield BlockView(id="inspect-view")
            yield Beside(id="inspect-beside")


class SecondPrompt(Horizontal):
    """The second prompt's tokens on one line; gone while there is none."""

    DEFAULT_CSS = """
    SecondPrompt {
        display: none; height: 1;
        & > Static { width: 10; padding: 0 0 0 1; color: $foreground 70%; }
        & > TokenStrip { height: 1; width: 1fr; }
    }
    """

    def compose(self) -> ComposeResult:
        yield Static("prompt 2:")
        yield TokenStrip(id="second-tokens")


class ChangesScreen(WhyScreen):
    """Keeps the interventions and the second prompt in the aim, so that every question carries them."""

    DEFAULT_CSS = """
    ChangesScreen {
        &.-narrow #way-column { width: 25; }
        &.-two Beside { display: block; }
        &.-narrow.-two Beside, &.-narrow.-two.-other #inspect-view { display: none; }
        &.-narrow.-two.-other Beside { display: block; }
        &.-huge #way-column { width: 48; }
    }
    """

    FIRST_KEYS = (
        *("inspect.explain", "inspect.climb", "inspect.against", "inspect.order"),
        *("inspect.pane", "inspect.next", "inspect.right", "inspect.head", "inspect.switch", "inspect.layer", "inspect.effect"),
        *("inspect.attribution", "inspect.evidence"),
    )
    BINDINGS = [
        Binding(
            "x",
            "switch",
            "Off/on",
            id="inspect.switch",
            tooltip="Switch off the head, the attention or the MLP of this step, or hide the token; once more: on again",
        ),
        Binding("b", "aside('effect')", "Before|after", id="inspect.effect", tooltip="The ranking before and after the change"),
        Binding("m", "mean", "Zero/mean", id="inspect.mean", tooltip="Switch off to zero, or to the mean over the prompt"),
        Binding("asterisk", "scale", "Scale", id="inspect.scale", tooltip="Multiply the head or MLP of this step by a factor"),
        Binding(
            "f",
            "look_at",
            "Force",
            id="inspect.look_at",
            tooltip="Make this head look at one token only: the key under the cursor, else the chosen token",
        ),
        Binding("X", "all_on", "All on", id="inspect.all_on", tooltip="Take back all interventions"),
        Binding("C", "compare", "Compare", id="inspect.compare", tooltip="A second prompt beside this one, and what differs"),
        Binding(
            "S", "other_pane", "Prompt 1/2", id="inspect.pane", tooltip="On a narrow screen: the other prompt's view of the step"
        ),
        Binding("E", "second", "Second", id="inspect.second", tooltip="Edit the second prompt; an empty one takes it away"),
        Binding("p", "patch", "Patch", id="inspect.patch", tooltip="Put the second prompt's vector in the place of this one"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._to_mean = False
        self._second_tokens: tuple[Token, ...] = ()
        self._dropped = 0
        self._news = False
        """Whether the next effect is that of a key just pressed, and so to be told."""
        self._told: tuple[Selection, str] | None = None
        """What was told last, as long as nothing else is aimed at."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        aim = self.aim
        if action == "all_on":
            return aim is not None and bool(aim.interventions)
        if action == "other_pane":
            return self.has_class("-two") and self.has_class("-narrow")
        if action in ("second", "patch"):
            return aim is not None and aim.second is not None
        return super().check_action(action, parameters)

    def _ref(self) -> str:
        spot = self.query_one(BlockView).spot
        return spot.ref if spot is not None else ""

    def target_here(self, *, patch: bool = False) -> Target | None:
        """What a key changes now."""
        if self.aim is None or self._way is None:
            return None
        return target(self.aim, self._way, self._ref(), patch=patch)

    def hint(self) -> str:
        """What the last key did, or what x would do here, for the line below."""
        if self._told is not None and self._told[0] == self.aim:
            return self._told[1]
        if self.has_class("-two") and self.has_class("-narrow"):
            return f"S shows prompt {1 if self.has_class('-other') else 2} · C what differs · E another one, or none"
        found = self.target_here()
        if found is None or self.aim is None:
            return ""
        new = switch(found, self._to_mean)
        word = "puts back" if new in self.aim.interventions else "hides" if new.how == "hide" else "switches off"
        mean = " (to its mean)" if self._to_mean and new.how == "mean" else ""
        return f"x {word} {found.in_words}{mean}" + (" · b before | after" if self.aim.interventions else "")

    def _change(self, interventions: tuple[Intervention, ...]) -> None:
        if self.aim is not None and interventions != self.aim.interventions:
            self._news = True
            self.aim = replace(self.aim, interventions=interventions, trail=())

    def action_switch(self) -> None:
        found = self.target_here()
        if found is None or self.aim is None:
            self.tell(NOTHING_HERE)
        else:
            self._change(toggled(self.aim.interventions, switch(found, self._to_mean)))

    def action_mean(self) -> None:
        """Zero or mean from now on; what is off at this step goes over to it."""
        self._to_mean = not self._to_mean
        found = self.target_here()
        made = at(self.aim.interventions, switch(found, self._to_mean).target) if found and self.aim else None
        if found is not None and self.aim is not None and made is not None and made.how in ("off", "mean"):
            self._change(put(self.aim.interventions, switch(found, self._to_mean)))
        else:
            self.tell("x now puts the mean over the prompt in its place." if self._to_mean else "x now switches off to zero.")

    @work(exclusive=True, group="scale")
    async def action_scale(self) -> None:
        found = self.target_here()
        if found is None or found.part == "tokens" or self.aim is None:
            self.tell("Only a head, an attention or an MLP can be scaled: go to one of their steps.")
            return
        words = f"Multiply what {found.in_words} adds by this factor: 0 is off, 1 as it is, 2 twice as much, −1 the opposite."
        answer = await self.app.push_screen_wait(
            AskText(f"scale {found.in_words}", words, "0.5", refuse=_why_no_factor, select=True)
        )
        if answer is None or self.aim is None:
            return
        factor = _factor(answer)
        new = scaled(found, factor)
        old = at(self.aim.interventions, new.target)
        if factor == 1:
            self._change(without(self.aim.interventions, old) if old is not None else self.aim.interventions)
        else:
            self._change(put(self.aim.interventions, new))

    def action_look_at(self) -> None:
        found, aim, way = self.target_here(), self.aim, self._way
        if found is None or found.part != "attn.z" or aim is None or way is None:
            self.tell("Only a head can be made to look at one token: go to an attention step.")
            return
        self._change(toggled(aim.interventions, look_at(found, key_under(aim, way, self._ref()), way)))

    def action_all_on(self) -> None:
        self._change(())

    @on(InterventionList.Removed)
    def _removed(self, message: InterventionList.Removed) -> None:
        if self.aim is not None:
            self._change(without(self.aim.interventions, message.intervention))

    def action_aside(self, aside: str) -> None:
        if aside == "effect" and self.aim is not None and not self.aim.interventions and self.aim.aside != "effect":
            self.tell(NOTHING_ON)
        else:
            super().action_aside(aside)

    def action_compare(self) -> None:
        if self.aim is not None and self.aim.second is not None:
            super().action_aside("compare")
        else:
            self.action_second()

    @work(exclusive=True, group="second prompt")
    async def action_second(self) -> None:
        if self.aim is None:
            return
        second = self.aim.second
        words = "A second prompt beside the first. Positions are aligned from the end. " + (
            "Leave it empty to look at one prompt again." if second is not None else "Change a word and see what differs."
        )
        text = second.text if second is not None else self.aim.prompt.text
        answer = await self.app.push_screen_wait(AskText("second prompt", words, text, of_prompts=True))
        if answer is None or self.aim is None:
            return
        if answer:
            self.query_one(PromptInput).keep(answer)
            self.aim = replace(self.aim.on_stage(), second=Prompt(answer), aside="compare")
        else:
            self.aim = replace(self.aim.on_stage(), second=None)

    def action_other_pane(self) -> None:
        """One view at a time where two do not fit beside each other."""
        self.toggle_class("-other")
        self.query_one(WayList).focus()
        self.tell(self.hint())

    def action_patch(self) -> None:
        aim, way, found = self.aim, self._way, self.target_here(patch=True)
        if aim is None or way is None or aim.second is None:
            self.tell(NO_SECOND)
        elif found is None:
            self.tell("Nothing can be taken over at this step: go to a step within a layer.")
        elif not self._second_tokens or (new := from_second(found, way, aim.second, self._second_tokens)) is None:
            self.tell("The second prompt has no token so far from its end.")
        else:
            self._change(toggled(aim.interventions, new))

    def why_changed(self, old: Selection | None, new: Selection) -> None:
        super().why_changed(old, new)
        if old is not None and (old.interventions, old.second) == (new.interventions, new.second) and old.aside == new.aside:
            return
        listed = self.query_one(InterventionList)
        listed.made = new.interventions
        if not new.interventions:
            listed.effect = None
            if listed.has_focus:
                self.query_one(WayList).focus()
            if self._news:
                self.tell("All is as the model itself does it.")
            self._news = False
            if new.aside == "effect":
                self.call_later(self._leave_effect)
        self.query_one(SecondPrompt).display = new.second is not None
        self.set_class(new.second is not None and not new.aside and not new.trail, "-two")
        if not self.has_class("-two"):
            self.remove_class("-other")
        self.refresh_bindings()

    def _leave_effect(self) -> None:
        if self.aim is not None and self.aim.aside == "effect" and not self.aim.interventions:
            self.aim = self.aim.on_stage()

    def effect_came(self, aim: Selection, effect: Effect) -> None:
        """What the interventions do to the prediction at the position."""
        if self.aim is None or aim.interventions != self.aim.interventions:
            return
        self.query_one(InterventionList).effect = effect
        if self._news:
            self._news = False
            newest = aim.interventions[-1]
            unseen = newest.how == "hide" and effect.position <= (newest.place or 0)
            rest = "only later tokens miss it: → leads to them" if unseen else "b before | after · the same key puts it back"
            words = f"{all_in_words(aim.interventions)}: {in_short(effect)} · {rest}"
            self._told = self.aim, words
            self.tell(words)

    def second_came(self, aim: Selection, way: LensPath, view: View | None) -> None:
        """The second prompt's tokens, and its view of the step unless something else is in view."""
        if self.aim is None or aim.second != self.aim.second:
            return
        strip = self.query_one("#second-tokens", TokenStrip)
        self._second_tokens = strip.tokens = tuple(way.tokens)
        strip.dropped, strip.chosen, strip.guess = way.dropped, way.position, way.top[0] if way.top else None
        if view is not None:
            self.query_one("#second-view", BlockView).show(structs.replace(view, title=f"prompt 2 · {view.title}"))
            self.stand_side_by_side()

    def stand_side_by_side(self) -> None:
        """To be called with every view: both prompts' are laid out alike where they are of the same step."""
        first, second = self.query_one("#inspect-view", BlockView), self.query_one("#second-view", BlockView)
        views = (first.view, second.view) if self.has_class("-two") else (None, None)
        first.stand_beside(views[1])
        second.stand_beside(views[0])

    def way_changed(self, way: LensPath) -> None:
        """To be called with every way: what names a place is taken back when the window has slid from under it."""
        if self.aim is not None and way.dropped > self._dropped and self.aim.interventions:
            self.aim = replace(self.aim, interventions=in_prompt(self.aim.interventions, 0))
        self._dropped = way.dropped


def _factor(text: str) -> float:
    return float(text.strip().replace(",", ".").replace("−", "-"))


def _why_no_factor(text: str) -> str:
    """Why a text is no factor, "" if it is one."""
    try:
        good = abs(_factor(text)) <= 1000
    except ValueError:
        good = False
    return "" if good else f"A factor is a number from −1000 to 1000, not {text!r}."
