import asyncio
from pathlib import Path

import pytest

from lab.core.errors import UserError
from lab.data.cleaning.funnel_meter import EXCERPTS, Excerpt, ExcerptSpan, FunnelMeter
from lab.data.cleaning.measure_funnel import (
    FunnelRequest,
    check_target,
    funnel_of,
    funnel_view,
    measure_funnel,
    problem_with_path,
    run_funnel_process,
    save_text,
)
from lab.data.cleaning.rule_registry import BY_NAME, RULES, in_order, parse_rules, typed_rules
from lab.data.text_source import open_corpus
from lab.runs.run_schema import DEFAULT_RULES
from lab.views.blocks import Paragraph, Table
from tests.lab.data.cleaning.cleaning_texts import LONG

PARAGRAPH = "The big dog ran to the old house and slept there until the next morning came with rain,\nand then it ran home again."


def test_rules_that_changed_the_text_have_rows_between_the_raw_and_the_kept_text(tmp_path: Path) -> None:
    text = f"{PARAGRAPH}\n\n{PARAGRAPH}\n\nOther words.\n"
    funnel = measure_funnel(write(tmp_path / "text.txt", text), rules=tuple(BY_NAME))
    view, rules = funnel_view(funnel, (), "text.txt")
    assert rules[0] == rules[-1] == ""
    assert "duplicate-paragraphs" in rules
    table = view.blocks[0]
    assert isinstance(table, Table)
    assert len(table.rows) == len(rules)
    for rule, row in zip(rules[1:-1], table.rows[1:-1], strict=True):
        step = next(step for step in funnel.steps if step.rule == rule)
        assert row[2].value == step.bytes_out
    assert (table.rows[0][2].value, table.rows[-1][2].value) == (len(text), funnel.kept_bytes)
    said = [block.text for block in view.blocks if isinstance(block, Paragraph)]
    assert said[0] == f"{len(BY_NAME) - len(rules) + 2} other rules on: nothing changed."
    assert said[1].startswith("Taken by “duplicate paragraphs”: The big dog")


def test_a_rule_that_is_left_out_keeps_its_row_and_a_text_of_which_nothing_is_left_is_told_so(tmp_path: Path) -> None:
    on = tuple(name for name in BY_NAME if name != "emails")
    funnel = measure_funnel(write(tmp_path / "text.txt", "Nothing to clean.\n"), rules=on)
    view, rules = funnel_view(funnel, {"emails"}, "text.txt")
    assert rules == ["", "emails", ""]
    assert isinstance(view.blocks[0], Table)
    assert view.blocks[0].rows[1][1].text == "off"
    assert "100%" in view.sentence
    source = write(tmp_path / "menu.txt", "Home\nAbout\nContact\nLogin\nCart\nSearch\n")
    view, _ = funnel_view(measure_funnel(source, rules=("short-lines",)), (), "menu.txt")
    assert view.sentence.startswith("Cleaning leaves nothing of this text: short-lines takes the most")


SOME_RULES = ("line-endings", "emails", "blank-lines")


def run(request: FunnelRequest) -> object:
    reply = asyncio.run(run_funnel_process(request, lambda done, total: None))
    return reply.funnel if reply.saved is None else reply.saved


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_bytes("Write to me@dogs.net.\r\n\r\n\r\n\r\nZoë 🙂\n".encode() * 20)
    return path


def test_a_process_measures_what_this_one_does_and_saves_the_cleaned_text_in_place_of_a_file(text: Path, tmp_path: Path) -> None:
    request = FunnelRequest(str(text), None, SOME_RULES)
    assert run(request) == measure_funnel(str(text), None, SOME_RULES)
    saved = tmp_path / "saved.txt"
    saved.write_text("before")
    saving = FunnelRequest(str(text), None, SOME_RULES, str(saved), replace=True)
    assert run(saving) == saved.stat().st_size
    cleaned = "".join(open_corpus(str(text), cleaning=SOME_RULES).chunks())
    assert saved.read_text(encoding="utf-8") == cleaned
    with pytest.raises(UserError, match="is a file that the text is read from"):
        run(FunnelRequest(str(text), None, SOME_RULES, str(text), replace=True))
    assert text.read_bytes().startswith(b"Write to me@dogs.net.\r\n")
    text.write_bytes(b"\0\1\2" * 100)
    with pytest.raises(UserError, match="is not text"):
        run(saving)
    assert saved.read_text(encoding="utf-8") == cleaned
    assert sorted(path.name for path in tmp_path.iterdir()) == ["saved.txt", "text.txt"]


def write(path: Path, text: str, encoding: str = "utf-8") -> str:
    path.write_bytes(text.encode(encoding))
    return str(path)


def test_the_funnel_of_a_file_with_decoding_and_every_number(tmp_path: Path) -> None:
    text = f"Grüße\r\nan alle\r\n\r\n\r\n\r\n{LONG}{LONG}We use cookies.\r\n"
    source = write(tmp_path / "mess.txt", text, "utf-16")
    funnel = measure_funnel(source, None, ["boilerplate", "duplicate-lines", "line-endings", "blank-lines"])
    assert funnel.file_bytes == len(text.encode("utf-16"))
    assert funnel.raw_bytes == len(text.encode())
    assert "utf-16" in funnel.decoding
    kept = f"Grüße\nan alle\n\n{LONG}"
    assert funnel.kept_bytes == len(kept.encode())
    taken = {step.rule: step.bytes_in - step.bytes_out for step in funnel.steps}
    assert taken == {"line-endings": 6, "boilerplate": 16, "duplicate-lines": len(LONG), "blank-lines": 2}
    assert [step.passages_changed for step in funnel.steps] == [6, 0, 0, 0]
    assert [step.passages_removed for step in funnel.steps] == [0, 1, 1, 2]
    assert sum(taken.values()) == funnel.raw_bytes - funnel.kept_bytes
    (notice,) = funnel.excerpts["boilerplate"]
    assert notice.reason == "cookie notice"
    before, taken = notice.side("taken")
    assert [before[start:stop] for start, stop in taken] == ["We use cookies.\n"]
    assert notice.side("added") == (before.replace("We use cookies.\n", ""), [])
    assert funnel.reasons["boilerplate"][0].bytes == 16
    assert Path(source).read_bytes() == text.encode("utf-16"), "nothing is changed on disk"


def test_what_is_taken_and_added_is_marked_in_an_excerpt() -> None:
    spans = (ExcerptSpan("a ", "kept"), ExcerptSpan("bc", "taken"), ExcerptSpan("x", "added"), ExcerptSpan(" d", "kept"))
    excerpt = Excerpt(spans, 0)
    assert excerpt.side("taken") == ("a bc d", [(2, 4)])
    assert excerpt.side("added") == ("a x d", [(2, 3)])


def test_excerpts_are_few_spread_over_the_text_and_never_long() -> None:
    meter = FunnelMeter(["emails"], excerpts=True)
    cleaner = BY_NAME["emails"].cleaner()
    meter.begin_document()
    for n in range(1000):
        meter.measured(0, cleaner, f"{'word ' * 40}to name{n}@mail.org and on\n", False)
    found = [excerpt.side("taken")[0] for excerpt in meter.excerpts()["emails"]]
    numbers = [int(before.split("name")[1].split("@")[0]) for before in found]
    assert EXCERPTS // 2 <= len(found) <= EXCERPTS
    assert numbers == sorted(numbers)
    assert numbers[0] < 200
    assert numbers[-1] > 700
    long_one = FunnelMeter(["long-lines"], excerpts=True)
    long_one.measured(0, BY_NAME["long-lines"].cleaner(), f"{'x' * 5000}\n", False)
    (span,) = long_one.excerpts()["long-lines"][0].spans
    assert len(span.text) < 500
    assert " … " in span.text


@pytest.mark.parametrize(("marks", "words"), [(1, "a byte-order mark is dropped (3 bytes)"), (0, "")])
def test_a_byte_order_mark_is_the_work_of_decoding(tmp_path: Path, marks: int, words: str) -> None:
    funnel = measure_funnel(write(tmp_path / "a.txt", "\ufeff" * marks + "text\n"))
    assert (funnel.decoding, funnel.raw_bytes, funnel.file_bytes) == (words, 5, 5 + 3 * marks)


def test_several_documents_share_what_they_have_in_common_and_an_empty_result_is_one_sentence(tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path / f"{name}.txt", LONG)
    funnel = measure_funnel(str(tmp_path), None, ["duplicate-lines"])
    assert (funnel.documents, funnel.kept_documents, funnel.kept_bytes) == (3, 1, len(LONG))
    assert funnel.steps[-1].documents_emptied == 2
    assert funnel.nothing_left == ""
    gone = measure_funnel(write(tmp_path / "z", f"{'x' * 2000}\n"), None, ["long-lines", "blank-lines"])
    assert "nothing" in gone.nothing_left
    assert "long-lines" in gone.nothing_left


def test_reading_can_be_cancelled(tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise StopError

    with pytest.raises(StopError):
        measure_funnel(write(tmp_path / "a.txt", LONG), progress=stop)


def test_the_cleaned_text_is_saved_and_never_over_what_it_is_read_from(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    source = write(tmp_path / "texts" / "a.txt", "one\r\ntwo")
    corpus = open_corpus(str(tmp_path / "texts"))
    target = tmp_path / "saved.txt"
    check_target(target, corpus, replace=False)
    assert save_text(corpus, target) == len("one\ntwo")
    assert target.read_text() == "one\ntwo"
    with pytest.raises(UserError, match="exists already"):
        check_target(target, corpus, replace=False)
    check_target(target, corpus, replace=True)
    (tmp_path / "link").symlink_to(source)
    for path in (Path(source), tmp_path / "link"):
        with pytest.raises(UserError, match="read from"):
            check_target(path, corpus, replace=True)
    for path in (tmp_path / "no" / "file", tmp_path):
        with pytest.raises(UserError):
            check_target(path, corpus, replace=True)
    assert Path(source).read_bytes() == b"one\r\ntwo"


def test_several_documents_are_saved_as_files_that_open_as_the_same_documents(tmp_path: Path) -> None:
    long = "é" * 120 + ".txt"
    for name, content in {"b/same.txt": "two\r\n", "c.txt": "\n" * 9, "a/same.txt": "one", f"d/{long}": "four"}.items():
        (tmp_path / "texts" / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / "texts" / name, content)
    corpus = open_corpus(f"{tmp_path}/texts/b\n{tmp_path}/texts", cleaning=("line-endings", "blank-lines"))
    target = tmp_path / "saved"
    check_target(target, corpus, replace=False)
    assert save_text(corpus, target) == corpus.bytes
    names = sorted(path.name for path in target.iterdir())
    assert names[:2] == ["1-same.txt", "2-same.txt"]
    assert all(name[0] == str(at) for at, name in enumerate(names, 1))
    again = open_corpus(str(target))
    assert (again.sha256, again.documents) == (corpus.sha256, corpus.documents)
    assert target.stat().st_mode == (tmp_path / "texts").stat().st_mode
    with pytest.raises(UserError, match="saved in a new folder, so choose another name"):
        check_target(target, corpus, replace=True)
    with pytest.raises(UserError, match="not empty"):
        save_text(corpus, target)
    assert sorted(path.name for path in target.iterdir()) == names
    assert {path.name for path in tmp_path.iterdir()} == {"texts", "saved"}, "nothing is left aside"


def test_a_text_that_changes_between_the_passes_is_not_saved_and_not_taken_for_marks(tmp_path: Path) -> None:
    source = Path(write(tmp_path / "log.txt", "one\n" * 90))
    corpus = open_corpus(str(source))
    source.write_text("one\n" * 60)
    funnel = funnel_of(corpus)
    assert (funnel.file_bytes - funnel.raw_bytes, funnel.decoding) == (120, ""), "not 40 byte-order marks"
    source.write_text("two\n" * 60)
    with pytest.raises(UserError, match="changed while it was being read"):
        save_text(corpus, tmp_path / "saved.txt")
    assert list(tmp_path.iterdir()) == [source]


def test_a_path_to_save_at_is_refused_in_a_sentence(tmp_path: Path) -> None:
    assert problem_with_path(str(tmp_path / "new.txt")) == ""
    assert "too long" in problem_with_path(str(tmp_path / ("a" * 300)))
    for typed in ("", " ", "a\0b", str(tmp_path), str(tmp_path / "no" / "file"), "/dev/null", "~nobody-has-this-name/text"):
        assert problem_with_path(typed).endswith((".", str(tmp_path / "no"))), typed


def test_rules_are_named_in_any_order_and_applied_in_theirs() -> None:
    assert parse_rules("") == DEFAULT_RULES == tuple(rule.name for rule in RULES if rule.on_by_default)
    assert parse_rules("blank-lines, nfc") == ("line-endings", "nfc", "blank-lines")
    assert parse_rules("only,nfc") == parse_rules("none,nfc") == ("nfc",)
    assert parse_rules("none") == ()
    assert parse_rules("all") == tuple(rule.name for rule in RULES)
    for typed in ("", "nfc,blank-lines", "none", "only,nfc", "all"):
        assert parse_rules(typed_rules(parse_rules(typed))) == parse_rules(typed)
    assert typed_rules(["of-a-newer-version", "line-endings"]) == "of-a-newer-version,line-endings"
    with pytest.raises(UserError, match="did you mean blank-lines"):
        in_order(["blank-line"])
    with pytest.raises(UserError, match="choose from line-endings"):
        parse_rules("zzz")


def test_every_rule_is_explained_and_names_a_pipeline() -> None:
    names = ("C4", "Gopher", "FineWeb", "Dolma", "CCNet", "SlimPajama", "PG-19", "nanoGPT")
    for rule in RULES:
        assert rule.title
        assert rule.explanation.endswith(".")
        assert any(name in rule.pipelines for name in names), rule.name
