import os
from pathlib import Path

import pytest

from lab.data import text_encoding
from lab.data.text_source import open_corpus
from tests.lab.data.test_text_source import message, text_of, write

FRENCH = "Le café où j'ai mangé des crêpes était très agréable, l'élève s'est levé à cinq heures pour aller à l'école. "
RUSSIAN = "Большая собака быстро бежала, потом она увидела красный мяч у реки и принесла его домой. "
JAPANESE = "大きな犬が速く走った。川のそばで赤いボールを見つけて、家に持って帰った。"
POLISH = "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Zażółć gęślą jaźń. "


@pytest.mark.parametrize(
    ("encoding", "text"), [("shift_jis", "犬が走った。\r\n"), ("cp1251", "Собака бежала.\r"), ("gb18030", "狗跑得很快。\n")]
)
@pytest.mark.parametrize("block", [1, 2, 3, 5, 1000])
def test_other_encodings_are_read_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, text: str, block: int
) -> None:
    monkeypatch.setattr(text_encoding, "READ_BYTES", block)
    source = write(tmp_path, (text * 5).encode(encoding))
    corpus = open_corpus(source, encoding)
    assert "".join(corpus.chunks()) == text.replace("\r\n", "\n").replace("\r", "\n") * 5
    assert corpus.encoding == encoding


def test_a_byte_order_mark_is_not_text_whoever_names_the_encoding(tmp_path: Path) -> None:
    assert text_of(write(tmp_path, "\ufeffhello".encode()), "utf-8") == "hello"
    assert text_of(write(tmp_path, "\ufeffhello".encode("utf-16-le")), "utf-16-le") == "hello"


WRITTEN = {"cp1252": FRENCH, "cp1251": RUSSIAN, "koi8-r": RUSSIAN, "shift_jis": JAPANESE, "cp1250": POLISH}
UNMARKED = dict.fromkeys(("utf-16-le", "utf-16-be"), "The big dog ran fast.\n")


@pytest.mark.parametrize(("encoding", "text"), (WRITTEN | UNMARKED).items())
def test_the_encoding_to_try_is_the_right_one(tmp_path: Path, encoding: str, text: str) -> None:
    source = write(tmp_path, ("ascii first. " * 10 + text * 20).encode(encoding))
    advice = message(source).partition("--encoding ")[2].rstrip(".")
    assert text_of(source, advice) == text_of(source, encoding)


@pytest.mark.parametrize("offset", [3, 70_000, 600_001, 1_300_000])
def test_damage_further_on_is_found_with_its_offset(tmp_path: Path, offset: int) -> None:
    data = bytearray("größer ".encode() * 200_000)
    while data[offset] >= 0x80:
        offset += 1
    data[offset] = 0xFF
    said = message(write(tmp_path, bytes(data)))
    assert f"byte {offset:,} (0xff)" in said
    assert "damaged UTF-8" in said


@pytest.mark.parametrize(
    ("data", "encoding", "words"),
    [
        (b"the caf\xe9 was closed all day", None, "byte 7 (0xe9)"),
        (b"caf " + "犬".encode()[:2], "utf-8", "byte 4, where it ends inside a character"),
        ("犬が走った。\n".encode(), "ascii", "is not ascii: byte 0 (0xe7) cannot be decoded; leave --encoding out"),
        (rb"hello \ud800 there", "unicode_escape", "half a character"),
        (bytes(byte for byte in os.urandom(60_000) if byte), None, "choose a plain text file"),
        (
            "\ufeffabc".encode("utf-16-le")[:-1],
            None,
            "is damaged UTF-16, which its byte-order mark names: byte 6, where it ends inside a character,",
        ),
        ("\ufeffcafé".encode()[:-1], None, "damaged UTF-8"),
    ],
    ids=["offset", "end", "wrong encoding", "half a character", "random", "marked UTF-16", "marked UTF-8"],
)
def test_a_file_that_cannot_be_decoded_is_told_with_the_reason(
    tmp_path: Path, data: bytes, encoding: str | None, words: str
) -> None:
    assert words in message(write(tmp_path, data), encoding)
