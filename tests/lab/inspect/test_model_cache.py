import gc
import weakref
from typing import Any

import pytest

from lab.core.errors import UserError
from lab.engine.method_registry import SampleParams, ViewParams
from lab.inspect import model_cache
from lab.inspect.model_cache import CachedTrace, ModelCache
from lab.runs.run_control import inspect_lock_is_held
from models.check import checked_by
from models.trace import Trace
from tests.given_up import given_up_at
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


def test_whoever_is_let_in_may_make_other_traces_and_finish_the_same(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    held = ModelCache()
    model = held.model("tiny", "best")
    plain = ModelCache().traces.trace(model, [1, 5, 9])
    layers = counted_layers(monkeypatch)
    prompts = [[1, 5, 9], [2, 5, 9], [3, 5, 9], [4, 5, 9]]
    made: list[CachedTrace] = []
    waiting = list(prompts)

    def let_in() -> None:
        if waiting:
            made.append(held.traces.trace(model, waiting.pop(0)))

    with checked_by(lambda: None, let_in):
        found = held.traces.trace(model, prompts[0])
    assert [each.trace.ids for each in sorted(made, key=lambda each: each.trace.ids)] == prompts
    assert len(layers) == len(prompts) * model.model.config.layers, "none is computed twice"
    assert all(found is each for each in made if each.trace.ids == prompts[0])
    assert found.probabilities == plain.probabilities
    assert found.logits is not None
    assert plain.logits is not None
    assert bool((found.logits == plain.logits).all())


def counted_layers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The layers that are computed from here on."""
    layers: list[int] = []
    layer = Trace._layer
    monkeypatch.setattr(Trace, "_layer", lambda trace, number, given: layers.append(number) or layer(trace, number, given))
    return layers


def test_what_was_given_up_is_resumed_and_few_such_are_kept(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    held = ModelCache()
    model = held.model("tiny", "best")
    for number in range(5):
        with given_up_at(1):
            held.traces.trace(model, [number, 5])
    assert len(held.traces._unfinished) == model_cache.UNFINISHED_TRACES
    layers = counted_layers(monkeypatch)
    assert held.traces.trace(model, [4, 5]).trace.ids == [4, 5]
    assert layers == [1], "the first was there"
    assert held.traces.trace(model, [0, 5]).trace.ids == [0, 5]
    assert layers == [1, 0, 1]


def test_weights_that_were_replaced_leave_no_traces(tiny: Any) -> None:
    held = ModelCache()
    old = held.model("tiny", "best")
    held.traces.trace(old, [1, 2])
    with given_up_at(1):
        held.traces.trace(old, [3, 4])

    def replace() -> None:
        if held.model("tiny", "best").step == 100:
            tiny.save("best", 200, seed=7)
            assert held.model("tiny", "best", fresh=True).step == 200
            assert not held.traces._traces
            assert not held.traces._unfinished

    with checked_by(lambda: None, replace):
        late = held.traces.trace(old, [5, 6])
    assert late.trace.ids == [5, 6]
    assert not held.traces._traces
    gone = weakref.ref(old.model)
    del old, late
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("method", "params"),
    [("sample", SampleParams(run="tiny", text="The big dog")), ("view", ViewParams(run="tiny", text="The", stage="thumbnails"))],
)
def test_a_released_run_is_held_by_nothing(method: str, params: Any, tiny: Any, engine: InProcessEngine) -> None:
    engine.open()
    model = weakref.ref(engine.models.model("tiny", "best").model)
    with (
        pytest.raises(UserError, match="tiny is being renamed or deleted"),
        checked_by(lambda: None, lambda: engine.release(path=str(tiny.run.path))),
    ):
        engine.functions[method](params)
    gc.collect()
    assert model() is None


def test_a_trace_that_failed_can_be_asked_for_again(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    held = ModelCache()
    model = held.model("tiny", "best")
    with monkeypatch.context() as broken:
        broken.setattr(model_cache, "_fast_path", lambda *_: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(MemoryError):
            held.traces.trace(model, [1, 2])
    assert held.traces.trace(model, [1, 2]).trace.ids == [1, 2]


def test_a_damaged_tokenizer_is_the_user_s_to_mend_and_no_bug(tiny: Any) -> None:
    tiny.run.tokenizer_path.write_text("{}")
    with pytest.raises(UserError, match="tokenizer's file is damaged"):
        ModelCache().model("tiny", "best")
