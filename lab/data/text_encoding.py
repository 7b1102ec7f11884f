"""Detect a file's encoding and decode it strictly, as a stream; where that fails, say which encoding to try."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from lab.core.errors import UserError
from lab.core.safe_open import open_regular
from lab.core.visible_text import quoted

READ_BYTES = 1 << 18
"""Bytes that are read at a time."""
NUL_SEARCH_BYTES = 1 << 16
"""Bytes at the start of a file in which a NUL means that it is no text."""
PEEKED_BYTES = 1 << 12
"""The same where a whole folder of files is looked at."""
SAMPLE_BYTES = 1 << 14
"""Bytes around the first one that cannot be decoded, from which another encoding is guessed."""

NOT_OF_FILES = frozenset({"idna", "punycode", "charmap"})
"""Python's text encodings that no file is written in: two of host names, and the frame of those that are a table."""
ESCAPING_ENCODINGS = ("iso2022", "hz", "utf-7")
"""Beginnings of the names of encodings that write other letters as ASCII."""
UNUSUAL_ENCODINGS = ("hp_roman8",)
"""Never suggested: French in cp1252 passes for the first as well, with wrong letters."""

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

LONGEST_MARK = max(len(mark) for mark, _ in BYTE_ORDER_MARKS)


class UndecodableError(UserError):
    """A file that is no text in its encoding. `is_damaged`: that is the right one, and some bytes of the file are wrong."""

    def __init__(self, words: str, *, is_damaged: bool = False) -> None:
        super().__init__(words)
        self.is_damaged = is_damaged


def check_encoding(encoding: str) -> str:
    """Python's name of a text encoding. Raises UserError if there is no such encoding."""
    try:
        name = codecs.lookup(encoding).name
        if name in NOT_OF_FILES:
            raise LookupError(name)
        b"a".decode(name)
    except UnicodeDecodeError:
        return name
    except (LookupError, ValueError) as error:
        raise UserError(
            f"{quoted(encoding)} is not a text encoding; use one such as utf-8, utf-16, cp1252, latin-1, shift_jis or gb18030."
        ) from error
    return name


def detect_encoding(path: str | Path, shown: str) -> str:
    """The encoding of a file when the user names none: that of its byte-order mark, else UTF-8.
    Raises UndecodableError if the file's beginning is not text in one of these."""
    with open_regular(path, follow=True) as file:
        head = file.read(NUL_SEARCH_BYTES) or b""  # None where the system has nothing yet, as in /proc/kmsg
    if (encoding := _marked_encoding(head)) is not None:
        return encoding
    if 0 in head:
        if (encoding := _unmarked_utf16(head)) is not None:
            raise UndecodableError(f"{shown} looks like UTF-16 without a byte-order mark; try --encoding {encoding}.")
        raise UndecodableError(f"{shown} is not text: it holds NUL bytes; choose a plain text file.")
    return "utf-8"


def fitting_encoding(path: str | Path, named: str | None, shown: str) -> str:
    """The encoding of one of several files, which is read for that: that of its byte-order mark or UTF-8, else the `named` one.
    Raises UndecodableError if it is text in none of these."""
    try:
        encoding = detect_encoding(path, shown)
        is_ascii = True
        for text, _ in decode(path, encoding, shown, asked=False):
            is_ascii = is_ascii and text.isascii()
        if named is None or encoding != "utf-8" or not (is_ascii and named.startswith(ESCAPING_ENCODINGS)):
            return encoding
    except UndecodableError as error:
        if named is None or error.is_damaged:
            raise
    for _ in decode(path, named, shown, asked=True):
        pass
    return named


def is_binary(path: Path) -> bool:
    """True if the beginning of a file shows that it is no text in any encoding. False also where it cannot be read."""
    try:
        head = read_head(path)
    except (OSError, UserError):
        return False
    return 0 in head and _marked_encoding(head) is None and _unmarked_utf16(head) is None


def read_head(path: str | Path) -> bytes:
    """The first bytes of a regular file, by which it is told whether it is text. Raises what `open_regular` does."""
    with open_regular(path, follow=True) as file:
        return file.read(PEEKED_BYTES) or b""


def encoding_of_head(head: bytes) -> str | None:
    """The encoding of a text that begins like this: that of its byte-order mark, else UTF-8; None where a NUL says otherwise."""
    return _marked_encoding(head) or (None if 0 in head else "utf-8")


def _marked_encoding(head: bytes) -> str | None:
    """The encoding that a byte-order mark names."""
    return next((encoding for mark, encoding in BYTE_ORDER_MARKS if head.startswith(mark)), None)


def _unmarked_utf16(head: bytes) -> str | None:
    """The byte order of UTF-16 without a mark: there every second byte of common text is NUL, and no more."""
    if head.count(0) > 0.6 * len(head):
        return None
    halves = {"utf-16-le": head[1::2].count(0), "utf-16-be": head[0::2].count(0)}
    return next((name for name, count in halves.items() if count > 0.9 * head.count(0) and count > len(head) / 8), None)


def decode(path: str | Path, encoding: str, shown: str, asked: bool) -> Iterator[tuple[str, int]]:
    """The text of a file, in parts, without its byte-order mark.

    Each part comes with the number of bytes of the file that have been read so far. `asked` says whether the user named the
    encoding.
    Raises UndecodableError at the first byte that is not text in this encoding, with its offset.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    read = 0
    started = False
    with open_regular(path, follow=True) as file:
        while True:
            block = file.read(READ_BYTES) or b""
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block, not block)
                text.encode()
            except UnicodeDecodeError as error:
                raise _undecodable(path, encoding, shown, asked, read - pending + error.start, bool(block)) from error
            except UnicodeEncodeError as error:
                raise UndecodableError(f"{shown} holds half a character as {encoding}; try another --encoding.") from error
            except UnicodeError as error:  # such as UTF-16 that does not begin with a byte-order mark
                raise UndecodableError(
                    f"{shown} is not {encoding} ({str(error).rstrip('.')}); leave --encoding out, or name another."
                ) from error
            read += len(block)
            if text and not started:
                started = True
                text = text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
                if "\0" in text[:NUL_SEARCH_BYTES]:
                    raise UndecodableError(
                        f"{shown} is not text in {encoding}: it holds NUL characters; choose a plain text file."
                    )
            if text:
                yield text, read
            if not block:
                return


def _undecodable(path: str | Path, encoding: str, shown: str, asked: bool, offset: int, more: bool) -> UndecodableError:
    with open_regular(path, follow=True) as file:
        marked = _marked_encoding(file.read(LONGEST_MARK))
        file.seek(max(0, offset - SAMPLE_BYTES // 4))
        sample = file.read(SAMPLE_BYTES)
        file.seek(offset)
        byte = file.read(1)
    where = f"byte {offset:,} (0x{byte.hex()})" if more or not byte else f"byte {offset:,}, where it ends inside a character,"
    if asked:
        return UndecodableError(f"{shown} is not {encoding}: {where} cannot be decoded; leave --encoding out, or name another.")
    if marked:
        words = f"{shown} is damaged {marked.upper()}, which its byte-order mark names: {where} cannot be decoded"
        return UndecodableError(f"{words}; drop what is broken with iconv -c -f {marked} -t utf-8.", is_damaged=True)
    text = sample.decode("utf-8", "replace")
    bad = text.count("\N{REPLACEMENT CHARACTER}")
    if sum(not character.isascii() for character in text) > 2 * bad:
        words = f"{shown} is damaged UTF-8: {where} cannot be decoded"
        return UndecodableError(f"{words}; drop what is broken with iconv -c -t utf-8.", is_damaged=True)
    guess = _suggest_encoding(sample)
    if guess is None:
        tried = "and no other encoding that was tried makes a text of it"
        return UndecodableError(f"{shown} is not UTF-8: {where} cannot be decoded, {tried}; choose a plain text file.")
    return UndecodableError(f"{shown} is not UTF-8: {where} cannot be decoded; try --encoding {guess}.")


def _suggest_encoding(sample: bytes) -> str | None:
    """The encoding that makes the most plausible text of a sample; cp1252 where it does as well as the best, since it is far
    more common."""
    import charset_normalizer

    matches = list(charset_normalizer.from_bytes(sample, cp_exclusion=list(UNUSUAL_ENCODINGS)))
    if not matches:
        return None
    best = matches[0]
    tied = {match.encoding for match in matches if (match.chaos, match.coherence) == (best.chaos, best.coherence)}
    return "cp1252" if "cp1252" in tied | set(best.could_be_from_charset) else best.encoding
