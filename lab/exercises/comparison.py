"""Comparison of what a learner's function returned with what the lab's returns: equal, or where and how it differs, in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


PARTS = {np.ndarray: "tensor", list: "list", float: "number", int: "number"}
"""Words for what stands in a list in place of an array."""
ROWS, COLUMNS = 32, 64
"""Of the part: what does not fit on a screen is left out."""


@dataclass(frozen=True)
class Difference:
    """How a result differs from the right one."""

    words: str = ""
    """"" where it does not beyond rounding."""
    apart: Apart | None = None
    """Where they can be laid side by side."""


def difference(right: Any, found: Any) -> Difference:
    """How a result differs from the right one; of several results, the first that does. Both are numbers alone, in arrays, lists
    of results or dicts; what is of another type is the name of its type."""
    if isinstance(right, Mapping):
        return Difference(_of_dicts(right, found))
    if isinstance(right, list) and any(isinstance(each, np.ndarray) for each in right):  # several results
        if not isinstance(found, list | tuple) or len(found) != len(right):
            return Difference(f"It has to return {counted(len(right), 'result')}; it returned {_kind(found)}.")
        for at, (one, other) in enumerate(zip(right, found, strict=True), 1):
            if (differs := difference(one, other)).words:
                return Difference(f"In result {at} of {len(right)}: {differs.words}", differs.apart)
        return Difference()
    if isinstance(right, list):
        return Difference(_of_lists(right, found))
    return _of_arrays(np.asarray(right), found)


def is_finite(value: Any) -> bool:
    """False where a result has NaN or infinity."""
    if isinstance(value, list):
        return all(map(is_finite, value))
    return not isinstance(value, float | np.ndarray) or bool(np.isfinite(value).all())


def without_infinity(value: Any) -> Any:
    """A result with NaN for infinity."""
    if isinstance(value, list):
        return [without_infinity(each) for each in value]
    is_float = isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype.kind == "f")
    return np.where(np.isfinite(value), value, np.nan) if is_float else value


def _kind(value: Any) -> str:
    if value is None:
        return "nothing (is `return` missing?)"
    if isinstance(value, np.ndarray):
        return f"{'' if value.dtype.kind in 'biuf' else f'{value.dtype} '}numbers of shape {_shape(value)}"
    if isinstance(value, list | dict):
        return f"a {type(value).__name__} of {whole(len(value))}"
    return f"a value of type {value if isinstance(value, str) else type(value).__name__}"


def _shape(array: Array) -> str:
    return f"({', '.join(map(str, array.shape))})" if array.shape else "() (one number)"


def _of_dicts(right: Mapping[Any, Any], found: Any) -> str:
    if not isinstance(found, Mapping):
        return f"It has to return a dict; it returned {_kind(found)}."
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
        return f"It has to return a list; it returned {_kind(found)}."
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


def _of_arrays(right: Array, found: Any) -> Difference:
    if isinstance(found, list) and (
        (right.dtype.kind == "f" and right.ndim > 1) or any(getattr(each, "ndim", 0) for each in found)
    ):
        kinds = {PARTS.get(type(each), "part") for each in found}
        parts = counted(len(found), kinds.pop() if len(kinds) == 1 else "part")
        return Difference(
            f"It returned a list or tuple of {parts}, and has to return one array: torch.stack or torch.tensor makes it."
        )
    try:
        other = np.asarray(found)
        if right.dtype.kind in "iu" and other.dtype.kind == "f":
            return Difference("It has to return whole numbers; these are floats, by which no row can be looked up.")
        if other.dtype.kind not in "biuf":
            raise TypeError("these are no real numbers")
        other, right = other.astype(np.float64), right.astype(np.float64)
    except (TypeError, ValueError):
        return Difference(f"It has to return numbers of shape {_shape(right)}; it returned {_kind(found)}.")
    if other.shape != right.shape:
        turned = " It is the transpose's shape." if other.shape == right.shape[::-1] and right.ndim > 1 else ""
        return Difference(f"Its shape is {_shape(other)}, and has to be {_shape(right)}.{turned}")
    differ = _differing(right, other)
    if not differ.any():
        return Difference()
    bad = ~np.isfinite(other) & np.isfinite(right)
    if not bad.any():
        return Difference(_in_words(right, other, differ), _apart(right, other, differ))
    words = f"{counted(int(bad.sum()), 'number')} of {whole(other.size)} {'is' if bad.sum() == 1 else 'are'} NaN or infinite"
    return Difference(f"{words}, the first{_place(_first(bad))}.", _apart(right, other, differ))


def _differing(right: Array, other: Array) -> NDArray[np.bool_]:
    """The places where two arrays differ beyond rounding."""
    most = TOLERANCE * max(1.0, float(np.abs(right[np.isfinite(right)]).max(initial=0.0)))
    with np.errstate(invalid="ignore"):
        differ: NDArray[np.bool_] = ~((right == other) | (np.isnan(right) & np.isnan(other)) | (np.abs(right - other) <= most))
    return differ


def _first(places: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(each) for each in np.argwhere(places)[0])


def _place(at: tuple[int, ...]) -> str:
    return f" at [{', '.join(map(str, at))}]" if at else ""


def _in_words(right: Array, other: Array, apart: NDArray[np.bool_]) -> str:
    """The first number that differs, and what all of them have in common, if anything."""
    at = _first(apart)
    wrong, wanted = (significant(float(each[at])) for each in (other, right))
    if wrong == wanted or bool((right == np.round(right)).all()):
        wrong, wanted = (f"{float(each[at]):.7g}" for each in (other, right))
    first = f"The first number that differs{_place(at)} is {wrong}, and has to be {wanted}"
    return f"{first}.{_pattern(right, other, apart)}"


def _pattern(right: Array, other: Array, apart: NDArray[np.bool_]) -> str:
    """A true sentence on all differences, with a space before it; "" of a single number."""
    if right.size == 1:
        return ""
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
    if np.allclose(other, right[::-1], atol=TOLERANCE):
        return f" Its {'rows' if right.ndim > 1 else 'numbers'} are the right ones in reversed order."
    if right.ndim > 1:
        each_row = (other - right).reshape(-1, right.shape[-1])
        if len(each_row) > 1 and bool((np.ptp(each_row, 0) < STEADY * np.abs(each_row).max()).all()):
            bias = ", ".join(significant(float(each)) for each in each_row[0, :3])
            return f" Every row differs by the same vector, {bias} …, as by a bias."
        rows = np.flatnonzero(apart.reshape(len(right), -1).any(1))
        if len(rows) < len(right) and np.array_equal(rows, np.arange(rows[0], len(right))):
            before = "Row 0 is" if rows[0] == 1 else f"Rows 0 to {rows[0] - 1} are"
            return f" {before} right, all from row {rows[0]} on differ."
        if len(rows) > 1 and np.allclose(other, other[:1], atol=TOLERANCE) and not np.allclose(right, right[:1], atol=TOLERANCE):
            return " All its rows are the same."
        if len(rows) < len(right):
            return f" {counted(len(rows), 'row')} of {len(right)} {'differs' if len(rows) == 1 else 'differ'}."
    return f" {whole(int(apart.sum()))} of {counted(right.size, 'number')} {'differs' if apart.sum() == 1 else 'differ'}."


def _apart(right: Array, other: Array, differ: NDArray[np.bool_]) -> Apart | None:
    if right.size == 1:
        return None
    *outer, row, column = index = _first(np.atleast_2d(differ))
    top, left = row // ROWS * ROWS, column // COLUMNS * COLUMNS
    part: tuple[int | slice, ...] = (*outer, slice(top, top + ROWS), slice(left, left + COLUMNS))
    yours, wanted = (Values.of(np.atleast_2d(each)[part]) for each in (other, right))
    return Apart(yours, wanted, (top, left), (row - top, column - left), index[-right.ndim :])
