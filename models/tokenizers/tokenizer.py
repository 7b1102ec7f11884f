"""Byte-level BPE tokenizer with three vocabularies: single bytes, learned from the user's text, and GPT-2's. No torch.

Byte-level BPE (Radford et al. 2019, section 2.2): text is split into pieces by a pattern, each piece starts as its UTF-8
bytes, and the adjacent pair whose merge was learned first is merged, until no pair is left that was ever merged. Ids are in the
order of learning: the 256 single bytes, then one merge of two earlier tokens each. In the lab's own vocabularies they begin with
0, and a special token comes last; an imported one may have special tokens anywhere, and rows of its model without a token.
"""

import base64
import hashlib
import json
import os
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

import tiktoken

from models.config import END_OF_TEXT, FIXED_VOCABULARY_SIZES, LARGEST, TokenizerError, TokenizerKind, TokenKind
from models.tokenizers.gpt2_vocabulary_files import vocabulary
from models.tokenizers.token_labels import NO_TOKEN, printable

if TYPE_CHECKING:
    import numpy as np

PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
"""Pattern that splits text before merging: the contractions of English, letters, digits, other signs (each with one space before
it), spaces. It is the pattern of GPT-2's released `encoder.py` in the equivalent form that tiktoken gives it, which
backtracks less."""

FORMAT = 1
"""Version of the saved file; a reader refuses a newer one in words."""

BYTES = FIXED_VOCABULARY_SIZES["bytes"]
LONG_RUN = 100_000
"""Whitespace runs from this length on are cut where the pattern cuts them anyway: its engine gives up with a panic after a
million steps of backtracking, which one run of a million spaces and a letter takes."""
COUNTED_TEXTS = max(4, min(64, 2 * (os.cpu_count() or 1)))
"""Texts that learning holds in memory at a time, whose words are counted in parallel: a few for each core, so that it asks for
the next ones often, which is when it can be cancelled."""

_SPACE = r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
_SPACES = re.compile(f"{_SPACE}(?<!{_SPACE}{{2}}){_SPACE}{{{LONG_RUN - 1},}}")
"""Tried only where a run begins: a shorter one would else be walked through from each of its characters."""
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_ESCAPED = re.compile("[\udc80-\udcff]+")
_LONE = re.compile("[\ud800-\udc7f\udd00-\udfff]")


@dataclass(frozen=True)
class Node:
    """A token and the two tokens it is the merge of, down to single bytes, which have none."""

    id: int
    bytes: bytes
    left: "Node | None" = None
    right: "Node | None" = None


class Tokenizer:
    """A vocabulary with encode and decode. Any bytes survive the round trip.

    `kind` is "bytes", "bpe" or "gpt2"; `vocab_size` counts every id, special and unused ones too; `special` maps the text of each
    special token to its id: "gpt2" has `<|endoftext|>`, and so have the others where they are for several documents; `ordinary`
    has the ids of the other tokens, in the order of merging.
    """

    def __init__(
        self,
        kind: TokenizerKind,
        tokens: Sequence[bytes],
        special: dict[str, int] | None = None,
        vocab_size: int | None = None,
    ) -> None:
        """`tokens` are the bytes of each token in the order of merging, the single bytes first. They have the lowest ids that no
        special token has; the ids left below `vocab_size`, if any, have no token.

        Raises:
            TokenizerError: if the vocabulary is not of that form.
        """
        special = dict(special or {})
        size = len(tokens) + len(special) if vocab_size is None else vocab_size
        if not len(tokens) + len(special) <= size <= LARGEST["vocab_size"]:
            raise TokenizerError(f"{len(tokens) + len(special)} tokens do not fit a vocabulary of {size}.")
        ids = set(special.values())
        if "" in special or len(ids) != len(special) or not all(0 <= id < size for id in ids):
            raise TokenizerError(f"the special tokens must have texts, and ids of their own below {size}.")
        self.ordinary = [id for id in range(len(tokens) + len(ids)) if id not in ids][: len(tokens)]
        ranks = dict(zip(tokens, self.ordinary, strict=True))
        if kind not in get_args(TokenizerKind):
            raise TokenizerError(f"there is no kind of tokenizer called {kind!r}.")
        if set(tokens[:BYTES]) != {bytes([byte]) for byte in range(BYTES)}:
            raise TokenizerError("a vocabulary must start with the 256 single bytes.")
        if len(ranks) != len(tokens) or b"" in ranks:
            raise TokenizerError("a vocabulary must not hold a token twice, nor an empty one.")
        self.kind = kind
        self.special = special
        self.vocab_size = size
        texts = {id: token for token, id in ranks.items()} | {id: text.encode() for text, id in special.items()}
        self._tokens = [texts.get(id, b"") for id in range(size)]
        self._ranks = ranks
        self._encoding = tiktoken.Encoding(kind, pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special)

    @classmethod
    def bytes_(cls, *, end_of_text: bool = False) -> Self:
        """The vocabulary of single bytes: a byte's value is its id. With `end_of_text`, that special token has the id 256."""
        return cls("bytes", [bytes([byte]) for byte in range(BYTES)], {END_OF_TEXT: BYTES} if end_of_text else None)

    @classmethod
    def gpt2(cls, download: bool = True) -> Self:
        """GPT-2's vocabulary of 50,257. With `download` false, only files that are already on this machine are used.

        Raises:
            VocabularyError: (a TokenizerError) if OpenAI's files are nowhere to be found.
        """
        tokens = vocabulary(download)
        return cls("gpt2", tokens, {END_OF_TEXT: len(tokens)})

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int, *, end_of_text: bool = False) -> Self:
        """BPE learned from `texts`, split by GPT-2's own pattern. `vocab_size` counts the 256 single bytes, and the special token
        that `end_of_text` adds, with the last id.

        A text that is too short or too uniform for that many merges gives a smaller vocabulary: see the result's `vocab_size`.
        The result depends on the texts alone, not on the number of cores.

        Raises:
            TokenizerError: if `vocab_size` is below 256, or 257 with `end_of_text`.
        """
        if vocab_size < BYTES + end_of_text:
            tokens = f"256 single bytes{' and the end-of-text token' if end_of_text else ''}"
            raise TokenizerError(f"a BPE vocabulary holds the {tokens} at least, so {vocab_size} is too small.")
        import rustbpe

        trainer = rustbpe.Tokenizer()
        pieces = (piece for text in texts for piece in _without_long_runs(_without_surrogates(text)))
        trainer.train_from_iterator(pieces, vocab_size=vocab_size - end_of_text, buffer_size=COUNTED_TEXTS, pattern=PATTERN)
        ranks: list[tuple[bytes, int]] = trainer.get_mergeable_ranks()
        learned = [bytes(token) for token, _ in sorted(ranks, key=lambda pair: pair[1])]
        return cls("bpe", learned, {END_OF_TEXT: len(learned)} if end_of_text else None)

    @property
    def end_of_text(self) -> int | None:
        """Id of the special token that stands between documents; None in a vocabulary without one."""
        return self.special.get(END_OF_TEXT)

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The ids of `text`. The text of a special token is ordinary text unless `special` is set.

        A terminal hands over bytes that are no UTF-8 as lone surrogates (PEP 383, "surrogateescape"); they are encoded as those
        bytes. Any other lone surrogate stands for nothing and becomes U+FFFD.
        """
        if special and self.special:
            return self._encode_special(text)
        try:
            text.encode()
        except UnicodeEncodeError:
            return self.encode_bytes(_escaped_bytes(text))
        return self._encode_valid(text)

    def encode_array(self, text: str) -> "np.ndarray[Any, np.dtype[np.uint32]]":
        """The ids that `encode` gives, as an array. Other threads run meanwhile, since no list of Python's integers is made."""
        import numpy as np

        try:
            data = text.encode()
        except UnicodeEncodeError:
            return np.array(self.encode(text), np.uint32)
        if len(self.ordinary) == BYTES:
            return np.array(self._byte_ids, np.uint32)[np.frombuffer(data, np.uint8)]
        pieces = [text] if len(text) < LONG_RUN else list(_without_long_runs(text))
        ids = [self._array_encoding.encode_to_numpy(piece, disallowed_special=()) for piece in pieces]
        return ids[0] if len(ids) == 1 else np.concatenate(ids)

    def encode_bytes(self, data: bytes) -> list[int]:
        """The ids of any bytes: valid UTF-8 as `encode` cuts it, each byte that is part of no character as one token."""
        ids: list[int] = []
        text, at = data.decode("utf-8", "surrogateescape"), 0
        for match in _ESCAPED.finditer(text):
            ids += self._encode_valid(text[at : match.start()])
            ids += (self._ranks[bytes([byte])] for byte in match[0].encode("utf-8", "surrogateescape"))
            at = match.end()
        return ids + self._encode_valid(text[at:])

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """The bytes that `ids` stand for; the inverse of `encode` and `encode_bytes`. An unused id stands for nothing.

        Raises:
            TokenizerError: if an id is not in the vocabulary.
        """
        try:
            return self._encoding.decode_bytes(ids)
        except (KeyError, OverflowError):
            return b"".join(map(self.token_bytes, ids))

    def decode(self, ids: Sequence[int]) -> str:
        """The text `ids` stand for, with U+FFFD where their bytes are no whole character. Raises what `decode_bytes` raises."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def token_bytes(self, id: int) -> bytes:
        """The bytes of one token; for a special token, those of its text, and none for an unused id.

        Raises:
            TokenizerError: if the id is not in the vocabulary.
        """
        if not 0 <= id < self.vocab_size:
            raise TokenizerError(f"{id} is not the id of a token; this vocabulary's ids are 0 to {self.vocab_size - 1}.")
        return self._tokens[id]

    def merge_rank(self, id: int) -> int | None:
        """Number of merges learned before this one (0 for the first); None for single bytes and special tokens."""
        return bisect_left(self.ordinary, id) - BYTES if self.kind_of(id) == "merge" else None

    def kind_of(self, id: int) -> TokenKind:
        """A single byte, a merge, special, or unused where the id has no token. Raises what `token_bytes` raises."""
        token = self.token_bytes(id)
        if self._is_ordinary(id):
            return "byte" if len(token) == 1 else "merge"
        return "special" if token else "unused"

    def parents(self, id: int) -> tuple[int, int] | None:
        """The two ids whose merge made this one, left and right; None for single bytes and special tokens."""
        for parts, _ in self._merges(id):
            if len(parts) == 2:
                left, right = parts
                return self._ranks[left], self._ranks[right]
        return None

    def tree(self, id: int) -> Node:
        """Merge tree of the token down to single bytes, as `encode` would merge them. A special token has no parts.

        Raises:
            TokenizerError: if the id is not in the vocabulary, or the vocabulary's merges never make it.
        """
        whole = self.token_bytes(id)
        if not self._is_ordinary(id):
            return Node(id, whole)
        nodes = [Node(self._ranks[bytes([byte])], bytes([byte])) for byte in whole]
        for _, at in self._merges(id):
            left, right = nodes[at : at + 2]
            both = left.bytes + right.bytes
            nodes[at : at + 2] = [Node(self._ranks[both], both, left, right)]
        return nodes[0]

    def _merges(self, id: int) -> Iterator[tuple[list[bytes], int]]:
        """The parts of the token before each merge, and the place of the left one of the two that it joins."""
        whole = self.token_bytes(id)
        parts = [whole[at : at + 1] for at in range(len(whole))] if self._is_ordinary(id) else []
        rank_of, never = self._ranks.get, self.vocab_size
        ranks = [rank_of(left + right, never) for left, right in pairwise(parts)]
        while ranks:
            rank = min(ranks)
            if rank == never:
                raise TokenizerError(f"token {id} is not the merge of two others in this vocabulary.")
            at = ranks.index(rank)
            yield parts, at
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
            del ranks[at]
            if at > 0:
                ranks[at - 1] = rank_of(parts[at - 1] + parts[at], never)
            if at < len(ranks):
                ranks[at] = rank_of(parts[at] + parts[at + 1], never)

    def label(self, id: int) -> str:
        """Label of the token for a terminal, on one line (`printable`)."""
        return printable(self.token_bytes(id)) or NO_TOKEN

    def save(self, path: str | Path) -> None:
        """Write the whole tokenizer into one JSON file."""
        Path(path).write_text(self.dumps(), encoding="utf-8")

    def dumps(self) -> str:
        """The whole tokenizer as the JSON that `save` writes."""
        content = self._content()
        content["sha256"] = _checksum(content)
        return json.dumps(content, indent=0) + "\n"

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of everything that the ids of a text follow from."""
        return _checksum(self._content())

    def _content(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "kind": self.kind,
            "vocab_size": self.vocab_size,
            "pattern": PATTERN,
            "special": self.special,
            "tokens": [base64.b64encode(self._tokens[id]).decode() for id in self.ordinary],
        }

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load the tokenizer that `save` wrote. Raises TokenizerError if the file cannot be read, or is not a whole tokenizer."""
        try:
            raw = Path(path).read_bytes()
        except OSError as error:
            raise TokenizerError(f"{path}: the tokenizer cannot be read ({error.strerror}).") from error
        return cls.loads(raw, path)

    @classmethod
    def loads(cls, raw: bytes, path: str | Path) -> Self:
        """Load the tokenizer from the contents of a file that `save` wrote; `path` is for messages. Raises what `load` raises."""
        try:
            content = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise TokenizerError(f"{path}: the tokenizer's file is damaged; it is not JSON.") from error
        try:
            if content["format"] != FORMAT:
                raise TokenizerError(f"it has format {content['format']}, and this version of llmlab reads format {FORMAT}.")
            if content.pop("sha256") != _checksum(content):
                raise TokenizerError("it is damaged; its checksum does not fit.")
            if content["pattern"] != PATTERN:  # an expression from a file could match nothing, which is a panic, or take for ever
                raise TokenizerError("it splits text by another pattern than GPT-2's.")
            tokens = [base64.b64decode(token, validate=True) for token in content["tokens"]]
            return cls(content["kind"], tokens, content["special"], content["vocab_size"])
        except TokenizerError as error:
            raise TokenizerError(f"{path}: the tokenizer's file cannot be used: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TokenizerError(f"{path}: the tokenizer's file is damaged; a part of it is missing or malformed.") from error

    @cached_property
    def _byte_ids(self) -> list[int]:
        """Id of each single byte."""
        return [self._ranks[bytes([byte])] for byte in range(BYTES)]

    @cached_property
    def _array_encoding(self) -> tiktoken.Encoding:
        """tiktoken looks for special tokens in `encode_to_numpy`, though none is allowed, and at every character where there are
        none: one that it may find in no text makes that twice as fast."""
        if self.special:
            return self._encoding
        return tiktoken.Encoding(
            self.kind, pat_str=PATTERN, mergeable_ranks=self._ranks, special_tokens={END_OF_TEXT: self.vocab_size}
        )

    def _encode_valid(self, text: str) -> list[int]:
        if len(text) < LONG_RUN:
            return self._encoding.encode_ordinary(text)
        ids: list[int] = []
        for piece in _without_long_runs(text):
            ids += self._encoding.encode_ordinary(piece)
        return ids

    def _encode_special(self, text: str) -> list[int]:
        ids: list[int] = []
        texts = sorted(self.special, key=len, reverse=True)  # the longest of two that begin alike
        for part in re.split("(" + "|".join(map(re.escape, texts)) + ")", text):
            ids += [self.special[part]] if part in self.special else self.encode(part)
        return ids

    def _is_ordinary(self, id: int) -> bool:
        return self._ranks.get(self._tokens[id]) == id


def _checksum(content: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _without_long_runs(text: str) -> Iterator[str]:
    """Split `text` into parts whose concatenated ids are those of the whole: of whitespace before other text the pattern's last
    three alternatives always split off the last character, and make one piece of what comes before."""
    half = LONG_RUN // 2  # of a long run one of these pieces is a part
    may_be = any(text[at : at + half].isspace() for at in range(0, len(text) - half + 1, half))
    cuts = [match.end() - 1 for match in _SPACES.finditer(text) if match.end() < len(text)] if may_be else []
    yield from (text[start:stop] for start, stop in pairwise((0, *cuts, len(text))))


def _without_surrogates(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return _escaped_bytes(text).decode("utf-8", "replace")
    return text


def _escaped_bytes(text: str) -> bytes:
    """The bytes of a string that holds surrogates: pairs are their character, escaped bytes are themselves, others are U+FFFD."""
    text = _PAIR.sub(lambda pair: pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le"), text)
    return _LONE.sub("\N{REPLACEMENT CHARACTER}", text).encode("utf-8", "surrogateescape")
