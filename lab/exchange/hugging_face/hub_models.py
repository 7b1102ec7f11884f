"""The GPT-2s that have a name: looked up in the Hugging Face cache, else downloaded by huggingface_hub where it is installed."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lab.core.errors import UserError
from lab.core.number_format import bytes_
from lab.core.visible_text import shortened, visible
from lab.exchange.hugging_face.model_folder import CACHE_ENTRY, ModelFolder, has_model, newest_snapshot
from models.config import FIXED_VOCABULARY_SIZES, ModelConfig
from models.parameter_count import BYTES, parameter_count
from models.tokenizers.gpt2_vocabulary_files import hugging_face_hub

CONTEXT = 1024
FILES = (
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*.safetensors",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
)
"""The files that are downloaded: no pickle, and no weights for other libraries."""


class HubModel(NamedTuple):
    """A GPT-2 on the Hugging Face Hub."""

    repositories: tuple[str, ...]
    """Its names there, the present one first."""
    layers: int
    heads: int
    width: int

    @property
    def parameters(self) -> int:
        shape = ModelConfig(
            layers=self.layers, heads=self.heads, width=self.width, context=CONTEXT, vocab_size=FIXED_VOCABULARY_SIZES["gpt2"]
        )
        return parameter_count(shape)

    @property
    def download_bytes(self) -> int:
        """Bytes of its weights' file: fp32 weights, and the causal mask of each layer, which the released files carry."""
        return BYTES * (self.parameters + self.layers * CONTEXT**2)


HUB_MODELS = {
    "gpt2": HubModel(("openai-community/gpt2", "gpt2"), 12, 12, 768),
    "gpt2-medium": HubModel(("openai-community/gpt2-medium", "gpt2-medium"), 24, 16, 1024),
    "gpt2-large": HubModel(("openai-community/gpt2-large", "gpt2-large"), 36, 20, 1280),
    "gpt2-xl": HubModel(("openai-community/gpt2-xl", "gpt2-xl"), 48, 25, 1600),
    "distilgpt2": HubModel(("distilbert/distilgpt2", "distilgpt2"), 6, 12, 768),
}


def hub_name(source: str) -> str | None:
    """The name in `HUB_MODELS` of what an import is asked for, by that name or one on the Hub; None for the path of a folder."""
    if source in HUB_MODELS or os.path.isdir(source):
        return source if source in HUB_MODELS else None
    return next((name for name, model in HUB_MODELS.items() if source in model.repositories), None)


def cached_model(name: str) -> ModelFolder | None:
    """The model of this name in the Hugging Face cache, or None if it is not there."""
    for repository in HUB_MODELS[name].repositories:
        snapshot = newest_snapshot(cache_entry(repository))
        if snapshot is not None:
            return ModelFolder(snapshot)
    return None


def cache_entry(repository: str) -> Path:
    """The folder of a repository in the Hugging Face cache; it need not be there."""
    return hugging_face_hub() / (CACHE_ENTRY + repository.replace("/", "--"))


def can_download() -> bool:
    return importlib.util.find_spec("huggingface_hub") is not None


def missing_clause(name: str) -> str:
    """A clause on a model that is not in the cache, with the folder that was looked in."""
    return f"{name} is not in the Hugging Face cache, {visible(str(hugging_face_hub()))}"


def install_sentence(name: str) -> str:
    """A sentence on the model that is not here, where huggingface_hub is not installed: the size, and the commands."""
    return (
        f"{missing_clause(name)}; to download it ({bytes_(HUB_MODELS[name].download_bytes)}), install huggingface_hub: "
        "pip install 'llmlab[hub]', or copy its folder here and give the path."
    )


def hub_model(name: str, on_download: Callable[[str], None] = lambda _: None) -> ModelFolder:
    """The model of this name from the Hugging Face cache, downloaded into it where it is missing.

    huggingface_hub shows the progress, resumes after a broken connection, and verifies each file. A complete file is not
    downloaded again; one that was given up half-way is. `on_download` is called with a sentence before it begins.

    Raises:
        UserError: if it is not here and cannot be downloaded.
    """
    if (found := cached_model(name)) is not None:
        return found
    size, missing = bytes_(HUB_MODELS[name].download_bytes), missing_clause(name)
    if not can_download():
        raise UserError(install_sentence(name))
    from huggingface_hub import snapshot_download

    repository = HUB_MODELS[name].repositories[0]
    on_download(f"Downloading {repository} ({size}) into {hugging_face_hub()}.")
    try:
        downloaded = Path(snapshot_download(repository, allow_patterns=list(FILES), cache_dir=hugging_face_hub()))
    except download_errors() as error:
        raise UserError(
            f"{missing}, and could not be downloaded ({size}): {reason_of(error)}; connect to the network, or copy its folder "
            "here and give the path."
        ) from error
    if not has_model(downloaded):  # offline it is what there is, such as a part of an earlier download
        raise UserError(
            f"Only a part of {name} is in the Hugging Face cache, {visible(str(hugging_face_hub()))}: a download ({size}) was "
            "broken off; connect to the network to go on with it, or copy its folder here and give the path."
        )
    return ModelFolder(downloaded)


def reason_of(error: Exception) -> str:
    """A clause on a download that failed: the HTTP library's words, but for a connection that could not be made."""
    cause = error.__cause__ or error
    if type(cause).__name__ in ("ConnectError", "ConnectTimeout", "ConnectionError"):
        return "the network cannot be reached"
    return shortened(visible(str(cause).strip().split("\n")[0].partition(". ")[0].rstrip(".")), 150)


def download_errors() -> tuple[type[Exception], ...]:
    """Errors of a download that fails: the system's, those of hf_xet, which has no classes of its own, and those of the HTTP
    library that huggingface_hub uses in this version."""
    from huggingface_hub.errors import HfHubHTTPError

    nonsense = (LookupError, TypeError, AttributeError)  # what huggingface_hub makes of an answer that is none of a hub's
    of_http = (base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception))
    return (OSError, RuntimeError, ValueError, *nonsense, *of_http)


def check_push(repository: str) -> None:
    """Check, before anything is written, that huggingface_hub is here and takes the name. Raises UserError."""
    if not can_download():
        raise UserError("--push needs huggingface_hub: pip install 'llmlab[hub]'.")
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repository)
    except ValueError as error:
        raise UserError(f"--push: {shortened(visible(str(error)), 200)}") from error


def push_model(folder: Path, repository: str) -> str:
    """Upload the folder as one commit; a repository that does not exist is made, private. Returns its address.

    Raises:
        UserError: if the Hub cannot be reached or refuses; the folder stays.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        address = api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(repo_id=address.repo_id, folder_path=folder, commit_message="Export from llmlab")
    except download_errors() as error:
        raise UserError(
            f"{visible(str(folder))} is written, but was not uploaded to {repository}: {reason_of(error)}. "
            "`hf auth login` takes a token that may write, and `hf upload` uploads a folder."
        ) from error
    return str(address)
