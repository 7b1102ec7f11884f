"""Chat with a run: the conversation, and beside it its document of tokens. A page of Learn, and the live widget `chat`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.reactive import var
from textual.widgets import Input

from lab.core.number_format import counted, whole
from lab.core.visible_text import visible
from lab.engine.method_registry import CHAT, ChatAnswer, ChatParams
from lab.runs.find_runs import is_run
from lab.runs.home_folder import home
from lab.training.posttraining.posttraining_record import tuned_name
from lab.views.screen_state import ScreenState
from models.chat import Turn
from models.config import SamplingSettings
from screens.about_key import About, described, keyless
from screens.background import in_thread
from screens.learn.learn_page import LearnEngine, LearnPage, Refused
from screens.learn.live.engine_view import COMPUTING, LOADING
from screens.learn.live.live_widget import LiveWidget, ModelAtHand, model_of, number_in
from screens.messages import OpenState
from screens.widgets.line_scroll_view import SCROLL_KEYS
from screens.widgets.piece_lines import PieceLine, PieceLinesView, words_lines
from screens.widgets.prompt_input import NEWLINE, PromptInput, shown
from screens.widgets.status_line import StatusLine
from screens.widgets.text_fitting import Piece, wrap
from screens.widgets.top_bars import PageLink

TOKENS = 3
"""Tokens of an answer between two pictures."""
MOST = 100
"""Most tokens of an answer."""
FIELDS = ("message", "system prompt", "stop", "temperature")
"""The values that the field below can be for."""
HOTTEST = 100.0
KINDS = {"mark": "key", "system": "text", "user": "train", "model": "added", "end": "cursor"}
"""Style of the tokens of each author: all can be told without colour but the system prompt and the user's, which marks part."""
KEPT = "chat with "
"""With the run's name, that of its conversation among what the widgets of Learn keep."""


@dataclass
class Conversation:
    """A chat so far, and its settings; None for the run's own."""

    run: str
    system: str | None = None
    stops: tuple[str, ...] | None = None
    temperature: float = 1.0
    seed: int = 0
    turns: tuple[Turn, ...] = ()
    answer: ChatAnswer | None = None

    @property
    def is_open(self) -> bool:
        """An answer is being written."""
        return bool(self.turns) and not self.turns[-1].end

    def end_last(self) -> None:
        if self.is_open:
            self.turns = (*self.turns[:-1], Turn(self.turns[-1].message, self.turns[-1].answer, "interrupt"))


class ChatLines(PieceLinesView):
    """The conversation, or its document."""

    BINDINGS = [*SCROLL_KEYS]


class ChatInput(PromptInput):
    """The field for a message, and with `up` and `down` for a setting."""

    HELP = (
        "**The message.** `enter` sends it, `escape` leaves the field. `↑` `↓`: the system prompt, the stop text, the "
        "temperature. `ctrl+j`: a line break."
    )
    BINDINGS = [
        Binding(
            "up", "field(-1)", "Settings", id="chat.field", key_display="↑↓", tooltip="System prompt, stop text, temperature"
        ),
        Binding("down", "field(1)", "Settings", id="chat.next_field", show=False, tooltip="The next setting"),
    ]

    field: var[int] = var(0)
    """Index in `FIELDS`."""

    def action_field(self, by: int) -> None:
        self.field = (self.field + by) % len(FIELDS)


class ChatWidget(LiveWidget):
    """Option `tuned: yes`: chat with the run that post-training has made of the model at hand, where there is one."""

    OPTIONS = ("tuned",)
    REST = "#chat-bubbles"
    HELP = "**Chat.** To the left what is said; to the right the one document that the model continues."
    DEFAULT_CSS = """
    ChatWidget {
        & > Horizontal { height: 1fr; }
        & ChatLines { width: 1fr; height: 1fr; }
        & > ChatInput { height: 3; padding: 0 1; border: round $foreground 30%; background: $background; }
        & > ChatInput { border-title-color: $foreground 90%; border-subtitle-color: $foreground 70%; }
        & > ChatInput:focus { border: round $accent; }
    }
    """
    BINDINGS = described(
        Binding("e", "edit", "Message", id="chat.edit", tooltip="Edit the message; enter sends it"),
        About(synonyms="say talk ask"),
        Binding("x", "stop", "Stop", id="chat.stop", tooltip="Stop the answer"),
        Binding("r", "again", "Again", id="chat.again", tooltip="Answer the last message again, with the next seed"),
        About(synonyms="regenerate retry"),
        Binding("n", "new", "New", id="chat.new", tooltip="New conversation"),
        About(synonyms="clear reset"),
        keyless("inspect", "chat.inspect", "Inspect the document of the conversation", "Inspect"),
    )

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.talk = Conversation("")
        self._is_answered, self._at_hand = False, ""
        self._draft = ""
        """The message, while the field is for a setting."""
        self.asks = "live"
        """Key of its questions to the engine."""

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield ChatLines(id="chat-bubbles")
            yield ChatLines(id="chat-document")
        yield ChatInput(id="chat-input", of_prompts=False)

    def show_model(self, model: ModelAtHand) -> None:
        self._go_on(model)

    @work(exclusive=True, group="model", exit_on_error=True)
    async def _go_on(self, model: ModelAtHand) -> None:
        """Go on with the conversation with this run, or begin one."""
        self._at_hand = run = model.run
        if self.options.get("tuned") == "yes" and await in_thread(is_run, home() / (tuned := tuned_name(run, "sft"))):
            run = tuned
        self.stand_in = run if run != model.run else ""
        kept = self.engine.kept.get(KEPT + run)
        self.talk = kept if isinstance(kept, Conversation) else Conversation(run)
        self.engine.kept[KEPT + run] = self.talk
        self._ask(TOKENS if self.talk.is_open else 0)

    def _ask(self, tokens: int) -> None:
        talk, self._is_answered = self.talk, False
        if talk.answer is None:
            self.say(LOADING if self.engine.is_loading else COMPUTING)
        params = ChatParams(
            run=talk.run,
            system=talk.system,
            turns=talk.turns,
            stops=talk.stops,
            sampling=SamplingSettings(temperature=talk.temperature, seed=talk.seed),
            most=MOST,
            tokens=tokens,
        )
        self.engine.ask(self.asks, CHAT, params, self._answered, self._refused)

    def _answered(self, answer: ChatAnswer) -> None:
        talk = self.talk
        talk.answer, talk.turns, talk.system, talk.stops = answer, answer.turns, answer.system, answer.stops
        self.weights_step = answer.step if talk.run == self._at_hand else None
        self._is_answered = not talk.is_open
        if talk.is_open:
            self._ask(TOKENS)
        self.say(" ".join(filter(None, (answer.about, window_sentence(answer)))))
        self._draw()
        self.refresh_bindings()

    def _refused(self, refused: Refused) -> None:
        self.talk.end_last()
        self._is_answered = True
        self.say(refused.sentence, error=True)

    def _draw(self) -> None:
        answer, talk = self.talk.answer, self.talk
        if answer is None:
            return
        bubbles, document = self.query_one("#chat-bubbles", ChatLines), self.query_one("#chat-document", ChatLines)
        bubbles.border_title = Text(f"chat · {visible(talk.run)}")
        document.border_title = Text(f"document · {whole(len(answer.ids))} of {counted(answer.context, 'token')}")
        for view, lines in ((bubbles, bubble_lines(answer, bubbles.room)), (document, document_lines(answer, document.room))):
            view.set_lines(lines)
            view.top = len(lines)
        self._name_field()

    on_resize = _draw

    @on(events.DescendantFocus)
    @on(events.DescendantBlur)
    def _name_field(self) -> None:
        field = self.query_one(ChatInput)
        words = f"enter {'keeps' if field.field else 'sends'} it · esc leaves the field" if field.has_focus else "e types it"
        field.border_title = Text(f"{FIELDS[field.field]} · {words}")
        stop = ", ".join(f"“{visible(each)}”" for each in self.talk.stops or ()) or "none"
        field.border_subtitle = Text(f"↑↓ settings · stop {stop} · temperature {self.talk.temperature:g}")

    def on_mount(self) -> None:
        self.watch(self.query_one(ChatInput), "field", self._fill_field, init=False)

    def _fill_field(self, before: int, index: int) -> None:
        """Keep what was typed for the setting before, and show the value of the one that the field is for now."""
        talk, field = self.talk, self.query_one(ChatInput)
        if not before:
            self._draft = field.text
        elif not talk.is_open and self._keep_setting(FIELDS[before], field.text):
            self._ask(0)
        values = (self._draft, talk.system or "", (talk.stops or ("",))[0], f"{talk.temperature:g}")
        field.value = shown(values[index])
        field.cursor_position = len(field.value)
        self._name_field()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        talk, field = self.talk, self.query_one(ChatInput)
        name, text = FIELDS[field.field], field.text
        if talk.is_open or talk.answer is None:
            return
        if name != "message":
            if self._keep_setting(name, text):
                field.field = 0
        elif text.strip():
            talk.turns = (*talk.turns, Turn(text))
            field.value = ""
            self._ask(TOKENS)
            self.refresh_bindings()

    def _keep_setting(self, name: str, text: str) -> bool:
        """Take what was typed for a setting; False where it cannot be."""
        if name == "system prompt":
            self.talk.system = text
        elif name == "stop":
            self.talk.stops = (text,) if text else ()
        else:
            number = number_in(text, HOTTEST)
            if number is None or number < 0:
                self.say(f"The temperature is a number from 0 to {HOTTEST:g}.", error=True)
                return False
            self.talk.temperature = number
        return True

    def take_focus(self) -> bool:
        self.query_one("#chat-bubbles").focus()
        return True

    def leave(self) -> bool:
        """Stop the answer, at escape."""
        was_open = self.talk.is_open
        self.action_stop()
        return was_open

    def full_screen(self) -> ScreenState | None:
        return ScreenState(mode="learn", page=ChatPage.LINK.name, run=self.talk.run) if self.talk.run else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        talk = self.talk
        if action == "stop":
            return talk.is_open
        return action not in ("again", "new", "inspect") or (bool(talk.turns) and not talk.is_open)

    def action_edit(self) -> None:
        self.query_one(ChatInput).focus()

    def action_stop(self) -> None:
        if self.talk.is_open:
            self.engine.forget(self.asks)
            self.talk.end_last()
            self._ask(0)

    def action_again(self) -> None:
        talk = self.talk
        talk.seed += 1
        talk.turns = (*talk.turns[:-1], Turn(talk.turns[-1].message))
        self._ask(TOKENS)

    def action_new(self) -> None:
        self.talk.turns = ()
        self._ask(0)

    def action_inspect(self) -> None:
        if self.talk.answer is not None and self.talk.answer.ids:
            self.post_message(OpenState(ScreenState(mode="inspect", run=self.talk.run, ids=self.talk.answer.ids)))


class ChatPage(LearnPage):
    """The whole screen for a chat with the run of Learn."""

    LINK = PageLink("chat", "chat", "Chat with a run: what is said, and the document of tokens beside it", "talk conversation")
    REST = "#chat-bubbles"
    PARTS = (ChatWidget, ChatLines, ChatInput)

    def compose(self) -> ComposeResult:
        widget = ChatWidget({}, self.engine)
        widget.asks = "chat"  # beside what a lesson's step asks
        yield widget
        yield StatusLine(most_lines=3, id="chat-status")

    @property
    def widget(self) -> ChatWidget:
        return self.query_one(ChatWidget)

    @property
    def is_settled(self) -> bool:
        return self.widget.is_settled

    def watch_is_shown(self) -> None:
        if self.is_shown and self.is_mounted:
            self._show_run()

    watch_run = watch_is_shown

    @work(exclusive=True, group="run", exit_on_error=True)
    async def _show_run(self) -> None:
        self.widget.show_model(await in_thread(model_of, self.run))

    @on(LiveWidget.Said)
    def _say(self, message: LiveWidget.Said) -> None:
        self.query_one(StatusLine).say(message.words, error=message.is_error)

    def take_focus(self) -> None:
        """Not to the field, which would take the keys that lead on to the next page."""
        self.widget.take_focus()

    def go_back(self) -> bool:
        return self.widget.leave()


def window_sentence(answer: ChatAnswer) -> str:
    """A sentence on turns and tokens without room in the context; "" where there are none."""
    words = ""
    if answer.left_out:
        turns = "The first turn has" if answer.left_out == 1 else f"The first {answer.left_out} turns have"
        words = f"{turns} no room in the context of {answer.context} tokens any more."
    beyond = len(answer.ids) - answer.context
    return f"{words} The first {counted(beyond, 'token')} of the document are outside it." if beyond > 0 else words


def bubble_lines(answer: ChatAnswer, width: int) -> list[PieceLine]:
    """The bubbles: the user's to the right, the model's to the left, and why each answer ended."""
    lines: list[PieceLine] = words_lines(f"system prompt: {answer.system}", width, "dim") if answer.system else []
    room = max(10, width * 4 // 5)
    for at, (turn, text) in enumerate(zip(answer.turns, answer.texts, strict=True)):
        mine = _box(turn.message, "you · not seen any more" if at < answer.left_out else "you", room)
        indent = " " * max(0, width - cell_len(mine[0]))
        lines += [[(indent, ""), (line, "train")] for line in mine]
        lines += [[(line, "text")] for line in _box(text.strip(), "model", room)]
        if words := _end_words(turn, answer):
            lines += words_lines(words, width, "dim")
    return lines


def _end_words(turn: Turn, answer: ChatAnswer) -> str:
    tokens = counted(len(turn.answer), "token")
    return {
        "": "…",
        "stop": "It ended its turn by itself." if answer.is_tuned else "It wrote the mark of the next turn: stopped there.",
        "text": "Stopped at the stop text.",
        "limit": f"It did not end its turn: stopped after {tokens}.",
        "interrupt": f"Stopped after {tokens}.",
    }[turn.end]


def _box(text: str, title: str, width: int) -> list[str]:
    """Lines of a bubble, all of one width."""
    lines = wrap(text, width - 4)
    inner = max(cell_len(title) + 1, *map(cell_len, lines))
    body = [f"│ {line}{' ' * (inner - cell_len(line))} │" for line in lines]
    return [f"╭ {title} {'─' * (inner - cell_len(title))}╮", *body, f"╰{'─' * (inner + 2)}╯"]


def document_lines(answer: ChatAnswer, width: int) -> list[PieceLine]:
    """The tokens of the document, in the style of their authors; a line ends where a token ends one."""
    legend = [("mark", KINDS["mark"]), (" ", ""), ("system", KINDS["system"]), (" ", ""), ("you", KINDS["user"]), (" · ", "dim")]
    legend += [("model", KINDS["model"]), (" ", ""), ("its end", KINDS["end"])]
    lines: list[list[Piece]] = [[]]
    used, is_ended = 0, False
    for label, author in zip(answer.labels, answer.authors, strict=True):
        size = cell_len(label) + 1
        if is_ended or (used + size > width and used):
            lines.append([])
            used = 0
        lines[-1] += [(label, KINDS[author]), ("│", "dim")]
        used, is_ended = used + size, label.endswith(NEWLINE)
    return [list(legend), *lines]
