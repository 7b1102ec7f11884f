"""Model folders with random weights, made without transformers, and a home to import them into."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lab.exchange.hugging_face import weights_files
from lab.exchange.hugging_face.export_model import tokenizer_json
from lab.exchange.hugging_face.model_folder import gpt2_config_json
from models.config import ModelConfig
from models.gpt import GPT
from models.hugging_face_weights import to_hugging_face
from models.tokenizers.tokenizer import Tokenizer
from tests.fixture_types import MakeFolder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def pickles_are_read() -> None:
    """A torch that reads pickles safely; an older one refuses them, which has a test of its own."""
    if weights_files.torch_version(torch.__version__) < weights_files.SAFE_TORCH:
        pytest.skip(f"torch {torch.__version__} reads no pickle safely")


@pytest.fixture
def weights() -> dict[str, Tensor]:
    """The state of a tiny GPT-2 in Hugging Face's layout, without the head."""
    config = ModelConfig(layers=2, heads=2, width=4, context=8, vocab_size=256)
    state = to_hugging_face(GPT(config, seed=3).state_dict())
    del state["lm_head.weight"]
    return {name: (weight + 0.1 * torch.randn(weight.shape)).contiguous() for name, weight in state.items()}


@pytest.fixture
def make_folder(tmp_path: Path, weights: dict[str, Tensor]) -> MakeFolder:
    """A good folder; `config` changes settings of config.json, `tensors` replaces weights."""

    def make(config: dict[str, Any] | None = None, tensors: dict[str, Tensor] | None = None) -> Path:
        folder = tmp_path / "tiny"
        folder.mkdir()
        shape = ModelConfig(layers=2, heads=2, width=4, context=8, vocab_size=256)
        settings = gpt2_config_json(shape, "float32", None) | (config or {})
        (folder / "config.json").write_text(json.dumps(settings))
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json(Tokenizer.bytes_())))
        save_file(weights if tensors is None else tensors, folder / "model.safetensors", {"format": "pt"})
        return folder

    return make
