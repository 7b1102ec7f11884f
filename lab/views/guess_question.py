"""A question for the learner to guess, with the answer that is revealed afterwards; plain data, made by the engine."""

import msgspec


class GuessChoice(msgspec.Struct, frozen=True, omit_defaults=True):
    label: str
    value: float | None = None
    """Its share, 0 to 1, drawn as a bar at the reveal; None where the choices are sentences."""
    text: str = ""
    """The share as it is printed."""


class GuessQuestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """A question and its choices. Without choices there is nothing to guess, and `question` says why."""

    kind: str
    """"next token", "attention" or "experiment"."""
    question: str
    choices: tuple[GuessChoice, ...] = ()
    right: tuple[int, ...] = ()
    """Indices of the right choices: several where they are tied."""
    tokens: tuple[str, ...] = ()
    """Labels of the prompt's tokens up to the position, the last ones if there are many."""
    asks_next: bool = False
    """True where the token after `tokens` is asked for."""
    answer: str = ""
    """The answer with its numbers, in one sentence."""
    why: str = ""
    """One or two sentences on the meaning of the answer."""
    others: GuessChoice | None = None
    """All that is not among the choices, together."""
    position: int = 0
    """0-based position of the prompt, within the window."""
    run: str = ""
    identity: str = ""
    """The same for the same question on the same weights, however often it is asked."""
