"""Messages of Inspect's widgets, handed to the parts that act on them."""

from rich.cells import cell_len
from textual import on

from screens.base_screen import LabScreen
from screens.blocks.block_view import BlockView
from screens.inspect.guessing import Guessing
from screens.inspect.intervention_keys import InterventionKeys
from screens.inspect.navigation import Navigation
from screens.inspect.prompt_editing import PromptEditing
from screens.inspect.time_travel import TimeTravel
from screens.inspect.widgets.intervention_list import InterventionList
from screens.inspect.widgets.prompt_bar import PromptBar
from screens.inspect.widgets.sampling_form import SamplingForm
from screens.inspect.widgets.time_slider import TimeSlider
from screens.messages import Arrived
from screens.widgets.forward_pass_list import ForwardPassList
from screens.widgets.guess_view import GuessView
from screens.widgets.token_strip import TokenStrip


class WidgetMessages(LabScreen):
    """A screen that has these parts; each message goes to one of them."""

    _navigation: Navigation
    _editing: PromptEditing
    _interventions: InterventionKeys
    _time: TimeTravel
    _guessing: Guessing

    def say(self, words: str, *, error: bool = False) -> None:
        """Show a sentence in the status line."""
        raise NotImplementedError

    def say_location(self) -> None:
        """Show the place in view in the status line, where nothing else is said there."""
        raise NotImplementedError

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
        self._navigation.action_step_end(message.step)

    @on(TokenStrip.Clicked)
    def _token_clicked(self, message: TokenStrip.Clicked) -> None:
        self._navigation.go_to_position(message.index)

    @on(PromptBar.Edited)
    def _prompt_edited(self, message: PromptBar.Edited) -> None:
        self._editing.apply_prompt(message.text)

    @on(SamplingForm.Applied)
    def _settings_applied(self, message: SamplingForm.Applied) -> None:
        self._editing.apply_settings(message.settings)

    @on(SamplingForm.Refused)
    def _settings_refused(self, message: SamplingForm.Refused) -> None:
        self.say(message.sentence, error=True)

    @on(InterventionList.Removed)
    def _intervention_removed(self, message: InterventionList.Removed) -> None:
        self._interventions.remove(message.intervention)

    @on(GuessView.Revealed)
    def _answer_revealed(self) -> None:
        self._guessing.revealed()

    @on(TimeSlider.Moved)
    def _slider_moved(self, message: TimeSlider.Moved) -> None:
        self._time.move_to(message.index)

    @on(TimeSlider.Played)
    def _slider_played(self) -> None:
        self._time.play_or_stop()

    @on(TimeSlider.Closed)
    def _slider_closed(self, message: TimeSlider.Closed) -> None:
        self._time.close(keep=message.keep)
