"""Work that is given up, as the engine's server does with what nobody wants any more."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from models.check import checked_by


class Unwanted(BaseException):
    """The end of work that is given up."""


@contextmanager
def given_up_at(number: int) -> Iterator[None]:
    """Work that is given up at the check of that number, from 1; one that ends before fails the test."""
    checks = itertools.count(1)

    def give_up() -> None:
        if next(checks) == number:
            raise Unwanted

    with pytest.raises(Unwanted), checked_by(give_up):
        yield
