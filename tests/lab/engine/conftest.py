"""A tiny run with random weights, the engine in this process, and the second GPT-2 of the models' tests."""

import copy
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lab.engine.method_bindings import implementations
from lab.engine.method_registry import PromptParams
from lab.engine.prompt_methods import trace_prompt
from lab.inspect.model_cache import ModelCache
from lab.runs.run_folder import Run
from lab.runs.run_schema import DataConfig, RunConfig, TokenizerConfig, TrainConfig
from models.config import ModelConfig
from models.gpt import GPT
from models.tokenizers.tokenizer import Tokenizer
from tests.models.oracle import Oracle

TEXT = "The big dog ran fast. The small cat ran home. The big cat sat. "
PROMPT = "The big dog ran fast. The cat"


@pytest.fixture
def engine_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log of the engines that a client starts, which is else a file without a name."""
    path = tmp_path / "engine.log"
    monkeypatch.setattr("lab.engine.client.tempfile", SimpleNamespace(TemporaryFile=lambda: path.open("a+b")))
    return path


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)


@functools.cache
def _tokenizer() -> Tokenizer:
    return Tokenizer.train([TEXT * 3], 275)


@functools.cache
@torch.no_grad()  # type: ignore[untyped-decorator]
def _random_model(config: ModelConfig, seed: int) -> GPT:
    model = GPT(config, seed)
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight += 0.35 * torch.empty(weight.shape).normal_(generator=generator)
    return model


def random_model(config: ModelConfig, seed: int) -> GPT:
    """Every weight random and large enough that attention is not flat, biases and norms too."""
    return copy.deepcopy(_random_model(config, seed))


class TinyRun(NamedTuple):
    run: Run
    model: GPT
    tokenizer: Tokenizer

    def save(self, name: str, step: int, seed: int | None = None) -> None:
        """Writes a checkpoint: the model's weights, or with a seed those of another random model."""
        model = self.model if seed is None else random_model(self.model.config, seed)
        path = self.run.path / f"{name}.safetensors"
        temporary = path.with_suffix(".tmp")
        tensors = {key: value.contiguous() for key, value in model.state_dict().items()}
        if name == "last":
            tensors = {f"model.{key}": value for key, value in tensors.items()}
        save_file(tensors, temporary, {"format": "pt", "step": str(step), "val_loss": "1.25"})
        os.replace(temporary, path)


MakeRun = Callable[..., TinyRun]


def make_tiny_run(
    home: Path, name: str = "tiny", seed: int = 1, layers: int = 2, heads: int = 2, width: int = 8, context: int = 16
) -> TinyRun:
    """A run of this shape in a home."""
    tokenizer = _tokenizer()
    config = ModelConfig(layers=layers, heads=heads, width=width, context=context, vocab_size=tokenizer.vocab_size)
    run = Run(home / name)
    run.path.mkdir()
    data = DataConfig(
        name=name,
        source="-",
        encoding="utf-8",
        sha256="",
        bytes=1,
        characters=1,
        tokens=1,
        split=1,
        train_bytes=1,
        val_bytes=1,
    )
    settings = RunConfig(
        name=name,
        created=1.0,
        model=config,
        tokenizer=TokenizerConfig(kind="bpe", vocab_size=tokenizer.vocab_size),
        data=data,
        train=TrainConfig(),
    )
    (run.path / "config.json").write_bytes(msgspec.json.encode(settings))
    tokenizer.save(run.tokenizer_path)
    tiny = TinyRun(run, random_model(config, seed), tokenizer)
    tiny.save("best", 100)
    return tiny


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeRun:
    monkeypatch.setenv("LLMLAB_HOME", str(tmp_path))
    return functools.partial(make_tiny_run, tmp_path)


@pytest.fixture
def tiny(make_run: MakeRun) -> TinyRun:
    return make_run()


@pytest.fixture(scope="module")
def shared_tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyRun]:
    """One run for all tests of a module, which only read it."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("LLMLAB_HOME", str(home))
        yield make_tiny_run(home)


class InProcessEngine:
    """The engine's methods called in this process, each run to its end, its answer sent through the wire's encoding.

    A method takes its parameters, or the fields that are not those of `DEFAULTS`.
    """

    DEFAULTS = {"run": "tiny", "text": PROMPT, "stage": ""}

    def __init__(self) -> None:
        self.models = ModelCache()
        found = implementations(self.models)
        self.functions = {each.method.name: each.function for each in found}
        self._methods = {each.method.name: each.method for each in found}

    def asked(self, name: str, **fields: Any) -> Any:
        """The parameters of a method."""
        params = self._methods[name].params
        return params(**{key: value for key, value in self.DEFAULTS.items() if key in params.__struct_fields__} | fields)

    def __getattr__(self, name: str) -> Any:
        def run(given: Any = None, **fields: Any) -> Any:
            result: Any = self.functions[name](self.asked(name, **fields) if given is None else given)
            return msgspec.msgpack.decode(msgspec.msgpack.encode(result), type=self._methods[name].result)

        return run

    def trace(self, *names: str, **params: Any) -> dict[str, np.ndarray]:
        """Values of the trace that a prompt's methods share; all, if none is named."""
        asked = PromptParams(**{"run": "tiny", "text": PROMPT} | params)
        found = trace_prompt(self.models, asked).trace
        return {name: found[name].float().numpy() for name in names or found.names()}


@pytest.fixture
def engine() -> InProcessEngine:
    return InProcessEngine()


@pytest.fixture(scope="module")
def shared_engine() -> InProcessEngine:
    """One engine for all tests of a module, which opens `shared_tiny` once."""
    return InProcessEngine()


@pytest.fixture
def oracle_of() -> Callable[..., Oracle]:
    return lambda tiny, ids, edits=(): Oracle(tiny.model.state_dict(), tiny.model.config, ids, edits)
