import os
from pathlib import Path

import msgspec
import pytest

from lab.core.errors import UserError
from lab.data.statistics import statistics_view
from lab.data.statistics.stream_statistics import LineLengths
from lab.data.statistics.text_profile import TextProfile, places_of, random_start, read_profile, read_sample
from lab.data.text_source import open_corpus

PROSE = "The big dog ran fast and it did not stop.\n\n" * 40 + "Zoë saw it.\n"


def never(progress: float) -> bool:
    return False


def profile(source: object, encoding: str | None = None) -> TextProfile:
    *_, last = read_profile(str(source), encoding, never)
    assert last.statistics.is_complete
    return last


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text(PROSE)
    (tmp_path / "b.txt").write_text("short")
    (tmp_path / "c.bin").write_bytes(b"\0\0\0\1" * 50)
    return tmp_path


def test_every_file_has_its_share_and_as_json_the_facts_are_plain_and_whole(folder: Path) -> None:
    found = profile(folder)
    assert [(file.name, file.bytes) for file in found.files] == [("a.txt", len(PROSE.encode())), ("b.txt", 5)]
    assert sum(file.bytes for file in found.files) == found.statistics.bytes
    assert found.left_out == "1 binary file"
    table = statistics_view.files_table(found)
    assert [row[0].text for row in table.rows] == ["a.txt", "b.txt"]
    assert sum(row[2].value or 0 for row in table.rows) == pytest.approx(1)
    assert ("files", "2; left out: 1 binary file") in statistics_view.profile_facts(found)
    data = msgspec.json.decode(msgspec.json.encode(statistics_view.profile_as_json(found)))
    assert (data["bytes"], data["characters"]) == (len(PROSE.encode()) + 5, len(PROSE) + 5)
    assert data["files"][1] == {"name": "b.txt", "bytes": 5}
    assert data["line_endings"] == {"lf": 81, "crlf": 0, "cr": 0}
    assert data["languages"]["English"] > 0
    assert data["repeated_passages"]["is_exact"]


@pytest.mark.parametrize(
    ("contents", "asked", "encoding", "decision"),
    [
        (PROSE.encode(), None, "utf-8", "no byte-order mark, and every byte fits"),
        (b"\xef\xbb\xbf" + PROSE.encode(), None, "utf-8", "its byte-order mark says so"),
        (PROSE.encode("utf-16"), None, "utf-16", "its byte-order mark says so"),
        (PROSE.encode("cp1252"), "cp1252", "cp1252", "as you asked"),
    ],
    ids=("plain", "marked", "utf-16", "asked"),
)
def test_the_encoding_is_told_with_its_reason(
    tmp_path: Path, contents: bytes, asked: str | None, encoding: str, decision: str
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(contents)
    found = profile(path, asked)
    assert (found.encoding, found.decision) == (encoding, decision)
    assert found.statistics.characters == len(PROSE)


def test_a_damaged_file_is_told_in_a_sentence_and_nothing_is_claimed_of_it_before(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(PROSE.encode() * 700 + b"\xff")
    reading = read_profile(str(path), None, never)
    assert next(reading).decision == "no byte-order mark, and every byte fits so far"
    with pytest.raises(UserError, match="cannot be decoded"):
        list(reading)


def test_a_profile_is_kept_until_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(PROSE)
    first = profile(path)
    assert [each is first for each in read_profile(str(path), None, never)] == [True]
    os.utime(path, ns=(1, 1))
    again = profile(path)
    assert again is not first
    assert again.statistics == first.statistics


def test_line_endings_are_those_of_the_file_and_of_a_cleaned_text_those_that_cleaning_left(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\nfour")
    raw = profile(path).statistics
    assert (raw.endings.lf, raw.endings.crlf, raw.endings.cr) == (1, 1, 1)
    assert (raw.lines, raw.characters, raw.bytes) == (4, 19, 19)
    *_, cleaned = read_profile(str(path), None, never, ("line-endings",))
    endings = cleaned.statistics.endings
    assert (endings.lf, endings.crlf, endings.cr, cleaned.statistics.characters) == (3, 0, 0, 18)


def test_work_can_be_ended_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(PROSE)

    def stop(progress: float) -> bool:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        list(read_profile(str(path), None, stop))
    assert profile(path).statistics.characters == len(PROSE)


def test_a_sample_is_the_text_at_its_place(folder: Path) -> None:
    corpus = open_corpus(str(folder / "a.txt"))
    starts = [random_start(len(PROSE), seed, length=100) for seed in range(20)]
    assert starts == [random_start(len(PROSE), seed, length=100) for seed in range(20)]
    assert len(set(starts)) > 15
    assert max(starts) <= len(PROSE) - 100
    for start in starts[:8]:
        sample = read_sample(corpus, start, len(PROSE), never, length=100)
        assert (sample.text, sample.start, sample.total) == (PROSE[start : start + 100], start, len(PROSE))
    assert random_start(50, 1, length=100) == 0
    assert read_sample(corpus, 0, len(PROSE), never, length=10**6).text == PROSE
    assert places_of(profile(folder / "a.txt").statistics) == len(PROSE)


def test_the_bins_of_line_lengths_hold_every_line() -> None:
    counts = [0] * 101
    counts[0], counts[1], counts[30], counts[100] = 5, 10, 100, 1
    bins = statistics_view.length_bins(LineLengths(tuple(counts), 2, 10_000, 30, 30.0))
    assert sum(number for _, number in bins) == 118
    assert bins[0] == ("empty", 5)
    assert bins[1] == ("1–10", 10)
    assert dict(bins)["21–30"] == 100
    assert bins[-2:] == [("91–100", 1), ("101–10,000", 2)]
    assert statistics_view.length_bins(LineLengths((), 0, 0, 0, 0.0)) == []


def test_tables_sum_to_the_whole_and_hide_no_character(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(PROSE + "\u202eevil\u200b \x1b[31mred\n" * 3)
    found = profile(path)
    statistics = found.statistics
    scripts = statistics_view.scripts_table(statistics, most=2)
    assert sum(row[1].value or 0 for row in scripts.rows) == statistics.characters
    assert scripts.rows[-1][0].text.endswith("others")
    lines = [row[1].text for row in statistics_view.lines_table(statistics).rows]
    assert lines == ["The big dog ran fast and it did not stop.", "\\u202eevil\\u200b ␛[31mred"]
    rare = statistics_view.characters_table(statistics, rare=True)
    hidden = {"U+202E right-to-left override", "U+200B zero width space", "␛ escape"}
    assert {row[0].text for row in rare.rows} > hidden
    assert all(row[0].text.isprintable() for row in rare.rows)
    passages = statistics_view.passages_table(statistics)
    assert passages.rows[0][0].value == max(passage.length for passage in statistics.passages)
