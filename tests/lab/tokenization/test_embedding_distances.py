"""Distances of embeddings, against numpy's over the whole matrix."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from lab.core.errors import DamagedFileError, UserError
from lab.core.safetensors_file import RawTensor, write_tensors
from lab.runs.find_runs import open_run
from lab.runs.run_folder import Run, tokenizer_of
from lab.tokenization import vocabulary_facts as module
from lab.tokenization.token_frequencies import TokenFrequencies, frequencies_in_run
from lab.tokenization.vocabulary_facts import VocabularyFacts, embedding_distances, map_embedding, rows_of
from lab.tokenization.vocabulary_index import VocabularyIndex
from models.tokenizers.tokenizer import Tokenizer


def test_the_demos_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run("demo")
    frequencies = frequencies_in_run(run)
    counts = frequencies.counts
    monkeypatch.setattr(module, "ROWS", 100)
    found = embedding_distances(run, counts)
    now = load_file(run.path / "best.safetensors")["wte.weight"]
    before = load_file(run.path / "snapshots" / "00000000.safetensors")["wte.weight"]
    assert found.step == 6000
    np.testing.assert_allclose(found.norm, np.linalg.norm(now, axis=1), rtol=1e-5)
    np.testing.assert_allclose(found.to_mean, np.linalg.norm(now - now.mean(0), axis=1), rtol=1e-4)
    assert found.moved is not None
    np.testing.assert_allclose(found.moved, np.linalg.norm(now - before, axis=1), rtol=1e-5)
    unused = counts == 0
    assert found.to_never_used is not None
    np.testing.assert_allclose(found.to_never_used, np.linalg.norm(now - now[unused].mean(0), axis=1), rtol=1e-3, atol=1e-5)
    nearest = set(np.argsort(found.to_mean)[: unused.sum()].tolist())
    facts = VocabularyFacts(VocabularyIndex(tokenizer_of(run)), frequencies, found)
    both = len(nearest & set(np.flatnonzero(unused).tolist()))
    assert facts.candidates_sentence.endswith(f" embeddings nearest to the mean, {both} are never used.")
    assert facts.like_never_used.sum() == 0


def test_a_token_like_the_never_used_ones_is_found() -> None:
    counts = np.array([0, 0, 0, 7, 1, 9])
    to_never = np.array([0.1, 0.2, 0.3, 5.0, 0.15, 4.0], np.float32)
    zeros = np.zeros(6, np.float32)
    index, frequencies = VocabularyIndex(Tokenizer.bytes_()), TokenFrequencies(counts, "it")
    facts = VocabularyFacts(index, frequencies, module.EmbeddingDistances(1, zeros, zeros, None, to_never))
    assert np.flatnonzero(facts.like_never_used).tolist() == [4]
    facts = VocabularyFacts(index, frequencies, module.EmbeddingDistances(1, zeros, zeros, None, None))
    assert facts.like_never_used.sum() == 0


@pytest.mark.parametrize(
    ("dtype", "name"),
    [(torch.float32, "F32"), (torch.float16, "F16"), (torch.bfloat16, "BF16"), (torch.float64, "F64")],
)
def test_an_embedding_of_any_floating_type_is_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, name: str
) -> None:
    numbers = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    raw = RawTensor(name, (7, 3), numbers.reshape(-1).view(torch.uint8).numpy().data)
    other = RawTensor("F32", (1,), memoryview(np.zeros(1, "<f4").tobytes()))
    monkeypatch.setattr(module, "ROWS", 4)
    path = tmp_path / "a.safetensors"
    for own in module.NAMES:
        write_tensors(path, {"first": other, own: raw}, {"step": "4"})
        matrix, step = map_embedding(path)
        assert (matrix.shape, step) == ((7, 3), 4)
        np.testing.assert_array_equal(np.concatenate([rows for _, rows in rows_of(matrix)]), numbers.float().numpy())
    write_tensors(path, {"first": other}, {"step": "4"})
    with pytest.raises(DamagedFileError, match="holds no wte"):
        map_embedding(path)
    write_tensors(path, {"wte.weight": other}, {"step": "4"})
    with pytest.raises(DamagedFileError, match="other than a matrix"):
        map_embedding(path)


def test_a_run_without_weights_is_one_sentence(empty_run: Callable[..., Run]) -> None:
    run = empty_run("tale")
    with pytest.raises(UserError, match="tale has no weights yet"):
        embedding_distances(run, np.zeros(256, np.int64))
    raw = RawTensor("F32", (3, 2), memoryview(np.zeros((3, 2), "<f4").tobytes()))
    write_tensors(run.path / "best.safetensors", {"wte.weight": raw}, {"step": "1"})
    with pytest.raises(UserError, match="another shape"):
        embedding_distances(run, np.zeros(256, np.int64))
