"""Safetensors files: what is not one."""

from pathlib import Path

from lab.core.safetensors_file import is_whole, read_metadata


def test_a_file_of_another_kind_is_not_taken_for_weights(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for raw in (b"", b"\xff" * 8, b"\xff" * 100, (10).to_bytes(8, "little") + b"[1,2,3,4] ", (2).to_bytes(8, "little") + b"{}x"):
        path.write_bytes(raw)
        assert read_metadata(path) is None
        assert not is_whole(path)
    assert not is_whole(tmp_path / "nothing")
