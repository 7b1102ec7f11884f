"""Training timeline: the weights of a run by step, and the change of a prediction or number between two steps. No torch."""

from dataclasses import dataclass

from numpy import ndindex

from lab.core.errors import UserError
from lab.core.number_format import probability, probability_change, significant, whole
from lab.runs.run_folder import Run
from lab.views.blocks import Array, IntervalBar, LensPath, Matrix, MatrixPanels, StackedStrips, Strip, Table, View
from lab.views.number_refs import element, is_token_id


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
    for block in view.blocks:
        if isinstance(block, Table):
            listed = [*block.rows, *([block.total] if block.total else [])]
            found = next((cell.value for row in listed for cell in row if cell.ref == ref and cell.value is not None), None)
        elif isinstance(block, IntervalBar):
            found = next((part.high - part.low for part in block.parts if part.ref == ref), None)
        elif isinstance(block, Strip | Matrix):
            found = _element_of(block, ref)
        elif isinstance(block, MatrixPanels):
            found = next((number for each in block.matrices if (number := _element_of(each, ref)) is not None), None)
        elif isinstance(block, StackedStrips):
            rows = zip(block.refs, block.values.numpy(), strict=True)
            each = (_element_of(Strip("", Array.of(values), name), ref) for name, values in rows)
            found = next((value for value in each if value is not None), None)
        else:
            found = None
        if found is not None:
            return found
    return None


def _element_of(block: Strip | Matrix, ref: str) -> float | None:
    if not block.ref or ref.partition("[")[0] != block.ref.partition("[")[0]:
        return None
    values = block.values.numpy()
    values = values.reshape(-1) if isinstance(block, Strip) else values
    found = next((float(values[place]) for place in ndindex(values.shape) if element(block.ref, *place) == ref), None)
    return None if found is None or found != found else found


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
