import gc
import weakref
from collections.abc import Generator
from typing import Any

import pytest

from lab.core.errors import UserError
from lab.engine.method_registry import SampleParams, ViewParams
from lab.inspect import model_cache, trace_cache
from lab.inspect.model_cache import ModelCache
from lab.inspect.trace_cache import CachedTrace
from lab.runs.run_locks import inspect_lock_is_held
from tests.lab.engine.conftest import InProcessEngine


def test_an_open_run_is_held_until_it_is_let_go(tiny: Any, engine: InProcessEngine) -> None:
    assert not inspect_lock_is_held(tiny.run.path)
    engine.open()
    assert inspect_lock_is_held(tiny.run.path)
    assert engine.release(path=str(tiny.run.path))
    assert not inspect_lock_is_held(tiny.run.path)
    engine.open()
    assert inspect_lock_is_held(tiny.run.path)
    engine.release(path="/another/run")
    assert inspect_lock_is_held(tiny.run.path)
    engine.release(path=str(tiny.run.path))


def test_a_run_that_made_room_is_held_no_longer(make_run: Any, engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_cache, "WEIGHTS_BUDGET", 0)
    runs = [make_run(name).run for name in ("first", "second", "third")]
    for run in runs:
        engine.open(run=run.name)
    assert [inspect_lock_is_held(run.path) for run in runs] == [False, True, True]
    for run in runs:
        engine.release(path=str(run.path))


ROUNDS = 200


def in_turns(works: list[Generator[None, None, CachedTrace]]) -> list[CachedTrace | None]:
    """Takes each a slice on in turn, as the server does; what each came to, None where it had no end within `ROUNDS`."""
    results: dict[int, CachedTrace] = {}
    for _ in range(ROUNDS):
        for at, work in enumerate(works):
            if at not in results:
                try:
                    next(work)
                except StopIteration as end:
                    results[at] = end.value
    return [results.get(at) for at in range(len(works))]


@pytest.mark.parametrize("requests", [2, 3, 7])
def test_requests_for_different_traces_do_not_undo_each_other(requests: int, tiny: Any) -> None:
    held = ModelCache()
    model = held.model("tiny", "best")
    prompts = [[number, 5, 9] for number in range(requests)]
    results = in_turns([held.traces.trace_incrementally(model, ids) for ids in prompts])
    assert [traced.trace.ids if traced else None for traced in results] == prompts


def test_what_was_given_up_is_in_nobody_s_way_and_one_who_cannot_wait_is_not_kept_waiting(tiny: Any) -> None:
    held = ModelCache()
    model = held.model("tiny", "best")
    for number in range(5):
        given_up = held.traces.trace_incrementally(model, [number, 5])
        next(given_up)
        given_up.close()
    assert len(held.traces._unfinished) <= trace_cache.UNFINISHED_TRACES
    assert in_turns([held.traces.trace_incrementally(model, [7, 7])])[0] is not None
    others = [held.traces.trace_incrementally(model, [number, 6]) for number in range(trace_cache.UNFINISHED_TRACES)]
    for other in others:
        next(other)
    assert held.traces.trace(model, [9, 9]).trace.ids == [9, 9]
    assert all(in_turns(others))


def test_weights_that_were_replaced_leave_no_traces(tiny: Any) -> None:
    held = ModelCache()
    old = held.model("tiny", "best")
    held.traces.trace(old, [1, 2])
    half_made, unaware = held.traces.trace_incrementally(old, [3, 4]), held.traces.trace_incrementally(old, [5, 6])
    next(half_made)
    half_made.close()
    next(unaware)
    tiny.save("best", 200, seed=7)
    assert held.model("tiny", "best", fresh=True) is not old
    assert not held.traces._traces
    assert not held.traces._unfinished
    (late,) = in_turns([unaware])
    assert late is not None
    assert late.trace.ids == [5, 6]
    assert not held.traces._traces
    gone = weakref.ref(old.model)
    del old, half_made, unaware, late
    gc.collect()
    assert gone() is None


def test_a_released_run_is_held_by_nothing(tiny: Any, engine: InProcessEngine) -> None:
    engine.open()
    asked = [
        engine.functions["sample"](SampleParams(run="tiny", text="The big dog")),
        engine.functions["view"](ViewParams(run="tiny", text="The", stage="thumbnails")),
    ]
    for work in asked:
        next(work)
    model = weakref.ref(engine.models.model("tiny", "best").model)
    engine.release(path=str(tiny.run.path))
    for work in asked:
        with pytest.raises(UserError, match="tiny is being renamed or deleted"):
            next(work)
    gc.collect()
    assert model() is None


def test_a_trace_that_failed_can_be_asked_for_again(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    held = ModelCache()
    model = held.model("tiny", "best")
    with monkeypatch.context() as broken:
        broken.setattr(trace_cache, "_fast_path", lambda *_: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(MemoryError):
            held.traces.trace(model, [1, 2])
    assert held.traces.trace(model, [1, 2]).trace.ids == [1, 2]


def test_a_damaged_tokenizer_is_the_user_s_to_mend_and_no_bug(tiny: Any) -> None:
    tiny.run.tokenizer_path.write_text("{}")
    with pytest.raises(UserError, match="tokenizer's file is damaged"):
        ModelCache().model("tiny", "best")
