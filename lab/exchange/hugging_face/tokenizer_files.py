"""Tokenizer of a model folder: byte-level BPE from tokenizer.json, or vocab.json with merges.txt, as a tokenizer of the lab.

Its ids stay what they are: special tokens may have any, and rows of the embedding that no token has, such as those that pad it to
a multiple of 64, become unused ids.

The lab merges any two tokens whose bytes are a token together, the first learned first; Hugging Face's library merges the listed
pairs in their order. The ids are equal where each token has one merge, which is also the last one when its own bytes are encoded:
that is checked for every token, and a vocabulary of another kind is refused.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from lab.core.errors import DamagedFileError, UserError
from lab.core.safe_open import LARGEST_CONFIG, LARGEST_TOKENIZER, decode_json, read_json, read_regular
from lab.core.visible_text import quoted
from lab.exchange.hugging_face.model_folder import ModelFolder
from lab.tokenization.token_facts import has_plain_ids
from models.config import END_OF_TEXT, FIXED_VOCABULARY_SIZES, LARGEST, TokenizerError
from models.tokenizers.gpt2_vocabulary_files import byte_of_character
from models.tokenizers.tokenizer import Tokenizer

WHOLE, IDS, MERGES = "tokenizer.json", "vocab.json", "merges.txt"
SETTINGS, ADDED = "tokenizer_config.json", "added_tokens.json"
OTHER_KINDS = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.txt")
"""Files of tokenizers that are no byte-level BPE."""

GPT2_CHECKSUM = "81973df016fe3b03cd77c1bcda27189402b4f30e8681178971902aa29fe83560"
"""`Tokenizer.checksum` of GPT-2's vocabulary."""
NO_FILES = (FIXED_VOCABULARY_SIZES["gpt2"], 50_304)
"""Rows of a model that has GPT-2's vocabulary where no file says otherwise: as many, or padded to a multiple of 64."""
MOST_CHECKED = 300_000_000
"""Largest sum of the squares of the tokens' lengths: the check of all merges then takes minutes. GPT-2's is 2.5 million."""

Piece = Annotated[str, Meta(max_length=1 << 20)]
Id = Annotated[int, Meta(ge=0, le=LARGEST["vocab_size"])]
Vocabulary = Annotated[dict[Piece, Id], Meta(max_length=LARGEST["vocab_size"])]
Word = Annotated[str, Meta(max_length=500)]
MOST_ADDED = 1000
Merge = Piece | list[Piece]
"""`"a b"` or `["a", "b"]`. As a tuple of two beside a bounded string, msgspec 0.22 crashes."""


class _AddedText(msgspec.Struct, kw_only=True):
    content: Piece
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    special: bool = True


class _Added(_AddedText, kw_only=True):
    id: Id


class _BPE(msgspec.Struct):
    vocab: Vocabulary
    merges: Annotated[list[Merge], Meta(max_length=LARGEST["vocab_size"])]
    type: str = "BPE"
    dropout: float | None = None
    continuing_subword_prefix: str | None = None
    end_of_word_suffix: str | None = None
    byte_fallback: bool = False
    ignore_merges: bool = False


class _Part(msgspec.Struct):
    type: str
    add_prefix_space: bool = False
    use_regex: bool = True
    single: Annotated[list[dict[str, Any]], Meta(max_length=100)] = []
    """What a template makes of a text: the text's own tokens as `{"Sequence": …}`, others as `{"SpecialToken": …}`."""


class _Kind(msgspec.Struct):
    type: str = "BPE"


class _TokenizerJson(msgspec.Struct):
    model: msgspec.Raw
    """A `_BPE`, or a model of another `_Kind`."""
    added_tokens: Annotated[list[_Added], Meta(max_length=MOST_ADDED)] = []
    normalizer: dict[str, Any] | None = None
    pre_tokenizer: _Part | None = None
    post_processor: _Part | None = None


class _Settings(msgspec.Struct):
    add_prefix_space: bool = False
    add_bos_token: bool = False
    add_eos_token: bool = False
    added_tokens_decoder: Annotated[dict[Word, _AddedText], Meta(max_length=MOST_ADDED)] = {}
    """The added tokens by their ids in decimal digits."""


def has_tokenizer(folder: ModelFolder) -> bool:
    """True if a file of a tokenizer is in the folder, of any kind."""
    return any(folder.file(name) is not None for name in (WHOLE, IDS, MERGES, *OTHER_KINDS))


def read_tokenizer(folder: ModelFolder, rows: int) -> Tokenizer:
    """The folder's tokenizer, or GPT-2's if it has no tokenizer files; `rows` is the number of rows of the token embedding.
    Raises UserError if it is no byte-level BPE whose ids the lab gives, too, or has more tokens than the model has rows."""
    whole, ids, merges = (folder.file(name) for name in (WHOLE, IDS, MERGES))
    try:
        added, beside = _added_by_settings(folder), folder.file(ADDED)
        if beside is not None:  # which does not say more than the ids
            texts = read_json(beside, dict[Piece, Id], LARGEST_TOKENIZER)
            added += [_Added(id=id, content=text) for text, id in texts.items()]
        if whole is not None:
            return _from_whole(whole, added, rows)
        if ids is not None and merges is not None:
            return _from_two(ids, merges, added, rows)
        if ids is not None or merges is not None:
            raise _OtherKindError(f"it has {IDS if ids else MERGES} without {MERGES if ids else IDS}")
        if other := next((name for name in OTHER_KINDS if folder.file(name) is not None), None):
            raise _OtherKindError(f"{other} is no byte-level BPE")
        if rows not in NO_FILES:
            raise _OtherKindError(f"there is no {WHOLE}, and with {rows:,} rows the model does not have GPT-2's vocabulary")
        gpt2 = Tokenizer.gpt2(download=False)
        return _of_its_kind([gpt2.token_bytes(id) for id in gpt2.ordinary], gpt2.special, rows)
    except (_OtherKindError, TokenizerError) as error:
        raise UserError(f"The tokenizer in {folder.shown} cannot be used: {str(error).rstrip('.')}.") from error
    except OSError as error:
        raise UserError(f"The tokenizer in {folder.shown} cannot be read: {(error.strerror or str(error)).lower()}.") from error


def _added_by_settings(folder: ModelFolder) -> list[_Added]:
    """The tokens that the settings add. Raises _OtherKindError, if something is put before or behind every text."""
    if (path := folder.file(SETTINGS)) is None:
        return []
    settings = read_json(path, _Settings, LARGEST_CONFIG)
    if settings.add_prefix_space:
        raise _OtherKindError("it puts a space before every text (add_prefix_space)")
    for name in ("add_bos_token", "add_eos_token"):
        if getattr(settings, name):
            raise _OtherKindError(f"it adds a token to every text ({name})")
    if wrong := [id for id in settings.added_tokens_decoder if not re.fullmatch("[0-9]{1,7}", id)]:
        raise _OtherKindError(f"{SETTINGS} has a token with the id {quoted(wrong[0], 40)}")
    return [_Added(id=int(id), **msgspec.structs.asdict(each)) for id, each in settings.added_tokens_decoder.items()]


class _OtherKindError(Exception):
    """A tokenizer that the lab's class cannot be; the message is the reason."""


def _from_whole(path: Path, added: list[_Added], rows: int) -> Tokenizer:
    content = read_json(path, _TokenizerJson, LARGEST_TOKENIZER)
    kind = decode_json(path, content.model, _Kind).type
    if kind != "BPE":
        raise _OtherKindError(f"it is a {quoted(kind, 40)}, not byte-level BPE")
    model, pre, post = decode_json(path, content.model, _BPE), content.pre_tokenizer, content.post_processor
    if pre is None or pre.type != "ByteLevel" or not pre.use_regex:
        raise _OtherKindError("it does not split text as GPT-2's does (its pre_tokenizer is not ByteLevel alone)")
    if pre.add_prefix_space:
        raise _OtherKindError("it puts a space before every text (add_prefix_space)")
    if content.normalizer is not None:
        raise _OtherKindError("it changes the text before it is cut into tokens (it has a normalizer)")
    is_plain = post is None or post.type == "ByteLevel"
    if post is not None and post.type == "TemplateProcessing":
        is_plain = [list(each) for each in post.single] == [["Sequence"]]
    if post is not None and not is_plain:
        raise _OtherKindError(f"it adds tokens to every text (its post_processor is {quoted(post.type, 40)})")
    if model.dropout or model.continuing_subword_prefix or model.end_of_word_suffix or model.byte_fallback:
        raise _OtherKindError("its BPE has dropout, a prefix or a suffix of words, or byte fallback, which GPT-2's has not")
    merges = [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in model.merges]
    special = _special(model.vocab, merges, [*content.added_tokens, *added], rows, takes_whole_words=model.ignore_merges)
    return _built(model.vocab, merges, special, rows)


def _from_two(ids: Path, merges: Path, added: list[_Added], rows: int) -> Tokenizer:
    try:
        lines = read_regular(merges, LARGEST_TOKENIZER).decode().split("\n")
    except UnicodeDecodeError as error:
        raise DamagedFileError(merges, "is not UTF-8") from error
    pairs = [tuple(line.rstrip("\r").split(" ")) for line in lines[lines[0].startswith("#version") :] if line.strip("\r")]
    vocabulary = read_json(ids, Vocabulary, LARGEST_TOKENIZER)
    return _built(vocabulary, pairs, _special(vocabulary, pairs, added, rows), rows)


def _special(
    vocabulary: dict[str, int],
    merges: Sequence[tuple[str, ...]],
    added: list[_Added],
    rows: int,
    *,
    takes_whole_words: bool = False,
) -> dict[str, int]:
    """The ids of the special tokens: those that are added, `<|endoftext|>`, and those before the bytes that no merge makes, which
    a trainer of tokenizers writes there. `takes_whole_words` says that a token that no merge makes is encoded all the same."""
    found = {END_OF_TEXT: vocabulary[END_OF_TEXT]} if END_OF_TEXT in vocabulary else {}
    for each in added:
        text = quoted(each.content, 40)
        if vocabulary.get(each.content, each.id) != each.id or found.setdefault(each.content, each.id) != each.id:
            raise _OtherKindError(f"it gives {text} two ids")
        if each.lstrip or each.rstrip or each.single_word:
            raise _OtherKindError("a special token of it takes the spaces around it away")
        if not each.special:
            raise _OtherKindError(f"it makes {text} in any text one token, which is no merge of two others")
        if each.id >= rows:
            raise _OtherKindError(f"it adds {text}, which the model has no row for")
    first = min(vocabulary.get(character, 0) for character in byte_of_character())
    if not takes_whole_words:
        early = {text: id for text, id in vocabulary.items() if id < first}
        found |= {text: early[text] for text in early.keys() - {"".join(pair) for pair in merges}}
    if len(found) > MOST_ADDED:
        raise _OtherKindError(f"it has {len(found):,} special tokens, of {MOST_ADDED:,} that are read")
    return dict(sorted(found.items(), key=lambda pair: pair[1]))


def _built(vocabulary: dict[str, int], merges: Sequence[tuple[str, ...]], special: dict[str, int], rows: int) -> Tokenizer:
    """The tokenizer of these ids and merges, if it is one of the lab."""
    byte_of = byte_of_character()
    if missing := byte_of.keys() - vocabulary.keys():
        raise _OtherKindError(f"it has no token for {len(missing)} of the 256 bytes, and leaves them out of a text")
    written = sorted(vocabulary.keys() - special.keys(), key=vocabulary.__getitem__)
    taken = set(special.values())
    if [vocabulary[token] for token in written] != [id for id in range(len(written) + len(taken)) if id not in taken][
        : len(written)
    ]:
        raise _OtherKindError("the ids of its tokens are not 0, 1, 2 … without a gap")
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
        raise _OtherKindError(f"its token {vocabulary[written[wrong]]} is not that of merge {wrong - 256}")
    if sum(len(token) ** 2 for token in tokens) > MOST_CHECKED:
        raise _OtherKindError("its tokens are too long")
    if len(written) + len(special) > rows:
        raise _OtherKindError(f"it has {len(written) + len(special):,} tokens, and the model {rows:,} rows")
    tokenizer = _of_its_kind(tokens, special, rows)
    for number, (left, right) in enumerate(merges):
        id = tokenizer.ordinary[256 + number]
        if tokenizer.parents(id) != (vocabulary.get(left), vocabulary.get(right)):
            raise _OtherKindError(f"its merge {number} is not how its token {id} is encoded")
    return tokenizer


def _of_its_kind(tokens: list[bytes], special: dict[str, int], rows: int) -> Tokenizer:
    bpe = Tokenizer("bpe", tokens, special, vocab_size=rows)
    if not has_plain_ids(bpe):
        return bpe
    if rows == FIXED_VOCABULARY_SIZES["gpt2"]:
        gpt2 = Tokenizer("gpt2", tokens, special)
        return gpt2 if gpt2.checksum == GPT2_CHECKSUM else bpe
    return Tokenizer("bytes", tokens, special) if tokens == [bytes([byte]) for byte in range(256)] else bpe
