"""Training timeline: the weights of a run by step, and the change of a prediction or number between two steps. No torch."""

from collections.abc import Iterator
from dataclasses import dataclass

from numpy import ndenumerate

from lab.core.errors import UserError
from lab.core.number_format import probability, probability_change, significant, whole
from lab.runs.run_folder import Run
from lab.views.blocks import Block, IntervalBar, LensPath, Matrix, MatrixPanels, StackedStrips, Strip, Table, View
from lab.views.number_refs import element, is_token_id
from lab.views.number_tables import Numbers


@dataclass(frozen=True)
class TimelineStop:
    """Weights that can be opened, by step, each step once; best and last are in full precision. Raises: UserError without any."""

    checkpoint: str
    """Their name for the engine: "best", "last", or a snapshot's step."""
    step: int
    names: tuple[str, ...] = ()
    """The further names "best" and "last" of the same weights."""


def stops(run: Run) -> list[TimelineStop]:
    """Weights that can be opened, by step, each step once; best and last are in full precision.

    Raises:
        UserError: if the run has no snapshots.
    """
    found = {file.step: TimelineStop(file.name, file.step) for file in run.snapshots()}
    if not found:
        why = "a run keeps them while it trains in your lab" if run.checkpoints() else "it has not been trained yet"
        raise UserError(f"{run.name} has no snapshots: {why} (4).")
    for file in run.checkpoints():
        if file.name in ("best", "last"):
            names = (*found[file.step].names, file.name) if file.step in found else (file.name,)
            found[file.step] = TimelineStop(names[0], file.step, names)
    return [found[step] for step in sorted(found)]


def stop_index(stops: list[TimelineStop], checkpoint: str, step: int | None) -> int:
    """Index of the stop of a model: by its name, else the nearest by step."""
    for index, stop in enumerate(stops):
        if checkpoint == stop.checkpoint or checkpoint in stop.names:
            return index
    at = int(checkpoint) if checkpoint.isdecimal() else stops[-1].step if step is None else step
    return min(range(len(stops)), key=lambda index: abs(stops[index].step - at))


def value_of(view: View, ref: str) -> float | None:
    """The number with this reference; None if the view does not show it."""
    name = ref.partition("[")[0]
    numbers = (number for block in view.blocks for number in _numbers(block, name))
    return next((value for found, value in numbers if found == ref and value is not None and value == value), None)


def _numbers(block: Block, name: str) -> Iterator[tuple[str, float | None]]:
    """Reference and value of each number of a block; of a strip or matrix only where its reference begins with this name."""
    arrays: list[tuple[str, Numbers]] = []
    match block:
        case Table():
            yield from ((cell.ref, cell.value) for row in (*block.rows, block.total or []) for cell in row)
        case IntervalBar():
            yield from ((part.ref, part.high - part.low) for part in block.parts)
        case MatrixPanels():
            arrays = [(each.ref, each.values.numpy()) for each in block.matrices]
        case StackedStrips():
            arrays = list(zip(block.refs, block.values.numpy(), strict=True))
        case Strip() | Matrix():
            values = block.values.numpy()
            arrays = [(block.ref, values.reshape(-1) if isinstance(block, Strip) else values)]
    for ref, values in arrays:
        if ref and ref.partition("[")[0] == name:
            yield from ((element(ref, *place), float(value)) for place, value in ndenumerate(values))


@dataclass(frozen=True)
class ViewAtStep:
    """The lens path and the view of the model at one step."""

    step: int
    lens_path: LensPath
    view: View


def prediction_in_words(now: ViewAtStep, before: ViewAtStep | None) -> str:
    """The prediction now, and its probability before: `says “ran” 41%, +29 points since step 256; at step 256: “sat” 30%`."""
    top = now.lens_path.top[0]
    words = f"says “{top.label}” "
    if before is None:
        return words + probability(top.probability)
    was = next((each.probability for each in before.lens_path.top if each.id == top.id), None)
    since = _since(now, before)
    if was is None:
        words += f"{probability(top.probability)}, not among the most probable at step {whole(before.step)}"
    else:
        _, shown, change = probability_change(was, top.probability)
        words += f"{shown}, {f'{change} points' if top.probability != was else 'no change'} {since}"
    old = before.lens_path.top[0]
    return words if old.id == top.id else f"{words}; at step {whole(before.step)}: “{old.label}” {probability(old.probability)}"


def _since(now: ViewAtStep, before: ViewAtStep) -> str:
    """`since step 256`; `against step 256` when going back in time, so that a rise does not read as a fall."""
    return f"{'since' if now.step >= before.step else 'against'} step {whole(before.step)}"


def describe_number(ref: str, now: ViewAtStep, before: ViewAtStep | None) -> str:
    """A number of the view now and its change; "" where it has no name."""
    if not ref:
        return ""
    value = value_of(now.view, ref)
    if value is None:
        return f"{ref} is not among the numbers shown at this step"
    if is_token_id(ref):
        return f"{ref} = {value:.0f}, the prompt's token at every step"
    words = f"{ref} = {significant(value, 4)}"
    was = None if before is None or before.view.stage != now.view.stage else value_of(before.view, ref)
    if was is None or before is None:
        return words
    return f"{words}, {significant(value - was, 3, sign=True)} {_since(now, before)} ({significant(was, 4)})"
