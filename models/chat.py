"""Chat: a conversation as one document of tokens, the templates that say how it is written, and answers to its last turn.

Which template a run is chatted with is decided here alone. torch is imported only where an answer is written.
"""

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from models.config import END_OF_TEXT, SamplingSettings
from models.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    from models.decoding import HalfMatrices
    from models.gpt import GPT

Author = Literal["mark", "system", "user", "model", "end"]
"""Of a token: the template, the system prompt, the user, the model; `end` is the model's own mark that ends its turn."""
End = Literal["", "stop", "text", "limit", "interrupt"]
"""Reason for which an answer has ended: the template's stop or the end of the text, a text to stop at, the most tokens, the user;
"" while it goes on."""
MARK = re.compile(r"<\|\w+\|>")


@dataclass(frozen=True)
class Template:
    """The marks between the turns of a conversation: texts, or special tokens that no typed text becomes."""

    name: str
    before_system: str
    after_system: str
    first: str
    """Before the first message of the user."""
    answer: str
    """After each message: the model's turn begins."""
    stop: str
    """Ends an answer: the model writes it, where it has learned to."""
    following: str
    """After `stop`, before the next message."""
    space: str = ""
    """Before a message."""

    @property
    def special(self) -> set[str]:
        """The special tokens among its marks."""
        return {mark for text in vars(self).values() for mark in MARK.findall(text)}

    def system_of(self, prompt: str) -> str:
        """The system prompt in a prompt that is written by this template; "" where it is not."""
        return prompt.rpartition(f"{self.after_system}{self.first}")[0]


IMPORTED = (
    Template(
        "ChatML",
        "<|im_start|>system\n",
        "<|im_end|>\n",
        "<|im_start|>user\n",
        "<|im_end|>\n<|im_start|>assistant\n",
        "<|im_end|>",
        "\n<|im_start|>user\n",
    ),
    Template("<|user|>", "<|system|>\n", "<|end|>\n", "<|user|>\n", "<|end|>\n<|assistant|>\n", "<|end|>", "\n<|user|>\n"),
)
"""Templates of models tuned elsewhere, told by the special tokens of their vocabulary: ChatML, Phi-3's."""
QUESTIONS = Template("Q: A:", "", "\n", "Q:", "\nA:", "\n", "Q:", space=" ")
"""That of `lab.training.posttraining.question_pairs`: the system prompt is the story."""
PLAIN = Template("User: Assistant:", "", "\n", "User:", "\nAssistant:", "\nUser:", "", space=" ")


def template_of(tokenizer: Tokenizer, *, is_tuned: bool) -> Template:
    """The template for a run with this tokenizer; `is_tuned` of one that the lab's post-training made."""
    found = (each for each in IMPORTED if each.special <= tokenizer.special.keys())
    return next(found, QUESTIONS if is_tuned else PLAIN)


def template_sentence(template: Template, stops: Sequence[str], *, is_tuned: bool) -> str:
    """One sentence on how the conversation is written, and what ends an answer."""
    if template.special:
        words, end = f"The turns are marked by special tokens ({template.name})", f"{template.stop} ends an answer"
    elif is_tuned:
        words, end = "It was fine-tuned on questions about a story, its system prompt here", "a line end ends an answer"
    else:
        words = "It was not tuned by the lab to chat: it continues the document"
        end = "it is stopped where it writes “User:” on a new line"
    if template.stop not in stops:
        end = "the stop text ends an answer" if stops else "no stop text ends an answer"
    return f"{words}; {end}."


def begun_stop(text: str, stops: Sequence[str]) -> int:
    """Number of characters at the end of the text that may be the beginning of one of the stop texts."""
    sizes = range(min(max(map(len, stops), default=1) - 1, len(text)), 0, -1)
    return next((size for size in sizes if any(stop.startswith(text[-size:]) for stop in stops)), 0)


@dataclass(frozen=True)
class Turn:
    """A message, and the tokens of the answer with the mark that ends it, as far as they are written."""

    message: str
    answer: tuple[int, ...] = ()
    end: End = ""


@dataclass(frozen=True)
class Document:
    """The tokens that the model sees, or would see in a longer context, and the author of each."""

    ids: list[int]
    authors: list[Author]
    left_out: int
    """Number of turns, the first ones, that have no room in the context."""


@dataclass(frozen=True)
class Chat:
    """A conversation; the last turn is the one to be answered."""

    tokenizer: Tokenizer
    template: Template
    system: str = ""
    turns: tuple[Turn, ...] = ()
    stops: tuple[str, ...] = ()
    """Texts that an answer ends at. The template's own becomes part of the document, others do not."""

    def document(self, context: int, most: int) -> Document:
        """The document with the system prompt and as many of the last turns as leave room for `most` tokens of an answer, or for
        an eighth of the context."""
        room = context - min(most, context // 8)
        asked = (*self.turns[:-1], Turn(self.turns[-1].message)) if self.turns else ()
        first = max(0, len(self.turns) - 1)
        while first > 0 and len(self._tokens(first - 1, asked)) <= room:
            first -= 1  # from the end on, so that a long conversation costs no more than what fits
        tokens = self._tokens(first, self.turns)
        return Document([id for id, _ in tokens], [author for _, author in tokens], first)

    def _tokens(self, first: int, turns: Sequence[Turn]) -> list[tuple[int, Author]]:
        """The ids from this turn on, each with its author."""
        template, found = self.template, list[tuple[int, Author]]()

        def add(author: Author, ids: Sequence[int]) -> None:
            found.extend((id, author) for id in ids)

        if self.system:
            add("mark", self._marks(template.before_system))
            add("system", self.tokenizer.encode(self.system))
            add("mark", self._marks(template.after_system))
        before = template.first
        for turn in turns[first:]:
            add("mark", self._marks(before))
            add("user", self.tokenizer.encode(template.space + turn.message))
            add("mark", self._marks(template.answer))
            ended = self._length_of_end(turn)
            add("model", turn.answer[: len(turn.answer) - ended])
            add("end", turn.answer[len(turn.answer) - ended :])
            has_stop = self.text(turn.answer).endswith(template.stop)
            before = template.following if has_stop else template.stop + template.following
        return found

    def _marks(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, special=bool(self.template.special))

    def text(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids)

    def answer_text(self, turn: Turn) -> str:
        """The answer in words, without the mark that ends it."""
        return self.text(turn.answer[: len(turn.answer) - self._length_of_end(turn)])

    def settled_text(self) -> str:
        """The last answer in words, without what may turn out to be the beginning of a stop, or is no whole character yet."""
        turn = self.turns[-1]
        text = self.answer_text(turn)
        if turn.end:
            return text
        text = text.rstrip("\N{REPLACEMENT CHARACTER}")
        return text[: len(text) - begun_stop(text, self._all_stops)]

    def _length_of_end(self, turn: Turn) -> int:
        """Number of tokens at the end of the answer that are its end."""
        text = self.text(turn.answer)
        stop = "" if turn.end != "stop" else self.template.stop if text.endswith(self.template.stop) else END_OF_TEXT
        size, count = len(stop.encode()), 0
        while size > 0:
            count += 1
            size -= len(self.tokenizer.token_bytes(turn.answer[-count]))
        return count

    @property
    def _all_stops(self) -> tuple[str, ...]:
        """The stops, and the end of a text where the vocabulary has it."""
        return (*self.stops, *((END_OF_TEXT,) if END_OF_TEXT in self.tokenizer.special else ()))

    def _grown(self, turn: Turn, id: int, most: int) -> Turn:
        """The turn with one more token of its answer, which may end it: then it is cut there, the model's own mark included."""
        ids = (*turn.answer, id)
        text = self.tokenizer.decode_bytes(ids)
        found = [(at, stop) for stop in self._all_stops if (at := text.find(stop.encode())) >= 0]
        if not found:
            return Turn(turn.message, ids, "limit" if len(ids) >= most else "")
        at, stop = min(found)
        kept, size = list[int](), 0
        for each in ids:
            size += len(self.tokenizer.token_bytes(each))
            if size > at:
                break
            kept.append(each)
        kept += self.tokenizer.encode_bytes(text[len(self.tokenizer.decode_bytes(kept)) : at])
        is_own = stop in (self.template.stop, END_OF_TEXT)
        ending = self.tokenizer.encode(stop, special=True) if is_own else []
        return Turn(turn.message, (*kept, *ending), "stop" if is_own else "text")

    def answers(
        self, model: "GPT", sampling: SamplingSettings, most: int, halves: "HalfMatrices | None" = None
    ) -> Generator["Chat", None, None]:
        """The conversation with one more token of the last answer each time, until it has ended or has `most` tokens."""
        from models.sampling import generate

        turn, ids = self.turns[-1], self.document(model.config.context, most).ids
        for token in generate(model, ids, most - len(turn.answer), sampling, halves):
            turn = self._grown(turn, token.id, most)
            yield replace(self, turns=(*self.turns[:-1], turn))
            if turn.end:
                return
