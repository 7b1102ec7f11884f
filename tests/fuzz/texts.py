"""Makes texts, and what only looks like one, in every way that comes to mind, and prepares each of them.

    python -m tests.fuzz.texts --texts 1000 --seed 1

Each is either read right, to the byte, by every tokenizer, or refused in one clear sentence; nothing hangs. "Right" is decided
by a reader of its own, which decodes a whole file at once. What fails is printed with its number, and repeated by it:
`--first N --texts 1`.
"""

import argparse
import encodings.aliases
import os
import random
import re
import resource
import shutil
import socket
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lab.core.errors import UserError
from lab.data.corpus import Corpus
from lab.data.text_encoding import BYTE_ORDER_MARKS, NUL_SEARCH_BYTES
from lab.data.text_source import joined_source, open_corpus
from lab.data.token_file import tokenize_corpus
from lab.data.train_val_split import split_text
from models.tokenizers.tokenizer import Tokenizer
from tests.fuzz.run_folders import ended_after

LONGEST = 60.0
"""Seconds for one text."""
LONGEST_SENTENCE = 2_000

ALPHABETS = (
    "abc .,\n",
    "The dog ran.\n\n  ",
    "שלום עולם \u200f\u200e\n",
    "مرحبا بالعالم\u061c \n",
    "e\u0301a\u0308o\u0302\u0323\u034f \n",
    "👩\u200d👩\u200d👧\ufe0f🏴\U000e0067\U000e007f \n",
    "a\u200b\u200c\u200d\u2060\ufeff \n",
    "犬が走った。\u3000\n",
    "\x00\x01\x1b[31m\x7f\x85\u2028\u2029\n",
    "\r",
    "\n",
    " \t",
    "x",
    "<|endoftext|>\n",
    "\U0001f415\U0010ffff\ufffd\ufffe",
)  # fmt: skip
NEWLINES = ("\n", "\r\n", "\r", "\n\r", "\u2028")
WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
NARROW = ("cp1252", "latin-1", "koi8-r", "shift_jis", "gb18030", "cp1255", "utf-8-sig", "utf-7")
EVERY = sorted({name.replace("_", "-") for name in encodings.aliases.aliases.values()})

TOKENIZERS: dict[bool, list[Tokenizer]] = {}
"""By whether there is an end-of-text token."""


def expected_text(data: bytes, encoding: str | None = None) -> str | None:
    """The text of a whole file, decoded at once; None where it is none."""
    if encoding is None:
        encoding = next((name for mark, name in BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
        if encoding == "utf-8" and 0 in data[:NUL_SEARCH_BYTES]:
            return None
    if encoding in ("utf-16", "utf-32") and not data.startswith(tuple(mark for mark, of in BYTE_ORDER_MARKS if of == encoding)):
        return None  # the byte order is not guessed
    try:
        text = data.decode(encoding)
        text.encode()
    except (LookupError, ValueError):
        return None
    text = text.removeprefix("\ufeff")
    if not text or "\0" in text[:NUL_SEARCH_BYTES]:
        return None
    return re.sub("\r\n?", "\n", text)


class FuzzedText:
    """One text, made from its number alone: the sources that name it, and the documents that they hold, if they can be known."""

    def __init__(self, seed: int, number: int, folder: Path) -> None:
        self.random = random.Random(f"{seed} {number}")
        self.folder = folder
        self.encoding: str | None = None
        self.words = ""
        self.meanwhile: Callable[[], None] | None = None
        """Happens between opening the text and reading it."""
        self.sources: list[str] = []
        self.documents: list[str | None] | None = []
        """The text of each document, None for one that is no text; None for all where something happens meanwhile."""
        made: Callable[[], None] = self.random.choice(
            [self.file] * 12 + [self.special] * 3 + [self.tree] * 5 + [self.several] * 3
        )
        made()

    def text(self) -> str:
        """A text of one or two alphabets."""
        size = self.random.choice((0, 1, 2, 5, 100, 3_000, 300_000) if self.random.random() < 0.2 else (0, 1, 9, 200, 2_000))
        alphabet = "".join(self.random.sample(ALPHABETS, self.random.choice((1, 1, 2))))
        if self.random.random() < 0.3:
            return self.random.choice(alphabet) * size
        newline = self.random.choice(NEWLINES)
        return "".join(self.random.choices(alphabet, k=size)).replace("\n", newline)

    def data(self) -> bytes:
        """The bytes of a text in some encoding, often damaged."""
        encoding = self.random.choice(("utf-8",) * 12 + WIDE + NARROW)
        data = self.text().encode(encoding, "ignore")
        if self.random.random() < 0.2:
            data = self.random.choice([mark for mark, _ in BYTE_ORDER_MARKS]) + data
        for _ in range(self.random.choice((0, 0, 0, 0, 0, 1, 3))):
            at = self.random.randint(0, len(data))
            put = self.random.choice((b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\r", b"", b"\n"))
            data = self.random.choice((data[:at], data[:at] + put + data[at:], data[at:], data[:at] + put + data[at + 1 :]))
        return data

    def file(self) -> None:
        """A file of its own, in an encoding that is named or not; and what may happen to it."""
        path = self.folder / self.random.choice(("text.txt", "a b'\"c", "two\nlines", "[a]*", "-", "stories", "é\u202e", ".hid"))
        data = self.data()
        path.write_bytes(data)
        if self.random.random() < 0.3:
            self.encoding = self.random.choice(WIDE + NARROW + ("utf-8",) * 4 + (self.random.choice(EVERY),) * 4)
        self.sources = [str(path)]
        self.documents = [expected_text(data, self.encoding)]
        self.words = f"{path.name!r}, {len(data)} bytes as {self.encoding}"
        if self.random.random() < 0.2:
            self.happen(path)

    def happen(self, path: Path) -> None:
        """Something that another program does to a file meanwhile."""
        self.documents = None

        def grows() -> None:
            path.write_bytes(path.read_bytes() + b"more\n")

        def shrinks() -> None:
            os.truncate(path, path.stat().st_size // 2)

        def becomes_folder() -> None:
            path.unlink()
            path.mkdir()

        def becomes_pipe() -> None:
            path.unlink()
            os.mkfifo(path)

        self.meanwhile = self.random.choice((grows, shrinks, path.unlink, becomes_folder, becomes_pipe))
        self.words += f", then it {self.meanwhile.__name__}"

    def special(self) -> None:
        """A path where no text lies."""
        path = self.folder / "special"
        kind = self.random.choice(
            ("pipe", "socket", "broken", "self", "long", "nothing", "nul", "surrogate", "zero", "null", "empty")
        )
        self.sources, self.words, self.documents = [str(path)], kind, [None]
        match kind:
            case "pipe":
                os.mkfifo(path)
            case "socket":
                with socket.socket(socket.AF_UNIX) as end:
                    os.chdir(self.folder)
                    end.bind("special")
            case "broken":
                path.symlink_to("nowhere")
            case "self":
                path.symlink_to("special")
            case "long":
                self.sources = [str(self.folder / ("n" * 300)), str(self.folder) + "/a" * 5000][: self.random.choice((1, 2))]
            case "nul":
                self.sources = [str(path) + "\0"]
            case "surrogate":
                self.sources = [str(path) + "\udce9"]
            case "zero" | "null":
                self.sources = [f"/dev/{kind}"]
            case "empty":
                path.mkdir()

    def tree(self) -> None:
        """A folder of texts, of others, of links and of folders, by itself or as a pattern."""
        root = self.folder / "tree"
        root.mkdir()
        kept: dict[tuple[str, ...], bytes] = {}
        for number in range(self.random.choice((1, 2, 5, 12))):
            inside = root.joinpath(*self.random.choices(("a", "b", "[c]", ".d"), k=self.random.choice((0, 0, 1, 3))))
            inside.mkdir(parents=True, exist_ok=True)
            path = inside / f"{self.random.choice(('', '.', 'é'))}{number}{self.random.choice(('.txt', '.md', ''))}"
            match self.random.choice(("file",) * 5 + ("loop", "out", "same", "broken", "pipe", "binary", "empty")):
                case "file":
                    data = self.text().replace("\0", "").encode()
                    path.write_bytes(data)
                    if data and not any(part.startswith(".") for part in path.relative_to(root).parts):
                        kept[path.relative_to(root).parts] = data
                case "loop":
                    path.symlink_to(self.random.choice((root, inside)))
                case "out":
                    path.symlink_to(self.random.choice(("/etc/passwd", "/", str(self.folder))))
                case "same" if kept:
                    path.symlink_to(root.joinpath(*self.random.choice(list(kept))))
                case "broken":
                    path.symlink_to(self.random.choice(("nowhere", path.name)))
                case "pipe":
                    os.mkfifo(path)
                case "binary":
                    path.write_bytes(b"\x7fELF\0\1\0" + bytes(50))
                case _:
                    path.touch()
        pattern = self.random.choice(("", "", "**", "**/*.txt", "*.md", "*/*"))
        self.sources = [os.path.join(root, pattern)] if pattern else [str(root)]
        chosen = [parts for parts in sorted(kept) if fits(parts, pattern)]
        self.documents = [expected_text(kept[parts]) for parts in chosen] or [None]
        self.words = f"{len(kept)} files as {pattern or 'a folder'}"
        if pattern == "" and kept and self.random.random() < 0.2:
            self.happen(root.joinpath(*self.random.choice(list(kept))))
        if any(path.is_symlink() and (path.is_file() or (pattern == "*/*" and path.is_dir())) for path in root.rglob("*")):
            self.documents = None  # a file may be read under the name of a link to it, which changes the order

    def several(self) -> None:
        """Several files, some of them twice, and built-in texts."""
        self.documents = []
        for number in range(self.random.choice((2, 3, 6))):
            path = self.folder / f"{number}.txt"
            data = self.data() if self.random.random() < 0.3 else b"x" + self.text().replace("\0", "").encode()
            path.write_bytes(data)
            self.sources += [str(path)] * self.random.choice((1, 1, 2))
            self.documents.append(expected_text(data))
        self.words = f"{len(self.sources)} paths"


def fits(parts: tuple[str, ...], pattern: str) -> bool:
    """True if a file of the tree matches one of the patterns in use."""
    match pattern:
        case "**/*.txt":
            return parts[-1].endswith(".txt")
        case "*.md":
            return len(parts) == 1 and parts[-1].endswith(".md")
        case "*/*":
            return len(parts) == 2
    return True


def texts_of(corpus: Corpus) -> Iterator[str]:
    """The documents of a corpus that hold text."""
    text = ""
    for chunk in corpus.document_chunks():
        if chunk.starts and text:
            yield text
            text = ""
        text += chunk.text
    if text:
        yield text


def prepare(corpus: Corpus, path: Path) -> list[str]:
    """The documents of a corpus, read, split and tokenized as for a run by every tokenizer.

    Raises:
        UserError: as preparing does.
        AssertionError: where the tokens are not the text.
    """
    corpus.measure()
    texts = list(texts_of(corpus))
    split = split_text(corpus)
    for tokenizer in tokenizers(corpus.documents > 1):
        facts = tokenize_corpus(corpus, split, tokenizer, path)
        ids = np.fromfile(path, "<u2")
        borders = np.flatnonzero(ids == tokenizer.end_of_text) if corpus.documents > 1 else np.array([], int)
        decoded = [tokenizer.decode_bytes(part[part != tokenizer.end_of_text].tolist()) for part in np.split(ids, borders)]
        assert decoded == [text.encode() for text in texts] or not texts, f"{tokenizer.kind} gives another text back"
        assert facts.train_bytes + facts.val_bytes == corpus.bytes == sum(map(len, decoded)), "bytes do not add up"
    return texts


def tokenizers(several: bool) -> list[Tokenizer]:
    if several not in TOKENIZERS:
        words = "The dog ran home, 犬が走った, and שלום.\n" * 3
        learned = Tokenizer.train([words], 300, end_of_text=several)
        TOKENIZERS[several] = [Tokenizer.bytes_(end_of_text=several), learned, Tokenizer.gpt2()]
    return TOKENIZERS[several]


class Fuzzer:
    """Prepares texts, each in a folder of its own."""

    def __init__(self, seed: int, place: Path, say: Callable[[str], None] = print) -> None:
        self.seed, self.place, self.say = seed, place, say
        self.failures: list[str] = []
        self.read = self.refused = 0

    def check(self, number: int) -> None:
        """One text, by its number: prepared right, or refused in one sentence."""
        folder = self.place / f"text-{number}"
        folder.mkdir()
        made = FuzzedText(self.seed, number, folder)
        try:
            with ended_after(LONGEST):
                corpus = open_corpus(joined_source(made.sources), made.encoding)
                if made.meanwhile:
                    made.meanwhile()
                found = prepare(corpus, self.place / "tokens.bin")
            self.read += 1
            if made.documents is not None and found != [text for text in made.documents if text]:
                self.fail(number, made.words, f"read {found!r:.300} for {made.documents!r:.300}")
        except UserError as error:
            self.refused += 1
            if "\n" in str(error) or len(str(error)) > LONGEST_SENTENCE or not str(error).endswith("."):
                self.fail(number, made.words, f"is no clear sentence: {error!s:.500}")
            if made.documents is not None and None not in made.documents:
                self.fail(number, made.words, f"is a text, and yet: {error!s:.500}")
        except BaseException:
            self.fail(number, made.words, traceback.format_exc())
        finally:
            os.chdir(self.place)
            shutil.rmtree(folder)

    def fail(self, number: int, words: str, what: str) -> None:
        self.failures.append(f"text {number} ({words}): {what}")
        self.say(f"FAILED {self.failures[-1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        fuzzer = Fuzzer(arguments.seed, Path(place))
        for number in range(arguments.first, arguments.first + arguments.texts):
            fuzzer.check(number)
        os.chdir("/")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{fuzzer.read} texts read, {fuzzer.refused} refused, {len(fuzzer.failures)} failures, "
          f"{time.monotonic() - started:.0f} s, {memory} MB")  # fmt: skip
    raise SystemExit(bool(fuzzer.failures))


if __name__ == "__main__":
    main()
