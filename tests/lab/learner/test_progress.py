"""Progress through the lessons: kept, and never a reason to fail."""

from pathlib import Path

from lab.learner.progress import Progress, progress_path, read_progress, write_progress


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    progress = Progress().at("tokens", 1, 3).at("softmax", 0, 1)
    write_progress(tmp_path, progress)
    assert read_progress(tmp_path) == (progress, "")
    assert (progress.of("tokens").is_done, progress.of("softmax").is_done, progress.last) == (False, True, "softmax")
    assert progress.at("softmax", 0, 2).of("softmax").is_done, "a lesson that was done stays done"
    assert not progress.of("another").is_done


def test_a_damaged_file_is_told_of_and_not_used(tmp_path: Path) -> None:
    assert read_progress(tmp_path) == (Progress(), "")
    write_progress(tmp_path, Progress())
    for damage in (b"{", b'{"lessons": {"a": {"step": -1}}}', b'{"lessons": {"a": {"step": 1e9}}}'):
        progress_path(tmp_path).write_bytes(damage)
        progress, problem = read_progress(tmp_path)
        assert progress == Progress()
        assert problem.startswith("Your progress is not used: ")
