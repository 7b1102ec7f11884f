"""Tokenizer of a model folder: byte-level BPE from tokenizer.json, or vocab.json with merges.txt, as a tokenizer of the lab.

The lab merges any two tokens whose bytes are a token together, the first learned first; Hugging Face's library merges the listed
pairs in their order. The ids are equal where each token has one merge, which is also the last one when its own bytes are encoded:
that is checked for every token, and a vocabulary of another kind is refused.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from lab.core.bounded_json import LARGEST_CONFIG, LARGEST_TOKENIZER, read_json
from lab.core.errors import DamagedFileError, UserError
from lab.core.safe_open import read_regular
from lab.core.visible_text import quoted
from lab.exchange.hugging_face.model_folder import ModelFolder
from models.config import LARGEST
from models.tokenizers.gpt2_vocabulary_files import byte_of_character
from models.tokenizers.tokenizer import Tokenizer
from models.tokenizers.tokenizer_kinds import END_OF_TEXT, FIXED_VOCABULARY_SIZES, TokenizerError, TokenizerKind

WHOLE, IDS, MERGES = "tokenizer.json", "vocab.json", "merges.txt"
SETTINGS, ADDED = "tokenizer_config.json", "added_tokens.json"
OTHER_KINDS = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.txt")
"""Files of tokenizers that are no byte-level BPE."""

GPT2_CHECKSUM = "81973df016fe3b03cd77c1bcda27189402b4f30e8681178971902aa29fe83560"
"""`Tokenizer.checksum` of GPT-2's vocabulary."""
MOST_CHECKED = 300_000_000
"""Largest sum of the squares of the tokens' lengths: the check of all merges then takes minutes. GPT-2's is 2.5 million."""

Piece = Annotated[str, Meta(max_length=1 << 20)]
Id = Annotated[int, Meta(ge=0, le=LARGEST["vocab_size"])]
Vocabulary = Annotated[dict[Piece, Id], Meta(max_length=LARGEST["vocab_size"])]
Merge = Piece | list[Piece]
"""`"a b"` or `["a", "b"]`. As a tuple of two beside a bounded string, msgspec 0.22 crashes."""


class _Added(msgspec.Struct):
    id: Id
    content: Piece
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False


class _BPE(msgspec.Struct):
    vocab: Vocabulary
    merges: Annotated[list[Merge], Meta(max_length=LARGEST["vocab_size"])]
    type: str = "BPE"
    dropout: float | None = None
    continuing_subword_prefix: str | None = None
    end_of_word_suffix: str | None = None
    byte_fallback: bool = False


class _Part(msgspec.Struct):
    """A normalizer, pre-tokenizer or post-processor."""

    type: str
    add_prefix_space: bool = False
    use_regex: bool = True


class _Kind(msgspec.Struct):
    type: str = "BPE"


class _KindOfModel(msgspec.Struct):
    model: _Kind


class _TokenizerJson(msgspec.Struct):
    model: _BPE
    added_tokens: Annotated[list[_Added], Meta(max_length=10_000)] = []
    normalizer: dict[str, Any] | None = None
    pre_tokenizer: _Part | None = None
    post_processor: _Part | None = None


class _Settings(msgspec.Struct):
    add_prefix_space: bool = False
    add_bos_token: bool = False
    add_eos_token: bool = False


def has_tokenizer(folder: ModelFolder) -> bool:
    """True if a file of a tokenizer is in the folder, of any kind."""
    return any(folder.file(name) is not None for name in (WHOLE, IDS, MERGES, *OTHER_KINDS))


def read_tokenizer(folder: ModelFolder, rows: int) -> Tokenizer:
    """The tokenizer of a model with so many rows in its token embedding: the folder's own, or GPT-2's where it has none.

    Raises:
        UserError: if it is no byte-level BPE whose ids the lab gives, too, or does not have as many tokens as the model has rows.
    """
    whole, ids, merges = (folder.file(name) for name in (WHOLE, IDS, MERGES))
    try:
        if whole is not None:
            found = _from_whole(whole)
        elif ids is not None and merges is not None:
            found = _from_two(ids, merges)
        elif ids is not None or merges is not None:
            raise _OtherKindError(f"it has {IDS if ids else MERGES} without {MERGES if ids else IDS}")
        elif other := next((name for name in OTHER_KINDS if folder.file(name) is not None), None):
            raise _OtherKindError(f"{other} is no byte-level BPE")
        elif rows == FIXED_VOCABULARY_SIZES["gpt2"]:
            return Tokenizer.gpt2(download=False)
        else:
            raise _OtherKindError(f"there is no {WHOLE}, and with {rows:,} rows the model does not have GPT-2's vocabulary")
        _check_settings(folder)
        _check_added(folder, found)
        if found.vocab_size != rows:
            raise _OtherKindError(f"it has {found.vocab_size:,} tokens, and the model {rows:,} rows")
    except (_OtherKindError, TokenizerError) as error:
        raise UserError(f"The tokenizer in {folder.shown} cannot be used: {str(error).rstrip('.')}.") from error
    except OSError as error:
        raise UserError(f"The tokenizer in {folder.shown} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    return found


def _check_settings(folder: ModelFolder) -> None:
    """Raises _OtherKindError, if something is put before or behind every text."""
    if (path := folder.file(SETTINGS)) is None:
        return
    settings = read_json(path, _Settings, LARGEST_CONFIG)
    if settings.add_prefix_space:
        raise _OtherKindError("it puts a space before every text (add_prefix_space)")
    for name in ("add_bos_token", "add_eos_token"):
        if getattr(settings, name):
            raise _OtherKindError(f"it adds a token to every text ({name})")


def _check_added(folder: ModelFolder, found: Tokenizer) -> None:
    """Raises _OtherKindError, if a file adds tokens with ids that the model has no rows for."""
    if (path := folder.file(ADDED)) is None:
        return
    added = read_json(path, dict[Piece, Id], LARGEST_TOKENIZER)
    if beyond := [name for name, id_ in added.items() if id_ >= found.vocab_size]:
        raise _OtherKindError(f"{ADDED} adds {quoted(beyond[0], 40)}, which the model has no row for")


class _OtherKindError(Exception):
    """A tokenizer that the lab's class cannot be; the message is the reason."""


def _from_whole(path: Path) -> Tokenizer:
    kind = read_json(path, _KindOfModel, LARGEST_TOKENIZER).model.type
    if kind != "BPE":
        raise _OtherKindError(f"it is a {quoted(kind, 40)}, not byte-level BPE")
    content = read_json(path, _TokenizerJson, LARGEST_TOKENIZER)
    model, pre, post = content.model, content.pre_tokenizer, content.post_processor
    if pre is None or pre.type != "ByteLevel" or not pre.use_regex:
        raise _OtherKindError("it does not split text as GPT-2's does (its pre_tokenizer is not ByteLevel alone)")
    if pre.add_prefix_space:
        raise _OtherKindError("it puts a space before every text (add_prefix_space)")
    if content.normalizer is not None:
        raise _OtherKindError("it changes the text before it is cut into tokens (it has a normalizer)")
    if post is not None and post.type != "ByteLevel":
        raise _OtherKindError(f"it adds tokens to every text (its post_processor is {quoted(post.type, 40)})")
    if model.dropout or model.continuing_subword_prefix or model.end_of_word_suffix or model.byte_fallback:
        raise _OtherKindError("its BPE has dropout, a prefix or a suffix of words, or byte fallback, which GPT-2's has not")
    if any(each.lstrip or each.rstrip or each.single_word for each in content.added_tokens):
        raise _OtherKindError("a special token of it takes the spaces around it away")
    merges = [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in model.merges]
    return _built(model.vocab, merges, {each.content: each.id for each in content.added_tokens})


def _from_two(ids: Path, merges: Path) -> Tokenizer:
    try:
        lines = read_regular(merges, LARGEST_TOKENIZER).decode().split("\n")
    except UnicodeDecodeError as error:
        raise DamagedFileError(merges, "is not UTF-8") from error
    pairs = [tuple(line.rstrip("\r").split(" ")) for line in lines[lines[0].startswith("#version") :] if line.strip("\r")]
    return _built(read_json(ids, Vocabulary, LARGEST_TOKENIZER), pairs, {})


def _built(vocabulary: dict[str, int], merges: Sequence[tuple[str, ...]], added: dict[str, int]) -> Tokenizer:
    """The tokenizer of these ids and merges, if it is one of the lab."""
    if other := next((text for text in added if text != END_OF_TEXT), None):
        raise _OtherKindError(f"it has the special token {quoted(other, 40)}, and the lab's tokenizers have {END_OF_TEXT} alone")
    special = {END_OF_TEXT: vocabulary.get(END_OF_TEXT, added.get(END_OF_TEXT, -1))} if END_OF_TEXT in vocabulary | added else {}
    if added and special != added:
        raise _OtherKindError(f"it gives {END_OF_TEXT} two ids")
    written = sorted(vocabulary.keys() - special.keys(), key=vocabulary.__getitem__)
    if [vocabulary[token] for token in written] != list(range(len(written))):
        raise _OtherKindError(f"the ids of its tokens are not 0, 1, 2 … with {END_OF_TEXT} last, as GPT-2's are")
    if any(id != len(written) for id in special.values()):
        raise _OtherKindError(f"{END_OF_TEXT} does not have its last id, as in GPT-2's")
    byte_of = byte_of_character()
    try:
        tokens = [bytes(byte_of[character] for character in token) for token in written]
    except KeyError as error:
        raise _OtherKindError(f"its tokens are not written as bytes: {quoted(str(error.args[0]), 20)} stands for none") from error
    if set(written[:256]) != byte_of.keys():
        raise _OtherKindError("its first 256 ids are not the 256 single bytes")
    if len(merges) != len(written) - 256 or any(len(pair) != 2 for pair in merges):
        raise _OtherKindError(f"it has {len(merges):,} merges for {len(written) - 256:,} tokens that are longer than a byte")
    wrong = next((id for id, pair in enumerate(merges, 256) if written[id] != "".join(pair)), None)
    if wrong is not None:
        raise _OtherKindError(f"its token {wrong} is not that of merge {wrong - 256}")
    if sum(len(token) ** 2 for token in tokens) > MOST_CHECKED:
        raise _OtherKindError("its tokens are too long")
    tokenizer = _of_its_kind(tokens, special)
    for id, (left, right) in enumerate(merges, 256):
        if tokenizer.parents(id) != (vocabulary.get(left), vocabulary.get(right)):
            raise _OtherKindError(f"its merge {id - 256} is not how its token {id} is encoded")
    return tokenizer


def _of_its_kind(tokens: list[bytes], special: dict[str, int]) -> Tokenizer:
    if len(tokens) == FIXED_VOCABULARY_SIZES["gpt2"] - 1 and special:
        gpt2 = Tokenizer("gpt2", tokens, special)
        if gpt2.checksum == GPT2_CHECKSUM:
            return gpt2
    kind: TokenizerKind = "bytes" if tokens == [bytes([byte]) for byte in range(256)] else "bpe"
    return Tokenizer(kind, tokens, special)
