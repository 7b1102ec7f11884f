"""The engine's method `chat`: the document of a conversation, and the next tokens of its last answer."""

from collections.abc import Generator
from dataclasses import dataclass

from msgspec.structs import replace

from lab.data.default_prompts import first_prompt
from lab.engine.method_registry import ChatAnswer, ChatParams
from lab.inspect.model_cache import ModelCache
from lab.inspect.open_model import Identity
from models.chat import Chat, template_of, template_sentence
from models.check import check


@dataclass
class Writing:
    """An answer that is being written, which the next request goes on with where it asks for just that."""

    identity: Identity
    params: ChatParams
    """What was asked, with the turns as they are by now."""
    answers: Generator[Chat, None, None]


@dataclass
class ChatMethods:
    models: ModelCache
    _writing: Writing | None = None

    def chat(self, params: ChatParams) -> ChatAnswer:
        """The conversation with at most `tokens` more tokens of its last answer. Raises: UserError."""
        opened = self.models.model(params.run, params.checkpoint, fresh=True)
        is_tuned = opened.run.config.tuning is not None
        template = template_of(opened.tokenizer, is_tuned=is_tuned)
        system = template.system_of(first_prompt(opened.run)) if params.system is None else params.system
        stops = (template.stop,) if params.stops is None else params.stops
        chat, context = Chat(opened.tokenizer, template, system, params.turns, stops), opened.model.config.context
        writing, self._writing = self._writing, None
        if writing is None or (writing.identity, writing.params) != (opened.identity, params):
            writing = Writing(opened.identity, params, chat.answers(opened.model, params.sampling, params.most))
        for _ in range(params.tokens if chat.turns and not chat.turns[-1].end else 0):
            check()
            opened.refuse_released()
            following = next(writing.answers, None)
            if following is None:
                break
            chat = following
        if chat.turns and not chat.turns[-1].end:
            writing.params = replace(params, turns=chat.turns)
            self._writing = writing
        document = chat.document(context, params.most)
        return ChatAnswer(
            about=f"{opened.note} {template_sentence(template, stops, is_tuned=is_tuned)}".lstrip(),
            is_tuned=is_tuned or bool(template.special),
            system=system,
            stops=stops,
            turns=chat.turns,
            texts=[chat.answer_text(turn) for turn in chat.turns[:-1]] + ([chat.settled_text()] if chat.turns else []),
            ids=tuple(document.ids),
            labels=[opened.tokenizer.label(id) for id in document.ids],
            authors=document.authors,
            left_out=document.left_out,
            context=context,
            step=opened.step,
        )
