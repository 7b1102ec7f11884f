"""Study `chat`: the demo fine-tuned on conversations, with and without a mark that ends answers, the loss on answers or on all.

    <|user|>STORY Who is it about?<|end|><|assistant|> Rex<|end|><|user|>Whom did it meet?<|end|><|assistant|> Oscar<|end|>

The marks are special tokens: random rows that are added to the demo's table of embeddings. No typed text becomes one.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from statistics import fmean

import torch
from torch import Tensor

from lab.core.visible_text import shortened
from lab.runs.find_runs import open_run
from lab.runs.run_folder import tokenizer_of
from lab.runs.weights_file import load_model
from lab.studies.study_job import Record
from lab.training.posttraining.answers import greedy_answers, masked_batch
from lab.training.posttraining.question_pairs import NAMED, PairSource, QuestionPair
from lab.training.posttraining.sft_and_rl import WARMUP, train
from models.chat import Chat, Template, Turn
from models.gpt import GPT
from models.tokenizers.tokenizer import Tokenizer

USER, ASSISTANT, END = MARKS = ("<|user|>", "<|assistant|>", "<|end|>")
TEMPLATE = Template("study", "", "", USER, END + ASSISTANT, END, USER)
QUESTIONS = ("Who is it about?", "Whom did it meet?")
ROOM = 24
"""Most tokens of an answer: a name and its end take two."""
ANY_LENGTH = 1 << 30
BATCH, LR = 16, 2e-3
STEPS, HELD_OUT, POINTS = 120, 20, 6
"""Steps of each training, conversations that are not trained on, and measurements."""
SHOWN, LONGEST = 3, 50
"""Conversations whose answers are shown, and characters of one."""


@dataclass(frozen=True)
class Variant:
    """A training: with the mark after answers or without, with the loss on all tokens or on the assistant's alone."""

    has_end: bool
    on_all: bool

    @property
    def name(self) -> str:
        return f"{'end' if self.has_end else 'no end'}, {'all' if self.on_all else 'answers'}"


VARIANTS = {
    "marked": Variant(has_end=True, on_all=False),
    "marked_all": Variant(has_end=True, on_all=True),
    "unmarked": Variant(has_end=False, on_all=False),
    "unmarked_all": Variant(has_end=False, on_all=True),
}
"""By the prefix of their measures."""


@dataclass(frozen=True)
class Conversation:
    """The messages, the first with the story, and the name that answers each."""

    messages: tuple[str, str]
    names: tuple[str, str]


class Chats:
    """Draws conversations, and writes them as tokens."""

    def __init__(self, tokenizer: Tokenizer, context: int, seed: int) -> None:
        words, size = [tokenizer.token_bytes(id) for id in tokenizer.ordinary], tokenizer.vocab_size
        marks = {mark: size + at for at, mark in enumerate(MARKS)}
        self.tokenizer = Tokenizer(tokenizer.kind, words, tokenizer.special | marks, size + len(MARKS))
        self._context = context
        self._source = PairSource(seed, self._fits)

    def draw(self, count: int) -> list[Conversation]:
        """So many conversations about stories that were not drawn before."""
        return [self._about(pair) for pair in self._source.draw(count)]

    def _fits(self, pair: QuestionPair) -> bool:
        return len(self.document(self._about(pair), 1, has_end=True)[0]) + ROOM <= self._context

    def _about(self, pair: QuestionPair) -> Conversation:
        """The two questions, in the order that the drawn name gives: neither can be answered by its place alone."""
        names = [name for _, name in NAMED.findall(pair.story)]
        asked = list(zip(QUESTIONS, names, strict=True))
        (first, one), (second, other) = asked if pair.name == names[0] else reversed(asked)
        return Conversation((f"{pair.story} {first}", second), (one, other))

    def document(self, chat: Conversation, answers: int = 2, *, has_end: bool) -> tuple[list[int], list[bool]]:
        """The document with so many answers, up to the place of the next one, and which of its tokens the assistant writes."""
        turns = list[Turn]()
        for message, name in zip(chat.messages[: answers + 1], chat.names, strict=False):
            ids = self.tokenizer.encode(f" {name}") + [self.tokenizer.special[END]] * has_end
            turns.append(Turn(message, tuple(ids), "stop" if has_end else "limit") if len(turns) < answers else Turn(message))
        template = TEMPLATE if has_end else replace(TEMPLATE, stop="")
        found = Chat(self.tokenizer, template, turns=tuple(turns)).document(ANY_LENGTH, 0)
        return found.ids, [author in ("model", "end") for author in found.authors]


def study(record: Record, *, steps: int = STEPS, held_out: int = HELD_OUT) -> None:
    """Train all four, and record how their answers end and how many are right."""
    run = open_run("demo")
    base, _ = load_model(run)
    chats = Chats(tokenizer_of(run), base.config.context, record.seed)
    tests, training = chats.draw(held_out), chats.draw(steps * BATCH)
    _show_document(record, chats, tests[0])
    record.plot("ends", "answers that end after one name, by themselves", x="conversations trained on", y="of all answers")
    record.plot("right", "answers that begin with the right name", x="conversations trained on", y="of all answers")
    answers = dict[str, list[str]]()
    names = [name for chat in tests for name in chat.names]
    for at, (key, variant) in enumerate(VARIANTS.items()):
        torch.manual_seed(record.seed)
        model = with_marks(base)
        for step in fine_tune(model, chats, training, variant):
            record.done((at + step / steps) / len(VARIANTS))
            if step % max(1, steps // POINTS) == 0 or step == steps:
                answers[key] = written = answers_of(model, chats, tests, variant)
                ends = fmean(is_ended(answer) for answer in written)
                right = fmean(map(is_right, written, names))
                user = fmean(USER in answer for answer in written)
                record.point("ends", variant.name, step * BATCH, ends)
                record.point("right", variant.name, step * BATCH, right)
                record.measure(**{f"{key}_ends": ends, f"{key}_right": right, f"{key}_user": user})
        _show_answers(record, tests, answers)
    record.measure(answers=len(names), room=ROOM)


def with_marks(model: GPT) -> GPT:
    """A copy of the model with a random embedding for each mark."""
    larger = GPT(replace(model.config, vocab_size=model.config.vocab_size + len(MARKS)))
    weights = dict(model.state_dict())
    weights["wte.weight"] = torch.cat([weights["wte.weight"], larger.wte.weight.detach()[-len(MARKS) :]])
    larger.load_state_dict(weights)
    return larger


def fine_tune(model: GPT, chats: Chats, training: Sequence[Conversation], variant: Variant) -> Iterator[int]:
    """Train the model in place on each conversation once, a step at a time."""
    documents = (chats.document(chat, has_end=variant.has_end) for chat in training)
    made = partial(batch_of, on_all=variant.on_all)
    steps = len(training) // BATCH
    for step in train(model, lambda: list(islice(documents, BATCH)), steps, LR, 0.0, warmup=WARMUP, batch_of=made):
        yield step.number


def batch_of(documents: Sequence[tuple[list[int], list[bool]]], *, on_all: bool) -> tuple[Tensor, Tensor]:
    """Ids and targets (B, T); tokens that are not learned are no targets."""
    return masked_batch([(ids, [on_all or by for by in written]) for ids, written in documents])


def answers_of(model: GPT, chats: Chats, tests: Sequence[Conversation], variant: Variant) -> list[str]:
    """The most probable answer to each question after the right answers before it, up to the end mark or `ROOM` tokens."""
    prompts = [chats.document(chat, turn, has_end=variant.has_end)[0] for chat in tests for turn in (0, 1)]
    return [chats.tokenizer.decode(ids) for ids in greedy_answers(model, prompts, chats.tokenizer.special[END], ROOM)]


def is_right(answer: str, name: str) -> bool:
    """The first word of the answer is the name."""
    found = re.match(r" ([A-Za-z]+)", answer)
    return found is not None and found[1] == name


def is_ended(answer: str) -> bool:
    """The answer is one name, and then the model's end mark."""
    name = answer.removesuffix(END)
    return name != answer and name.strip().isalpha()


def _show_document(record: Record, chats: Chats, chat: Conversation) -> None:
    """A conversation token by token, from the last words of the story on: who writes it, and if the loss counts it."""
    ids, written = chats.document(chat, has_end=True)
    story = len(chats.tokenizer.encode(chat.messages[0])) - 12
    rows = [
        (chats.tokenizer.label(id), "assistant" if by else "given", "yes" if by else "no", "yes")
        for id, by in zip(ids[story:], written[story:], strict=True)
    ]
    record.table("document", "a conversation is one document", ("token", "by", "answers only", "all tokens"), rows)
    record.measure(document_tokens=len(ids), document_learned=sum(written))


def _show_answers(record: Record, tests: Sequence[Conversation], answers: dict[str, list[str]]) -> None:
    rows = []
    for at, chat in enumerate(tests[:SHOWN]):
        rows.append(("right", f"{chat.messages[1]} {chat.names[1]}"))
        rows += [(VARIANTS[key].name, shortened(found[2 * at + 1], LONGEST)) for key, found in answers.items()]
    record.table("answers", "the second question, answered by each", ("trained with", "answer"), rows)
