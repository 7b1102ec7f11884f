"""Comparison of what a learner's function returned with what the lab's returns: equal, or where and how it differs, in words."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lab.core.number_format import counted, significant, whole
from lab.views.blocks import Array as Values

TOLERANCE = 1e-5
"""Largest difference that counts as rounding, as a share of the largest number of the right result, or of 1 if that is less."""
STEADY = 1e-4
"""Largest relative spread of a ratio or difference that is said to be the same everywhere."""

Array = NDArray[Any]


class Other:
    """A result that is neither numbers nor a list or dict of them."""

    def __init__(self, type_name: str) -> None:
        self.type_name = type_name


class NotComparableError(Exception):
    """Error: a result is of another kind than the right one; the message says which was expected."""


def difference(right: Any, found: Any) -> str:
    """How a result differs from the right one, in words; "" where it does not beyond rounding. Both as `plain` gives them."""
    try:
        return _difference(right, found)
    except NotComparableError as error:
        return str(error)


def _difference(right: Any, found: Any) -> str:
    if isinstance(right, Mapping):
        return _of_dicts(right, found)
    if isinstance(right, list) and any(isinstance(each, np.ndarray) for each in right):  # several results
        if not isinstance(found, list | tuple) or len(found) != len(right):
            raise NotComparableError(f"It has to return {counted(len(right), 'result')}; it returned {_kind(found)}.")
        for at, (one, other) in enumerate(zip(right, found, strict=True)):
            if differs := _difference(one, other):
                return f"In result {at + 1} of {len(right)}: {differs}"
        return ""
    if isinstance(right, list):
        return _of_lists(right, found)
    return _of_arrays(np.asarray(right), found)


def _kind(value: Any) -> str:
    if value is None:
        return "nothing (is `return` missing?)"
    if isinstance(value, np.ndarray):
        return f"{'' if value.dtype.kind in 'biuf' else f'{value.dtype} '}numbers of shape {_shape(value)}"
    if isinstance(value, list | dict):
        return f"a {type(value).__name__} of {whole(len(value))}"
    return f"a value of type {value.type_name if isinstance(value, Other) else type(value).__name__}"


def _shape(array: Array) -> str:
    return f"({', '.join(map(str, array.shape))})" if array.shape else "() (one number)"


def _of_dicts(right: Mapping[Any, Any], found: Any) -> str:
    if not isinstance(found, Mapping):
        raise NotComparableError(f"It has to return a dict; it returned {_kind(found)}.")
    if dict(found) == dict(right):
        return ""
    missing, extra = [key for key in right if key not in found], [key for key in found if key not in right]
    more = f"{_count(extra, 'key')} too much, such as {extra[0]!r}." if extra else ""
    if missing:
        return f"{_count(missing, 'key')} missing, such as {missing[0]!r}, which is {right[missing[0]]}. {more}".rstrip()
    if more:
        return more
    key = next(key for key in right if found[key] != right[key])
    return f"{key!r} is {found[key]}, and has to be {right[key]}."


def _count(keys: Sequence[Any], word: str) -> str:
    return f"{counted(len(keys), word)} {'is' if len(keys) == 1 else 'are'}"


def _of_lists(right: list[Any], found: Any) -> str:
    if not isinstance(found, list | tuple | np.ndarray):
        raise NotComparableError(f"It has to return a list; it returned {_kind(found)}.")
    other = [
        tuple(each) if isinstance(each, list | tuple) else each
        for each in (found.tolist() if hasattr(found, "tolist") else found)
    ]
    if other == right:
        return ""
    at = next((at for at, (a, b) in enumerate(zip(right, other, strict=False)) if a != b), min(len(right), len(other)))
    if at < min(len(right), len(other)):
        return f"Item {at} is {other[at]!r}, and has to be {right[at]!r}{'; those before it are right' if at else ''}."
    rest = f"; {'the first is' if at == 1 else f'the first {at} are'} right" if at else ""
    return f"It has {counted(len(other), 'item')}, and has to have {len(right)}{rest}."


def _of_arrays(right: Array, found: Any) -> str:
    try:
        is_matrix = right.dtype.kind == "f" and right.ndim > 1
        if isinstance(found, list) and (is_matrix or any(getattr(each, "ndim", 0) for each in found)):
            raise NotComparableError(
                "It returned several parts, and has to return one array: torch.stack or torch.tensor makes it."
            )
        other = np.asarray(found)
        if right.dtype.kind in "iu" and other.dtype.kind == "f":
            raise NotComparableError("It has to return whole numbers; these are floats, by which no row can be looked up.")
        if other.dtype.kind not in "biuf":
            raise TypeError("these are no real numbers")
        other, right = other.astype(np.float64), right.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise NotComparableError(f"It has to return numbers of shape {_shape(right)}; it returned {_kind(found)}.") from error
    if other.shape != right.shape:
        turned = " It is the transpose's shape." if other.shape == right.shape[::-1] and right.ndim > 1 else ""
        raise NotComparableError(f"Its shape is {_shape(other)}, and has to be {_shape(right)}.{turned}")
    bad = ~np.isfinite(other) & np.isfinite(right)
    if bad.any():
        at = tuple(int(each) for each in np.argwhere(bad)[0])
        words = f"{counted(int(bad.sum()), 'number')} of {whole(other.size)} {'is' if bad.sum() == 1 else 'are'} NaN or infinite"
        return f"{words}, the first{_place(at)}."
    differ = differing(right, other)
    return _in_words(right, other, differ) if differ.any() else ""


def differing(right: Array, other: Array) -> NDArray[np.bool_]:
    """The places where two arrays differ beyond rounding."""
    most = TOLERANCE * max(1.0, float(np.abs(right[np.isfinite(right)]).max(initial=0.0)))
    with np.errstate(invalid="ignore"):
        differ: NDArray[np.bool_] = ~((right == other) | (np.isnan(right) & np.isnan(other)) | (np.abs(right - other) <= most))
    return differ


def _place(at: tuple[int, ...]) -> str:
    return f" at [{', '.join(map(str, at))}]" if at else ""


def _in_words(right: Array, other: Array, apart: NDArray[np.bool_]) -> str:
    """The first number that differs, and what all of them have in common, if anything."""
    at = tuple(int(each) for each in np.argwhere(apart)[0])
    wrong, wanted = (significant(float(each[at])) for each in (other, right))
    if wrong == wanted or bool((right == np.round(right)).all()):
        wrong, wanted = (f"{float(each[at]):.7g}" for each in (other, right))
    first = f"The first number that differs{_place(at)} is {wrong}, and has to be {wanted}"
    return f"{first}.{_pattern(right, other, apart)}"


def _pattern(right: Array, other: Array, apart: NDArray[np.bool_]) -> str:
    """A true sentence on all differences, with a space before it; "" where none is known."""
    if right.ndim == 2 and right.shape[0] == right.shape[1] and np.allclose(other, right.T, atol=TOLERANCE):
        return " It is the transpose of the right one."
    share = np.abs(right) > 1e-3 * np.abs(right).max()
    if share.sum() > 1:
        ratios = other[share] / right[share]
        ratio = float(np.median(ratios))
        is_ratio = np.allclose(other, ratio * right, rtol=STEADY, atol=1e-6 * float(np.abs(other).max()))
        if is_ratio and abs(ratio) > TOLERANCE and (times := significant(ratio)) != "1.00":
            opposite = math.isclose(ratio, -1, rel_tol=STEADY)
            return " Every number has the opposite sign." if opposite else f" Every number is {times} times the right one."
        shifts = other - right
        if np.ptp(shifts) < STEADY * float(np.abs(shifts).max()):
            return f" Every number is {significant(abs(float(shifts.flat[0])))} too {'high' if shifts.flat[0] > 0 else 'low'}."
    if right.ndim > 1:
        rows = np.flatnonzero(apart.reshape(len(right), -1).any(1))
        if len(rows) < len(right) and np.array_equal(rows, np.arange(rows[0], len(right))):
            before = "Row 0 is" if rows[0] == 1 else f"Rows 0 to {rows[0] - 1} are"
            return f" {before} right, all from row {rows[0]} on differ."
        if len(rows) > 1 and np.allclose(other, other[:1], atol=TOLERANCE) and not np.allclose(right, right[:1], atol=TOLERANCE):
            return " All its rows are the same."
        if len(rows) < len(right):
            return f" {counted(len(rows), 'row')} of {len(right)} {'differs' if len(rows) == 1 else 'differ'}."
    if right.size == 1:
        return ""
    return f" {whole(int(apart.sum()))} of {counted(right.size, 'number')} {'differs' if apart.sum() == 1 else 'differ'}."


class Apart(msgspec.Struct, frozen=True):
    """A part of two matrices that differ, yours and the right one, around the first number that does."""

    yours: Values
    right: Values
    first: tuple[int, int]
    """Row and column of the first number of the part."""
    at: tuple[int, int]
    """Row and column, in the part, of the first number that differs."""
    index: tuple[int, ...]
    """Its index in the whole result."""


ROWS, COLUMNS = 32, 64
"""Of the part: what does not fit on a screen is left out."""


def apart(right: Any, found: Any) -> Apart | None:
    """The part of two results, of the first that differ where there are several; None where they cannot be laid side by side."""
    if isinstance(right, list) and isinstance(found, list) and any(isinstance(each, np.ndarray) for each in right):
        return next((apart(one, other) for one, other in zip(right, found, strict=False) if difference(one, other)), None)
    with suppress(TypeError, ValueError, NotComparableError):
        other = np.asarray(found, dtype=np.float64)
        if isinstance(right, np.ndarray) and right.size > 1 and other.shape == right.shape:
            yours, wanted = (np.atleast_2d(each) for each in (other, right.astype(np.float64)))
            if not (differ := differing(wanted, yours)).any():
                return None
            index = tuple(int(each) for each in np.argwhere(differ)[0])
            *outer, row, column = index
            top, left = row // ROWS * ROWS, column // COLUMNS * COLUMNS
            rows, columns = slice(top, top + ROWS), slice(left, left + COLUMNS)
            yours, wanted = (each[tuple(outer)][rows, columns] for each in (yours, wanted))
            at = row - top, column - left
            return Apart(Values.of(yours), Values.of(wanted), (top, left), at, index[-right.ndim :])
    return None
