import errno
import os
import platform
from pathlib import Path

import msgspec
import numpy as np
import pytest

from lab.data.corpus import CorpusSize
from lab.data.token_file import TokenFileFacts
from lab.data.train_val_split import Split
from lab.planning.preparation_cache import FOLDER, KeptText, PreparationCache, key_of
from lab.runs.run_schema import ValidationSegments
from models.tokenizers.tokenizer import Tokenizer

TEXT = KeptText(CorpusSize(100, 90, "ab" * 32, (100,)), Split(100, 90, ((90, 100),), ((90, 100),)))
KEY = key_of("a key")
IDS = np.arange(50, dtype="<u2")
NOBODY = 999_999_999
"""No process has this number."""


def quiet(share: float) -> None:
    """Shows no progress."""


def text_of(cache: PreparationCache, key: str) -> KeptText | None:
    return cache.read("text", key, msgspec.json.Decoder(KeptText).decode)


def vocabulary_of(cache: PreparationCache, key: str) -> Tokenizer | None:
    return cache.read("vocabulary", key, lambda raw: Tokenizer.loads(raw, "the kept vocabulary"))


def facts(path: Path) -> TokenFileFacts:
    from lab.data.source_files import file_sha256

    segments = ValidationSegments(((45, 50),), 10, "cd" * 32)
    return TokenFileFacts(50, 45, 90, 10, segments, segments, file_sha256(path))


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.bin"
    IDS.tofile(path)
    return path


def test_everything_kept_is_found_again_and_nothing_else(tmp_path: Path, tokens: Path) -> None:
    cache = PreparationCache(tmp_path / "new" / "home")
    assert (text_of(cache, KEY), vocabulary_of(cache, KEY), cache.tokens(KEY, tmp_path / "copy", 50, quiet)) == (None, None, None)
    assert not cache.folder.parent.exists()
    tokenizer = Tokenizer.train(["The big dog ran"], 260)
    cache.keep("text", KEY, msgspec.json.encode(TEXT))
    cache.keep("vocabulary", KEY, tokenizer.dumps().encode())
    cache.keep_tokens(KEY, tokens, facts(tokens), quiet)
    again = PreparationCache(tmp_path / "new" / "home")
    assert text_of(again, KEY) == TEXT
    assert (found := vocabulary_of(again, KEY))
    assert found.dumps() == tokenizer.dumps()
    assert again.tokens(KEY, tmp_path / "copy", 50, quiet) == facts(tokens)
    assert (tmp_path / "copy").read_bytes() == tokens.read_bytes()
    assert text_of(again, key_of("another key")) is None
    assert oct(cache.folder.stat().st_mode & 0o777) == "0o700"
    assert cache.size() == sum(path.stat().st_size for path in cache.folder.iterdir()) == cache.empty()
    assert cache.size() == 0
    assert not cache.folder.exists()


def test_what_a_killed_process_left_is_counted_and_removed_and_nothing_else_is_called_freed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = PreparationCache(tmp_path)
    cache.keep("text", KEY, msgspec.json.encode(TEXT))
    kept = cache.size()
    left = cache.folder / f".tokens-{KEY}.bin.{NOBODY}-1@{platform.node()}.tmp"
    left.write_bytes(b"a" * 1000)
    assert cache.size() == kept + 1000
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
        assert cache.empty() == 0
    assert cache.empty() == kept + 1000
    assert not cache.folder.exists()


def test_a_run_and_the_cache_do_not_share_a_file(tmp_path: Path, tokens: Path) -> None:
    cache = PreparationCache(tmp_path)
    cache.keep_tokens(KEY, tokens, facts(tokens), quiet)
    known = facts(tokens)
    with tokens.open("r+b") as file:
        file.write(b"changed")
    assert cache.tokens(KEY, tmp_path / "copy", 50, quiet) == known
    with (tmp_path / "copy").open("r+b") as file:
        file.write(b"changed")
    assert cache.tokens(KEY, tmp_path / "other copy", 50, quiet) == known


@pytest.mark.parametrize("kind", ["text", "tokens"])
def test_a_damaged_entry_is_removed_and_not_used(tmp_path: Path, tokens: Path, kind: str) -> None:
    cache = PreparationCache(tmp_path)

    def look() -> object:
        return text_of(cache, KEY) if kind == "text" else cache.tokens(KEY, tmp_path / "copy", 50, quiet)

    for suffix in ("json", "bin") if kind == "tokens" else ("json",):
        size = 65 + 40 if suffix == "json" else 100
        for at in (0, 64, size - 1):
            cache.keep("text", KEY, msgspec.json.encode(TEXT))
            cache.keep_tokens(KEY, tokens, facts(tokens), quiet)
            assert look()
            path = cache.folder / f"{kind}-{KEY}.{suffix}"
            for damaged in (_flipped(path.read_bytes(), at), path.read_bytes()[:at], path.read_bytes() + b"x"):
                cache.keep("text", KEY, msgspec.json.encode(TEXT))
                cache.keep_tokens(KEY, tokens, facts(tokens), quiet)
                path.write_bytes(damaged)
                assert look() is None
                assert not path.exists()


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_ids_beyond_the_vocabulary_and_impossible_splits_are_not_used(tmp_path: Path, tokens: Path) -> None:
    cache = PreparationCache(tmp_path)
    cache.keep_tokens(KEY, tokens, facts(tokens), quiet)
    assert cache.tokens(KEY, tmp_path / "copy", 49, quiet) is None
    cache.keep("text", KEY, b'{"size":[100,90,"",[100]],"split":{"bytes":100,"split":101,"evaluated":[],"final":[]}}')
    assert text_of(cache, KEY) is None


def test_a_link_or_a_folder_of_somebody_else_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = PreparationCache(tmp_path)
    cache.keep("text", KEY, msgspec.json.encode(TEXT))
    entry = cache.folder / f"text-{KEY}.json"
    entry.rename(tmp_path / "target")
    entry.symlink_to(tmp_path / "target")
    assert text_of(cache, KEY) is None
    assert (tmp_path / "target").exists()
    cache.keep("text", KEY, msgspec.json.encode(TEXT))
    cache.folder.chmod(0o770)
    assert text_of(cache, KEY) is None
    cache.folder.chmod(0o700)
    assert text_of(cache, KEY) == TEXT
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert text_of(cache, KEY) is None
    monkeypatch.undo()
    cache.folder.rename(tmp_path / "elsewhere")
    cache.folder.symlink_to(tmp_path / "elsewhere")
    assert text_of(cache, KEY) is None
    cache.keep("vocabulary", KEY, Tokenizer.bytes_().dumps().encode())
    assert len(os.listdir(tmp_path / "elsewhere")) == 1


def test_the_entries_unused_for_longest_make_room(tmp_path: Path, tokens: Path) -> None:
    one = PreparationCache(tmp_path / "one")
    one.keep_tokens(KEY, tokens, facts(tokens), quiet)
    cache = PreparationCache(tmp_path, most=3 * one.size())
    for number in range(3):
        cache.keep_tokens(key_of(number), tokens, facts(tokens), quiet)
        for path in cache.folder.glob(f"tokens-{key_of(number)}.*"):
            os.utime(path, (number, number))
    assert cache.tokens(key_of(0), tmp_path / "copy", 50, quiet)  # used now
    cache.keep_tokens(key_of(3), tokens, facts(tokens), quiet)
    assert [number for number in range(4) if cache.tokens(key_of(number), tmp_path / "copy", 50, quiet)] == [0, 2, 3]
    assert cache.size() <= 3 * one.size()
    small = PreparationCache(tmp_path / "small", most=99)
    small.keep_tokens(KEY, tokens, facts(tokens), quiet)
    assert small.size() == 0


def test_a_full_disk_is_no_error_and_cancelling_leaves_nothing(
    tmp_path: Path, tokens: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = PreparationCache(tmp_path)

    def cancel(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.keep_tokens(KEY, tokens, facts(tokens), cancel)
    assert os.listdir(cache.folder) == []

    def full(descriptor: int, chunk: bytes) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr("lab.core.atomic_io.write_all", full)
    cache.keep_tokens(KEY, tokens, facts(tokens), quiet)
    cache.keep("text", KEY, msgspec.json.encode(TEXT))
    assert os.listdir(cache.folder) == []
    (tmp_path / "file").touch()
    PreparationCache(tmp_path / "file").keep("text", KEY, msgspec.json.encode(TEXT))


def test_what_killed_writers_left_is_removed_and_what_living_ones_write_is_not(tmp_path: Path) -> None:
    cache = PreparationCache(tmp_path)
    cache.keep("text", KEY, msgspec.json.encode(TEXT))
    owners = (f"{NOBODY}-1@{platform.node()}", f"{os.getppid()}-1@{platform.node()}", f"{NOBODY}-1@far")
    names = [f".tokens-{KEY}.bin.{owner}.tmp" for owner in owners]
    for name in names:
        (cache.folder / name).touch()
    cache.keep("text", KEY, msgspec.json.encode(TEXT))
    assert sorted(os.listdir(cache.folder)) == sorted([*names[1:], f"text-{KEY}.json"])
    assert FOLDER.startswith(".")
