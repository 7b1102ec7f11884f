"""A folder with a model in Hugging Face's layout: a local one, or an entry of the Hugging Face cache; and a GPT-2's config.json
in it: read within bounds, refused where the lab's GPT-2 computes something else, and written."""

import os
import re
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from lab.core.errors import DamagedFileError, UserError
from lab.core.safe_open import LARGEST_CONFIG, decode_json, read_regular
from lab.core.visible_text import quoted, shortened, visible
from models.config import ConfigError, ModelConfig

CACHE_ENTRY = "models--"
"""Prefix of a repository's folder in the Hugging Face cache. Its `snapshots/<revision>/` holds links to the files in `blobs/`."""
CONFIG = "config.json"
REVISION = re.compile("[0-9a-f]{40}")
LARGEST_REF = 1000
"""Bytes of a branch's file, which holds the name of a snapshot."""
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
"""Name of a file that lies in the folder itself, whatever the system."""


class ModelFolder:
    """The folder of one model, and the paths of its files."""

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))
        if not _is_snapshot(self.path) and _is_snapshot(real := Path(os.path.realpath(path))):
            self.path = real  # a link to an entry of the cache
        repository, is_cached = self.path.parent.parent, _is_snapshot(self.path)
        self._own = [os.path.realpath(self.path)]
        """Real folders that links of this one may lead into."""
        if is_cached:
            self._own.append(os.path.join(os.path.realpath(repository), "blobs"))
        self.name = visible(repository.name.rpartition("--")[2] if is_cached else self.path.name)
        self.revision = self.path.name if is_cached and REVISION.fullmatch(self.path.name) else ""
        """Commit of the repository that a cache entry is of; empty for any other folder."""

    @property
    def shown(self) -> str:
        """The folder's path for a sentence."""
        return visible(shortened(str(self.path), 200))

    def file(self, name: str) -> Path | None:
        """The path to open for the file of this name, or None if there is none.

        A link within the folder is followed, and that of a snapshot into the `blobs` of its repository, of which the Hugging Face
        cache is made; the path is then that of the file there. Any other link stays one, and is refused by whoever opens it.

        Raises:
            UserError: if the name is none of a file in this folder.
        """
        if not PLAIN_NAME.fullmatch(name):
            raise UserError(f"{self.shown} names a file {quoted(name)}, which cannot lie in the folder itself.")
        path = self.path / name
        if not os.path.lexists(path):
            return None
        target = Path(os.path.realpath(path))
        return target if path.is_symlink() and any(map(target.is_relative_to, self._own)) else path


def _is_snapshot(path: Path) -> bool:
    """True for the path of a snapshot in the Hugging Face cache, or in a copy of one of its repositories by another name."""
    repository = path.parent.parent
    is_repository = repository.name.startswith(CACHE_ENTRY) or (repository / "blobs").is_dir()
    return path.parent.name == "snapshots" and is_repository


def open_model_folder(path: Path) -> ModelFolder:
    """The model folder at a path; of a repository in the Hugging Face cache, its snapshot.

    Raises:
        UserError: if there is no such folder, or no model in it.
    """
    shown = visible(shortened(str(path), 200))
    if not os.path.lexists(path):
        raise UserError(f"There is no folder {shown}; give the folder of a model, or choose a model by its name, such as gpt2.")
    if not path.is_dir():
        raise UserError(f"{shown} is not a folder; give the folder that holds the model's config.json.")
    if not os.path.lexists(path / CONFIG) and (snapshot := newest_snapshot(path)) is not None:
        return ModelFolder(snapshot)
    folder = ModelFolder(path)
    if folder.file(CONFIG) is None:
        raise UserError(f"{shown} holds no model: it has no config.json.")
    return folder


def newest_snapshot(repository: Path) -> Path | None:
    """The snapshot with a model of a repository's folder in the cache: that of its branch `main`, else the newest; or None."""
    complete, main = [path for path in _snapshots(repository) if has_model(path)], _main(repository)
    return next((path for path in complete if path.name == main), complete[0] if complete else None)


def _snapshots(repository: Path) -> list[Path]:
    """The newest first."""
    try:
        return sorted((repository / "snapshots").iterdir(), key=lambda path: path.lstat().st_mtime, reverse=True)
    except OSError:
        return []


def _main(repository: Path) -> str:
    """The name of the snapshot that the branch `main` is at; empty if the file that says so is missing or cannot be used."""
    try:
        return read_regular(repository / "refs" / "main", LARGEST_REF).decode("ascii", "replace").strip()
    except (OSError, DamagedFileError):
        return ""


def has_model(path: Path) -> bool:
    """True of a snapshot with settings and weights: a download that was broken off may have neither."""
    weights = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
    return os.path.isfile(path / CONFIG) and any(os.path.isfile(path / name) for name in weights)


EPSILON = 1e-5
"""As in `models.gpt`, whose import would load torch."""
ARCHITECTURES = ("GPT2LMHeadModel", "GPT2Model")

Size = Annotated[int, Meta(ge=0, le=1 << 62)]
"""What a model may have is bounded by `ModelConfig`, in words."""
Word = Annotated[str, Meta(max_length=500)]
Share = Annotated[float, Meta(ge=0, le=1)]


class _Kind(msgspec.Struct):
    model_type: Word = ""


class GPT2Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that decide a GPT-2's numbers, with the defaults of `transformers.GPT2Config`."""

    architectures: Annotated[list[Word], Meta(max_length=100)] | None = None
    vocab_size: Size = 50257
    n_positions: Size = 1024
    n_embd: Size = 768
    n_layer: Size = 12
    n_head: Size = 12
    n_inner: Size | None = None
    activation_function: Word = "gelu_new"
    layer_norm_epsilon: float = 1e-5
    embd_pdrop: Share = 0.1
    attn_pdrop: Share = 0.1
    resid_pdrop: Share = 0.1
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True


def read_gpt2_config(path: Path, shown: str) -> tuple[ModelConfig, bool]:
    """The shape of the model that config.json describes, and True if its head is its token embedding by these settings.

    `shown` names its folder in messages.

    Raises:
        DamagedFileError: if the file is no regular one, too large, or no JSON of this form.
        UserError: if the model is no GPT-2, computes something that the lab's does not, or is beyond the lab's bounds.
    """
    try:
        raw = read_regular(path, LARGEST_CONFIG)
    except OSError as error:
        raise UserError(f"{visible(str(path))} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    kind = decode_json(path, raw, _Kind).model_type
    if kind != "gpt2":
        named = f"a {quoted(kind, 40)}" if kind else "of no named type"
        raise UserError(f"The model in {shown} cannot be imported: it is {named}, and the lab is for GPT-2.")
    settings = decode_json(path, raw, GPT2Settings)
    if problem := _difference(settings):
        raise UserError(f"The model in {shown} cannot be imported: {problem}.")
    dropouts = {settings.embd_pdrop, settings.attn_pdrop, settings.resid_pdrop}
    try:
        model = ModelConfig(
            layers=settings.n_layer,
            heads=settings.n_head,
            width=settings.n_embd,
            context=settings.n_positions,
            vocab_size=settings.vocab_size,
            dropout=min(dropouts) if len(dropouts) == 1 and max(dropouts) < 1 else 0.0,
        )
    except ConfigError as error:
        raise UserError(f"The model in {shown} cannot be imported: {error}") from error
    return model, settings.tie_word_embeddings


def _difference(settings: GPT2Settings) -> str:
    """The first setting in which the model differs from GPT-2, in words; empty if there is none."""
    other = [name for name in settings.architectures or () if name not in ARCHITECTURES]
    inner, activation = settings.n_inner, settings.activation_function
    differences = (
        (other, f"its architecture is {shortened(', '.join(map(visible, other)), 100)}, not a plain GPT-2"),
        (activation != "gelu_new", f"its activation is {quoted(activation, 40)}, not gelu_new"),
        (
            settings.layer_norm_epsilon != EPSILON,
            f"its layer_norm_epsilon is {settings.layer_norm_epsilon:g}, and GPT-2's is {EPSILON:g}",
        ),
        (not settings.scale_attn_weights, "its attention scores are not divided by √d (scale_attn_weights is false)"),
        (settings.scale_attn_by_inverse_layer_idx, "its attention scores are divided by the layer's number, too"),
        (settings.add_cross_attention, "it has cross-attention"),
        (
            inner is not None and inner != 4 * settings.n_embd,
            f"its MLP is {inner or 0:,} wide (n_inner), and GPT-2's is 4 times the width, {4 * settings.n_embd:,}",
        ),
    )
    return next((words for differs, words in differences if differs), "")


def generation_config_json(model: ModelConfig, end_of_text: int | None) -> dict[str, Any]:
    """The content of generation_config.json: text ends where the context does, beyond which transformers has no positions."""
    tokens = {} if end_of_text is None else dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), end_of_text)
    return {"max_length": model.context} | tokens


def gpt2_config_json(model: ModelConfig, dtype: str, end_of_text: int | None) -> dict[str, Any]:
    """The content of config.json; `dtype` is torch's name of the weights' type, `end_of_text` the id of that token."""
    settings = GPT2Settings(
        architectures=["GPT2LMHeadModel"],
        vocab_size=model.vocab_size,
        n_positions=model.context,
        n_embd=model.width,
        n_layer=model.layers,
        n_head=model.heads,
        embd_pdrop=model.dropout,
        attn_pdrop=model.dropout,
        resid_pdrop=model.dropout,
    )
    tokens = {"bos_token_id": end_of_text, "eos_token_id": end_of_text}
    built: dict[str, Any] = msgspec.to_builtins(settings)
    # Older versions of transformers read the type under its second name.
    return {"model_type": "gpt2"} | built | tokens | {"dtype": dtype, "torch_dtype": dtype}
