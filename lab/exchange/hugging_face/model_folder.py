"""A folder with a model in Hugging Face's layout, local or in the Hugging Face cache; a GPT-2's config.json in it: read within
bounds, refused where the lab's GPT-2 computes something else, and written; and the GPT-2s that have a name on the Hub, looked up
in the cache, else downloaded by huggingface_hub where it is installed."""

import importlib.util
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from lab.core.errors import DamagedFileError, UserError
from lab.core.number_format import bytes_
from lab.core.safe_open import LARGEST_CONFIG, decode_json, read_regular
from lab.core.visible_text import quoted, shortened, visible
from models.config import FIXED_VOCABULARY_SIZES, ConfigError, ModelConfig
from models.installation import install_command
from models.parameter_count import BYTES, parameter_count
from models.tokenizers.gpt2_vocabulary_files import hugging_face_hub

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
        Raises UserError if the name is none of a file in this folder."""
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
    Raises UserError if there is no such folder, or no model in it."""
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
    main, complete = "", list[Path]()
    with suppress(OSError, DamagedFileError):
        main = read_regular(repository / "refs" / "main", LARGEST_REF).decode("ascii", "replace").strip()
    with suppress(OSError):
        complete = [path for path in (repository / "snapshots").iterdir() if has_model(path)]
        complete.sort(key=lambda path: (path.name == main, path.lstat().st_mtime), reverse=True)
    return complete[0] if complete else None


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
        f"`{install_command('hub')}`, or copy its folder here and give the path."
    )


def hub_model(name: str, on_download: Callable[[str], None] = lambda _: None) -> ModelFolder:
    """The model of this name from the Hugging Face cache, downloaded into it where it is missing.

    huggingface_hub shows the progress, resumes after a broken connection, and verifies each file. A complete file is not
    downloaded again; one that was given up half-way is. `on_download` is called with a sentence before it begins.
    Raises UserError if it is not here and cannot be downloaded."""
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
        raise UserError(f"--push needs huggingface_hub: `{install_command('hub')}` adds it.")
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repository)
    except ValueError as error:
        raise UserError(f"--push: {shortened(visible(str(error)), 200)}") from error


def push_model(folder: Path, repository: str) -> str:
    """Upload the folder as one commit; a repository that does not exist is made, private. Returns its address.
    Raises UserError if the Hub cannot be reached or refuses; the folder stays."""
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
