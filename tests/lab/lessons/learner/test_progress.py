"""Progress through the lessons: kept, and never a reason to fail."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.lessons.learner.progress import LessonProgress, Progress, progress_path, read_progress, write_progress


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    progress = Progress().at("tokens", 1, 3).at("softmax", 0, 1)
    write_progress(tmp_path, progress, "softmax")
    assert read_progress(tmp_path) == (progress, "")
    assert (progress.of("tokens").is_done, progress.of("softmax").is_done, progress.last) == (False, True, "softmax")
    assert progress.at("softmax", 0, 2).of("softmax").is_done, "a lesson that was done stays done"
    assert not progress.of("another").is_done


def test_a_damaged_file_is_told_of_and_not_used(tmp_path: Path) -> None:
    assert read_progress(tmp_path) == (Progress(), "")
    write_progress(tmp_path, Progress(), "tokens")
    told = list[str]()
    damages = (b"{", b'{"lessons": {"a": {"step": -1}}}', b'{"lessons": {"a": {"step": 1e9}}}')
    for number, damage in enumerate(damages, 1):
        progress_path(tmp_path).write_bytes(damage)
        progress, problem = read_progress(tmp_path)
        assert progress == Progress()
        assert problem.startswith("Your progress is not used: ")
        kept = progress_path(tmp_path).with_name(f"progress.json.bak{'' if number == 1 else number}")
        write_progress(tmp_path, Progress().at("tokens", 1, 3), "tokens", told.append)
        assert told[-1] == f"The damaged progress.json is kept as {kept}."
        assert kept.read_bytes() == damage
        assert read_progress(tmp_path)[1] == ""
    write_progress(tmp_path, Progress(), "tokens", told.append)
    assert len(told) == len(damages)


def test_two_labs_keep_each_other_s_progress(tmp_path: Path) -> None:
    first = Progress().at("tokens", 1, 3)
    second = Progress().at("softmax", 0, 1)
    write_progress(tmp_path, first, "tokens")
    write_progress(tmp_path, second, "softmax")
    first = first.at("tokens", 2, 3)
    write_progress(tmp_path, first, "tokens")
    second = second.at("tokens", 0, 3)
    write_progress(tmp_path, second, "tokens")
    kept = read_progress(tmp_path)[0]
    assert kept.of("softmax").is_done
    assert kept.of("tokens") == LessonProgress(0, is_done=True), "done stays done"
    assert kept.last == "tokens"


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    names = [f"lesson-{number}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as threads:
        list(threads.map(lambda name: write_progress(tmp_path, Progress().at(name, 1, 3), name), names))
    assert sorted(read_progress(tmp_path)[0].lessons) == names
