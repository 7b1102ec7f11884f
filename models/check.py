"""Checks: where long work may be given up, or let other work in.

Work calls `check()` now and then, between two layers or two parts of a text. Who runs it says what happens there; where nobody
does, as in a command, nothing happens.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


def _nothing() -> None: ...


_give_up: ContextVar[Callable[[], None]] = ContextVar("give_up", default=_nothing)
_let_in: ContextVar[Callable[[], None]] = ContextVar("let_in", default=_nothing)


def check() -> None:
    """Give up the work here, by an exception, where nobody wants it any more; then let in what waits for a long job.

    What is let in may use and change all that the caller shares with others: read it again afterwards.
    """
    _give_up.get()()
    _let_in.get()()


@contextmanager
def checked_by(give_up: Callable[[], None], let_in: Callable[[], None] = _nothing) -> Iterator[None]:
    """Work whose checks call these two."""
    wanted, waiting = _give_up.set(give_up), _let_in.set(let_in)
    try:
        yield
    finally:
        _let_in.reset(waiting)
        _give_up.reset(wanted)


@contextmanager
def alone() -> Iterator[None]:
    """Work that changes what others use, such as hooks in a model: its checks give up, but let nobody in."""
    with checked_by(_give_up.get()):
        yield
