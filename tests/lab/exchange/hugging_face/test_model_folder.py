"""Model folders by other paths: through `..`, and through a link to an entry of the Hugging Face cache."""

from pathlib import Path

import pytest

from lab.exchange.hugging_face.model_folder import open_model_folder

REVISION = "607a30d783dfa663caf39e06633721c8d4cfcd7e"


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """An entry of the cache, whose files are links into its blobs."""
    repository = tmp_path / "hub" / "models--openai-community--gpt2"
    made = repository / "snapshots" / REVISION
    made.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for name in ("config.json", "model.safetensors"):
        (repository / "blobs" / name).write_text("{}")
        (made / name).symlink_to(Path("../../blobs") / name)
    return made


def test_a_cache_entry_is_one_by_any_path(snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(snapshot)
    monkeypatch.chdir(snapshot)
    for path in (snapshot, tmp_path / "link", Path("."), Path("..") / REVISION, snapshot / ".." / ".."):
        found = open_model_folder(path)
        assert (found.name, found.revision) == ("gpt2", REVISION)
        assert found.file("config.json") == snapshot.parents[1] / "blobs" / "config.json"


def test_a_folder_above_has_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain" / "sub").mkdir(parents=True)
    (tmp_path / "plain" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "plain" / "sub")
    assert open_model_folder(Path("..")).name == "plain"
